// The measured sequences, in assembly so that no compiler has a say in what they count. Each takes the virtual count before
// and after and returns the difference in x0. Under QEMU's -icount shift=0 at 1 GHz a tick is one instruction, so a sequence
// of n instructions reads n + 2 (the ISB and the second read).

	.macro	measured name:req, operation:vararg
	.global	\name
\name:
	isb
	mrs	x9, cntvct_el0
	\operation
	isb
	mrs	x10, cntvct_el0
	sub	x0, x10, x9
	ret
	.endm

// With vectors of its own and interrupts unmasked; until x10 is set, and the other way.
	.macro	sgi_begin vectors:req
	mrs	x13, vbar_el1
	adrp	x3, \vectors
	add	x3, x3, :lo12:\vectors
	msr	vbar_el1, x3
	mov	x10, xzr
	isb
	msr	daifclr, #2
	.endm
	.macro	sgi_end
1:	cbz	x10, 1b
	isb
	mrs	x10, cntvct_el0
	msr	daifset, #2
	msr	vbar_el1, x13
	isb
	sub	x0, x10, x9
	ret
	.endm

	.section .text.measure, "ax"
	measured measure_nothing,
	measured measure_hvc, hvc #0
	measured measure_smc, smc #0
	measured measure_load, ldr w1, [x0]
	measured measure_store, str w1, [x0]
	measured measure_tlbi, tlbi vae1is, x0

// measure_sgi_v3(value): to this core, from the write of ICC_SGI1R_EL1 to the handler's having come and gone. The handler
// acknowledges, notes it, and ends: everything is at hand in registers, x11 is GICC.
	.global	measure_sgi_v3
measure_sgi_v3:
	sgi_begin sgi_vectors
	isb
	mrs	x9, cntvct_el0
	msr	icc_sgi1r_el1, x0
	isb
	sgi_end

// measure_sgi_v2(value, GICD_SGIR, GICC)
	.global	measure_sgi_v2
measure_sgi_v2:
	mov	x11, x2
	sgi_begin sgi_vectors_v2
	isb
	mrs	x9, cntvct_el0
	str	w0, [x1]
	dsb	sy
	sgi_end

// send_sgi_v3(value) and send_sgi_v2(value, GICD_SGIR): from x0, as Linux does it.
	.global	send_sgi_v3
send_sgi_v3:
	msr	icc_sgi1r_el1, x0
	isb
	ret
	.global	send_sgi_v2
send_sgi_v2:
	str	w0, [x1]
	dsb	sy
	ret

	.balign	0x800
sgi_vectors:
	.balign	0x80
	.skip	0x280				// current EL with SP_ELx, IRQ
	mrs	x12, icc_iar1_el1
	mov	x10, #1
	msr	icc_eoir1_el1, x12
	eret
	.balign	0x800
sgi_vectors_v2:
	.balign	0x80
	.skip	0x280
	ldr	w12, [x11, #0xc]		// GICC_IAR
	mov	x10, #1
	str	w12, [x11, #0x10]		// GICC_EOIR
	eret
	.balign	0x800

// measure_timer(ahead, GICC or 0): how late the first instruction of the vector is that reads the count, after the virtual
// timer's compare value. The core spins meanwhile. Everything is at hand in registers: x9 the compare value, x11 GICC.
	.global	measure_timer
measure_timer:
	mrs	x2, vbar_el1
	adrp	x3, timer_vectors
	add	x3, x3, :lo12:timer_vectors
	msr	vbar_el1, x3
	mov	x11, x1
	isb
	mrs	x9, cntvct_el0
	add	x9, x9, x0
	msr	cntv_cval_el0, x9
	mov	x3, #1
	msr	cntv_ctl_el0, x3
	mov	x10, xzr
	isb
	msr	daifclr, #2
1:	cbz	x10, 1b
	msr	daifset, #2
	msr	vbar_el1, x2
	isb
	sub	x0, x10, x9
	ret

	.balign	0x800
timer_vectors:
	.balign	0x80
	.skip	0x280				// current EL with SP_ELx, IRQ
	mrs	x10, cntvct_el0
	cbnz	x11, 1f
	mrs	x12, icc_iar1_el1
	msr	cntv_ctl_el0, xzr
	isb
	msr	icc_eoir1_el1, x12
	eret
1:	ldr	w12, [x11, #0xc]		// GICC_IAR
	msr	cntv_ctl_el0, xzr
	isb
	str	w12, [x11, #0x10]		// GICC_EOIR
	eret
	.balign	0x800
