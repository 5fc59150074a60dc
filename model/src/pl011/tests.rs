use super::*;
use proptest::prelude::*;

const ROOM: usize = 1000;

fn id(uart: &mut Pl011, base: u64) -> u64 {
    (0..4).map(|n| uart.read(base + 4 * n, 4, ROOM) << (8 * n)).sum()
}

#[test]
fn linux_recognises_it() {
    let mut uart = Pl011::new();
    assert_eq!(id(&mut uart, 0xfe0), 0x0034_1011);
    assert_eq!(id(&mut uart, 0xff0), 0xb105_f00d);
    assert_eq!(uart.read(0x18, 4, ROOM), 0x90);
    assert_eq!((uart.read(0x30, 4, ROOM), uart.read(0x34, 4, ROOM)), (0x300, 0x12));
}

#[test]
fn early_prints_need_no_setup() {
    let mut uart = Pl011::new();
    assert_eq!(uart.write(0, 1, 0x141, ROOM), Some(0x41));
    assert_eq!(uart.write(0, 4, 0x42, ROOM), Some(0x42));
    assert_eq!(uart.write(1, 1, 0x42, ROOM), None);
    assert!(!uart.line());
}

#[test]
fn registers_keep_their_bits() {
    let mut uart = Pl011::new();
    for (offset, mask) in [
        (0x20, 0xff),
        (0x24, 0xffff),
        (0x28, 0x3f),
        (0x2c, 0xff),
        (0x30, 0xff87),
        (0x34, 0x3f),
        (0x38, 0x7ff),
        (0x48, 7),
    ] {
        assert_eq!(uart.write(offset, 4, u64::MAX, ROOM), None);
        assert_eq!(uart.read(offset, 4, ROOM), mask, "{offset:#x}");
    }
    for offset in [0x04, 0x18, 0x3c, 0x40, 0xfe0, 0x80, 0xf00] {
        let before = uart.clone();
        assert_eq!(uart.write(offset, 4, u64::MAX, ROOM), None);
        assert_eq!(uart, before, "{offset:#x}");
    }
    assert_eq!(
        (uart.read(0x30, 1, ROOM), uart.read(0x31, 1, ROOM), uart.read(0x30, 2, ROOM)),
        (0x87, 0xff, 0xff87)
    );
}

#[test]
fn a_full_ring_is_a_full_fifo() {
    let mut uart = Pl011::new();
    uart.write(0x38, 4, u64::from(TX), ROOM);
    assert_eq!(uart.read(0x18, 4, 0) as u32 & (TXFF | TXFE), TXFF);
    assert_eq!(uart.read(0x18, 4, 1) as u32 & (TXFF | TXFE), 0);
    assert_eq!(uart.write(0, 1, 0x41, 0), None);
    // The byte that fills the ring holds the interrupt back until the ring drains.
    assert_eq!(uart.write(0, 1, 0x41, 1), Some(0x41));
    assert!(!uart.line());
    uart.drained(FIFO - 1);
    assert!(!uart.line());
    uart.drained(FIFO);
    assert!(uart.line());
    uart.write(0x44, 4, u64::from(TX), ROOM);
    assert!(!uart.line());
    assert_eq!(uart.write(0, 1, 0x41, ROOM), Some(0x41));
    assert!(uart.line());
    assert_eq!(uart.read(0x40, 4, ROOM), u64::from(TX));
}

#[test]
fn input_raises_its_interrupts() {
    let mut uart = Pl011::new();
    uart.write(0x2c, 4, u64::from(FEN), ROOM);
    uart.write(0x38, 4, u64::from(RX), ROOM);
    for n in 0..15 {
        assert!(uart.receive(n));
        assert!(!uart.line());
    }
    assert!(uart.receive(15));
    assert!(uart.line());
    uart.write(0x38, 4, u64::from(RT), ROOM);
    uart.write(0x44, 4, 0x7ff, ROOM);
    assert!(uart.line());
    for n in 0..16 {
        assert!(uart.line());
        assert_eq!(uart.read(0, 4, ROOM), n);
    }
    assert!(!uart.line());
    assert_eq!(uart.read(0x18, 4, ROOM) as u32 & RXFE, RXFE);
    assert_eq!(uart.read(0, 4, ROOM), 0);
}

#[test]
fn a_narrow_store_clears_the_rest_of_the_register() {
    // The bus has no byte strobes (DDI 0183, APB): the lanes that are not driven are written as zero.
    let mut uart = Pl011::new();
    assert_eq!(uart.write(0x24, 4, 0x1234, ROOM), None);
    assert_eq!(uart.write(0x24, 1, 0xab_cdef, ROOM), None);
    assert_eq!(uart.read(0x24, 4, ROOM), 0xef);
    assert_eq!(uart.write(0x24, 2, 0xab_cdef, ROOM), None);
    assert_eq!(uart.read(0x24, 4, ROOM), 0xcdef);
}

#[test]
fn raw_status_shows_what_the_mask_hides() {
    let mut uart = Pl011::new();
    assert_eq!(uart.write(0, 1, 0x41, ROOM), Some(0x41));
    assert!(uart.receive(7));
    assert_eq!(uart.read(0x3c, 4, ROOM) as u32, TX | RX | RT);
    assert_eq!((uart.read(0x40, 4, ROOM), uart.line()), (0, false));
    uart.write(0x38, 4, u64::from(RT), ROOM);
    assert_eq!((uart.read(0x40, 4, ROOM) as u32, uart.line()), (RT, true));
    // Clearing one interrupt leaves the others.
    uart.write(0x44, 4, u64::from(RX), ROOM);
    assert_eq!(uart.read(0x3c, 4, ROOM) as u32 & TX, TX);
    uart.write(0x44, 4, u64::from(TX), ROOM);
    assert_eq!(uart.read(0x3c, 4, ROOM) as u32 & TX, 0);
}

#[test]
fn the_receive_level_is_the_guests_choice() {
    // UARTIFLS.RXIFLSEL: 1/8, 1/4, 1/2, 3/4, 7/8 of 32 bytes (DDI 0183, 3.3.9).
    for (select, level) in [(0, 4), (1, 8), (2, 16), (3, 24), (4, 28)] {
        let mut uart = Pl011::new();
        uart.write(0x2c, 4, u64::from(FEN), ROOM);
        uart.write(0x34, 4, select << 3, ROOM);
        uart.write(0x38, 4, u64::from(RX), ROOM);
        for n in 1..=FIFO {
            assert!(uart.can_receive() && uart.receive(0));
            assert_eq!(uart.line(), n >= level, "{n} bytes of {level}");
        }
        assert!(!uart.can_receive() && !uart.receive(0));
        assert_eq!(uart.read(0x18, 4, ROOM) as u32 & (RXFF | RXFE), RXFF);
    }
}

#[test]
fn without_fifos_one_byte_is_full() {
    let mut uart = Pl011::new();
    uart.write(0x38, 4, u64::from(RX), ROOM);
    assert!(uart.receive(1));
    assert!(uart.line());
    assert_eq!(uart.read(0x18, 4, ROOM) as u32 & (RXFF | RXFE), RXFF);
}

proptest! {
    /// Whatever a guest does, input comes out in order, each byte once, and nothing panics.
    #[test]
    fn input_keeps_its_order(
        steps in proptest::collection::vec((0u8..4, 0u64..0x1100, 0u8..9, any::<u64>(), 0usize..40), 0..200)
    ) {
        let mut uart = Pl011::new();
        let (mut given, mut taken) = (0u8, 0u8);
        for (kind, offset, width, value, room) in steps {
            match kind {
                0 => given = given.wrapping_add(u8::from(uart.receive(given))),
                1 => {
                    let waiting = given != taken;
                    let value = uart.read(0, 4, room);
                    if waiting {
                        prop_assert_eq!(value, u64::from(taken));
                        taken = taken.wrapping_add(1);
                    }
                }
                2 if offset & !3 != 0 => { let _ = uart.read(offset, width, room); }
                _ => {
                    let sent = uart.write(offset, width, value, room);
                    prop_assert_eq!(sent.is_some(), offset == 0 && room > 0);
                }
            }
            prop_assert_eq!(uart.can_receive(), given.wrapping_sub(taken) < 32);
            uart.drained(room);
            let _ = uart.line();
        }
    }
}
