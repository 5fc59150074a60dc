// Exits without Rust: what guests do most. Each of these answers the common case whole, saving what it uses and no more,
// and leaves everything else, untouched, to `slow_sync` or `slow_irq`, which save the rest and call Rust (vectors.S).
//
// What they may rely on is said once: core.rs has the layout of a core's block, model/src/gic/sgi.rs that of an SGI's
// target, model/src/gic/mirror.rs that of the registers. They act as `Shared::send`, `Shared::drain` and
// `Vgic::dist_access` do.

// Back into the guest, with x0..x3 as they were saved.
.macro back
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME
	eret
.endm

// x0 = the general register that x3 numbers (`get`), or the other way (`set`), by branches alone: no indirect branch on
// a guest's word. x0..x3 are on the stack; 31 is the zero register. Goes to `then`.
.macro get_register number, then
	.if	\number < 4
	ldr	x0, [sp, #8 * \number]
	.elseif	\number == 31
	mov	x0, xzr
	.else
	mov	x0, x\number
	.endif
	b	\then
.endm
.macro set_register number, then
	.if	\number < 4
	str	x0, [sp, #8 * \number]
	.elseif	\number < 31
	mov	x\number, x0
	.endif
	b	\then
.endm
.macro pick2 leaf, then, a, b
	tbnz	x3, #0, .Lpick_\@
	\leaf	\a, \then
.Lpick_\@:
	\leaf	\b, \then
.endm
.macro pick4 leaf, then, a, b, c, d
	tbnz	x3, #1, .Lpick_\@
	pick2	\leaf, \then, \a, \b
.Lpick_\@:
	pick2	\leaf, \then, \c, \d
.endm
.macro pick8 leaf, then, a, b, c, d, e, f, g, h
	tbnz	x3, #2, .Lpick_\@
	pick4	\leaf, \then, \a, \b, \c, \d
.Lpick_\@:
	pick4	\leaf, \then, \e, \f, \g, \h
.endm
.macro pick leaf, then
	tbnz	x3, #4, 2f
	tbnz	x3, #3, 1f
	pick8	\leaf, \then, 0, 1, 2, 3, 4, 5, 6, 7
1:	pick8	\leaf, \then, 8, 9, 10, 11, 12, 13, 14, 15
2:	tbnz	x3, #3, 3f
	pick8	\leaf, \then, 16, 17, 18, 19, 20, 21, 22, 23
3:	pick8	\leaf, \then, 24, 25, 26, 27, 28, 29, 30, 31
.endm

// In a test build (weaken.rs), and with this guard removed, the instruction. Changes x<scratch> and the flags.
.macro if_removed guard, scratch, instruction:vararg
	.if	{weaken}
	adrp	x\scratch, WEAKENED
	ldrb	w\scratch, [x\scratch, :lo12:WEAKENED]
	cmp	w\scratch, #\guard
	b.ne	.Lkept_\@
	\instruction
.Lkept_\@:
	.endif
.endm

// Synchronous exits: PSCI_VERSION and SMCCC_VERSION, a GICv3's SGI to one virtual CPU, loads of mirrored registers.
// Bit 26 alone tells an SMC from an HVC.
.equ	ESR_HVC, 0x16 << 26 | 1 << 25		// HVC #0 from AArch64 (DDI 0487, ESR_EL2)
.equ	ESR_SMC, 0x17 << 26 | 1 << 25
// A write of ICC_SGI1R_EL1 (S3_0_C12_C11_5), but for Rt.
.equ	ESR_SGI1R, 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1

.macro movq register, value
	movz	\register, #(\value) >> 16, lsl #16
	movk	\register, #(\value) & 0xffff
.endm

// Counts an exit of this core, whose block is in x1. Changes x2 and x3.
.macro count offset
	ldr	x2, [x1, #CORE_EXITS]
	ldr	x3, [x2, #\offset]
	add	x3, x3, #1
	str	x3, [x2, #\offset]
.endm

// Past an emulated instruction: ELR + 4, and PSTATE as a completed instruction leaves it (syndrome::skip). Changes x2.
.macro skip_instruction
	mrs	x2, elr_el2
	add	x2, x2, #4
	msr	elr_el2, x2
	mrs	x2, spsr_el2
	bic	x2, x2, #0xc00			// BTYPE
	bic	x2, x2, #1 << 21		// SS
	msr	spsr_el2, x2
.endm

.macro enter_sync
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	mrs	x2, esr_el2
	orr	x3, x2, #ESR_HVC ^ ESR_SMC
	movz	x1, #ESR_SMC >> 16, lsl #16
	cmp	x3, x1
	b.eq	fast_call
.endm

// A load or store of one word, described whole, for which stage 2 has no mapping (DDI 0487, ESR_EL2, ISS of a data abort:
// ISV, SAS = 2, no SSE; neither FnV, CM nor S1PTW; a translation fault).
.equ	ESR_WORD, 0x24 << 26 | 1 << 24 | 2 << 22 | 1 << 2
.equ	ESR_WORD_MASK, 0x3f << 26 | 1 << 24 | 7 << 21 | 1 << 10 | 1 << 8 | 1 << 7 | 0x3c

// A load of a mirrored register, or a store that would change nothing there. x2: ESR.
.macro fast_abort
	movq	x1, ESR_WORD_MASK
	and	x1, x1, x2
	movq	x0, ESR_WORD
	cmp	x1, x0
	b.ne	slow_sync
	mrs	x0, hpfar_el2
	mrs	x1, far_el2
	ubfx	x0, x0, #4, #40			// FIPA: bits 51..12
	and	x1, x1, #0xfff
	orr	x0, x1, x0, lsl #12
	b	mirrored
.endm

guest_sync:
	enter_sync
	bic	x0, x2, #0x1f << 5		// without Rt
	movq	x1, ESR_SGI1R
	cmp	x0, x1
	b.eq	fast_sgi
	fast_abort
slow_sync:
	save_from_x4
	mov	x29, xzr
	mov	x0, sp
	bl	trap_sync
	b	guest_return

// The same with a GICv2, whose SGIs are stores to the distributor.
guest_sync_v2:
	enter_sync
	fast_abort

// x2: ESR. An SMC traps before it is executed, an HVC after.
fast_call:
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
	eret
2:	movz	w3, #{smccc_version} >> 16, lsl #16
	cmp	w0, w3
	b.ne	slow_sync
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
	eret

// x0: the guest-physical address.
mirrored:
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
	cbnz	x3, slow_sync
1:	and	x0, x0, #0xfff			// frames are aligned to pages
	tst	x0, #3
	b.ne	slow_sync
	mrs	x3, sctlr_el1
	tst	x3, #3 << 24			// EE, E0E: bytes in the other order
	b.ne	slow_sync
	tbnz	x2, #6, mirrored_store		// WnR
	lsr	x3, x0, #7			// is it here? Bit (offset / 4) % 32 of word offset / 128 says so
	add	x3, x1, x3, lsl #2
	ldr	w3, [x3, #{mirror_known}]
	ubfx	x2, x0, #2, #5
	lsr	w3, w3, w2
	tbz	w3, #0, slow_sync
	ldr	w0, [x1, x0]
	mrs	x2, esr_el2
	ubfx	x3, x2, #16, #5			// SRT
	pick	set_register, mirrored_done
mirrored_store:
	lsr	x3, x0, #7
	cmp	x3, #{set_enable} / 128
	b.ne	slow_sync
	ldr	w1, [x1, x0]			// what is enabled; of nobody's interrupts nothing is
	ubfx	x3, x2, #16, #5
	pick	get_register, enabled_value
enabled_value:
	bic	w0, w0, w1
	cbnz	w0, slow_sync			// some are not
mirrored_done:
	mrs	x1, tpidr_el2
	count	{exit_mmio}
	skip_instruction
	back

fast_sgi:
	ubfx	x3, x2, #5, #5			// Rt
	pick	get_register, sgi_value

// x0: what was written. To this virtual CPU alone: no routing mode, no affinity but 0.0.0, one bit in the list.
sgi_value:
	mrs	x1, tpidr_el2
	bic	x3, x0, #0xf << 24		// without the INTID
	ldr	x2, [x1, #CORE_SGI_ITSELF]
	cmp	x3, x2
	b.ne	sgi_to_another
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, slow_sync
	ubfx	x0, x0, #24, #4
	add	x2, x2, x0, lsl #3
	ldr	x0, [x2, #BLOCK_IMAGES]
	cbz	x0, slow_sync			// it may not be delivered now: it stays pending
	ldr	x2, [x1, #CORE_ALL_FREE]
	mrs	x3, ich_elrsr_el2
	cmp	x2, x3
	b.ne	slow_sync			// one may hold the same number
	msr	ich_lr0_el2, x0
	count	{exit_sgi}
	skip_instruction
	back
// To one other: its bit, then its doorbell.
sgi_to_another:
	if_removed {fast_sgi_affinity}, 2, and x3, x3, #0xffff
	lsr	x2, x3, #16
	cbnz	x2, slow_sync
	cbz	x3, slow_sync
	sub	x2, x3, #1
	tst	x2, x3
	b.ne	slow_sync			// more than one
	rbit	x3, x3
	clz	x3, x3				// whose
	if_removed {fast_sgi_peer}, 2, b 2f
	ldr	x2, [x1, #CORE_PEERS + 8]
	cmp	x3, x2
	b.hs	slow_sync			// nobody's
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
guest_irq:
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
	b.eq	fast_doorbell
slow_irq:
	save_from_x4
	mov	x29, xzr
	mov	x1, x0
	mov	x0, sp
	bl	trap_irq
	b	guest_return

// Another core of the partition sent an SGI: one is pending, may be delivered, and every list register is free.
fast_doorbell:
	dsb	sy				// the acknowledge is complete before what the doorbell tells of is read (IHI 0069, 4.1)
	ldr	x2, [x1, #CORE_SGI_BLOCK]
	ldrh	w3, [x2, #BLOCK_BUSY]
	cbnz	w3, slow_irq
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
	b	slow_irq

// The same with a GICv2: GICC_IAR, GICH_ELRSR0, GICH_LR<n>, GICC_EOIR (IHI 0048, 4.4 and 5.3), and images that are in
// its form already. What GICC_IAR reads of an SGI has its source in bits 12..10, so it is beyond the table or finds 0.
.equ	GICC_IAR, 0x0c
.equ	GICC_EOIR, 0x10
.equ	GICH_ELRSR0, 0x30
.equ	GICH_LR0, 0x100

guest_irq_v2:
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	mrs	x1, tpidr_el2
	ldr	x2, [x1, #CORE_GICC]
	ldr	w0, [x2, #GICC_IAR]
	ldp	x2, x3, [x1, #CORE_READY]
	cmp	x0, x3
	b.hs	slow_irq
	ldr	x2, [x2, x0, lsl #3]
	cbz	x2, slow_irq
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
4:	tbz	w3, #3, slow_irq
	str	w2, [x1, #GICH_LR0 + 12]
	b	0b
