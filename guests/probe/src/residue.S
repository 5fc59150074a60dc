// What a core's registers hold at a partition's very first instruction, and the opposite: foreign values in all of them
// at its last one. rows/residue.rs has the names and what each must be.

// Called by the run time's entry, before anything else (start.S): x0 is the tree's address, MMU and caches are off.
// Changes x1, x2, x3 only, and leaves floating point off.
	.arch_extension fp
	.arch_extension simd
	.arch_extension sve
	.section .text.residue, "ax"
	.macro	look register
	mrs	x1, \register
	str	x1, [x2], #8
	.endm

	.global guest_first_look
guest_first_look:
	.irp	n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
	orr	x1, x1, x\n
	.endr
	adrp	x2, {seen}
	add	x2, x2, :lo12:{seen}
	str	x1, [x2], #8
	mov	x1, sp
	str	x1, [x2], #8
	.irp	register, sctlr_el1, cpacr_el1, tcr_el1, ttbr0_el1, ttbr1_el1, mair_el1, amair_el1, vbar_el1, contextidr_el1
	look	\register
	.endr
	.irp	register, tpidr_el0, tpidrro_el0, tpidr_el1, sp_el0, elr_el1, spsr_el1, esr_el1, far_el1, afsr0_el1, afsr1_el1
	look	\register
	.endr
	.irp	register, par_el1, csselr_el1, cntkctl_el1, cntv_ctl_el0, cntv_cval_el0, cntp_ctl_el0, cntp_cval_el0, mdscr_el1
	look	\register
	.endr
	.irp	register, nzcv, daif, currentel, spsel
	look	\register
	.endr

	// Floating point, open for a moment. The order of what is read here is that of the widest state first.
	mrs	x3, id_aa64pfr0_el1
	mov	x1, #3 << 20
	tst	x3, #0xf << 32
	b.eq	1f
	orr	x1, x1, #3 << 16
1:	msr	cpacr_el1, x1
	isb
	look	fpcr
	look	fpsr
	tst	x3, #0xf << 32
	b.eq	2f
	look	S3_0_C1_C2_0			// ZCR_EL1
	mov	x1, #0xf
	msr	S3_0_C1_C2_0, x1
	isb
	mov	x1, #0
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	incp	x1, p\n\().b
	.endr
	rdffr	p0.b
	incp	x1, p0.b
	str	x1, [x2], #8
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	orr	z0.d, z0.d, z\n\().d
	.endr
	ptrue	p0.b
	orv	d0, p0, z0.d
	pfalse	p0.b
	msr	S3_0_C1_C2_0, xzr
	b	3f
2:	stp	xzr, xzr, [x2], #16
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	orr	v0.16b, v0.16b, v\n\().16b
	.endr
	umov	x1, v0.d[1]
	dup	v1.2d, x1
	orr	v0.16b, v0.16b, v1.16b
3:	fmov	x1, d0
	str	x1, [x2], #8
	msr	cpacr_el1, xzr
	isb

	// A GICv3's virtual CPU interface.
	tst	x3, #0xf << 24
	b.eq	4f
	look	S3_0_C4_C6_0			// ICC_PMR_EL1
	look	S3_0_C12_C8_3			// ICC_BPR0_EL1
	look	S3_0_C12_C12_3			// ICC_BPR1_EL1
	look	S3_0_C12_C12_4			// ICC_CTLR_EL1
	look	S3_0_C12_C12_6			// ICC_IGRPEN0_EL1
	look	S3_0_C12_C12_7			// ICC_IGRPEN1_EL1
	look	S3_0_C12_C8_4			// ICC_AP0R0_EL1
	look	S3_0_C12_C9_0			// ICC_AP1R0_EL1

	// Written past the cache: what the cache holds of it is old.
4:	adrp	x1, {seen}
	add	x1, x1, :lo12:{seen}
	dsb	sy
5:	dc	ivac, x1
	add	x1, x1, #16
	cmp	x1, x2
	b.lo	5b
	dsb	sy
	ret

// stain(x0: a PSCI function): leaves the pattern in every register that any core lets EL1 write, and makes the call by
// HVC. Those of optional features but SVE have been written by Rust.
	.global stain
stain:
	msr	daifset, #0xf
	mrs	x3, id_aa64pfr0_el1
	ldr	x1, =0x5a5a5a5a5a5a5a50
	mrs	x2, sctlr_el1
	and	x2, x2, #~7			// M, A, C: what follows needs no table and no stack
	msr	sctlr_el1, x2
	isb
	ldr	x2, =0x31d8c808			// E0E, WXN, UCT, DZE, SA
	msr	sctlr_el1, x2
	.irp	register, tcr_el1, ttbr0_el1, ttbr1_el1, mair_el1, amair_el1, vbar_el1, contextidr_el1, tpidr_el0, tpidrro_el0
	msr	\register, x1
	.endr
	.irp	register, tpidr_el1, sp_el0, elr_el1, spsr_el1, esr_el1, far_el1, afsr0_el1, afsr1_el1, par_el1, cntkctl_el1
	msr	\register, x1
	.endr
	mov	sp, x1
	mov	x2, #2
	msr	csselr_el1, x2
	mov	x2, #3				// enabled and masked
	msr	cntv_cval_el0, x1
	msr	cntv_ctl_el0, x2
	msr	cntp_cval_el0, x1
	msr	cntp_ctl_el0, x2
	ldr	x2, =0xb001			// MDE, KDE, TDCC, SS: nothing of it while PSTATE.D masks it
	msr	mdscr_el1, x2
	ldr	x2, =0x3c00000			// FPCR: RMode, FZ, DN
	msr	fpcr, x2
	mov	x2, #0x1f
	msr	fpsr, x2
	tst	x3, #0xf << 32
	b.eq	1f
	mov	x2, #3 << 20 | 3 << 16
	msr	cpacr_el1, x2
	isb
	mov	x2, #0xf
	msr	S3_0_C1_C2_0, x2
	isb
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	dup	z\n\().d, x1
	.endr
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	ptrue	p\n\().b
	.endr
	setffr
	b	2f
1:	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	dup	v\n\().2d, x1
	.endr
2:	isb
	.irp	n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30
	mov	x\n, x1
	.endr
	cmp	x1, #0
	hvc	#0
3:	b	3b				// it came back: the run's time limit tells
	.ltorg
	.arch_extension nosve
