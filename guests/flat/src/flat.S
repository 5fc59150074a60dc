// Entry at offset 0, MMU off, nothing assumed but a PL011 at 0x09000000 and PSCI. Says at which exception level it runs,
// whether x0 names a device tree, and which PSCI version answers, and powers off.
	.section .text.start, "ax"
	.global _start
_start:
	mov	x19, x0
	movz	x20, #0x0900, lsl #16		// PL011
	adr	x0, hello
	bl	text
	mrs	x0, currentel
	lsr	x0, x0, #2
	bl	hex
	adr	x0, tree
	bl	text
	cbz	x19, 1f
	ldr	w0, [x19]
	rev	w0, w0
	bl	hex
	b	2f
1:	adr	x0, none
	bl	text
2:	adr	x0, version
	bl	text
	movz	x0, #0x8400, lsl #16		// PSCI_VERSION
	call
	bl	hex
	adr	x0, bye
	bl	text
	movz	x0, #0x8400, lsl #16
	movk	x0, #0x0008			// SYSTEM_OFF
	call
	adr	x0, refused
	bl	text
3:	wfi
	b	3b

// Prints the string at x0.
text:	ldrb	w1, [x0], #1
	cbz	w1, 5f
4:	ldr	w2, [x20, #0x18]
	tbnz	w2, #5, 4b			// FR.TXFF
	str	w1, [x20]
	b	text
5:	ret

// Prints w0 as eight hexadecimal digits.
hex:	mov	w3, #8
6:	ror	w0, w0, #28
	and	w1, w0, #0xf
	add	w2, w1, #'0'
	add	w4, w1, #('a' - 10)
	cmp	w1, #10
	csel	w1, w2, w4, lo
7:	ldr	w2, [x20, #0x18]
	tbnz	w2, #5, 7b
	str	w1, [x20]
	subs	w3, w3, #1
	b.ne	6b
	ret

hello:	.asciz	"flat: el "
tree:	.asciz	" tree "
none:	.asciz	"none"
version: .asciz	" psci "
bye:	.asciz	"\r\n"
refused: .asciz	"flat: power-off was refused\r\n"
