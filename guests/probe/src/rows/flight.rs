//! Interrupts in flight: pending or active while the guest changes its mind about them, and more of them than list registers.
//! All taken by hand with interrupts masked, so that the order is exact.

use partita_guest::gic::{self, Version};
use partita_guest::timer;

use crate::check::{Env, Outcome, Row};
use crate::irq::{self, CLEAR_ACTIVE, SET_ACTIVE, SET_PENDING, nothing_to_take, set_priority, take};
use crate::{ensure, same, skip};

pub const ROWS: &[Row] = &[
    Row::new("overflow-order", overflow),
    Row::new("overflow-shuffled", shuffled),
    Row::new("overflow-active", many_active).virtual_gicv2(),
    Row::new("split-eoi", split).virtual_gicv2(),
    Row::new("split-eoi-timer", split_timer).virtual_gicv2(),
    Row::new("disable-pending", disable_pending),
    Row::new("clear-pending", clear_pending).virtual_gicv2(),
    Row::new("change-priority", change_priority),
    Row::new("pending-while-active", pending_while_active),
    Row::new("clear-active", clear_active),
    Row::new("set-active", set_active),
    Row::new("spi-disable-pending", spi_disable_pending),
    Row::new("spi-split-eoi", spi_split).virtual_gicv2(),
    Row::new("group-off", group_off).virtual_gicv2(),
];

const SELF: u16 = 1;

fn taken(wanted: u32, what: &str) -> Outcome {
    same!(take(), Some(wanted), "{what}");
    Ok(())
}

/// Makes SGIs 0 to 15, both timers and an own SPI pending, most urgent last; `priority` gives each of them its own.
fn raise_all(env: &Env, priority: impl Fn(u32) -> u8) -> u32 {
    let timers = [env.machine.virtual_timer, env.machine.physical_timer];
    let spi = irq::own_spi(env.machine);
    let all = || (0..16).chain(timers).chain(spi);
    for (rank, intid) in all().enumerate() {
        set_priority(intid, priority(rank as u32));
        irq::enable(intid);
    }
    timer::set_virtual(timer::now());
    timer::set_physical(timer::physical_now());
    if let Some(spi) = spi {
        irq::set_bit(SET_PENDING, spi);
    }
    for sgi in 0..16 {
        gic::send(sgi, SELF);
    }
    all().count() as u32
}

fn nth(env: &Env, rank: u32) -> u32 {
    match rank {
        0..16 => rank,
        16 => env.machine.virtual_timer,
        17 => env.machine.physical_timer,
        _ => irq::own_spi(env.machine).unwrap_or(0),
    }
}

fn stop_if_timer(env: &Env, intid: u32) {
    if intid == env.machine.virtual_timer {
        timer::stop_virtual();
    } else if intid == env.machine.physical_timer {
        timer::stop_physical();
    }
}

/// 18 or 19 interrupts pending at once: each is taken once, most urgent first.
fn overflow(env: &Env) -> Outcome {
    let count = raise_all(env, |rank| 0xd0 - rank as u8 * 8);
    irq::settle(2);
    for rank in (0..count).rev() {
        let intid = nth(env, rank);
        taken(intid, "most urgent interrupt")?;
        stop_if_timer(env, intid);
        gic::end(intid);
    }
    ensure!(nothing_to_take(), "an interrupt came twice");
    Ok(())
}

/// The same with priorities in many orders, so that what is held back changes.
fn shuffled(env: &Env) -> Outcome {
    for round in 1..40u32 {
        // Multiplication by a unit of the integers modulo 19 is a permutation of 0..19 that keeps 0.
        let shuffle = |rank: u32| (rank + 1) * (round % 18 + 1) % 19;
        let count = raise_all(env, |rank| 0x20 + shuffle(rank) as u8 * 8);
        irq::settle(1);
        for place in 1..19 {
            let Some(rank) = (0..count.min(18)).find(|rank| shuffle(*rank) == place) else { continue };
            // The SPI, if there is one, has rank 18 and so place 0: the most urgent.
            if place == 1 && count == 19 {
                taken(nth(env, 18), "SPI")?;
                gic::end(nth(env, 18));
            }
            let intid = nth(env, rank);
            same!(take(), Some(intid), "round {round}, place {place}");
            stop_if_timer(env, intid);
            gic::end(intid);
        }
        ensure!(nothing_to_take(), "round {round}: an interrupt came twice");
        irq::quiet();
    }
    Ok(())
}

/// More interrupts active at once than list registers, by EOImode 1: later ones still come, and each can come again afterwards.
fn many_active(_: &Env) -> Outcome {
    gic::set_split(true);
    for sgi in 0..16 {
        set_priority(sgi, 0x80);
        irq::enable(sgi);
    }
    for round in 0..2 {
        for sgi in 0..16 {
            gic::send(sgi, SELF);
            same!(take(), Some(sgi), "round {round} with {sgi} active");
            gic::end(sgi);
            ensure!(irq::bit(SET_ACTIVE, sgi), "SGI {sgi} is not active before DIR");
        }
        for sgi in 0..16 {
            // A GICv2's hypervisor is not told which one, if it is in no list register: it takes the most urgent.
            let sgi = if gic::version() == Version::V2 { sgi } else { 15 - sgi };
            gic::deactivate(sgi);
            ensure!(!irq::bit(SET_ACTIVE, sgi), "SGI {sgi} is active after DIR");
        }
    }
    ensure!(nothing_to_take(), "something came twice");
    Ok(())
}

/// EOImode 1: after EOIR other interrupts come but not this one; after DIR it does.
fn split(_: &Env) -> Outcome {
    gic::set_split(true);
    irq::enable(1);
    irq::enable(2);
    gic::send(1, SELF);
    taken(1, "first SGI")?;
    gic::end(1);
    gic::send(1, SELF);
    gic::send(2, SELF);
    taken(2, "SGI 2 while 1 is active and pending")?;
    gic::end(2);
    gic::deactivate(2);
    ensure!(nothing_to_take(), "SGI 1 came again before it was deactivated");
    gic::deactivate(1);
    taken(1, "SGI 1 after DIR")?;
    gic::end(1);
    gic::deactivate(1);
    Ok(())
}

/// The same for a timer, whose line stays up.
fn split_timer(env: &Env) -> Outcome {
    let intid = env.machine.virtual_timer;
    gic::set_split(true);
    irq::enable(intid);
    for _ in 0..3 {
        timer::set_virtual(timer::now());
        taken(intid, "timer")?;
        gic::end(intid);
        ensure!(nothing_to_take(), "the timer came again while active");
        gic::deactivate(intid);
        irq::look_again(env);
    }
    taken(intid, "timer whose line is still up after DIR")?;
    timer::stop_virtual();
    gic::end(intid);
    gic::deactivate(intid);
    ensure!(nothing_to_take(), "the timer came with its line down");
    Ok(())
}

/// Pending and then disabled: it does not come, and comes when enabled.
fn disable_pending(env: &Env) -> Outcome {
    for intid in [4, env.machine.virtual_timer] {
        if intid < 16 && gic::version() == Version::V2 {
            continue; // always enabled
        }
        irq::enable(intid);
        if intid < 16 {
            gic::send(intid, SELF);
        } else {
            timer::set_virtual(timer::now());
        }
        irq::settle(1);
        irq::disable(intid);
        ensure!(nothing_to_take(), "{intid} came though disabled");
        ensure!(irq::bit(SET_PENDING, intid), "{intid} is pending no more");
        irq::enable(intid);
        taken(intid, "enabled again")?;
        stop_if_timer(env, intid);
        gic::end(intid);
        ensure!(nothing_to_take(), "{intid} came twice");
    }
    Ok(())
}

/// ICPENDR takes back what is in a list register.
fn clear_pending(_: &Env) -> Outcome {
    for sgi in 0..8 {
        irq::enable(sgi);
        gic::send(sgi, SELF);
    }
    for sgi in [0, 1, 2, 3, 7] {
        ensure!(irq::bit(SET_PENDING, sgi), "SGI {sgi} is not pending");
        irq::clear_pending(sgi);
        ensure!(!irq::bit(SET_PENDING, sgi), "SGI {sgi} is still pending");
    }
    let mut seen = 0u32;
    for _ in 4..7 {
        let Some(sgi) = take() else { crate::fail!("an SGI was lost; seen {seen:#x}") };
        gic::end(sgi);
        seen |= 1 << sgi;
    }
    same!(seen, 0x70, "SGIs that came");
    ensure!(nothing_to_take(), "a cleared SGI came");
    Ok(())
}

/// A priority changed while pending counts.
fn change_priority(_: &Env) -> Outcome {
    for (sgi, priority) in [(8, 0x60), (9, 0x70)] {
        set_priority(sgi, priority);
        irq::enable(sgi);
        gic::send(sgi, SELF);
    }
    set_priority(8, 0xb0);
    taken(9, "SGI 9, now the more urgent")?;
    gic::end(9);
    taken(8, "SGI 8")?;
    gic::end(8);
    ensure!(nothing_to_take(), "one came twice");
    Ok(())
}

/// Sent again while active: comes once more after its end.
fn pending_while_active(_: &Env) -> Outcome {
    irq::enable(6);
    gic::send(6, SELF);
    taken(6, "SGI")?;
    gic::send(6, SELF);
    gic::send(6, SELF);
    ensure!(irq::bit(SET_PENDING, 6) && irq::bit(SET_ACTIVE, 6), "it is not active and pending");
    ensure!(nothing_to_take(), "it came while active");
    gic::end(6);
    taken(6, "SGI sent while active")?;
    gic::end(6);
    ensure!(nothing_to_take(), "two sent while active came as two");
    Ok(())
}

/// ICACTIVER deactivates.
fn clear_active(env: &Env) -> Outcome {
    for intid in [6, env.machine.virtual_timer] {
        gic::set_split(true);
        irq::enable(intid);
        let raise = || if intid < 16 { gic::send(intid, SELF) } else { timer::set_virtual(timer::now()) };
        raise();
        taken(intid, "interrupt")?;
        timer::stop_virtual();
        gic::end(intid);
        ensure!(irq::bit(SET_ACTIVE, intid), "{intid} is not active");
        irq::set_bit(CLEAR_ACTIVE, intid);
        ensure!(!irq::bit(SET_ACTIVE, intid), "{intid} is active after ICACTIVER");
        raise();
        taken(intid, "interrupt after ICACTIVER")?;
        timer::stop_virtual();
        gic::end(intid);
        irq::set_bit(CLEAR_ACTIVE, intid);
    }
    Ok(())
}

/// ISACTIVER keeps an interrupt from coming until ICACTIVER.
fn set_active(_: &Env) -> Outcome {
    irq::enable(10);
    irq::set_bit(SET_ACTIVE, 10);
    ensure!(irq::bit(SET_ACTIVE, 10), "ISACTIVER does not hold");
    gic::send(10, SELF);
    ensure!(nothing_to_take(), "it came though active");
    irq::set_bit(CLEAR_ACTIVE, 10);
    taken(10, "SGI after ICACTIVER")?;
    gic::end(10);
    Ok(())
}

/// An own SPI pending, then disabled, then enabled.
fn spi_disable_pending(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    for _ in 0..5 {
        irq::enable(spi);
        irq::set_bit(SET_PENDING, spi);
        irq::settle(1);
        irq::disable(spi);
        ensure!(nothing_to_take(), "SPI {spi} came though disabled");
        ensure!(irq::bit(SET_PENDING, spi), "SPI {spi} is pending no more");
        irq::enable(spi);
        taken(spi, "SPI enabled again")?;
        ensure!(!irq::bit(SET_PENDING, spi), "SPI {spi} is active and pending");
        gic::end(spi);
        ensure!(nothing_to_take(), "SPI {spi} came twice");
    }
    Ok(())
}

/// An own SPI with separate deactivation, and taken back while active.
fn spi_split(env: &Env) -> Outcome {
    let Some(spi) = irq::own_spi(env.machine) else { skip!("no device with an SPI in the tree") };
    gic::set_split(true);
    irq::enable(spi);
    for round in 0..3 {
        irq::set_bit(SET_PENDING, spi);
        same!(take(), Some(spi), "round {round}");
        gic::end(spi);
        irq::set_bit(SET_PENDING, spi);
        ensure!(nothing_to_take(), "round {round}: SPI {spi} came while active");
        gic::deactivate(spi);
        irq::look_again(env);
        same!(take(), Some(spi), "round {round}, after DIR");
        gic::end(spi);
        gic::deactivate(spi);
        ensure!(nothing_to_take(), "round {round}: SPI {spi} came twice");
        ensure!(!irq::bit(SET_ACTIVE, spi), "round {round}: SPI {spi} is still active");
    }
    Ok(())
}

/// With its group switched off at the CPU interface, and then at the distributor, nothing is signalled; switched on it comes.
fn group_off(_: &Env) -> Outcome {
    irq::enable(11);
    gic::set_signalling(false);
    gic::send(11, SELF);
    ensure!(nothing_to_take(), "it came with the CPU interface off");
    gic::set_signalling(true);
    taken(11, "SGI")?;
    gic::end(11);
    // Group 1, which a GICv2 without the Security Extensions has no interrupts in.
    let group = if gic::version() == Version::V3 { 2 } else { 1 };
    let control = partita_guest::mmio::read32(irq::gicd());
    partita_guest::mmio::write32(irq::gicd(), control & !group);
    gic::send(11, SELF);
    let quiet = nothing_to_take();
    partita_guest::mmio::write32(irq::gicd(), control);
    ensure!(quiet, "it came with its group off in GICD_CTLR");
    taken(11, "SGI after GICD_CTLR")?;
    gic::end(11);
    Ok(())
}
