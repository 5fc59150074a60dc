//! What may not be done: nothing changes, every refusal is counted, and each tells the same.

use core::mem::offset_of;

use partita_abi::supervision::{AREA_MAGIC, Command, Header, Life, call, code, registers};
use partita_guest::exception::catch;
use partita_guest::mmio::{read8, read16, read32, read64, write8, write16, write32, write64};
use partita_guest::rows::{Env, Outcome, code as instructions};
use partita_guest::supervisor::Device;
use partita_guest::{ensure, fail, psci, same, start};

use crate::rows::Row;

/// The last but one changes how this guest sees the device.
pub const ROWS: &[Row] = &[
    Row("commands", commands),
    Row("calls", calls),
    Row("registers", wild_registers),
    Row("area-written", written),
    Row("area-end", end),
    Row("area-executed", executed),
];

/// Runs it: so many refusals are counted, and nobody's life is another one then.
fn nothing_happens(device: &Device, refusals: u64, work: impl FnOnce() -> Outcome) -> Outcome {
    let lives = || -> [Life; 2] { core::array::from_fn(|index| device.life(index)) };
    let restarts =
        || -> [u64; 2] { core::array::from_fn(|index| device.word(index, offset_of!(Header, restarts))) };
    let before = (lives(), restarts(), device.get(registers::REFUSED));
    work()?;
    same!(device.get(registers::REFUSED) - before.2, refusals, "refusals");
    same!((lives(), restarts()), (before.0, before.1), "lives and restarts");
    Ok(())
}

fn commands(_: &Env, device: &Device) -> Outcome {
    let wild = [2u16, 3, 4, 7, 8, 63, 64, 255, 256, 0x7fff, 0x8000, 0xffff];
    nothing_happens(device, 3 * wild.len() as u64, || {
        for (request, index) in wild.into_iter().flat_map(|index| (1..4).map(move |request| (request, index)))
        {
            let outcome = device.command(Command::new(request, index, index));
            same!(outcome.code(), code::NO_SUCH, "request {request} to {index}");
            ensure!(outcome.is_of(Command::new(request, index, index)), "the result {:#x}", outcome.0);
        }
        Ok(())
    })?;
    nothing_happens(device, 253, || {
        for request in (0..=255).filter(|request| !(1..4).contains(request)) {
            same!(device.command(Command::new(request, 0, 0)).code(), code::UNKNOWN, "request {request}");
        }
        Ok(())
    })?;
    nothing_happens(device, 24, || {
        for bit in 8..32 {
            let outcome = device.command(Command(Command::new(1, 0, 0).0 | 1 << bit));
            same!(outcome.code(), code::MALFORMED, "bit {bit}");
        }
        Ok(())
    })
}

fn calls(_: &Env, device: &Device) -> Outcome {
    let wild = [2, 3, 7, 63, 64, 0xffff, 0x1_0000, 1 << 32, 1 << 63, !0, 0xffff_ffff_0000_0000];
    let was = psci::by_smc();
    let end = [false, true].into_iter().try_for_each(|smc| {
        psci::use_smc(smc);
        nothing_happens(device, 5 * wild.len() as u64, || {
            for (function, index) in wild
                .into_iter()
                .flat_map(|index| (call::NAME..=call::RESTART).map(move |function| (function, index)))
            {
                let answer = psci::call64(function, [index, !0, !0]);
                same!(answer[0] as i64, i64::from(code::NO_SUCH), "{function:#x} of {index:#x}");
                if function <= call::STATE {
                    same!(
                        [answer[1], answer[2], answer[3]],
                        [0; 3],
                        "what {function:#x} of {index:#x} tells"
                    );
                }
            }
            Ok(())
        })
    });
    psci::use_smc(was);
    end
}

/// Every offset, in every width, each way.
fn wild_registers(_: &Env, device: &Device) -> Outcome {
    let known = |offset: u64| matches!(offset, 0 | 0x8 | 0x10 | 0x18 | 0x28 | 0x400 | 0x408);
    for width in [1, 2, 4, 8] {
        for offset in (0..registers::SIZE).step_by(width) {
            let at = device.base + offset;
            let refused = u64::from(width != 8 || !known(offset));
            nothing_happens(device, refused, || {
                let (value, fault) = catch(|| match width {
                    1 => read8(at).into(),
                    2 => read16(at).into(),
                    4 => read32(at).into(),
                    _ => read64(at),
                });
                ensure!(fault.is_none(), "{width} bytes at {offset:#x}: {fault:x?}");
                ensure!(refused == 0 || value == 0, "{width} bytes at {offset:#x} read {value:#x}");
                Ok(())
            })?;
            for value in
                [0, !0, 0x1_0000_0001].into_iter().filter(|_| width != 8 || offset != registers::COMMAND)
            {
                nothing_happens(device, 1, || {
                    let ((), fault) = catch(|| match width {
                        1 => write8(at, value as u8),
                        2 => write16(at, value as u16),
                        4 => write32(at, value as u32),
                        _ => write64(at, value),
                    });
                    ensure!(fault.is_none(), "writing {width} bytes at {offset:#x}: {fault:x?}");
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}

/// The first and the last word of each page of each area, in every width.
fn written(_: &Env, device: &Device) -> Outcome {
    for (base, size) in &device.areas[..device.count] {
        for at in (*base..base + size).step_by(0x1000).flat_map(|page| [page, page + 0xff8]) {
            let before = read64(at);
            let writes: [fn(u64); 4] =
                [|at| write8(at, 0x55), |at| write16(at, 0x5555), |at| write32(at, !0), |at| write64(at, !0)];
            for write in writes {
                let ((), fault) = catch(|| write(at));
                let Some(fault) = fault else {
                    fail!("{at:#x} is written: {:#x}, before {before:#x}", read64(at))
                };
                ensure!(fault.is_external_abort(), "writing {at:#x}: {fault:x?}");
            }
        }
    }
    Ok(())
}

/// Behind the last area there is nothing, and no other one has what lies behind it either.
fn end(_: &Env, device: &Device) -> Outcome {
    let (base, size) = device.areas[device.count - 1];
    let (value, fault) = catch(|| read64(base + size));
    let Some(fault) = fault else { fail!("behind the areas there is {value:#x}") };
    ensure!(fault.is_external_abort(), "reading behind the areas: {fault:x?}");
    Ok(())
}

/// As cacheable memory that stage 1 lets be executed. It reads the same. What is executed is the last word of all, which is zero and so
/// UNDEFINED, and behind which nothing is: other words could be any instruction.
fn executed(_: &Env, device: &Device) -> Outcome {
    start::map_memory(&device.areas[..device.count]);
    for (base, _) in &device.areas[..device.count] {
        same!(read64(*base), AREA_MAGIC, "the mark, cached");
    }
    let (base, size) = device.areas[device.count - 1];
    let last = base + size - 4;
    same!(read32(last), 0, "the last word");
    let (_, fault) = catch(|| instructions::call(last, 0));
    let Some(fault) = fault else { fail!("{last:#x} was executed") };
    let refused = fault.is_external_abort() && fault.class() == 0x21 && fault.far == last;
    ensure!(refused, "executing {last:#x}: {fault:x?}");
    Ok(())
}
