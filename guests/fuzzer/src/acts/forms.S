// Accesses to memory at x0, with x1 as the value: one instruction and a return each. What an instruction changes beyond x0..x7
// and v0..v7 would be the caller's.

	.arch armv8-a+lse+simd+crc

	.macro	form words:vararg
	\words
	ret
	.endm

	.section .text.forms, "ax"
	.balign	8
	.global	fuzzer_forms
fuzzer_forms:
	form	ldrb	w1, [x0]
	form	ldrh	w1, [x0]
	form	ldr	w1, [x0]
	form	ldr	x1, [x0]
	form	ldrsb	w1, [x0]
	form	ldrsb	x1, [x0]
	form	ldrsh	w1, [x0]
	form	ldrsw	x1, [x0]
	form	strb	w1, [x0]
	form	strh	w1, [x0]
	form	str	w1, [x0]
	form	str	x1, [x0]
	form	str	wzr, [x0]
	form	ldr	wzr, [x0]
	form	ldr	w1, [x0], #4
	form	str	w1, [x0], #4
	form	ldr	x1, [x0, #8]!
	form	strb	w1, [x0, #-1]!
	form	ldur	w1, [x0, #-4]
	form	stur	x1, [x0, #-8]
	form	ldp	w1, w2, [x0]
	form	ldp	x1, x2, [x0]
	form	stp	w1, w2, [x0]
	form	stp	x1, x2, [x0]
	form	ldp	x1, x2, [x0], #16
	form	stp	x1, x2, [x0, #-16]!
	form	ldpsw	x1, x2, [x0]
	form	ldnp	x1, x2, [x0]
	form	stnp	x1, x2, [x0]
	form	ldxr	w1, [x0]
	form	ldaxr	x1, [x0]
	form	ldxp	x1, x2, [x0]
	form	stxr	w2, w1, [x0]
	form	stlxr	w2, x1, [x0]
	form	ldarb	w1, [x0]
	form	ldar	x1, [x0]
	form	stlrh	w1, [x0]
	form	stlr	w1, [x0]
	form	ldadd	w1, w2, [x0]
	form	ldclral	x1, x2, [x0]
	form	swp	w1, w2, [x0]
	form	cas	w1, w2, [x0]
	form	casp	x2, x3, x4, x5, [x0]
	form	ldtr	w1, [x0]
	form	sttr	w1, [x0]
	form	ldr	b1, [x0]
	form	ldr	d1, [x0]
	form	str	s1, [x0]
	form	ldr	q1, [x0]
	form	str	q1, [x0]
	form	ldp	q1, q2, [x0]
	form	ld1	{{v1.16b, v2.16b}}, [x0]
	form	st4	{{v1.8b, v2.8b, v3.8b, v4.8b}}, [x0]
	form	ld1r	{{v1.4s}}, [x0]
	form	prfm	pldl1keep, [x0]
	form	dc	cvac, x0
	form	dc	civac, x0
	form	dc	ivac, x0
	form	dc	zva, x0
	form	ic	ivau, x0
	form	at	s1e1r, x0
	form	at	s1e0w, x0
	form	tlbi	vaae1is, x0
	.global	fuzzer_forms_end
fuzzer_forms_end:

// Calls, x0..x7 as given.
	.global	fuzzer_calls
fuzzer_calls:
	form	hvc	#0
	form	smc	#0
	form	hvc	#1
	form	smc	#1
	form	hvc	#0xffff
	form	smc	#0x4a48
	.global	fuzzer_calls_end
fuzzer_calls_end:
