// EL2's exception vectors. Every exit of a guest comes through here: vector -> decode -> model -> actions -> return.
//
// On entry SP_EL2 is the top of the core's stack and TPIDR_EL2 its block (core.rs, `Core`). Rust saves x19..x29 by
// itself, but emulation reads and writes any register by number, so a slow exit saves all of them.

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
	slot	guest_sync_v2
	slot	guest_irq_v2
	slot	guest_irq_v2
	slot	guest_serror
	slot	guest_aarch32
	slot	guest_aarch32
	slot	guest_aarch32
	slot	guest_aarch32

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
	ldr	x0, =({emergency_top})
	mov	sp, x0
1:	bl	el2_fault
	b	park
	.ltorg

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
