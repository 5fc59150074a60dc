//! Where memory is placed: alignment, pins, reservations, tight boards, and the words when it does not go.

use partita_model::addr::{Ipa, IpaSpan, Pa, PaSpan};
use partita_model::plan::place::{MemoryRequest, Placement, memory};
use partita_model::plan::{Movable, Reserved};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn ram(base: u64, size: u64) -> PaSpan {
    PaSpan::new(Pa(base), size).unwrap()
}

fn reserved(base: u64, size: u64, what: &str) -> Reserved {
    Reserved::fixed(ram(base, size), what)
}

fn request(node: &str, ipa: u64, size: u64, pin: Option<u64>) -> MemoryRequest {
    let property = if pin.is_some() { "host-base" } else { "reg" };
    let ipa = IpaSpan::new(Ipa(ipa), size).unwrap();
    MemoryRequest { node: format!("/partitions/{node}"), property, ipa, pin: pin.map(Pa) }
}

fn place(ram: &[PaSpan], reserved: &[Reserved], requests: &[MemoryRequest]) -> Result<Vec<u64>, String> {
    memory(ram, reserved, requests)
        .map(|all| all.memory.iter().map(|pa| pa.0).collect())
        .map_err(|e| e.to_string())
}

#[test]
fn blocks_agree_where_they_can() {
    // 1 GiB of QEMU: the hypervisor at its start, the bundle in the middle.
    let taken =
        [reserved(GIB, 0x12_3456, "the hypervisor"), reserved(GIB + 128 * MIB, 40 * MIB, "the bundle")];
    let requests = [request("a", GIB, 256 * MIB, None), request("b", GIB, 4 * MIB, None)];
    // Each in the smallest hole that takes it: on the first 32 MiB boundary there what holds sixteen blocks of 2 MiB, on the first of
    // 2 MiB what does not.
    assert_eq!(place(&[ram(GIB, GIB)], &taken, &requests), Ok(vec![GIB + 192 * MIB, GIB + 168 * MIB]));
    // 1 GiB blocks when the range holds one, and congruent whatever the guest's base.
    let board = [ram(0, 8 * GIB)];
    let low = [reserved(0, MIB, "x")];
    assert_eq!(place(&board, &low, &[request("a", GIB, GIB, None)]), Ok(vec![GIB]));
    assert_eq!(place(&board, &low, &[request("a", GIB - MIB, 2 * GIB, None)]), Ok(vec![GIB - MIB]));
    assert_eq!(place(&board, &low, &[request("a", MIB, 4 * MIB, None)]), Ok(vec![MIB]));
    assert_eq!(place(&board, &low, &[request("a", 0x5000, 0x3000, None)]), Ok(vec![MIB]));
    // Sixteen pages, likewise.
    let odd = [reserved(0, MIB + 0x1000, "x")];
    assert_eq!(place(&board, &odd, &[request("a", 0, 0x10000, None)]), Ok(vec![MIB + 0x10000]));
    assert_eq!(place(&board, &odd, &[request("a", 0, 0xf000, None)]), Ok(vec![MIB + 0x1000]));
}

#[test]
fn tight_boards_get_smaller_blocks() {
    // With 1 GiB alignment the second would find no room.
    let board = [ram(GIB / 2, 3 * GIB)];
    let two = [request("a", 0, GIB, None), request("b", 0, 2 * GIB, None)];
    assert_eq!(place(&board, &[], &two), Ok(vec![GIB / 2 + 2 * GIB, GIB / 2]));
    // Not even 2 MiB alignment here.
    let board = [ram(GIB + 0x1000, 4 * MIB)];
    assert_eq!(place(&board, &[], &[request("a", 0, 4 * MIB, None)]), Ok(vec![GIB + 0x1000]));
    // Parts of pages are no RAM, unless two of them make one.
    let board = [ram(GIB + 1, 4 * MIB), ram(GIB + 4 * MIB + 1, 0xfff)];
    assert_eq!(place(&board, &[], &[request("a", 0, 4 * MIB, None)]), Ok(vec![GIB + 0x1000]));
}

#[test]
fn pins_come_first() {
    let board = [ram(GIB, GIB)];
    let requests = [request("a", 0, 512 * MIB, None), request("b", 0, 256 * MIB, Some(GIB))];
    assert_eq!(place(&board, &[], &requests), Ok(vec![GIB + 256 * MIB, GIB]));
}

#[test]
fn refusals() {
    let board = [ram(GIB, GIB), ram(4 * GIB, GIB)];
    let one = |r: MemoryRequest| place(&board, &[reserved(GIB, MIB, "the hypervisor")], &[r]).unwrap_err();
    assert_eq!(
        one(request("a", 0, 2 * GIB, None)),
        "/partitions/a: reg: there is no room for 2 GiB: the board has 2 GiB of RAM, and no piece that is still free \
         is that large; ask for less, here or in another partition"
    );
    assert_eq!(
        one(request("a", 0, MIB, Some(2 * GIB))),
        "/partitions/a: host-base: 0x80000000-0x800fffff is not all RAM of this board; use addresses within \
         0x40000000-0x7fffffff and 0x100000000-0x13fffffff"
    );
    assert_eq!(
        one(request("a", 0, 2 * MIB, Some(GIB))),
        "/partitions/a: host-base: 0x40000000-0x401fffff overlaps the hypervisor at 0x40000000-0x400fffff; use other \
         addresses"
    );
    assert_eq!(
        one(request("a", 0, 0x1000, Some(GIB + 0x800))),
        "/partitions/a: host-base: 0x40000800 is not a multiple of 0x1000; use an address that is"
    );
    let two = [request("a", 0, 4 * MIB, Some(GIB)), request("b", 0, 4 * MIB, Some(GIB + 3 * MIB))];
    assert_eq!(
        place(&board, &[], &two).unwrap_err(),
        "/partitions/b: host-base: 0x40300000-0x406fffff overlaps /partitions/a at 0x40000000-0x403fffff; use other \
         addresses"
    );
    assert!(place(&[], &[], &[request("a", 0, 0x1000, None)]).unwrap_err().contains("has nothing of RAM"));
}

fn requests() -> impl Strategy<Value = Vec<MemoryRequest>> {
    let one =
        (0_u64..0x1000, 1_u64..0x300, prop_oneof![Just(12), Just(20), Just(21)], any::<u8>(), 0_u64..0x4000);
    proptest::collection::vec(one, 0..6).prop_map(|list| {
        let one = |(index, (base, size, shift, pin, at)): (usize, (u64, u64, u32, u8, u64))| {
            let pin = (pin < 30).then_some(GIB + (at << 18));
            request(&index.to_string(), base << shift, size << shift, pin)
        };
        list.into_iter().enumerate().map(one).collect()
    })
}

proptest! {
    #[test]
    fn placed_in_ram_and_apart(requests in requests(), holes in proptest::collection::vec((0_u64..0x10_0000, 1_u64..0x100_0000), 0..4)) {
        let board = [ram(GIB, 2 * GIB), ram(3 * GIB, GIB / 2), ram(8 * GIB, 3 * GIB)];
        let taken: Vec<_> = holes.iter().map(|&(at, size)| reserved(GIB + at * 0x1001, size, "x")).collect();
        // The last bank, where nothing is taken or pinned, holds this much whatever the order.
        let plenty = requests.iter().map(|request| request.ipa.size).sum::<u64>() <= 2 * GIB;
        match memory(&board, &taken, &requests) {
            Ok(Placement { memory: placed, moves }) => {
                prop_assert!(moves.is_empty());
                prop_assert_eq!(placed.len(), requests.len());
                let spans: Vec<_> = placed.iter().zip(&requests).map(|(pa, r)| ram(pa.0, r.ipa.size)).collect();
                for (index, (span, request)) in spans.iter().zip(&requests).enumerate() {
                    prop_assert!(span.is_aligned(0x1000));
                    // The first two entries of RAM touch: one piece.
                    let in_ram = ram(GIB, 5 * GIB / 2).contains_span(span) || board[2].contains_span(span);
                    prop_assert!(in_ram && request.pin.is_none_or(|pin| pin == span.base));
                    prop_assert!(!taken.iter().any(|t| t.span.overlaps(span)));
                    prop_assert!(!spans[..index].iter().any(|other| other.overlaps(span)));
                    // With RAM in plenty, 2 MiB blocks always work out.
                    let agrees = (span.base.0 ^ request.ipa.base.0) & (2 * MIB - 1) == 0;
                    prop_assert!(agrees || !plenty || request.pin.is_some() || request.ipa.size < 4 * MIB);
                }
                prop_assert_eq!(memory(&board, &taken, &requests).unwrap().memory, placed);
            }
            // With RAM in plenty, only pins can fail.
            Err(error) => {
                prop_assert!(!plenty || error.property.as_deref() == Some("host-base"), "{}", error);
            }
        }
    }

    #[test]
    fn any_numbers_are_answered(spans in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..4),
                                wanted in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<Option<u64>>()), 0..4)) {
        let board: Vec<_> = spans.iter().map(|&(base, size)| PaSpan { base: Pa(base), size }).collect();
        let kinds = [None, Some(Movable::Bundle), Some(Movable::Hypervisor), None];
        let taken: Vec<_> = spans.iter().rev().zip(kinds).map(|(&(base, size), movable)| Reserved {
            span: PaSpan { base: Pa(size), size: base }, what: String::new(), movable, heap: 0,
        }).collect();
        let requests: Vec<_> = wanted.iter().map(|&(base, size, pin)| MemoryRequest {
            node: String::new(), property: "reg", ipa: IpaSpan { base: Ipa(base), size }, pin: pin.map(Pa),
        }).collect();
        let _ = memory(&board, &taken, &requests).map_err(|error| error.to_string());
        let _ = memory(&board, &[], &requests).map_err(|error| error.to_string());
    }
}
