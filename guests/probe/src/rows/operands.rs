//! Every general register as the operand of what a hypervisor emulates: loads, stores and writes of ICC_SGI1R_EL1 mean the
//! register that the instruction names.

use core::arch::global_asm;

use partita_guest::{cpu, gic};

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, count, total};
use crate::{ensure, same};

pub const ROWS: &[Row] = &[
    Row::new("operands-load", loads),
    Row::new("operands-store", stores),
    Row::new("operands-sgi", sgis).v3(),
    Row::new("operands-widths", widths),
];

// operand_KIND(x0, x1, number): the instruction with register `number` (31: the zero register) as its operand. Each
// variant is 128 bytes long.
global_asm!(
    r#"
	.macro	operand kind, number, address
	.balign	128
	stp	x19, x20, [sp, #-96]!
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	stp	x27, x28, [sp, #64]
	stp	x29, x30, [sp, #80]
	mov	\address, x1
	.if	\number < 31
	.ifc	\kind, load
	mov	x\number, #-1
	.else
	mov	x\number, x0
	.endif
	.endif
	.if	\number == 31
	.ifc	\kind, load
	ldr	wzr, [\address]
	.endif
	.ifc	\kind, store
	str	wzr, [\address]
	.endif
	.ifc	\kind, sgi
	msr	S3_0_C12_C11_5, xzr
	.endif
	mov	x0, xzr
	.else
	.ifc	\kind, load
	ldr	w\number, [\address]
	.endif
	.ifc	\kind, store
	str	w\number, [\address]
	.endif
	.ifc	\kind, sgi
	msr	S3_0_C12_C11_5, x\number
	.endif
	mov	x0, x\number
	.endif
	ldp	x29, x30, [sp, #80]
	ldp	x27, x28, [sp, #64]
	ldp	x25, x26, [sp, #48]
	ldp	x23, x24, [sp, #32]
	ldp	x21, x22, [sp, #16]
	ldp	x19, x20, [sp], #96
	ret
	.endm

	.macro	operands kind
	.balign	128
	.global	operand_\kind
operand_\kind:
	adr	x9, 1f
	add	x9, x9, x2, lsl #7
	br	x9
	.balign	128
1:
	.irp	number, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16
	operand	\kind, \number, x17
	.endr
	operand	\kind, 17, x16
	.irp	number, 18,19,20,21,22,23,24,25,26,27,28,29,30,31
	operand	\kind, \number, x17
	.endr
	.endm

	.section .text.operands, "ax"
	operands load
	operands store
	operands sgi

	.global	operand_sign
operand_sign:
	ldrsw	x0, [x0]
	ret
	.global	operand_byte
operand_byte:
	ldrb	w0, [x0]
	ret
	.text
"#
);

unsafe extern "C" {
    fn operand_load(value: u64, address: u64, number: u64) -> u64;
    fn operand_store(value: u64, address: u64, number: u64) -> u64;
    fn operand_sgi(value: u64, address: u64, number: u64) -> u64;
    fn operand_sign(address: u64) -> u64;
    fn operand_byte(address: u64) -> u64;
}

const GICD_TYPER: u64 = 0x004;

/// GICD_TYPER, which is never zero here.
fn loads(env: &Env) -> Outcome {
    // SAFETY: loads from the distributor, as the guest's map has it.
    let wanted = unsafe { operand_load(0, env.machine.gicd + GICD_TYPER, 0) };
    ensure!(wanted & 0x1f != 0, "GICD_TYPER reads {wanted:#x}");
    for number in 0..32 {
        // SAFETY: as above.
        let seen = unsafe { operand_load(0, env.machine.gicd + GICD_TYPER, number) };
        same!(seen, if number == 31 { 0 } else { wanted }, "GICD_TYPER loaded into register {number}");
    }
    Ok(())
}

/// ISENABLER0, with the bit clear before and set before.
fn stores(env: &Env) -> Outcome {
    let intid = env.machine.physical_timer;
    let isenabler = gic::private_frame(0) + irq::SET_ENABLE;
    for number in 0..32 {
        irq::disable(intid);
        for again in [false, true] {
            // SAFETY: enables the interrupt of a timer that is off.
            unsafe { operand_store(1 << intid, isenabler, number) };
            // SAFETY: a load of the same register.
            let on = unsafe { operand_load(0, isenabler, 0) } & 1 << intid != 0;
            same!(on, number != 31, "enabled from register {number}, again: {again}");
        }
    }
    irq::disable(intid);
    Ok(())
}

/// To oneself.
fn sgis(_: &Env) -> Outcome {
    irq::enable(6);
    cpu::unmask_interrupts();
    for number in 0..31 {
        // SAFETY: sends an SGI to this core.
        unsafe { operand_sgi(6 << 24 | 1, 0, number) };
        let wanted = number as u32 + 1;
        ensure!(irq::within(10_000, || count(0, 6) == wanted), "register {number}: {} came", count(0, 6));
    }
    // SAFETY: sends one to nobody.
    unsafe { operand_sgi(6 << 24 | 1, 0, 31) };
    irq::settle(3);
    same!(total(0), 31, "interrupts");
    Ok(())
}

/// Other widths, and a load that extends the sign.
fn widths(_: &Env) -> Outcome {
    irq::set_priority(3, 0xf0);
    let word = gic::private_frame(0) + irq::PRIORITY;
    // SAFETY: loads of four SGIs' priorities.
    let (byte, signed, plain) =
        unsafe { (operand_byte(word + 3), operand_sign(word), operand_load(0, word, 0)) };
    same!(byte, 0xf0, "the byte");
    same!(plain >> 24, 0xf0, "the word's upper byte");
    same!(signed, plain as u32 as i32 as u64, "LDRSW");
    Ok(())
}
