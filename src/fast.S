// Exits without Rust: what guests do most. Each of these answers the common case whole, saving what it uses and no more,
// and leaves everything else, untouched, to `slow_sync` or `slow_irq`, which save the rest and call Rust (vectors.S).
//
// What they may rely on is said once: core.rs has the layout of a core's block, model/src/gic/sgi.rs that of an SGI's
// target, model/src/gic/mirror.rs that of the registers. They act as `Shared::send`, `Shared::send_sgir`, `Shared::drain`
// and `Vgic::dist_access` do. docs/benchmarks.md has what each step costs.

// All of it twice: for cores that are guarded on the way to Rust, and for those that need not be.
.macro fast_paths v
slow_sync\v:
	save_from_x4
	mov	x29, xzr
	to_rust	trap_sync, \v

// x2: ESR, of a class below 0x20 without bit 3. An SMC traps before it is executed, an HVC after.
called\v:
	orr	x3, x2, #ESR_HVC ^ ESR_SMC
	movz	x1, #ESR_SMC >> 16, lsl #16
	cmp	x3, x1
	b.ne	slow_sync\v
	movz	w3, #{psci_version} >> 16, lsl #16
	cmp	w0, w3
	b.ne	2f
	tbz	x2, #26, 1f
	skip_instruction
1:	mrs	x1, tpidr_el2
	count	{exit_psci}
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp], #FRAME
	movz	x0, #{psci_version_major}, lsl #16
	movk	x0, #{psci_version_minor}
	to_guest
2:	movz	w3, #{smccc_version} >> 16, lsl #16
	cmp	w0, w3
	b.ne	slow_sync\v
	tbz	x2, #26, 3f
	skip_instruction
3:	mrs	x1, tpidr_el2
	count	{exit_hvc}
	movz	x0, #{smccc_version_major}, lsl #16
	movk	x0, #{smccc_version_minor}
	mov	x1, xzr				// results x1..x3, as the model answers
	mov	x2, xzr
	mov	x3, xzr
	add	sp, sp, #FRAME
	to_guest

	aborts , \v
	aborts _v2, \v
	aborts _v2_direct, \v
enabled_value\v:
	bic	w0, w0, w1
	cbnz	w0, slow_sync\v			// some are not
mirrored\v:
	mirrored

// Registers beyond x3. A load's is set, what was stored or written is got; x2 (ESR) and, of a store, x1 tell what for.
set_other\v:
	pick	set_register, mirrored\v
get_other\v:
	pick	get_register, got\v
got\v:	tbz	x2, #31, sgi_value\v
	tbz	x1, #63, enabled_value\v
	b	sgir_value\v

// x2: ESR of a write of ICC_SGI1R_EL1, by a register of x0..x3.
fast_sgi\v:
	ubfx	x3, x2, #5, #2			// Rt
	ldr	x0, [sp, x3, lsl #3]
// x0: what was written. To this virtual CPU alone: no routing mode, no affinity but 0.0.0, one bit in the list.
sgi_value\v:
	mrs	x1, tpidr_el2
	bic	x3, x0, #0xf << 24		// without the INTID
	ldr	x2, [x1, #CORE_SGI_ITSELF]
	cmp	x3, x2
	b.ne	sgi_to_another\v
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, slow_sync\v
	ubfx	x0, x0, #24, #4
	ldr	x0, [x2, x0, lsl #3]
	cbz	x0, slow_sync\v			// it may not be delivered now: it stays pending
	ldp	x2, x3, [x1, #CORE_ALL_FREE]
	mrs	x1, ich_elrsr_el2
	cmp	x1, x2
	b.ne	slow_sync\v			// one may hold the same number
	msr	ich_lr0_el2, x0
	count_at x3, {exit_sgi}
	skip_instruction
	back
// To one other, whose number is clamped (csel, csdb): its mark, then its doorbell.
sgi_to_another\v:
	if_removed {fast_sgi_affinity}, 2, and x3, x3, #0xffff
	peer	slow_sync\v
	ubfx	x0, x0, #24, #4
	add	x2, x2, x0
	mov	w0, #1
	strb	w0, [x2]
	dsb	ish				// the mark is there before the doorbell rings
	msr	icc_sgi1r_el1, x3
	count	{exit_sgi}
	skip_instruction
	back

// x2: ESR of a class with bit 3 that is no abort's; x3: the same without Rt. TLB maintenance for all cores, in a partition of one:
// for this one, as `maintain` does it (trap/system.rs). Here are the forms that kernels use most.
trapped\v:
	movq	x1, ESR_TLBI
	eor	x3, x3, x1			// CRm and op2 are left
	bic	x1, x3, #7 << 17
	cmp	x1, #BY_ADDRESS
	b.eq	1f
	cmp	x1, #BY_RANGE
	b.ne	slow_sync\v
1:	ubfx	x3, x2, #5, #5			// Rt
	cmp	x3, #4
	b.hs	maintain_other\v
	ldr	x0, [sp, x3, lsl #3]
maintain_by\v:
	ubfx	x3, x2, #17, #3			// op2
	tbz	x2, #1, 2f
	maintain 1, c7				// VAE1
	maintain 5, c7				// VALE1
	maintain 7, c7				// VAALE1
	maintain 2, c7				// ASIDE1
	b	slow_sync\v
2:	maintain 1, c6				// RVAE1
	maintain 5, c6				// RVALE1
	maintain 7, c6				// RVAALE1
	b	slow_sync\v
8:	mrs	x1, tpidr_el2
	count	{exit_sysreg}
	skip_instruction
	back
maintain_other\v:
	pick	get_register, maintain_by\v

// A direct partition's SGIs are physical ones. x0: what was written. To one virtual CPU, also to itself: this goes out to that
// core, with the number as it is.
direct_other\v:
	pick	get_register, direct_value\v
direct_sgi\v:
	ubfx	x3, x2, #5, #2			// Rt
	ldr	x0, [sp, x3, lsl #3]
direct_value\v:
	mrs	x1, tpidr_el2
	bic	x3, x0, #0xf << 24		// without the INTID
	if_removed {fast_sgi_affinity}, 2, and x3, x3, #0xffff
	peer	slow_sync\v
	and	x0, x0, #0xf << 24
	orr	x3, x3, x0
	msr	icc_sgi1r_el1, x3
	count	{exit_sgi}
	skip_instruction
	back

// The same with a GICv2: what was stored to GICD_SGIR, by a list or to itself.
direct_sgir\v:
	mrs	x1, tpidr_el2
	ubfx	x3, x0, #16, #10		// TargetListFilter, CPUTargetList
	tbnz	x3, #8, slow_sync\v		// 1: all others; 3: reserved
	tbz	x3, #9, 1f
	mov	w3, #2 << 24
	b	2f
1:	peer	slow_sync\v
2:	and	x0, x0, #0xf
	orr	x3, x3, x0
	ldr	x2, [x1, #CORE_GICD]
	str	w3, [x2, #GICD_SGIR]
	count	{exit_sgi}
	skip_instruction
	back

// GICv2. x0: what was stored to GICD_SGIR (IHI 0048, 4.3.15). To this virtual CPU alone, by TargetListFilter 2 or by the
// list.
sgir_value\v:
	mrs	x1, tpidr_el2
	ubfx	x3, x0, #16, #10		// TargetListFilter, CPUTargetList
	tbnz	x3, #8, slow_sync\v		// 1: all others; 3: reserved
	tbnz	x3, #9, 1f
	ldr	x2, [x1, #CORE_SGI_ITSELF]
	cmp	x3, x2
	b.ne	sgir_to_another\v
1:	ldr	x2, [x1, #CORE_GICH]
	ldr	w2, [x2, #GICH_ELRSR0]
	ldr	x3, [x1, #CORE_ALL_FREE]
	cmp	x2, x3
	b.ne	slow_sync\v			// one may hold the same number
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, slow_sync\v
	and	x0, x0, #0xf
	ldr	x3, [x2, x0, lsl #3]
	cbz	x3, slow_sync\v			// it may not be delivered now: it stays pending
	add	x2, x2, x0
	ldr	x0, [x1, #CORE_SGI_ITSELF]
	strb	w0, [x2, #BLOCK_LOADED]
	ldr	x0, [x1, #CORE_SOURCE]
	orr	w3, w3, w0
	ldr	x2, [x1, #CORE_GICH]
	str	w3, [x2, #GICH_LR0]
	count	{exit_sgi}
	skip_instruction
	back
// To one other: this source's bit in its mark, then its doorbell.
sgir_to_another\v:
	peer	slow_sync\v
	and	x0, x0, #0xf
	add	x2, x2, x0
	stp	x4, x5, [sp, #32]
	ldr	x4, [x1, #CORE_SGI_ITSELF]
1:	ldxrb	w0, [x2]
	orr	w0, w0, w4
	stlxrb	w5, w0, [x2]
	cbnz	w5, 1b
	dsb	ish				// the mark is there before the doorbell rings
	ldr	x2, [x1, #CORE_GICD]
	str	w3, [x2, #GICD_SGIR]
	count	{exit_sgi}
	skip_instruction
	ldp	x4, x5, [sp, #32]
	back

// The interrupt path beyond the slot: another list register, or not simply the guest's.
irq_second\v:
	tbz	x3, #1, 3f
	msr	ich_lr1_el2, x2
	b	5f
3:	tbz	x3, #2, 4f
	msr	ich_lr2_el2, x2
	b	5f
4:	tbz	x3, #3, slow_irq\v
	msr	ich_lr3_el2, x2
5:	msr	icc_eoir1_el1, x0
	count	{exit_irq}
	back
irq_other\v:
	cmp	x0, #{doorbell}
	b.eq	fast_doorbell\v
slow_irq\v:
	save_from_x4
	mov	x29, xzr
	to_rust	trap_irq, \v, x0		// what was acknowledged

// Another core of the partition sent an SGI: one is pending, may be delivered, and every list register is free. A mark is 1, so
// what leads it in its word says which it is: 63 - 8n zeros. Only the first eight, which systems use, are looked for here.
fast_doorbell\v:
	dsb	sy				// the acknowledge is complete before what the doorbell tells of is read (IHI 0069, 4.1)
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldp	x3, x1, [x1, #CORE_ALL_FREE]	// and the exit counters
	mrs	x0, ich_elrsr_el2
	cmp	x0, x3
	b.ne	2f
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, 2f
	ldp	x0, x3, [x2, #BLOCK_PENDING]
	cbnz	x3, 2f
	clz	x3, x0
	lsl	x0, x0, x3
	cmp	x0, #1				// overflows if bit 63 is the only one
	b.vc	1f
	sub	x0, x2, x3
	ldr	x0, [x0, #63]			// its image
	cbz	x0, 2f				// it may not be delivered now
	msr	ich_lr0_el2, x0
	sub	x2, x2, x3, lsr #3
	strb	wzr, [x2, #BLOCK_PENDING + 7]	// after the list register was written: see Shared::place
	dmb	ish				// one that was sent until now is this one: what its sender wrote before is seen
0:	mov	x0, #{doorbell}
	msr	icc_eoir1_el1, x0
	msr	icc_dir_el1, x0
	count_at x1, {exit_irq}
	back
1:	cbz	x0, 0b				// it came with an earlier one; else several are there
2:	mov	x0, #{doorbell}
	b	slow_irq\v

// The same with a GICv2: GICC_IAR, GICH_ELRSR0, GICH_LR<n>, GICC_EOIR (IHI 0048, 4.4 and 5.3), and images that are in
// its form already.
irq_second_v2\v:
	tbz	w3, #1, 3f
	str	w2, [x1, #GICH_LR0 + 4]
	b	5f
3:	tbz	w3, #2, 4f
	str	w2, [x1, #GICH_LR0 + 8]
	b	5f
4:	tbz	w3, #3, slow_irq\v
	str	w2, [x1, #GICH_LR0 + 12]
5:	mrs	x1, tpidr_el2
	ldr	x2, [x1, #CORE_GICC]
	str	w0, [x2, #GICC_EOIR]
	count	{exit_irq}
	back
// What GICC_IAR reads of an SGI has its source in bits 12..10, so it is beyond the table or finds 0.
irq_other_v2\v:
	and	x3, x0, #0x3ff
	cmp	x3, #{doorbell}
	b.ne	slow_irq\v
// One bit in the marks of the first eight: its number is 8 times the SGI's, and the source's.
fast_doorbell_v2\v:
	dsb	sy
	stp	x4, x5, [sp, #32]
	ldr	x2, [x1, #CORE_GICH]
	ldr	w3, [x2, #GICH_ELRSR0]
	ldr	x4, [x1, #CORE_ALL_FREE]
	cmp	x3, x4
	b.ne	2f
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, 2f
	ldp	x4, x3, [x2, #BLOCK_PENDING]
	cbnz	x3, 2f
	clz	x3, x4
	lsl	x4, x4, x3
	cmp	x4, #1				// overflows if bit 63 is the only one
	b.vc	4f
	eor	x3, x3, #63			// the bit's number
	and	x4, x3, #7			// the source
	lsr	x3, x3, #3
	ldr	x5, [x2, x3, lsl #3]
	cbz	x5, 2f				// it may not be delivered now
	add	x2, x2, x3
	orr	w5, w5, w4, lsl #10		// GICH_LR<n>.CPUID
	ldr	x3, [x1, #CORE_GICH]
	str	w5, [x3, #GICH_LR0]
	mov	w3, #1
	lsl	w4, w3, w4
	strb	w4, [x2, #BLOCK_LOADED]
	add	x2, x2, #BLOCK_PENDING
1:	ldaxrb	w3, [x2]			// after the list register was written: see Shared::place
	bic	w3, w3, w4
	stlxrb	w5, w3, [x2]
	cbnz	w5, 1b
3:	ldr	x2, [x1, #CORE_GICC]
	str	w0, [x2, #GICC_EOIR]
	str	w0, [x2, #GICC_DIR]
	count	{exit_irq}
	ldp	x4, x5, [sp, #32]
	back
4:	cbz	x4, 3b				// it came with an earlier one; else several are there
2:	ldp	x4, x5, [sp, #32]
	b	slow_irq\v
.endm

	fast_paths
	fast_paths _guarded
