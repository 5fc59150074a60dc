//! Guards, each taken away once from a test build of the hypervisor: something misses it. What misses which is the table in
//! tests/src/attack/removals.rs.

use partita_tests::attack::{REMOVALS, Removal, Trial, control, run};
use partita_tests::{A72_ONLY, On, system_tests};

/// Every guard whose removal is looked at on this target with these cores: the first of its places.
fn here<'a>(on: On, cpu: &'a str) -> impl Iterator<Item = &'static Removal> + 'a {
    REMOVALS.iter().filter(move |removal| removal.places.first() == Some(&(on.target(), cpu)))
}

/// One part of them in two, so that two machines are at work.
fn missed(on: On, cpu: &str, part: usize) {
    let mut unseen = Vec::new();
    for removal in here(on, cpu).skip(part).step_by(2) {
        let Trial { caught, log } = run(on, cpu, removal);
        let name = removal.guard.name();
        match caught {
            Some(what) => println!("{name}: {what}"),
            None => unseen.push(format!("{name}: nothing misses it\n{log}")),
        }
    }
    assert!(unseen.is_empty(), "{} guards:\n{}", unseen.len(), unseen.join("\n"));
}

/// With all guards in place the same build passes the same rows.
fn nothing_missed(on: On, cpu: &str) {
    let (wrong, log) = control(on, cpu, &here(on, cpu).collect::<Vec<_>>());
    assert!(wrong.is_empty(), "{wrong:#?}\n{log}");
}

/// `make attack` looks everywhere.
const ELSEWHERE: &str = "each guard once, where it is most at home; everywhere with make attack";

system_tests! {
    fn in_place_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: ELSEWHERE] {
        nothing_missed(on, "cortex-a72");
    }

    fn in_place_on_max(on) [virt_gicv3: run, virt_gicv2: ELSEWHERE, raspi4b: A72_ONLY] {
        nothing_missed(on, "max");
    }

    fn missed_on_cortex_a72(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: ELSEWHERE] {
        missed(on, "cortex-a72", 0);
    }

    fn missed_on_cortex_a72_too(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: ELSEWHERE] {
        missed(on, "cortex-a72", 1);
    }

    fn missed_on_max(on) [virt_gicv3: run, virt_gicv2: ELSEWHERE, raspi4b: A72_ONLY] {
        missed(on, "max", 0);
        missed(on, "max", 1);
    }
}
