//! Every form of access that the architecture has, at addresses that are somebody else's. The same forms at the attacker's
//! own memory show first that they work on this core: one that does not is left out.

use core::cell::UnsafeCell;

use partita_guest::exception::Fault;
use partita_guest::rows::{Env, Outcome};

use super::edges::STAGE2;
use crate::code::run;
use crate::owned::{DATA, Owned};
use crate::space::Space;
use crate::table::Row;
use crate::{ensure, fail, skip};

const ABORT: &str = "external abort, as for a plain load";
const NOTHING: &str = "external abort or nothing, and nobody's memory changes";

pub const ROWS: &[Row] = &[
    Row::new("form-pairs", "LDP, STP, LDNP, STNP, LDPSW", ABORT, STAGE2, |env| abort(env, &PAIRS)),
    Row::new("form-writeback", "pre- and post-indexed loads and stores", ABORT, STAGE2, |env| {
        abort(env, &WRITEBACK)
    }),
    Row::new("form-unaligned", "unaligned loads and stores", ABORT, STAGE2, |env| abort(env, &UNALIGNED)),
    Row::new("form-signed", "loads that extend the sign", ABORT, STAGE2, |env| abort(env, &SIGNED)),
    Row::new("form-unprivileged", "LDTR and STTR of every width", ABORT, STAGE2, |env| {
        abort(env, &UNPRIVILEGED)
    }),
    Row::new("form-exclusive", "LDXR, LDAXR, LDXP", ABORT, STAGE2, |env| abort(env, &EXCLUSIVE)),
    Row::new("form-ordered", "LDAR, STLR, LDAPR", ABORT, STAGE2, |env| abort(env, &ORDERED)),
    Row::new("form-atomic", "LDADD, SWP, CAS, CASP and their like", ABORT, STAGE2, |env| abort(env, &ATOMIC)),
    Row::new("form-vector", "loads and stores of SIMD registers and structures", ABORT, STAGE2, |env| {
        abort(env, &VECTOR)
    }),
    Row::new("form-zero", "DC ZVA", ABORT, STAGE2, |env| abort(env, &ZERO)),
    Row::new("form-store-exclusive", "STXR, STLXR, STXP", NOTHING, STAGE2, |env| {
        nothing(env, &STORE_EXCLUSIVE)
    }),
    Row::new("form-maintenance", "DC and IC by address", NOTHING, STAGE2, |env| nothing(env, &MAINTENANCE)),
    Row::new("form-prefetch", "PRFM of every kind", NOTHING, STAGE2, prefetch),
    Row::new(
        "form-tags",
        "MTE's stores of tags, MOPS, LS64",
        "undefined, external abort or nothing",
        STAGE2,
        tags,
    ),
    Row::new(
        "form-translate",
        "AT of every kind",
        "PAR_EL1 tells the guest-physical address",
        STAGE2,
        translate,
    ),
];

/// Name and encoding; the address is in x0.
type Form = (&'static str, u32);

const PAIRS: [Form; 7] = [
    ("ldp x1, x2, [x0]", 0xa940_0801),
    ("stp x1, x2, [x0]", 0xa900_0801),
    ("ldp w1, w2, [x0]", 0x2940_0801),
    ("stp w1, w2, [x0]", 0x2900_0801),
    ("ldnp x1, x2, [x0]", 0xa840_0801),
    ("stnp x1, x2, [x0]", 0xa800_0801),
    ("ldpsw x1, x2, [x0]", 0x6940_0801),
];
const WRITEBACK: [Form; 8] = [
    ("ldr x1, [x0], #8", 0xf840_8401),
    ("str x1, [x0], #8", 0xf800_8401),
    ("ldr x1, [x0, #8]!", 0xf840_8c01),
    ("str x1, [x0, #8]!", 0xf800_8c01),
    ("ldrb w1, [x0], #1", 0x3840_1401),
    ("strb w1, [x0, #1]!", 0x3800_1c01),
    ("ldp x1, x2, [x0], #16", 0xa8c1_0801),
    ("stp x1, x2, [x0, #16]!", 0xa981_0801),
];
const UNALIGNED: [Form; 5] = [
    ("ldur x1, [x0, #1]", 0xf840_1001),
    ("stur x1, [x0, #1]", 0xf800_1001),
    ("ldur x1, [x0, #7]", 0xf840_7001),
    ("stur w1, [x0, #3]", 0xb800_3001),
    ("sturh w1, [x0, #1]", 0x7800_1001),
];
const SIGNED: [Form; 5] = [
    ("ldrsb x1, [x0]", 0x3980_0001),
    ("ldrsb w1, [x0]", 0x39c0_0001),
    ("ldrsh x1, [x0]", 0x7980_0001),
    ("ldrsh w1, [x0]", 0x79c0_0001),
    ("ldrsw x1, [x0]", 0xb980_0001),
];
const UNPRIVILEGED: [Form; 8] = [
    ("ldtr x1, [x0]", 0xf840_0801),
    ("sttr x1, [x0]", 0xf800_0801),
    ("ldtr w1, [x0]", 0xb840_0801),
    ("sttr w1, [x0]", 0xb800_0801),
    ("ldtrh w1, [x0]", 0x7840_0801),
    ("sttrh w1, [x0]", 0x7800_0801),
    ("ldtrb w1, [x0]", 0x3840_0801),
    ("sttrb w1, [x0]", 0x3800_0801),
];
const EXCLUSIVE: [Form; 6] = [
    ("ldxr x1, [x0]", 0xc85f_7c01),
    ("ldaxr x1, [x0]", 0xc85f_fc01),
    ("ldxrb w1, [x0]", 0x085f_7c01),
    ("ldxrh w1, [x0]", 0x485f_7c01),
    ("ldxp x1, x2, [x0]", 0xc87f_0801),
    ("ldaxp w1, w2, [x0]", 0x887f_8801),
];
const ORDERED: [Form; 6] = [
    ("ldar x1, [x0]", 0xc8df_fc01),
    ("stlr x1, [x0]", 0xc89f_fc01),
    ("ldarb w1, [x0]", 0x08df_fc01),
    ("stlrb w1, [x0]", 0x089f_fc01),
    ("ldlar x1, [x0]", 0xc8df_7c01),
    ("ldapr x1, [x0]", 0xf8bf_c001),
];
const ATOMIC: [Form; 8] = [
    ("ldadd x1, x2, [x0]", 0xf821_0002),
    ("ldaddal w1, w2, [x0]", 0xb8e1_0002),
    ("stadd x1, [x0]", 0xf821_001f),
    ("ldset x1, x2, [x0]", 0xf821_3002),
    ("swp x1, x2, [x0]", 0xf821_8002),
    ("cas x1, x2, [x0]", 0xc8a1_7c02),
    ("casb w1, w2, [x0]", 0x08a1_7c02),
    ("casp x2, x3, x4, x5, [x0]", 0x4822_7c04),
];
const VECTOR: [Form; 8] = [
    ("ldr q0, [x0]", 0x3dc0_0000),
    ("str q0, [x0]", 0x3d80_0000),
    ("ldr d0, [x0]", 0xfd40_0000),
    ("str b0, [x0]", 0x3d00_0000),
    ("ldp q0, q1, [x0]", 0xad40_0400),
    ("stp q0, q1, [x0]", 0xad00_0400),
    ("ld1 {v0.16b}, [x0]", 0x4c40_7000),
    ("st4 {v0.16b-v3.16b}, [x0]", 0x4c00_0000),
];
const ZERO: [Form; 1] = [("dc zva, x0", 0xd50b_7420)];
const STORE_EXCLUSIVE: [Form; 4] = [
    ("stxr w2, x1, [x0]", 0xc802_7c01),
    ("stlxr w2, x1, [x0]", 0xc802_fc01),
    ("stxrb w2, w1, [x0]", 0x0802_7c01),
    ("stxp w3, x1, x2, [x0]", 0xc823_0801),
];
const MAINTENANCE: [Form; 6] = [
    ("dc ivac, x0", 0xd508_7620),
    ("dc cvac, x0", 0xd50b_7a20),
    ("dc cvau, x0", 0xd50b_7b20),
    ("dc cvap, x0", 0xd50b_7c20),
    ("dc civac, x0", 0xd50b_7e20),
    ("ic ivau, x0", 0xd50b_7520),
];
const TAGS: [Form; 8] = [
    ("stg x0, [x0]", 0xd920_0800),
    ("st2g x0, [x0]", 0xd9a0_0800),
    ("stzg x0, [x0]", 0xd960_0800),
    ("ldg x1, [x0]", 0xd960_0001),
    ("stgp x1, x2, [x0]", 0x6900_0801),
    ("dc gzva, x0", 0xd50b_7480),
    ("ld64b x2, [x0]", 0xf83f_d002),
    ("setp [x0]!, x1!, x2", 0x19c2_0420),
];

/// Pages that are not a partition's on any of the boards that there are tests for, unless its tree says so: flash, other
/// RAM, controllers, the hypervisor's parts of interrupt controllers.
const CANDIDATES: [u64; 16] = [
    0x0,
    0x0400_0000,
    0x0802_0000,
    0x0803_0000,
    0x0804_0000,
    0x0808_0000,
    0x0a00_0000,
    0x1000_0000,
    0x3fff_f000,
    0x5000_0000,
    0x7fff_f000,
    0xfe20_1000,
    0xff84_4000,
    0xff84_5000,
    0xff84_6000,
    0x40_1000_0000,
];

/// Foreign pages: the candidates, and what comes after each memory.
pub fn foreign(env: &Env) -> impl Iterator<Item = u64> {
    let owned = Owned::new(env);
    let after = env.machine.memory.iter().map(|(base, size)| base + size);
    CANDIDATES.into_iter().chain(after).filter(move |page| !owned.has(*page))
}

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; 512]>);
// SAFETY: used by the boot core's rows only, and by its address only.
unsafe impl Sync for Page {}
static OWN: Page = Page(UnsafeCell::new([0; 512]));

/// Whether a form works at own memory.
fn works(space: &Space, form: u32) -> bool {
    let at = space.page(OWN.0.get() as u64);
    run(form, at).1.is_none()
}

fn check(name: &str, page: u64, seen_at: u64, fault: Fault) -> Outcome {
    ensure!(
        fault.is_external_abort() && fault.class() == DATA,
        "{name} at {page:#x}: ESR {:#x} is no external abort",
        fault.esr
    );
    ensure!(fault.far & !0xfff == seen_at, "{name} at {page:#x}: FAR_EL1 {:#x}", fault.far);
    Ok(())
}

/// Every form that this core has aborts at every foreign page.
fn abort(env: &Env, forms: &[Form]) -> Outcome {
    let space = Space::new();
    let mut tried = 0;
    for &(name, form) in forms {
        if !works(&space, form) {
            continue;
        }
        for page in foreign(env) {
            let at = space.page(page);
            let (_, fault) = run(form, at);
            let Some(fault) = fault else { fail!("{name} at {page:#x}: no abort") };
            check(name, page, at, fault)?;
        }
        tried += 1;
    }
    drop(space);
    if tried == 0 {
        skip!("this core has none of these");
    }
    Ok(())
}

/// What these do at a foreign page is an external abort, if anything.
fn nothing(env: &Env, forms: &[Form]) -> Outcome {
    let space = Space::new();
    for &(name, form) in forms {
        if !works(&space, form) {
            continue;
        }
        for page in foreign(env) {
            let at = space.page(page);
            if let (_, Some(fault)) = run(form, at) {
                check(name, page, at, fault)?;
            }
        }
    }
    Ok(())
}

/// PRFM (immediate) with each of its 32 operations; none may fault at all (DDI 0487, C3.2.10).
fn prefetch(env: &Env) -> Outcome {
    let space = Space::new();
    for page in foreign(env) {
        let at = space.page(page);
        for operation in 0..32 {
            let (_, fault) = run(0xf980_0000 | operation, at);
            ensure!(fault.is_none(), "PRFM #{operation} at {page:#x}: {fault:x?}");
        }
    }
    Ok(())
}

fn tags(env: &Env) -> Outcome {
    let space = Space::new();
    for (name, form) in TAGS {
        for page in foreign(env) {
            let at = space.page(page);
            if let (_, Some(fault)) = run(form, at)
                && !fault.is_undefined()
            {
                check(name, page, at, fault)?;
            }
        }
    }
    Ok(())
}

/// Stage 1 knows guest-physical addresses only: what AT answers is what the attacker's own tables say. Those that would
/// ask stage 2 as well are undefined at EL1.
fn translate(env: &Env) -> Outcome {
    let space = Space::new();
    for page in foreign(env) {
        let at = space.page(page);
        for (name, form) in [("S1E1R", 0xd508_7800), ("S1E1W", 0xd508_7820)] {
            let (_, fault) = run(form, at);
            ensure!(fault.is_none(), "AT {name} of {page:#x}: {fault:x?}");
            let par = crate::mrs!("par_el1");
            ensure!(
                par & 1 == 0 && par & 0xffff_ffff_f000 == page,
                "AT {name} of {page:#x}: PAR_EL1 {par:#x}"
            );
        }
        for (name, form) in [
            ("S12E1R", 0xd50c_7880),
            ("S12E1W", 0xd50c_78a0),
            ("S12E0R", 0xd50c_78c0),
            ("S1E2R", 0xd50c_7800),
            ("S1E3R", 0xd50e_7800),
        ] {
            let (_, fault) = run(form, at);
            ensure!(fault.is_some_and(|fault| fault.is_undefined()), "AT {name} of {page:#x}: {fault:x?}");
        }
    }
    Ok(())
}
