//! The watchdog against the specification's own text, made a program that runs tick by tick.

use proptest::prelude::*;

use super::*;

/// The generic watchdog as its specification has it: what happens at each tick of the system counter, in its words and order.
#[derive(Clone, Debug, Default)]
struct Oracle {
    system_counter: u64,
    compare_value: u64,
    watchdog_offset_value: u64,
    watchdog_enable: bool,
    ws0: bool,
    ws1: bool,
}

impl Oracle {
    /// What a guest did at this tick, after what the tick itself did.
    fn write(&mut self, frame: Frame, offset: u64, value: u32) {
        let value = u64::from(value);
        let mut explicit_refresh = false;
        match (frame, offset) {
            (Frame::Refresh, 0) => explicit_refresh = true,
            (Frame::Control, 0x0) => {
                self.watchdog_enable = value & 1 == 1;
                explicit_refresh = true;
            }
            (Frame::Control, 0x8) => {
                self.watchdog_offset_value = self.watchdog_offset_value >> 32 << 32 | value;
                explicit_refresh = true;
            }
            (Frame::Control, 0xc) => {
                // Bits 31..16 of it are reserved, and ignore writes.
                let low = self.watchdog_offset_value & 0xffff_ffff;
                self.watchdog_offset_value = (value & 0xffff) << 32 | low;
                explicit_refresh = true;
            }
            (Frame::Control, 0x10) => self.compare_value = self.compare_value >> 32 << 32 | value,
            (Frame::Control, 0x14) => self.compare_value = value << 32 | self.compare_value & 0xffff_ffff,
            _ => {}
        }
        if explicit_refresh {
            self.compare_value = self.system_counter.wrapping_add(self.watchdog_offset_value);
            self.ws0 = false;
            self.ws1 = false;
        }
    }

    fn tick(&mut self) {
        self.system_counter += 1;
        let timeout_refresh = self.watchdog_enable && self.system_counter > self.compare_value;
        if timeout_refresh {
            if self.ws0 {
                self.ws1 = true;
            } else {
                self.compare_value = self.system_counter.wrapping_add(self.watchdog_offset_value);
                self.ws0 = true;
            }
        }
    }

    fn read(&self, frame: Frame, offset: u64) -> u64 {
        match (frame, offset) {
            (_, 0xfcc) => 0x0001_0000,
            (Frame::Control, 0x0) => {
                u64::from(self.watchdog_enable) + 2 * u64::from(self.ws0) + 4 * u64::from(self.ws1)
            }
            (Frame::Control, 0x8) => self.watchdog_offset_value & 0xffff_ffff,
            (Frame::Control, 0xc) => self.watchdog_offset_value >> 32,
            (Frame::Control, 0x10) => self.compare_value & 0xffff_ffff,
            (Frame::Control, 0x14) => self.compare_value >> 32,
            _ => 0,
        }
    }
}

/// What a guest does, so many ticks after what it did before.
#[derive(Clone, Debug)]
struct Step {
    ticks: u64,
    vcpu: usize,
    frame: Frame,
    offset: u64,
    write: Option<u32>,
}

/// Offsets with a register, and their neighbours.
const OFFSETS: [u64; 10] = [0x0, 0x4, 0x8, 0xc, 0x10, 0x14, 0x18, 0xfc8, 0xfcc, 0xfd0];

prop_compose! {
    fn step()(
        ticks in prop_oneof![0..4_u64, 0..60_u64],
        vcpu in 0..3_usize,
        control in prop::bool::weighted(0.8),
        offset in prop::sample::select(&OFFSETS[..]),
        write in prop::bool::weighted(0.6),
        value in prop_oneof![4 => 0..20_u32, 1 => any::<u32>()],
    ) -> Step {
        let frame = if control { Frame::Control } else { Frame::Refresh };
        Step { ticks, vcpu, frame, offset, write: write.then_some(value) }
    }
}

/// Counters that have just begun, that have run, and whose halves are about to change.
fn beginning() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..u64::MAX / 2, Just((1 << 32) - 30), Just(u64::MAX - 3000)]
}

fn word(watchdog: &mut Watchdog, frame: Frame, offset: u64, now: u64) -> u64 {
    watchdog.access(0, frame, offset, 4, None, now)
}

fn put(watchdog: &mut Watchdog, frame: Frame, offset: u64, value: u64, now: u64) {
    watchdog.access(0, frame, offset, 4, Some(value), now);
}

/// Enabled at tick 1000 with an offset of 100.
fn running() -> Watchdog {
    let mut watchdog = Watchdog::new();
    put(&mut watchdog, Frame::Control, 0x8, 100, 1000);
    put(&mut watchdog, Frame::Control, 0x0, 1, 1000);
    watchdog
}

#[test]
fn a_refresh_is_a_word_at_its_register() {
    assert!(Frame::Refresh.is_refreshed_by(0, 4));
    assert!(!Frame::Refresh.is_refreshed_by(4, 4) && !Frame::Refresh.is_refreshed_by(0, 8));
    assert!(!Frame::Control.is_refreshed_by(0, 4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 2000 }))]

    /// A call now and then, or whenever one is due, is as good as one at each tick.
    #[test]
    fn as_the_specification_says(base in beginning(), steps in prop::collection::vec(step(), 1..50), prompt: bool) {
        let mut oracle = Oracle { system_counter: base, ..Oracle::default() };
        let mut watchdog = Watchdog::new();
        watchdog.advance(base);
        for Step { ticks, vcpu, frame, offset, write } in steps {
            for _ in 0..ticks {
                let before = (oracle.ws0, oracle.ws1);
                oracle.tick();
                let now = oracle.system_counter;
                let due = (0..3).filter_map(|vcpu| watchdog.deadline(vcpu)).any(|deadline| deadline <= now);
                if prompt && due {
                    watchdog.advance(now);
                }
                if prompt {
                    prop_assert_eq!((watchdog.line(), watchdog.has_expired()), (oracle.ws0, oracle.ws1));
                    prop_assert_eq!(due, before != (oracle.ws0, oracle.ws1), "nobody is called for nothing");
                }
            }
            let now = oracle.system_counter;
            let value = watchdog.access(vcpu, frame, offset, 4, write.map(u64::from), now);
            match write {
                Some(value) => oracle.write(frame, offset, value),
                None => prop_assert_eq!(value, oracle.read(frame, offset), "{:?} {:#x}", frame, offset),
            }
            prop_assert_eq!((watchdog.line(), watchdog.has_expired()), (oracle.ws0, oracle.ws1));
        }
    }

    /// Whatever a guest does, at whatever offset and width: no panic, at most one core is to call, and what it can read is no more
    /// than it could write.
    #[test]
    fn wild_accesses(
        accesses in prop::collection::vec((0..5_usize, any::<bool>(), any::<u16>(), 0..10_u8, any::<Option<u64>>(), any::<u64>()), 1..60),
    ) {
        let mut watchdog = Watchdog::new();
        for (vcpu, control, offset, width, write, now) in accesses {
            let frame = if control { Frame::Control } else { Frame::Refresh };
            let offset = if offset & 1 == 0 { u64::from(offset) & 0xfff } else { OFFSETS[offset as usize % OFFSETS.len()] };
            let value = watchdog.access(vcpu, frame, offset, width, write, now);
            prop_assert!(watchdog.offset <= OFFSET);
            prop_assert!(width == 8 || value >> 32 == 0, "as wide as it was asked for");
            let callers: Vec<_> = (0..5).filter_map(|vcpu| watchdog.deadline(vcpu)).collect();
            prop_assert!(callers.len() <= 1 && callers.iter().all(|deadline| *deadline > watchdog.seen));
            prop_assert!(!watchdog.has_expired() || watchdog.line());
        }
    }
}

#[test]
fn it_is_off_after_reset() {
    let mut watchdog = Watchdog::new();
    watchdog.advance(u64::MAX);
    assert!(!watchdog.line() && !watchdog.has_expired());
    assert_eq!(watchdog.deadline(0), None);
    assert_eq!(word(&mut watchdog, Frame::Control, 0x0, 5), 0);
}

#[test]
fn two_stages() {
    let mut watchdog = running();
    assert_eq!(watchdog.deadline(0), Some(1101));
    watchdog.advance(1100);
    assert!(!watchdog.line());
    watchdog.advance(1101);
    assert!(watchdog.line() && !watchdog.has_expired());
    assert_eq!(watchdog.deadline(0), Some(1202));
    assert_eq!(word(&mut watchdog, Frame::Control, 0x0, 1150), 3);
    watchdog.advance(1202);
    assert!(watchdog.has_expired());
    // Since when, and nothing more to come.
    assert_eq!(word(&mut watchdog, Frame::Control, 0x10, 5000), 1201);
    assert_eq!(watchdog.deadline(0), None);
}

#[test]
fn a_refresh_at_the_last_moment() {
    let mut watchdog = running();
    put(&mut watchdog, Frame::Refresh, 0, 0, 1201);
    assert!(!watchdog.line() && !watchdog.has_expired());
    assert_eq!(watchdog.deadline(0), Some(1302));
    put(&mut watchdog, Frame::Control, 0x0, 0, 1302);
    assert_eq!((watchdog.line(), watchdog.deadline(0)), (false, None));
}

#[test]
fn who_stored_last_drives() {
    let mut watchdog = running();
    watchdog.access(3, Frame::Refresh, 0, 4, Some(0), 1010);
    assert_eq!((watchdog.deadline(0), watchdog.deadline(3)), (None, Some(1111)));
    // A load, or a store that is none, changes nothing.
    watchdog.access(1, Frame::Control, 0, 4, None, 1020);
    watchdog.access(1, Frame::Control, 4, 4, Some(1), 1020);
    watchdog.access(1, Frame::Refresh, 0, 2, Some(1), 1020);
    assert_eq!(watchdog.deadline(3), Some(1111));
    watchdog.access(2, Frame::Control, 0x10, 8, Some(9999), 1020);
    assert_eq!((watchdog.deadline(3), watchdog.deadline(2)), (None, Some(10_000)));
}

#[test]
fn both_halves_at_once() {
    let mut watchdog = Watchdog::new();
    let offset = 0x1234_5678_9abc_def0;
    watchdog.access(0, Frame::Control, 0x8, 8, Some(offset), 7);
    assert_eq!(watchdog.access(0, Frame::Control, 0x8, 8, None, 7), 0x5678_9abc_def0, "48 bits");
    assert_eq!(watchdog.access(0, Frame::Control, 0x10, 8, None, 7), 0x5678_9abc_def7);
    watchdog.access(0, Frame::Control, 0x10, 8, Some(u64::MAX), 7);
    assert_eq!(word(&mut watchdog, Frame::Control, 0x14, 7), 0xffff_ffff);
    // Registers that do not belong together, and other widths.
    for (at, width) in [(0x0, 8), (0xfc8, 8), (0xc, 8), (0x8, 2), (0x9, 1), (0x8, 1), (0xa, 4), (0x8, 16)] {
        watchdog.access(0, Frame::Control, at, width, Some(!0), 7);
        assert_eq!(watchdog.access(0, Frame::Control, at, width, None, 7), 0, "{at:#x} {width}");
    }
    assert_eq!(watchdog.access(0, Frame::Control, 0x8, 8, None, 7), 0x5678_9abc_def0);
}

/// A compare value of the past takes effect after it was written, and leaves a whole second stage.
#[test]
fn a_compare_value_of_the_past() {
    let mut watchdog = running();
    watchdog.access(0, Frame::Control, 0x10, 8, Some(0), 1050);
    assert_eq!(watchdog.deadline(0), Some(1051));
    watchdog.advance(1060);
    assert!(watchdog.line() && !watchdog.has_expired());
    assert_eq!(watchdog.deadline(0), Some(1152));
}

#[test]
fn one_of_the_far_future_never_comes() {
    let mut watchdog = running();
    watchdog.access(0, Frame::Control, 0x10, 8, Some(u64::MAX), 1050);
    assert_eq!(watchdog.deadline(0), None);
    watchdog.advance(u64::MAX);
    assert!(!watchdog.line());
}

/// Counters of two cores may be read in another order than their calls come.
#[test]
fn time_does_not_go_back() {
    let mut watchdog = running();
    put(&mut watchdog, Frame::Refresh, 0, 0, 1050);
    put(&mut watchdog, Frame::Refresh, 0, 0, 1049);
    assert_eq!(watchdog.deadline(0), Some(1151));
}

#[test]
fn what_it_is() {
    let mut watchdog = Watchdog::new();
    for frame in [Frame::Control, Frame::Refresh] {
        assert_eq!(word(&mut watchdog, frame, 0xfcc, 0), 0x1_0000, "architecture revision 1");
    }
}
