// EL2's exception vectors. Every exit of a guest comes through here: vector -> decode -> model -> actions -> return.
//
// On entry SP_EL2 is the top of the core's stack and TPIDR_EL2 its block (core.rs, `Core`). Rust saves x19..x29 by
// itself, but emulation reads and writes any register by number, so a slow exit saves all of them.

.equ	FRAME, 31 * 8 + 8		// x0..x30, padded to 16 bytes
.equ	CORE_READY, 0			// core.rs: ready, ready_count, exits, emergency, frames
.equ	CORE_READY_COUNT, 8
.equ	CORE_EXITS, 16
.equ	CORE_EMERGENCY, 24
.equ	CORE_GICC, 32
.equ	CORE_GICH, 40

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

.macro slot handler
	.balign	0x80
	b	\handler
.endm

.arch_extension fp
.arch_extension simd
.section .text.vectors, "ax"
.balign 0x800
.global vectors
vectors:
	slot	el2_fault_entry		// current EL, SP_EL0
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry		// current EL, SP_EL2: interrupts are masked, so anything here is a fault
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	guest_sync		// lower EL, AArch64
	slot	guest_irq
	slot	guest_irq
	slot	guest_serror
	slot	guest_aarch32		// lower EL, AArch32: not offered, so never entered by an honest core
	slot	guest_aarch32
	slot	guest_aarch32
	slot	guest_aarch32

// The same with a GICv2's interrupt path.
.balign 0x800
.global vectors_v2
vectors_v2:
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	el2_fault_entry
	slot	guest_sync
	slot	guest_irq_v2
	slot	guest_irq_v2
	slot	guest_serror
	slot	guest_aarch32
	slot	guest_aarch32
	slot	guest_aarch32
	slot	guest_aarch32

guest_sync:
	save_all
	mov	x0, sp
	bl	trap_sync
	b	guest_return

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
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME
	eret
2:	tbz	x3, #1, 3f
	msr	ich_lr1_el2, x2
	b	0b
3:	tbz	x3, #2, 4f
	msr	ich_lr2_el2, x2
	b	0b
4:	tbz	x3, #3, 1f
	msr	ich_lr3_el2, x2
	b	0b
1:	save_from_x4
	mov	x29, xzr
	mov	x1, x0
	mov	x0, sp
	bl	trap_irq
	b	guest_return

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
	b.hs	1b
	ldr	x2, [x2, x0, lsl #3]
	cbz	x2, 1b
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
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME
	eret
2:	tbz	w3, #1, 3f
	str	w2, [x1, #GICH_LR0 + 4]
	b	0b
3:	tbz	w3, #2, 4f
	str	w2, [x1, #GICH_LR0 + 8]
	b	0b
4:	tbz	w3, #3, 1b
	str	w2, [x1, #GICH_LR0 + 12]
	b	0b

guest_serror:
	save_all
	mov	x0, sp
	bl	trap_serror
	b	guest_return

guest_aarch32:
	save_all
	mov	x0, sp
	bl	trap_aarch32
	b	guest_return

guest_return:
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x19, [sp, #144]
	ldp	x20, x21, [sp, #160]
	ldp	x22, x23, [sp, #176]
	ldp	x24, x25, [sp, #192]
	ldp	x26, x27, [sp, #208]
	ldp	x28, x29, [sp, #224]
	ldr	x30, [sp, #240]
	ldp	x0, x1, [sp]
	add	sp, sp, #FRAME
	eret

// An exception taken from EL2 itself. The stack may be what is broken, so it is left for the emergency stack.
el2_fault_entry:
	mrs	x0, tpidr_el2
	cbz	x0, 1f
	ldr	x0, [x0, #CORE_EMERGENCY]
	mov	sp, x0
1:	bl	el2_fault
	b	park

// enter_guest(entry, x0, stack): the first instruction of a virtual CPU, with every general register but x0 zero and
// SP_EL2 at the top of the stack, where exits expect it.
.global enter_guest
enter_guest:
	mov	sp, x2
	msr	elr_el2, x0
	mov	x0, #0x3c5			// EL1h, DAIF masked
	msr	spsr_el2, x0
	mov	x0, x1
	mov	x1, xzr
	mov	x2, xzr
	mov	x3, xzr
	mov	x4, xzr
	mov	x5, xzr
	mov	x6, xzr
	mov	x7, xzr
	mov	x8, xzr
	mov	x9, xzr
	mov	x10, xzr
	mov	x11, xzr
	mov	x12, xzr
	mov	x13, xzr
	mov	x14, xzr
	mov	x15, xzr
	mov	x16, xzr
	mov	x17, xzr
	mov	x18, xzr
	mov	x19, xzr
	mov	x20, xzr
	mov	x21, xzr
	mov	x22, xzr
	mov	x23, xzr
	mov	x24, xzr
	mov	x25, xzr
	mov	x26, xzr
	mov	x27, xzr
	mov	x28, xzr
	mov	x29, xzr
	mov	x30, xzr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	movi	v\n\().2d, #0
	.endr
	eret

// leave_guest(core, stack): gives the guest's context up and waits for orders (core.rs, `core_idle`).
.global leave_guest
leave_guest:
	mov	sp, x1
	mov	x29, xzr
	bl	core_idle
	b	park
