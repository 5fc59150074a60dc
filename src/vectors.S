// EL2's exception vectors. Every exit of a guest comes through here: vector -> decode -> model -> actions -> return.
//
// On entry SP_EL2 is the top of the core's stack and TPIDR_EL2 its block (core.rs, `Core`). Rust saves x19..x29 by
// itself, but emulation reads and writes any register by number, so a slow exit saves all of them.

.macro slot handler
	.balign	0x80
	b	\handler
.endm

// A table of vectors: `gic` is empty for a GICv3, else _v2, both with _direct where interrupts do not come here; `v` is empty for a core that needs no guard, else _guarded. Calls,
// traps and interrupts begin in their slot (fast.S): a slot has 32 instructions.
.macro table gic, v
	.rept	8				// the current EL: interrupts are masked, so anything here is a fault
	slot	el2_fault_entry
	.endr
	.balign	0x80				// lower EL, AArch64
guest_sync\gic\v:
	sync_slot\gic \v
	.org	guest_sync\gic\v + 0x80
guest_irq\gic\v:
	irq_slot\gic \v
	.org	guest_irq\gic\v + 0x80
	slot	guest_irq\gic\v
	slot	guest_serror\v
	.rept	4				// lower EL, AArch32: not offered, so never entered by an honest core
	slot	guest_aarch32\v
	.endr
.endm

.arch_extension fp
.arch_extension simd
.section .text.vectors, "ax"
.balign 0x800
.global vectors
vectors:
	table
.balign 0x800
.global vectors_guarded
vectors_guarded:
	table	, _guarded
// The same with a GICv2's interrupt path.
.balign 0x800
.global vectors_v2
vectors_v2:
	table	_v2
.balign 0x800
.global vectors_v2_guarded
vectors_v2_guarded:
	table	_v2, _guarded

// Those of cores whose guest takes physical interrupts itself. None comes to EL2 while it runs.
.balign 0x800
.global vectors_direct
vectors_direct:
	table	_direct
.balign 0x800
.global vectors_direct_guarded
vectors_direct_guarded:
	table	_direct, _guarded
.balign 0x800
.global vectors_v2_direct
vectors_v2_direct:
	table	_v2_direct
.balign 0x800
.global vectors_v2_direct_guarded
vectors_v2_direct_guarded:
	table	_v2_direct, _guarded

.macro other_paths v
guest_serror\v:
	save_all
	to_rust	trap_serror, \v

guest_aarch32\v:
	save_all
	to_rust	trap_aarch32, \v
.endm
	other_paths
	other_paths _guarded

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
	to_guest

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
	to_guest

// leave_guest(core, stack): gives the guest's context up and waits for orders (core.rs, `core_idle`).
.global leave_guest
leave_guest:
	mov	sp, x1
	mov	x29, xzr
	bl	core_idle
	b	park
