// The first instructions of every core: from the boot loader's state (MMU and data cache off, any physical address) to
// Rust at the linked virtual address with W^X translation.
//
// x19 = exception level of entry   x20 = device tree (first core)   x21 = 1 where HCR_EL2.E2H cannot be cleared
// x22 = physical address of the image   x24, x25 = AP[1] and execute-never bits of the translation regime
// x26, x27 = the bundle's first byte and its end, if boot.S was told (0: the tree says)   x28 = 1 where EL2 moved itself

.equ	PAGE_COMMON, (1 << 10) | (3 << 8) | (1 << 2) | 3	// AF, inner shareable, AttrIndx 1, page (DDI 0487 D8.3)
.equ	BLOCK_COMMON, (1 << 10) | (3 << 8) | (1 << 2) | 1
.equ	READ_ONLY, 1 << 7
.equ	RESTARTED, 0x70617274697461	// "partita": in x3, EL2 started itself anew at another address
.equ	FROM_EFI, RESTARTED + 1		// in x3, UEFI firmware started it; as above x1 and x2 tell where the bundle is

.section .head, "ax"
.global _head
// arm64 Image header (Linux, Documentation/arch/arm64/booting.rst).
_head:
	ccmp	x18, #0, #0xd, pl	// reads "MZ", and does nothing that matters
	b	primary_start
	.quad	0			// text_offset
	.quad	__image_size
	.quad	0xa			// little-endian, 4 KiB pages, anywhere in memory
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	pe_header - _head

// The same file as an application for UEFI firmware (Microsoft PE/COFF; UEFI Specification, 2.1.1), as Linux is one:
// two sections, of which none is writable and executable, and no relocations.
pe_header:
	.ascii	"PE\0\0"
	.short	0xaa64			// IMAGE_FILE_MACHINE_ARM64
	.short	2			// sections
	.long	0, 0, 0
	.short	sections - optional_header
	.short	0x206			// executable, without line numbers and debug information; relocations not stripped
optional_header:
	.short	0x20b			// PE32+
	.byte	0, 0
	.long	__pe_text_size, __pe_data_file_size, 0
	.long	__pe_entry
	.long	__pe_text
	.quad	0			// ImageBase
	.long	0x1000			// SectionAlignment
	.long	0x200			// FileAlignment
	.short	0, 0, 0, 0, 0, 0
	.long	0
	.long	__image_size
	.long	__pe_text		// SizeOfHeaders
	.long	0
	.short	10			// EFI application
	.short	0x100			// its data need not be executable
	.quad	0, 0, 0, 0
	.long	0
	.long	6			// directories, all of them empty
	.quad	0, 0, 0, 0, 0, 0
sections:
	.ascii	".text\0\0\0"
	.long	__pe_text_size, __pe_text, __pe_text_size, __pe_text, 0, 0, 0
	.long	0x60000020		// code, executable, readable
	.ascii	".data\0\0\0"
	.long	__pe_data_size, __pe_data, __pe_data_file_size, __pe_data, 0, 0, 0
	.long	0xc0000040		// initialised data, readable, writable

.section .text.boot, "ax"
primary_start:
	msr	daifset, #0xf
	mov	x20, x0
	ldr	x4, =RESTARTED
	subs	x3, x3, x4
	cset	x28, eq
	cmp	x3, #FROM_EFI - RESTARTED
	csel	x26, x1, xzr, ls
	csel	x27, x2, xzr, ls
	bl	look_around
	adrp	x22, _head

	// The tables are written with the MMU off, so no stale cache line may cover them, before or after.
	bl	invalidate_tables
	adrp	x0, __boot_tables
	adrp	x1, __boot_tables_end
1:	stp	xzr, xzr, [x0], #16
	cmp	x0, x1
	b.lo	1b

	// The linked address: L0[256] -> L1[0] -> L2[0..7] -> eight level-3 tables.
	adrp	x0, __boot_tables	// L0
	add	x1, x0, #0x1000		// L1 (linked)
	add	x2, x0, #0x2000		// L2 (linked)
	add	x3, x0, #0x3000		// L1 (identity)
	add	x4, x0, #0x4000		// L2 (identity)
	add	x5, x0, #0x5000		// L3[8] (linked)
	orr	x6, x1, #3
	str	x6, [x0, #256 * 8]
	orr	x6, x2, #3
	str	x6, [x1]
	orr	x6, x5, #3
	mov	x7, #8
1:	str	x6, [x2], #8
	add	x6, x6, #0x1000
	subs	x7, x7, #1
	b.ne	1b

	// Identity: the 2 MiB block around mmu_on, executable and read-only, for the step from physical to virtual.
	adr	x6, mmu_on
	ubfx	x7, x6, #39, #9
	orr	x8, x3, #3
	str	x8, [x0, x7, lsl #3]
	ubfx	x7, x6, #30, #9
	orr	x8, x4, #3
	str	x8, [x3, x7, lsl #3]
	ubfx	x7, x6, #21, #9
	bfc	x6, #0, #21
	mov	x8, #BLOCK_COMMON | READ_ONLY
	orr	x8, x8, x24
	orr	x8, x8, x6
	str	x8, [x4, x7, lsl #3]

	// Level 3: text read-only and executable, rodata read-only, the rest writable; neither of these executable.
	mov	x6, x22
	mov	x10, #PAGE_COMMON
	orr	x10, x10, x24
	orr	x11, x10, #READ_ONLY
	adrp	x7, __text_end
1:	orr	x8, x11, x6
	str	x8, [x5], #8
	add	x6, x6, #0x1000
	cmp	x6, x7
	b.lo	1b
	adrp	x7, __rodata_end
	orr	x11, x11, x25
2:	cmp	x6, x7
	b.hs	3f
	orr	x8, x11, x6
	str	x8, [x5], #8
	add	x6, x6, #0x1000
	b	2b
3:	adrp	x7, __image_end
	adrp	x9, __boot_guard
	orr	x10, x10, x25
4:	orr	x8, x10, x6
	cmp	x6, x9
	csel	x8, xzr, x8, eq		// the guard page below the boot stack stays unmapped
	str	x8, [x5], #8
	add	x6, x6, #0x1000
	cmp	x6, x7
	b.lo	4b
	dsb	sy
	bl	invalidate_tables

	ldr	x30, =primary_virtual
	b	mmu_on

primary_virtual:
	ldr	x1, =__boot_stack_top
	mov	sp, x1
	bl	set_vectors
	ldr	x1, =__bss_start
	ldr	x2, =__bss_end
1:	cmp	x1, x2
	b.hs	2f
	stp	xzr, xzr, [x1], #16
	b	1b
2:	ldr	x1, =__data_start
	ldr	x2, =__data_end
	ldr	x3, =__data_copy
3:	cmp	x1, x2
	b.hs	4f
	ldp	x4, x5, [x1], #16
	stp	x4, x5, [x3], #16
	b	3b
4:	mov	x0, x20
	mov	x1, x22
	mov	x2, x19
	mov	x3, x21
	mov	x4, x26
	mov	x5, x27
	mov	x6, x28
	bl	boot_main
	b	park

// Secondary cores find their tables, stack and block by their MPIDR, whether PSCI or the spin-table started them.
.global secondary_start
secondary_start:
	msr	daifset, #0xf
	bl	look_around
	cmp	x19, #2
	b.ne	park
	cbnz	x21, park
	mrs	x0, mpidr_el1
	ldr	x1, =0xff00ffffff
	and	x0, x0, x1
	adrp	x1, SECONDARIES
	add	x1, x1, :lo12:SECONDARIES
	ldp	x1, x2, [x1]		// physical address and count
1:	cbz	x2, park
	ldp	x3, x26, [x1]		// MPIDR, TTBR0_EL2 (0: no partition owns this core)
	ldp	x27, x28, [x1, #16]	// stack, argument
	cmp	x3, x0
	b.eq	2f
	add	x1, x1, #32
	sub	x2, x2, #1
	b	1b
2:	cbz	x26, stay
	ldr	x30, =secondary_virtual
	b	mmu_on

// For good: it has left firmware's memory for EL2's. The caches are off, so the word goes straight to memory.
stay:
	mov	x0, #1
	str	x0, [x27]
	dsb	sy
	b	park

secondary_virtual:
	bl	set_vectors
	msr	tpidr_el2, x28			// its block, with the emergency stack
	mov	x0, x26
	mov	x1, x27
	mov	x2, x28

// switch_stage1(ttbr, stack, core): this core's own tables and stack from here on; never returns.
.global switch_stage1
switch_stage1:
	msr	ttbr0_el2, x0
	isb
	tlbi	alle2
	dsb	nsh
	isb
	mov	sp, x1
	mov	x0, x2
	mov	x29, xzr
	bl	core_main
	b	park

.global park
park:
	wfi
	b	park

// From the first instruction with translation on, a fault is EL2's own to report: VBAR_EL2 and TPIDR_EL2 (no block yet:
// vectors.S then stays on the stack it has) are UNKNOWN out of reset.
set_vectors:
	cmp	x19, #2
	b.ne	1f
	ldr	x1, =vectors
	msr	vbar_el2, x1
	msr	tpidr_el2, xzr
	isb
1:	ret

// Notes the exception level and brings HCR_EL2 to a known state: EL1 is AArch64, E2H = 0 where that can be.
look_around:
	mrs	x19, CurrentEL
	ubfx	x19, x19, #2, #2
	mov	x21, #0
	mov	x24, #(1 << 6)			// AP[1] is RES1 in a regime with one address range
	mov	x25, #(1 << 54)			// XN
	cmp	x19, #2
	b.hi	2f
	b.lo	1f
	mov	x0, #(1 << 31)
	msr	hcr_el2, x0
	isb
	mrs	x0, hcr_el2
	ubfx	x21, x0, #34, #1
	cbz	x21, 2f
1:	mov	x24, #0				// two ranges: AP[1] would give access to EL0
	mov	x25, #(3 << 53)			// PXN and UXN
2:	ret

// Drops the tables' cache lines, to the point of coherency.
invalidate_tables:
	adrp	x0, __boot_tables
	adrp	x1, __boot_tables_end
	mrs	x2, ctr_el0
	ubfx	x2, x2, #16, #4
	mov	x3, #4
	lsl	x2, x3, x2
1:	dc	ivac, x0
	add	x0, x0, x2
	cmp	x0, x1
	b.lo	1b
	dsb	sy
	ret

// restart(tree, bundle, bundle's end, entry, boot tables, physical address of `cold`): starts an image at another
// physical address as a boot loader would. It leaves through boot.S's own tables, which have `cold` at its own address.
.global restart
restart:
	msr	ttbr0_el2, x4
	isb
	tlbi	alle2
	dsb	nsh
	isb
	br	x5

// efi_leave(tree, bundle, bundle's end): from the firmware's identity mapping, with caches on, to the state in which a
// boot loader starts an image. What is fetched and read with caches off from here on is cleaned to memory before.
.global efi_leave
efi_leave:
	msr	daifset, #0xf
	adrp	x4, _head
	adrp	x5, __bss_start
	add	x5, x5, :lo12:__bss_start
	mrs	x6, ctr_el0
	ubfx	x6, x6, #16, #4			// DminLine
	mov	x7, #4
	lsl	x6, x7, x6
1:	dc	civac, x4			// not CVAC: errata of Cortex-A53, docs/errata.md
	add	x4, x4, x6
	cmp	x4, x5
	b.lo	1b
	dsb	sy
	ldr	x6, =0x30c50830			// RES1: MMU and caches off
	msr	sctlr_el2, x6
	isb
	ic	iallu
	dsb	nsh
	isb
	ldr	x3, =FROM_EFI
	b	primary_start

// Turns translation and caches on and continues at x30, an address of the linked range.
.balign 1024
mmu_on:
	adrp	x0, __boot_tables
	mov	x1, #0xff04			// MAIR: 0 = Device-nGnRE, 1 = Normal write-back
	mrs	x2, id_aa64mmfr0_el1
	and	x2, x2, #0xf
	mov	x3, #5				// PS: 48 bits at the most (52-bit output needs another format)
	cmp	x2, x3
	csel	x2, x3, x2, hi
	ldr	x4, =(16 | 1 << 8 | 1 << 10 | 3 << 12)	// T0SZ = 16, walks write-back and inner shareable
	ldr	x5, =(0x30c50830 | 1 << 0 | 1 << 2 | 1 << 3 | 1 << 12 | 1 << 19)	// RES1 | M C SA I WXN
	cmp	x19, #2
	b.hi	3f
	b.lo	1f
	cbnz	x21, 2f
	orr	x4, x4, x2, lsl #16
	orr	x4, x4, #(1 << 31)		// RES1
	orr	x4, x4, #(1 << 23)		// RES1
	b	21f
2:	orr	x4, x4, x2, lsl #32
	orr	x4, x4, #(1 << 23)		// EPD1
	orr	x4, x4, #(16 << 16)
21:	msr	mair_el2, x1
	msr	tcr_el2, x4
	msr	ttbr0_el2, x0
	isb
	tlbi	alle2
	ic	iallu
	dsb	nsh
	isb
	msr	sctlr_el2, x5
	isb
	ret
1:	orr	x4, x4, x2, lsl #32
	orr	x4, x4, #(1 << 23)		// EPD1
	orr	x4, x4, #(16 << 16)
	msr	mair_el1, x1
	msr	tcr_el1, x4
	msr	ttbr0_el1, x0
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	msr	sctlr_el1, x5
	isb
	ret
3:	orr	x4, x4, x2, lsl #16
	orr	x4, x4, #(1 << 31)
	orr	x4, x4, #(1 << 23)
	msr	mair_el3, x1
	msr	tcr_el3, x4
	msr	ttbr0_el3, x0
	isb
	tlbi	alle3
	ic	iallu
	dsb	nsh
	isb
	msr	sctlr_el3, x5
	isb
	ret
.global cold
cold:
	ldr	x6, =0x30c50830			// RES1: MMU and caches off
	msr	sctlr_el2, x6
	isb
	ic	iallu
	dsb	nsh
	isb
	mov	x7, x3
	ldr	x3, =RESTARTED
	br	x7
	.ltorg
