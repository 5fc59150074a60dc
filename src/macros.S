// What vectors.S and fast.S are made of: the layouts that they share with Rust (vectors.rs), and the steps of an exit.

.equ	FRAME, 31 * 8 + 8		// x0..x30, padded to 16 bytes
.equ	CORE_READY, {core_ready}	// core.rs: the table and how much of it may be used
.equ	CORE_EXITS, {core_exits}
.equ	CORE_GICC, {core_frames}
.equ	CORE_GICH, {core_frames} + 8
.equ	CORE_GICD, {core_frames} + 16
.equ	CORE_SGI_ITSELF, {core_sgis}
.equ	CORE_SGI_BLOCK, {core_sgis} + 8
.equ	CORE_PEERS, {core_sgis} + 16	// core.rs, `Sgis`: where the last of 64 would be,
.equ	CORE_LEAST, {core_sgis} + 24	// and the least number of leading zeros that names one
.equ	CORE_SOURCE, {core_sgis} + 32
.equ	CORE_ALL_FREE, {core_sgis} + 40	// the address of the exit counters follows, and after it GICC
.equ	CORE_DIST, {core_registers}	// core.rs: guest-physical page and mirror of the distributor,
.equ	CORE_SGI_FRAME, {core_registers} + 16	// and of this core's SGI frame
.equ	CORE_GUARD, {core_guard}	// model/src/speculation.rs, `Guard`
.equ	BLOCK_PENDING, {block_pending}	// model/src/gic/sgi.rs
.equ	BLOCK_BUSY, {block_busy}
.equ	BLOCK_LOADED, {block_loaded}

.macro save_from_x4
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x19, [sp, #144]
	stp	x20, x21, [sp, #160]
	stp	x22, x23, [sp, #176]
	stp	x24, x25, [sp, #192]
	stp	x26, x27, [sp, #208]
	stp	x28, x29, [sp, #224]
	str	x30, [sp, #240]
.endm

// What every exit begins with.
.macro enter
	stp	x0, x1, [sp, #-FRAME]!
	stp	x2, x3, [sp, #16]
.endm

.macro save_all
	enter
	save_from_x4
	mov	x29, xzr
.endm

// Back to the guest. What lies behind an ERET may be executed speculatively, with the guest's registers (Arm, "Straight-line
// Speculation"): the barrier, which is never reached, ends that. SB would do the same and is not on every core.
.macro to_guest
	eret
	dsb	nsh
	isb
.endm

// On the way to Rust, where the first indirect branch is: what a guest did to the predictors shall not steer it
// (model/src/speculation.rs). What this core needs is in its block. All of the guest's registers are saved; x19 is kept.
// A branch here that is predicted wrongly gets no further than the barrier.
.macro guard
	mrs	x1, tpidr_el2
	ldp	w0, w20, [x1, #CORE_GUARD]	// firmware's call, taken branches
	cbz	w0, .Lcalled_\@
	smc	#0				// SMCCC_ARCH_WORKAROUND_1 or 3: changes x0..x3 (DEN 0028, 7.5)
.Lcalled_\@:
	cbz	w20, .Ltaken_\@
.Lround_\@:
	b	. + 4
	subs	w20, w20, #1
	b.ne	.Lround_\@
.Ltaken_\@:
	hint	#22				// CLRBHB: a no-op without FEAT_CLRBHB
	dsb	nsh
	isb
.endm

// Calls a function of trap/mod.rs with the frame, and with x0 if that is named, and goes back to the guest.
.macro to_rust function, v, second
	.ifnb	\second
	mov	x19, \second
	.endif
	.ifnb	\v
	guard
	.endif
	mov	x0, sp
	.ifnb	\second
	mov	x1, x19
	.endif
	bl	\function
	b	guest_return
.endm

// Back into the guest, with x0..x3 as they were saved.
.macro back
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp], #FRAME
	to_guest
.endm

// x0 = the general register that x3 numbers (`get`), or the other way (`set`). x0..x3 are on the stack, where they are
// reached by number; if the branch before that is predicted wrongly, what is reached is in the frame still, the guest's own.
// The others are told apart by branches: no indirect branch on a guest's word. 31 is the zero register.
.macro get v
	cmp	x3, #4
	b.hs	get_other\v
	ldr	x0, [sp, x3, lsl #3]
.endm
.macro set v
	cmp	x3, #4
	b.hs	set_other\v
	str	x0, [sp, x3, lsl #3]
.endm
.macro get_register number, then
	.if	\number == 31
	mov	x0, xzr
	.else
	mov	x0, x\number
	.endif
	b	\then
.endm
.macro set_register number, then
	.if	\number < 31
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
	pick4	\leaf, \then, 4, 5, 6, 7	// from x4 on
1:	pick8	\leaf, \then, 8, 9, 10, 11, 12, 13, 14, 15
2:	tbnz	x3, #3, 3f
	pick8	\leaf, \then, 16, 17, 18, 19, 20, 21, 22, 23
3:	pick8	\leaf, \then, 24, 25, 26, 27, 28, 29, 30, 31
.endm

// TLB maintenance for this core, if x3 (op2) is the form's; its operand is in x0.
.macro maintain op2, crm
	cmp	x3, #\op2
	b.ne	.Lother_\@
	sys	#0, c8, \crm, #\op2, x0
	b	8f
.Lother_\@:
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

// Synchronous exits: PSCI_VERSION and SMCCC_VERSION, an SGI to one virtual CPU, TLB maintenance, loads of mirrored registers.
// Bit 26 alone tells an SMC from an HVC. Bit 31 of the class tells aborts, bit 29 a trapped system register from a call.
.equ	ESR_HVC, 0x16 << 26 | 1 << 25		// HVC #0 from AArch64 (DDI 0487, ESR_EL2)
.equ	ESR_SMC, 0x17 << 26 | 1 << 25
// A write of ICC_SGI1R_EL1 (S3_0_C12_C11_5), but for Rt.
.equ	ESR_SGI1R, 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1
// TLBI of the inner shareable domain (SYS #0, C8), but for CRm, op2 and Rt: by address or ASID (CRm = 3), by range (CRm = 2).
.equ	ESR_TLBI, 0x18 << 26 | 1 << 25 | 1 << 20 | 8 << 10
.equ	BY_ADDRESS, 3 << 1
.equ	BY_RANGE, 2 << 1

.macro movq register, value
	movz	\register, #(\value) >> 16, lsl #16
	movk	\register, #(\value) & 0xffff
.endm

// Counts an exit of this core, whose block is in x1. Changes x2 and x3.
.macro count offset
	ldr	x3, [x1, #CORE_EXITS]
	count_at x3, \offset
.endm

// The same, where the address of the counters is at hand. Changes x2.
.macro count_at counters, offset
	ldr	x2, [\counters, #\offset]
	add	x2, x2, #1
	str	x2, [\counters, #\offset]
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

// A load or store of one word, described whole, for which stage 2 has no mapping (DDI 0487, ESR_EL2, ISS of a data abort:
// ISV, SAS = 2, no SSE; neither FnV, CM nor S1PTW; a translation fault).
.equ	ESR_WORD, 0x24 << 26 | 1 << 24 | 2 << 22 | 1 << 2
.equ	ESR_WORD_MASK, 0x3f << 26 | 1 << 24 | 7 << 21 | 1 << 10 | 1 << 8 | 1 << 7 | 0x3c

// IHI 0048, 4.3, 4.4 and 5.3.
.equ	GICD_SGIR, 0xf00
.equ	GICC_IAR, 0x0c
.equ	GICC_EOIR, 0x10
.equ	GICC_DIR, 0x1000
.equ	GICH_ELRSR0, 0x30
.equ	GICH_LR0, 0x100

// What is in the slots of the vectors: the way to what is most frequent.
.macro sync_slot v
	sync_slot_with	fast_sgi, get_other, \v
.endm

// The same where SGIs are physical ones.
.macro sync_slot_direct v
	sync_slot_with	direct_sgi, direct_other, \v
.endm

// `sgi`: where an SGI goes that is sent from x0..x3; `other`: from another register.
.macro sync_slot_with sgi, other, v
	enter
	mrs	x2, esr_el2
	tbnz	x2, #31, aborted\v
	tbz	x2, #29, called\v
	movq	x1, ESR_SGI1R
	bic	x3, x2, #3 << 5			// Rt is one of x0..x3
	cmp	x3, x1
	b.eq	\sgi\v
	bic	x3, x2, #0x1f << 5		// without Rt
	cmp	x3, x1
	b.ne	trapped\v
	ubfx	x3, x2, #5, #5
	b	\other\v
.endm

// The same with a GICv2, whose SGIs are stores to the distributor.
.macro sync_slot_v2 v
	enter
	mrs	x2, esr_el2
	tbnz	x2, #31, aborted_v2\v
	tbz	x2, #29, called\v
	bic	x3, x2, #0x1f << 5
	b	trapped\v
.endm

.macro sync_slot_v2_direct v
	enter
	mrs	x2, esr_el2
	tbnz	x2, #31, aborted_v2_direct\v
	tbz	x2, #29, called\v
	bic	x3, x2, #0x1f << 5
	b	trapped\v
.endm

// No interrupt comes to EL2 while a direct guest runs. Were there one, Rust would deal with it.
.macro irq_slot_direct v
	enter
	mrs	x0, icc_iar1_el1
	b	slow_irq\v
.endm
.macro irq_slot_v2_direct v
	enter
	mrs	x1, tpidr_el2
	ldr	x2, [x1, #CORE_GICC]
	ldr	w0, [x2, #GICC_IAR]
	b	slow_irq\v
.endm

// The interrupt path. `ready` holds list-register images by INTID: 0 where the interrupt is not simply the guest's (an
// SGI, the kick, EL2's own, nobody's), and its count is 0 while interrupts wait for a list register, so one bounds check
// and one branch decide. Common case: acknowledge, one list register, priority drop, return.
.macro irq_slot v
	enter
	mrs	x0, icc_iar1_el1
	mrs	x1, tpidr_el2
	ldp	x2, x3, [x1, #CORE_READY]
	cmp	x0, x3
	b.hs	irq_other\v
	ldr	x2, [x2, x0, lsl #3]
	cbz	x2, irq_other\v
	mrs	x3, ich_elrsr_el2
	tbz	x3, #0, irq_second\v
	msr	ich_lr0_el2, x2
	msr	icc_eoir1_el1, x0
	count	{exit_irq}
	back
.endm
.macro irq_slot_v2 v
	enter
	mrs	x1, tpidr_el2
	ldr	x2, [x1, #CORE_GICC]
	ldr	w0, [x2, #GICC_IAR]
	ldp	x2, x3, [x1, #CORE_READY]
	cmp	x0, x3
	b.hs	irq_other_v2\v
	ldr	x2, [x2, x0, lsl #3]
	cbz	x2, irq_other_v2\v
	ldr	x1, [x1, #CORE_GICH]
	ldr	w3, [x1, #GICH_ELRSR0]
	tbz	w3, #0, irq_second_v2\v
	str	w2, [x1, #GICH_LR0]
	mrs	x1, tpidr_el2
	ldp	x3, x1, [x1, #CORE_EXITS]	// the exit counters, and GICC
	str	w0, [x1, #GICC_EOIR]
	count_at x3, {exit_irq}
	back
.endm

// A load of a mirrored register, or a store that would change nothing there; with a GICv2 also a store to GICD_SGIR. x2: ESR.
.macro aborts gic, v
aborted\gic\v:
	movq	x1, ESR_WORD_MASK
	and	x1, x1, x2
	movq	x0, ESR_WORD
	cmp	x1, x0
	b.ne	slow_sync\v
	mrs	x0, hpfar_el2			// the guest-physical page, bits 51..12, in bits 43..4; the others are zero
	mrs	x1, tpidr_el2
	ldp	x3, x1, [x1, #CORE_DIST]
	.ifb	\gic
	cmp	x0, x3
	b.eq	1f
	mrs	x1, tpidr_el2
	ldp	x3, x1, [x1, #CORE_SGI_FRAME]
	.endif
	eor	x3, x0, x3
	if_removed {fast_mirror_page}, 2, mov x3, xzr
	.if	{weaken}
	mrs	x2, esr_el2
	.endif
	cbnz	x3, slow_sync\v
1:	mrs	x0, far_el2
	and	x0, x0, #0xfff			// frames are aligned to pages
	tst	x0, #3
	b.ne	slow_sync\v
	mrs	x3, sctlr_el1
	tst	x3, #3 << 24			// EE, E0E: bytes in the other order
	b.ne	slow_sync\v
	tbnz	x2, #6, 2f			// WnR
	add	x3, x1, x0, lsr #2		// is it here? A byte for each word says so
	ldrb	w3, [x3]
	cbz	w3, slow_sync\v
	add	x3, x1, x0
	ldr	w0, [x3, #{mirror_values}]
	ubfx	x3, x2, #16, #5			// SRT
	set	\v
	mirrored
2:
	.ifnb	\gic
	cmp	x0, #GICD_SGIR
	b.eq	3f
	.endif
	and	x3, x0, #~0x7f
	cmp	x3, #{set_enable}
	b.ne	slow_sync\v
	add	x3, x1, x0
	ldr	w1, [x3, #{mirror_values}]	// what is enabled; of nobody's interrupts nothing is
	ubfx	x3, x2, #16, #5
	get	\v
	bic	w0, w0, w1
	cbnz	w0, slow_sync\v			// some are not
	mirrored
	.ifc	\gic, _v2
3:	mov	x1, #-1				// not what is enabled: see get_other
	ubfx	x3, x2, #16, #5
	get	\v
	b	sgir_value\v
	.endif
	.ifc	\gic, _v2_direct
3:	ubfx	x3, x2, #16, #5
	cmp	x3, #4
	b.hs	slow_sync\v			// systems store from one of x0..x3
	ldr	x0, [sp, x3, lsl #3]
	b	direct_sgir\v
	.endif
.endm

// The end of those but for the last.
.macro mirrored
	mrs	x1, tpidr_el2
	count	{exit_mmio}
	skip_instruction
	back
.endm

// Which virtual CPU a list of targets in x3 names, if it is one alone and of this partition: the place of its marks in x2,
// what rings its doorbell in x3. x1: this core's block. The table is numbered from behind, as leading zeros are counted.
.macro peer slow
	clz	x2, x3
	lsl	x3, x3, x2
	cmp	x3, #1				// overflows if bit 63 is the only one
	b.vc	\slow				// nobody, or more than one
	if_removed {fast_sgi_peer}, 3, b .Lpeer_\@
	ldr	x3, [x1, #CORE_LEAST]
	cmp	x2, x3
	b.lo	\slow				// nobody's
	csel	x2, x2, x3, hs			// nor is it where that branch is predicted wrongly (DDI 0487, CSDB)
	csdb
.Lpeer_\@:
	ldr	x3, [x1, #CORE_PEERS]
	sub	x3, x3, x2, lsl #{peer_bits}
	ldp	x2, x3, [x3]			// marks, doorbell
.endm
