//! What makes room for pinned memory: where it goes, that it can be copied there without a thought, and that everything
//! else is placed around its new home.

mod common;

use common::{Images, compile, invariants, plans_dir, virt};
use partita_model::addr::{Ipa, IpaSpan, Pa, PaSpan};
use partita_model::dt;
use partita_model::plan::place::{MemoryRequest, Placement, memory};
use partita_model::plan::{Board, Inputs, Movable, Move, Plan, Reserved};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn ram(base: u64, size: u64) -> PaSpan {
    PaSpan::new(Pa(base), size).unwrap()
}

fn request(node: &str, ipa: u64, size: u64, pin: Option<u64>) -> MemoryRequest {
    let property = if pin.is_some() { "host-base" } else { "reg" };
    let ipa = IpaSpan::new(Ipa(ipa), size).unwrap();
    MemoryRequest { node: format!("/partitions/{node}"), property, ipa, pin: pin.map(Pa) }
}

/// As QEMU's boot loader lays them out in RAM from 1 GiB on.
fn loaded() -> [Reserved; 3] {
    [
        Reserved::movable(ram(GIB + 2 * MIB, 0x12_3456), Movable::Hypervisor),
        Reserved::movable(ram(GIB + 128 * MIB, 40 * MIB), Movable::Bundle),
        Reserved::movable(ram(GIB + 168 * MIB, MIB), Movable::Tree),
    ]
}

#[test]
fn only_what_pinned_memory_meets_is_moved() {
    let board = [ram(GIB, GIB)];
    let place = |requests: &[MemoryRequest]| memory(&board, &loaded(), requests).unwrap();
    // Nothing is moved for memory that could lie anywhere.
    let placed = place(&[request("a", GIB, 512 * MIB, None)]);
    assert_eq!(placed, Placement { memory: vec![Pa(GIB + 192 * MIB)], moves: vec![] });
    let placed = place(&[request("a", GIB, 256 * MIB, None), request("b", GIB, 16 * MIB, Some(GIB))]);
    let hypervisor = Move {
        what: Movable::Hypervisor,
        from: ram(GIB + 2 * MIB, 0x12_4000),
        to: ram(2 * GIB - 2 * MIB, 0x12_4000),
    };
    // The other memory lies between the places of the bundle, which stays, and of the hypervisor, which goes.
    assert_eq!(placed, Placement { memory: vec![Pa(GIB + 192 * MIB), Pa(GIB)], moves: vec![hypervisor] });
}

#[test]
fn all_of_them_go_to_the_top() {
    let requests = [request("a", GIB, 192 * MIB, Some(GIB)), request("b", 0, 784 * MIB, None)];
    let placed = memory(&[ram(GIB, GIB)], &loaded(), &requests).unwrap();
    let to: Vec<_> = placed.moves.iter().map(|step| (step.what, step.to.base.0)).collect();
    let top = 2 * GIB;
    // The largest is the first to choose.
    let expected = [
        (Movable::Hypervisor, top - 42 * MIB),
        (Movable::Bundle, top - 40 * MIB),
        (Movable::Tree, top - 44 * MIB),
    ];
    assert_eq!(to, expected);
    assert_eq!(placed.memory, [Pa(GIB), Pa(GIB + 192 * MIB)]);
}

#[test]
fn what_stays_for_good_is_in_the_way_as_before() {
    let mut reserved = loaded().to_vec();
    reserved.push(Reserved::fixed(ram(2 * GIB - MIB, 0x1000), "/reserved-memory/top"));
    let requests = [request("a", GIB, 16 * MIB, Some(GIB))];
    let placed = memory(&[ram(GIB, GIB)], &reserved, &requests).unwrap();
    assert_eq!(placed.moves[0].to.base, Pa(2 * GIB - 4 * MIB));
    let over = [request("a", 0, MIB, Some(2 * GIB - MIB))];
    let error = memory(&[ram(GIB, GIB)], &reserved, &over).unwrap_err().to_string();
    assert!(error.contains("overlaps /reserved-memory/top"), "{error}");
}

/// What is left behind is memory like any other, also the part that the pinned memory did not take.
#[test]
fn what_was_left_behind_is_free() {
    let reserved = [Reserved::movable(ram(GIB + 2 * MIB, 0x12_3456), Movable::Hypervisor)];
    let requests = [request("a", 0, 3 * MIB, Some(GIB)), request("b", 0, 3 * MIB, None)];
    let placed = memory(&[ram(GIB, 8 * MIB)], &reserved, &requests).unwrap();
    assert_eq!(placed.moves[0].to, ram(GIB + 6 * MIB, 0x12_4000));
    assert_eq!(placed.memory, [Pa(GIB), Pa(GIB + 3 * MIB)]);
}

/// Of two things of a kind the one that is not moved stays where it is, for everybody.
#[test]
fn one_of_two_of_a_kind_moves() {
    let reserved = [0, 4].map(|at| Reserved::movable(ram(GIB + at * MIB, MIB), Movable::Bundle));
    let with = |size| {
        let requests = [request("a", 0, 2 * MIB, Some(GIB)), request("b", 0, size, None)];
        memory(&[ram(GIB, 8 * MIB)], &reserved, &requests)
    };
    let placed = with(2 * MIB).unwrap();
    let moves: Vec<_> = placed.moves.iter().map(|step| (step.from.base, step.to.base)).collect();
    assert_eq!((moves, placed.memory[1]), (vec![(Pa(GIB), Pa(GIB + 6 * MIB))], Pa(GIB + 2 * MIB)));
    let error = with(3 * MIB).unwrap_err().to_string();
    assert!(error.contains("there is no room for 3 MiB"), "{error}");
}

#[test]
fn no_room_for_a_new_home_has_words_without_figures_of_its_size() {
    // All RAM but a hole that lies in the bundle: nothing can go there, as the bundle does not go elsewhere first.
    let requests = [request("a", 0, 128 * MIB, Some(GIB)), request("b", 0, 856 * MIB, Some(GIB + 168 * MIB))];
    let error = memory(&[ram(GIB, GIB)], &loaded(), &requests).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/partitions/a: host-base: 0x40000000-0x47ffffff takes the place of the hypervisor, and no other RAM has room \
         for that; use other addresses, or ask for less, here or in another partition"
    );
}

#[test]
#[cfg_attr(miri, ignore = "starts dtc")]
fn a_plan_pinned_over_everything_is_good() {
    let overlay = compile(&plans_dir().join("good/one-to-one.dtso"));
    let inputs =
        Inputs { tree: virt(), overlay: Some(&overlay), files: &Images, ram: &[], occupied: &loaded() };
    let plan = Plan::new(&inputs).unwrap().plan;
    invariants(&plan);
    let moved: Vec<_> = plan.moves.iter().map(|step| step.what).collect();
    assert_eq!(moved, [Movable::Hypervisor, Movable::Bundle, Movable::Tree]);
    let own = &plan.partitions[0].memory[0];
    assert_eq!((own.ipa.base.0, own.pa), (GIB, Pa(GIB)));
    // The board's reservations are where things will be, in order.
    let mut homes: Vec<_> = plan.moves.iter().map(|step| step.to).collect();
    homes.sort_unstable();
    assert_eq!(plan.board.reserved.iter().map(|entry| entry.span).collect::<Vec<_>>(), homes);
}

#[test]
#[cfg_attr(miri, ignore = "starts dtc")]
fn a_boot_loader_s_reservation_of_what_it_loaded_moves_along() {
    let mut tree = dt::parse(virt()).unwrap();
    let [hypervisor, bundle, _] = loaded();
    tree.reservations = vec![(bundle.span.base.0, 0x1234), (GIB, 0x1000)];
    let board = Board::new(&tree, &[], &[hypervisor, bundle]).unwrap();
    let found: Vec<_> = board.reserved.iter().map(|entry| (entry.span.base.0, entry.movable)).collect();
    let expected =
        [(GIB, None), (GIB + 2 * MIB, Some(Movable::Hypervisor)), (GIB + 128 * MIB, Some(Movable::Bundle))];
    assert_eq!(found, expected);
}

fn requests() -> impl Strategy<Value = Vec<MemoryRequest>> {
    let one = (1_u64..0x40, prop_oneof![Just(12), Just(20), Just(21)], any::<bool>(), 0_u64..0x400);
    proptest::collection::vec(one, 0..5).prop_map(|list| {
        let one = |(index, (size, shift, pin, at)): (usize, (u64, u32, bool, u64))| {
            request(&index.to_string(), GIB, size << shift, pin.then_some(GIB + (at << 18)))
        };
        list.into_iter().enumerate().map(one).collect()
    })
}

/// The hypervisor, the bundle and the tree somewhere in RAM.
fn somewhere() -> impl Strategy<Value = Vec<Reserved>> {
    let kinds = [Movable::Hypervisor, Movable::Bundle, Movable::Tree];
    let place = (0_u64..0x10_0000, 1_u64..0x300_0000);
    proptest::collection::vec(place, 3).prop_map(move |places| {
        let one =
            |((at, size), what): ((u64, u64), Movable)| Reserved::movable(ram(GIB + at * 0x101, size), what);
        places.into_iter().zip(kinds).map(one).collect()
    })
}

proptest! {
    #[test]
    fn moves_can_be_done_and_leave_room(
        requests in requests(), loaded in somewhere(),
        holes in proptest::collection::vec((0_u64..0x8_0000, 1_u64..0x10_0000), 0..3),
    ) {
        let board = [ram(GIB, GIB), ram(4 * GIB, GIB / 2)];
        let fixed: Vec<_> =
            holes.iter().map(|&(at, size)| Reserved::fixed(ram(GIB + at * 0x1001, size), "x")).collect();
        let all: Vec<_> = loaded.iter().chain(&fixed).cloned().collect();
        let pins: Vec<_> =
            requests.iter().filter_map(|r| Some(ram(r.pin?.0, r.ipa.size))).collect();
        let Ok(Placement { memory: placed, moves }) = memory(&board, &all, &requests) else { return Ok(()) };
        let memory: Vec<_> = placed.iter().zip(&requests).map(|(pa, r)| ram(pa.0, r.ipa.size)).collect();
        for thing in &loaded {
            let step = moves.iter().find(|step| Some(step.what) == thing.movable);
            // It moves if, and only if, pinned memory meets it.
            prop_assert_eq!(step.is_some(), pins.iter().any(|pin| pin.overlaps(&thing.span)));
            let home = step.map_or(thing.span, |step| step.to);
            prop_assert!(!memory.iter().any(|span| span.overlaps(&home)), "memory in {}", home);
        }
        for (place, step) in moves.iter().enumerate() {
            prop_assert_eq!(step.to.size, step.from.size);
            prop_assert!(step.to.base.0.is_multiple_of(2 * MIB));
            prop_assert!(board.iter().any(|bank| bank.contains_span(&step.to)));
            prop_assert!(!all.iter().any(|other| other.span.overlaps(&step.to)), "{} is taken", step.to);
            prop_assert!(!moves[..place].iter().any(|other| other.to.overlaps(&step.to)));
        }
        // What is not moved might as well be there for good.
        if moves.is_empty() {
            let firm: Vec<_> = all.iter().map(|entry| Reserved { movable: None, ..entry.clone() }).collect();
            let again = partita_model::plan::place::memory(&board, &firm, &requests).unwrap();
            prop_assert_eq!(again.memory, placed);
        }
    }
}
