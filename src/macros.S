// What vectors.S and fast.S are made of: the layouts that they share with Rust (vectors.rs), and the steps of an exit.

.equ	FRAME, 31 * 8 + 8		// x0..x30, padded to 16 bytes
.equ	CORE_READY, {core_ready}	// core.rs: the table and how much of it may be used
.equ	CORE_EXITS, {core_exits}
.equ	CORE_GICC, {core_frames}
.equ	CORE_GICH, {core_frames} + 8
.equ	CORE_SGI_ITSELF, {core_sgis}
.equ	CORE_SGI_BLOCK, {core_sgis} + 8
.equ	CORE_ALL_FREE, {core_sgis} + 16
.equ	CORE_PEERS, {core_peers}	// core.rs: the array and its length
.equ	CORE_DIST, {core_registers}	// core.rs: guest-physical address and mirror of the distributor,
.equ	CORE_SGI_FRAME, {core_registers} + 16	// and of this core's SGI frame
.equ	CORE_GUARD, {core_guard}	// model/src/speculation.rs, `Guard`
.equ	BLOCK_PENDING, {block_pending}	// model/src/gic/sgi.rs
.equ	BLOCK_BUSY, {block_busy}
.equ	BLOCK_IMAGES, {block_images}

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

.macro save_all
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
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
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME
	to_guest
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

.macro enter_sync v
	sub	sp, sp, #FRAME
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	mrs	x2, esr_el2
	orr	x3, x2, #ESR_HVC ^ ESR_SMC
	movz	x1, #ESR_SMC >> 16, lsl #16
	cmp	x3, x1
	b.eq	fast_call\v
.endm

// A load or store of one word, described whole, for which stage 2 has no mapping (DDI 0487, ESR_EL2, ISS of a data abort:
// ISV, SAS = 2, no SSE; neither FnV, CM nor S1PTW; a translation fault).
.equ	ESR_WORD, 0x24 << 26 | 1 << 24 | 2 << 22 | 1 << 2
.equ	ESR_WORD_MASK, 0x3f << 26 | 1 << 24 | 7 << 21 | 1 << 10 | 1 << 8 | 1 << 7 | 0x3c

// A load of a mirrored register, or a store that would change nothing there. x2: ESR.
.macro fast_abort v
	movq	x1, ESR_WORD_MASK
	and	x1, x1, x2
	movq	x0, ESR_WORD
	cmp	x1, x0
	b.ne	slow_sync\v
	mrs	x0, hpfar_el2
	mrs	x1, far_el2
	ubfx	x0, x0, #4, #40			// FIPA: bits 51..12
	and	x1, x1, #0xfff
	orr	x0, x1, x0, lsl #12
	b	mirrored\v
.endm

// IHI 0048, 4.4 and 5.3.
.equ	GICC_IAR, 0x0c
.equ	GICC_EOIR, 0x10
.equ	GICH_ELRSR0, 0x30
.equ	GICH_LR0, 0x100
