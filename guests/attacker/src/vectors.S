// Vectors that count. Each exception, of any kind and from anywhere, adds one to x28 and goes back to where it came from, so
// that what caused it happens again; the x26th one goes on at x27, in the state x25, with its syndrome in x23. Whoever uses
// them keeps these registers for it.

	.section .text.counting, "ax"
	.balign	0x800
	.global	counting_vectors
counting_vectors:
	.rept	16
	.balign	0x80
	add	x28, x28, #1
	cmp	x28, x26
	b.hs	1f
	eret
1:	mrs	x23, esr_el1
	msr	elr_el1, x27
	msr	spsr_el1, x25
	eret
	.endr
	.balign	0x800

// Vectors that are the exception themselves: each is undefined.
	.global	undefined_vectors
undefined_vectors:
	.rept	512
	.long	0
	.endr
	.text
