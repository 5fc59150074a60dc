//! What the hypervisor does not keep of its heap: a partition's where there is no other room, and only then.

mod common;

use common::{Images, compile_text, invariants, virt};
use partita_model::addr::{Pa, PaSpan};
use partita_model::plan::place::PlaceError;
use partita_model::plan::{ErrorKind, Inputs, Movable, Plan, Planned, Reserved, own};

const MIB: u64 = 1 << 20;
const RAM: u64 = 0x4000_0000;

/// The hypervisor as it is loaded: 1 MiB and its heap.
fn hypervisor() -> PaSpan {
    PaSpan::new(Pa(RAM + 2 * MIB), MIB + own::HEAP).unwrap()
}

/// One partition with pieces of memory of so many MiB, each where it is pinned to, if it is, on so many MiB of RAM.
fn plan(pieces: &[(u64, Option<u64>)], ram: u64) -> Result<Planned<'static>, ErrorKind> {
    let nodes: String = (pieces.iter().enumerate())
        .map(|(number, (size, pin))| {
            let base = RAM + number as u64 * 0x1000_0000;
            let pin = pin.map_or(String::new(), |pin| format!("host-base = <0 {:#x}>;", RAM + pin * MIB));
            format!(
                "memory@{base:x} {{ device_type = \"memory\"; reg = <0 {base:#x} 0 {:#x}>; {pin} }};\n",
                size * MIB
            )
        })
        .collect();
    let overlay = compile_text(&format!(
        "/dts-v1/;\n/plugin/;\n&{{/}} {{ partitions {{ compatible = \"partita,partitions\";\n\
         one {{ compatible = \"partita,partition\"; #address-cells = <2>; #size-cells = <2>; cpus = <0>;\n\
         kernel = \"flat.bin\"; {nodes} }}; }}; }};"
    ));
    let piece = |at, size| PaSpan::new(Pa(RAM + at * MIB), size).unwrap();
    let occupied = [
        Reserved::hypervisor(hypervisor()),
        Reserved::movable(piece(16, 0x3000), Movable::Bundle),
        Reserved::movable(piece(18, MIB), Movable::Tree),
    ];
    let ram = [piece(0, ram * MIB)];
    let inputs =
        Inputs { tree: virt(), overlay: Some(&overlay), files: &Images, ram: &ram, occupied: &occupied };
    Plan::new(&inputs).map(Planned::into_owned).map_err(|error| error.kind)
}

fn own(plan: &Plan) -> PaSpan {
    let own = plan.board.reserved.iter().find(|entry| entry.movable == Some(Movable::Hypervisor));
    own.expect("the hypervisor is somewhere").span
}

fn is_lent(plan: &Plan) -> bool {
    plan.partitions[0].memory.iter().any(|memory| memory.physical().overlaps(&hypervisor()))
}

fn no_room(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Place(why) if matches!(**why, PlaceError::NoRoom { .. }))
}

#[test]
fn it_is_the_last_that_is_given() {
    let Planned { plan, .. } = plan(&[(11, None)], 32).expect("there is room");
    invariants(&plan);
    assert!(!is_lent(&plan));
    // What is kept is counted all the same.
    let own = own(&plan);
    assert_eq!(own.base, hypervisor().base);
    assert!(own.size > MIB && own.size < 2 * MIB, "{own}");
}

#[test]
fn without_it_there_would_be_no_room() {
    let Planned { plan: found, .. } = plan(&[(11, None), (12, None)], 32).expect("there is room");
    invariants(&found);
    assert!(is_lent(&found) && found.moves.is_empty());
    assert!(found.partitions[0].memory.iter().all(|memory| !memory.physical().overlaps(&own(&found))));
    assert!(no_room(&plan(&[(11, None), (14, None)], 32).expect_err("there is no room for that")));
}

#[test]
fn nothing_is_lent_of_what_moves() {
    // Pinned memory meets the heap: all of the hypervisor goes, and its heap with it.
    let Planned { plan: found, .. } = plan(&[(2, Some(4))], 32).expect("there is room elsewhere");
    invariants(&found);
    let step = found.moves.iter().find(|step| step.what == Movable::Hypervisor).expect("it moves");
    assert_eq!((step.from, step.to.size), (hypervisor(), hypervisor().size));
    assert_eq!(own(&found).base, step.to.base);
    assert!(own(&found).size < 2 * MIB);
    // Where what is kept is met, all has to move, and there is no room for that.
    assert!(no_room(
        &plan(&[(2, Some(2)), (11, None), (8, None)], 32).expect_err("there is no room for that")
    ));
}

#[test]
fn more_cores_keep_more() {
    let kept = |plan: &Plan| own(plan).size - MIB;
    let Planned { plan: one, .. } = plan(&[(8, None)], 64).unwrap();
    let Planned { plan: two, .. } = plan(&[(8, None), (2, Some(40))], 64).unwrap();
    assert!(kept(&one) >= (own::CORE_PAGES + own::VCPU_PAGES + own::PARTITION_PAGES) << 12);
    assert!(kept(&two) >= kept(&one), "another piece of memory takes no fewer tables");
}
