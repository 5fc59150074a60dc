// Entry of a guest at EL1 with the MMU off, x0 = device tree (arm64 boot protocol), on the boot core; and the entry that PSCI
// CPU_ON and CPU_SUSPEND are given, where x0 is the number of the core's stack. Code here runs wherever it was loaded.

	.section .text.start, "ax"
	.global _start
_start:
	b	primary				// code0: the arm64 Image header begins
	.long	0				// code1
	.quad	0				// text_offset: at the start of RAM
	.quad	_image_size			// with bss and stacks
	.quad	0xa				// flags: little endian, 4 KiB pages, anywhere in memory
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

// A guest that looks at the core as it finds it defines guest_first_look, which may change x1..x3 (guest.ld).
	.global no_first_look
no_first_look:
	ret

primary:
	bl	guest_first_look
	msr	daifset, #0xf
	mov	x19, x0
	bl	map_own_memory
	bl	enable_mmu
	// Relocate: every word that holds a link-time address gets the address it really has. RELA entries keep the
	// link-time value, so that doing this twice (after a reset that kept the image) does no harm.
	adr	x0, _start
	movz	x1, #0x4000, lsl #16		// _link_base
	sub	x1, x0, x1
	adrp	x2, _rela_start
	add	x2, x2, :lo12:_rela_start
	adrp	x3, _rela_end
	add	x3, x3, :lo12:_rela_end
1:	cmp	x2, x3
	b.hs	2f
	ldp	x4, x5, [x2], #16		// r_offset, r_info
	ldr	x6, [x2], #8			// r_addend
	cmp	x5, #1027			// R_AARCH64_RELATIVE
	b.ne	1b				// the linker pads with R_AARCH64_NONE
	add	x6, x6, x1
	str	x6, [x4, x1]
	b	1b
2:	adrp	x2, _bss_start
	adrp	x3, _bss_end
3:	cmp	x2, x3
	b.hs	4f
	stp	xzr, xzr, [x2], #16
	b	3b
4:	dsb	sy
	ic	iallu				// nothing above wrote code, but a loader may have
	dsb	sy
	isb
	mov	x0, xzr
	bl	set_up_core
	mov	x0, x19
	b	guest_primary

	.global guest_secondary_start
guest_secondary_start:
	msr	daifset, #0xf
	mov	x19, x0
	bl	enable_mmu
	mov	x0, x19
	cmp	x0, #{max_cores}
	b.hs	park
	bl	set_up_core
	mov	x0, x19
	b	guest_secondary

park:	wfi
	b	park

// Stack of core x0, its number in TPIDR_EL1, vectors, floating point enabled.
set_up_core:
	adrp	x1, {stacks}
	add	x1, x1, :lo12:{stacks}
	add	x2, x0, #1
	mov	x3, #{stack_size}
	madd	x1, x2, x3, x1
	msr	spsel, #1
	mov	sp, x1
	msr	tpidr_el1, x0
	adrp	x1, guest_vectors
	add	x1, x1, :lo12:guest_vectors
	msr	vbar_el1, x1
	mov	x1, #(3 << 20)			// CPACR_EL1.FPEN: no trap
	msr	cpacr_el1, x1
	isb
	ret

// Identity map with 1 GiB blocks (T0SZ 25: one table covers 512 GiB). All of it is Device but the gigabyte that this code runs
// in. The table is part of the image, so the only word written with the MMU off is that gigabyte's.
map_own_memory:
	adrp	x1, {table}
	add	x1, x1, :lo12:{table}
	adr	x2, _start
	lsr	x2, x2, #30
	lsl	x3, x2, #30
	mov	x4, #{normal}
	movk	x4, #0x0040, lsl #48		// UXN (DDI 0487, D8.3)
	orr	x3, x3, x4
	add	x1, x1, x2, lsl #3
	str	x3, [x1]
	dmb	sy
	dc	ivac, x1			// written past the cache: what the cache holds of that line is old
	dsb	sy
	ret

enable_mmu:
	mov	x2, #0xff00			// MAIR: 0 = Device-nGnRnE, 1 = Normal write-back
	msr	mair_el1, x2
	mrs	x2, id_aa64mmfr0_el1
	and	x2, x2, #0xf
	cmp	x2, #2				// IPS: the core's, 40 bits at most
	mov	x3, #2
	csel	x2, x2, x3, lo
	lsl	x2, x2, #32
	ldr	x3, =0x803519			// T0SZ 25, write-back walks, inner shareable, 4 KiB, EPD1
	orr	x2, x2, x3
	msr	tcr_el1, x2
	adrp	x1, {table}
	add	x1, x1, :lo12:{table}
	msr	ttbr0_el1, x1
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	sy
	isb
	ldr	x2, =0x30d01805			// SCTLR_EL1: the RES1 bits, I, C, M
	msr	sctlr_el1, x2
	isb
	ret
	.ltorg

// EL1 vectors. Each entry keeps what the handler may change and tells Rust which entry it was.
	.macro	vector number
	.balign	0x80
	sub	sp, sp, #272
	stp	x0, x1, [sp]
	mov	x1, #\number
	b	exception_common
	.endm

	.balign	0x800
guest_vectors:
	.irp	number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vector	\number
	.endr

	.balign	0x80
exception_common:
	stp	x2, x3, [sp, #16]
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
	mrs	x2, elr_el1
	mrs	x3, spsr_el1
	stp	x30, x2, [sp, #240]
	str	x3, [sp, #256]
	mov	x0, sp
	bl	guest_exception
	ldp	x30, x2, [sp, #240]
	ldr	x3, [sp, #256]
	msr	elr_el1, x2
	msr	spsr_el1, x3
	ldp	x28, x29, [sp, #224]
	ldp	x26, x27, [sp, #208]
	ldp	x24, x25, [sp, #192]
	ldp	x22, x23, [sp, #176]
	ldp	x20, x21, [sp, #160]
	ldp	x18, x19, [sp, #144]
	ldp	x16, x17, [sp, #128]
	ldp	x14, x15, [sp, #112]
	ldp	x12, x13, [sp, #96]
	ldp	x10, x11, [sp, #80]
	ldp	x8, x9, [sp, #64]
	ldp	x6, x7, [sp, #48]
	ldp	x4, x5, [sp, #32]
	ldp	x2, x3, [sp, #16]
	ldp	x0, x1, [sp]
	add	sp, sp, #272
	eret
