// Exits without Rust: what guests do most. Each of these answers the common case whole, saving what it uses and no more,
// and leaves everything else, untouched, to `slow_sync` or `slow_irq`, which save the rest and call Rust (vectors.S).
//
// What they may rely on is said once: core.rs has the layout of a core's block, model/src/gic/sgi.rs that of an SGI's
// target, model/src/gic/mirror.rs that of the registers. They act as `Shared::send`, `Shared::drain` and
// `Vgic::dist_access` do.

// All of it twice: for cores that are guarded on the way to Rust, and for those that need not be.
.macro fast_paths v
guest_sync\v:
	enter_sync \v
	bic	x0, x2, #0x1f << 5		// without Rt
	movq	x1, ESR_SGI1R
	cmp	x0, x1
	b.eq	fast_sgi\v
	fast_abort \v
slow_sync\v:
	save_from_x4
	mov	x29, xzr
	to_rust	trap_sync, \v

// The same with a GICv2, whose SGIs are stores to the distributor.
guest_sync_v2\v:
	enter_sync \v
	fast_abort \v

// x2: ESR. An SMC traps before it is executed, an HVC after.
fast_call\v:
	movz	w3, #{psci_version} >> 16, lsl #16
	cmp	w0, w3
	b.ne	2f
	tbz	x2, #26, 1f
	skip_instruction
1:	mrs	x1, tpidr_el2
	count	{exit_psci}
	movz	x0, #{psci_version_major}, lsl #16
	movk	x0, #{psci_version_minor}
	ldr	x1, [sp, #8]
	ldp	x2, x3, [sp, #16]
	add	sp, sp, #FRAME
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

// x0: the guest-physical address.
mirrored\v:
	mrs	x1, tpidr_el2
	ldp	x3, x1, [x1, #CORE_DIST]
	sub	x3, x0, x3
	lsr	x3, x3, #12
	cbz	x3, 1f
	mrs	x1, tpidr_el2
	ldp	x3, x1, [x1, #CORE_SGI_FRAME]
	sub	x3, x0, x3
	lsr	x3, x3, #12
	if_removed {fast_mirror_page}, 2, mov x3, xzr
	.if	{weaken}
	mrs	x2, esr_el2
	.endif
	cbnz	x3, slow_sync\v
1:	and	x0, x0, #0xfff			// frames are aligned to pages
	tst	x0, #3
	b.ne	slow_sync\v
	mrs	x3, sctlr_el1
	tst	x3, #3 << 24			// EE, E0E: bytes in the other order
	b.ne	slow_sync\v
	tbnz	x2, #6, mirrored_store\v		// WnR
	lsr	x3, x0, #7			// is it here? Bit (offset / 4) % 32 of word offset / 128 says so
	add	x3, x1, x3, lsl #2
	ldr	w3, [x3, #{mirror_known}]
	ubfx	x2, x0, #2, #5
	lsr	w3, w3, w2
	tbz	w3, #0, slow_sync\v
	ldr	w0, [x1, x0]
	mrs	x2, esr_el2
	ubfx	x3, x2, #16, #5			// SRT
	pick	set_register, mirrored_done\v
mirrored_store\v:
	lsr	x3, x0, #7
	cmp	x3, #{set_enable} / 128
	b.ne	slow_sync\v
	ldr	w1, [x1, x0]			// what is enabled; of nobody's interrupts nothing is
	ubfx	x3, x2, #16, #5
	pick	get_register, enabled_value\v
enabled_value\v:
	bic	w0, w0, w1
	cbnz	w0, slow_sync\v			// some are not
mirrored_done\v:
	mrs	x1, tpidr_el2
	count	{exit_mmio}
	skip_instruction
	back

fast_sgi\v:
	ubfx	x3, x2, #5, #5			// Rt
	pick	get_register, sgi_value\v

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
	add	x2, x2, x0, lsl #3
	ldr	x0, [x2, #BLOCK_IMAGES]
	cbz	x0, slow_sync\v			// it may not be delivered now: it stays pending
	ldr	x2, [x1, #CORE_ALL_FREE]
	mrs	x3, ich_elrsr_el2
	cmp	x2, x3
	b.ne	slow_sync\v			// one may hold the same number
	msr	ich_lr0_el2, x0
	count	{exit_sgi}
	skip_instruction
	back
// To one other: its bit, then its doorbell.
sgi_to_another\v:
	if_removed {fast_sgi_affinity}, 2, and x3, x3, #0xffff
	lsr	x2, x3, #16
	cbnz	x2, slow_sync\v
	cbz	x3, slow_sync\v
	sub	x2, x3, #1
	tst	x2, x3
	b.ne	slow_sync\v			// more than one
	rbit	x3, x3
	clz	x3, x3				// whose
	if_removed {fast_sgi_peer}, 2, b 2f
	ldr	x2, [x1, #CORE_PEERS + 8]
	cmp	x3, x2
	b.hs	slow_sync\v			// nobody's
	csel	x3, x3, xzr, lo			// nor is it where that branch is predicted wrongly (DDI 0487, CSDB)
	csdb
2:	stp	x4, x5, [sp, #32]
	ldr	x2, [x1, #CORE_PEERS]
	add	x2, x2, x3, lsl #{peer_bits}
	ldp	x2, x4, [x2]			// block, doorbell
	ubfx	x0, x0, #24, #4
	mov	w3, #1
	lsl	w0, w3, w0
	.if	BLOCK_PENDING
	add	x2, x2, #BLOCK_PENDING
	.endif
1:	ldxr	w3, [x2]
	orr	w3, w3, w0
	stlxr	w5, w3, [x2]
	cbnz	w5, 1b
	dsb	ish				// the bit is there before the doorbell rings
	msr	icc_sgi1r_el1, x4
	count	{exit_sgi}
	skip_instruction
	ldp	x4, x5, [sp, #32]
	back

// The interrupt path. `ready` holds list-register images by INTID: 0 where the interrupt is not simply the guest's (an
// SGI, the kick, EL2's own, nobody's), and its count is 0 while interrupts wait for a list register, so one bounds check
// and one branch decide. Common case: acknowledge, one list register, priority drop, return.
guest_irq\v:
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	mrs	x0, icc_iar1_el1
	mrs	x1, tpidr_el2
	ldp	x2, x3, [x1, #CORE_READY]
	cmp	x0, x3
	b.hs	1f
	ldr	x2, [x2, x0, lsl #3]
	cbz	x2, 1f
	mrs	x3, ich_elrsr_el2
	tbz	x3, #0, 2f
	msr	ich_lr0_el2, x2
0:	msr	icc_eoir1_el1, x0
	ldr	x1, [x1, #CORE_EXITS]
	ldr	x2, [x1]
	add	x2, x2, #1
	str	x2, [x1]
	back
2:	tbz	x3, #1, 3f
	msr	ich_lr1_el2, x2
	b	0b
3:	tbz	x3, #2, 4f
	msr	ich_lr2_el2, x2
	b	0b
4:	tbz	x3, #3, 1f
	msr	ich_lr3_el2, x2
	b	0b
1:	cmp	x0, #{doorbell}
	b.eq	fast_doorbell\v
slow_irq\v:
	save_from_x4
	mov	x29, xzr
	to_rust	trap_irq, \v, x0		// what was acknowledged

// Another core of the partition sent an SGI: one is pending, may be delivered, and every list register is free.
fast_doorbell\v:
	dsb	sy				// the acknowledge is complete before what the doorbell tells of is read (IHI 0069, 4.1)
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, slow_irq\v
	stp	x4, x5, [sp, #32]
	ldr	x4, [x1, #CORE_ALL_FREE]
	mrs	x3, ich_elrsr_el2
	cmp	x3, x4
	b.ne	2f
	ldr	w4, [x2, #BLOCK_PENDING]
	cbz	w4, 3f				// it came with an earlier one
	sub	w3, w4, #1
	tst	w3, w4
	b.ne	2f				// several
	rbit	w5, w4
	clz	w5, w5
	add	x5, x2, x5, lsl #3
	ldr	x5, [x5, #BLOCK_IMAGES]
	cbz	x5, 2f				// it may not be delivered now
	msr	ich_lr0_el2, x5
	.if	BLOCK_PENDING
	add	x2, x2, #BLOCK_PENDING
	.endif
1:	ldaxr	w3, [x2]			// after the list register was written: see Shared::place
	bic	w3, w3, w4
	stlxr	w5, w3, [x2]
	cbnz	w5, 1b
3:	msr	icc_eoir1_el1, x0
	msr	icc_dir_el1, x0
	count	{exit_irq}
	ldp	x4, x5, [sp, #32]
	back
2:	ldp	x4, x5, [sp, #32]
	b	slow_irq\v

// The same with a GICv2: GICC_IAR, GICH_ELRSR0, GICH_LR<n>, GICC_EOIR (IHI 0048, 4.4 and 5.3), and images that are in
// its form already. What GICC_IAR reads of an SGI has its source in bits 12..10, so it is beyond the table or finds 0.
guest_irq_v2\v:
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	mrs	x1, tpidr_el2
	ldr	x2, [x1, #CORE_GICC]
	ldr	w0, [x2, #GICC_IAR]
	ldp	x2, x3, [x1, #CORE_READY]
	cmp	x0, x3
	b.hs	slow_irq\v
	ldr	x2, [x2, x0, lsl #3]
	cbz	x2, slow_irq\v
	ldr	x1, [x1, #CORE_GICH]
	ldr	w3, [x1, #GICH_ELRSR0]
	tbz	w3, #0, 2f
	str	w2, [x1, #GICH_LR0]
0:	mrs	x1, tpidr_el2
	ldr	x2, [x1, #CORE_GICC]
	str	w0, [x2, #GICC_EOIR]
	ldr	x1, [x1, #CORE_EXITS]
	ldr	x2, [x1]
	add	x2, x2, #1
	str	x2, [x1]
	back
2:	tbz	w3, #1, 3f
	str	w2, [x1, #GICH_LR0 + 4]
	b	0b
3:	tbz	w3, #2, 4f
	str	w2, [x1, #GICH_LR0 + 8]
	b	0b
4:	tbz	w3, #3, slow_irq\v
	str	w2, [x1, #GICH_LR0 + 12]
	b	0b
.endm

	fast_paths
	fast_paths _guarded
