//! Whatever a guest writes, the fake bus has nothing to object to: no function decodes outside the partition's window,
//! none of another's is touched, no message-signalled interrupt or translation request is enabled.

use proptest::prelude::*;

use super::fake::{Bus, Space, WINDOW, WINDOW_64};
use crate::pci::Address;

const OWN: [Address; 3] = [Address::of(0, 1, 0), Address::of(0, 2, 0), Address::of(0, 2, 1)];
const FOREIGN: [Address; 2] = [Address::of(0, 3, 0), Address::of(0, 1, 1)];

fn bus() -> Bus {
    let card = || {
        Space::new(0x1234, 0x11e8)
            .memory(0, 0x10_0000, false)
            .io(1)
            .memory(2, 0x4000, true)
            .memory(4, 0x1_0000_0000, true)
            .pin(1)
            .power()
            .msi()
            .express(true)
            .msi_x()
            .vendor(&[0; 13])
            .extended()
    };
    let mut bus = Bus::default();
    OWN.into_iter().chain(FOREIGN).for_each(|address| bus.add(address, card()));
    bus.add(
        OWN[1],
        Space::new(1, 2).memory(0, 0x1000, false).memory(1, 0x100, false).pin(2).msi().extended(),
    );
    bus.add(OWN[2], Space::new(0, 0).virtio(3));
    crate::pci::quiet(0, 0xff, &mut bus);
    bus
}

/// Registers that matter, and any.
fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => prop_oneof![Just(4_u64), (0x10_u64..0x28).prop_map(|at| at & !3), 0x40_u64..0xc0],
        1 => 0_u64..0x1000,
    ]
}

/// Values that mean something, and any.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => (0_u64..0x800).prop_map(|command| command),
        4 => (0_u64..4).prop_map(|n| WINDOW.base.0 + n * 0x8_0000),
        2 => (0_u64..4).prop_map(|n| WINDOW_64.base.0 + n * 0x2000_0000),
        2 => Just(WINDOW_64.base.0 >> 32),
        1 => Just(0xffff_ffff_u64),
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 256 }, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leads_out(
        steps in proptest::collection::vec((0..8_usize, register(), 0..4_u32, value(), 0..6_u8), 1..200)
    ) {
        let mut bus = bus();
        let mut host = bus.host(&OWN);
        let foreign: Vec<_> = FOREIGN.iter().map(|address| bus.functions[address].bytes.clone()).collect();
        for (which, register, width, value, kind) in steps {
            let all = OWN.iter().chain(&FOREIGN);
            let offset = match all.copied().nth(which) {
                Some(address) => address.offset(0).unwrap() + register,
                None => value,
            };
            match kind {
                0 => host.reset(&mut bus),
                1 => { host.access(offset, 1 << width, None, &mut bus); }
                _ => { host.access(offset, 1 << width, Some(value), &mut bus); }
            }
        }
        // The bus checks after each write; here is what it cannot see.
        for (address, before) in FOREIGN.iter().zip(&foreign) {
            prop_assert_eq!(&bus.functions[address].bytes, before);
        }
    }
}

/// The strategy above reaches the states that matter: otherwise the property would hold of nothing.
#[test]
fn random_guests_do_turn_functions_on() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut on, mut bus) = (0, bus());
    let mut host = bus.host(&OWN);
    for _ in 0..5_000 {
        let (register, value) = (register(), value()).new_tree(&mut runner).unwrap().current();
        host.access(OWN[1].offset(0).unwrap() + register, 4, Some(value), &mut bus);
        on += usize::from(bus.command(OWN[1]) & 2 != 0);
    }
    assert!(on > 50, "decoding after {on} of 5000 writes");
}
