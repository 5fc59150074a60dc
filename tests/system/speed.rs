//! What Partita costs, against tests/system/budgets: lines of a row, where (a GIC's version, with `+guard` on a core that is
//! guarded on the way to Rust, with `+boot` from reset on; `image`), and the most that it may be. A figure that falls is worth
//! a lower budget.

use partita_tests::speed::{self, Figures, PATHS, Path};
use partita_tests::xen::Xen;
use partita_tests::{On, Target, root, system_tests};

fn gic(on: On) -> &'static str {
    if on.target() == Target::VirtGicv2 { "2" } else { "3" }
}

/// Where a path's budgets are: those of the first one go without its name.
fn place(on: On, path: Path, more: &str) -> String {
    let name = if path == PATHS[0] { String::new() } else { format!("+{}", path.name) };
    format!("{}{name}{more}", gic(on))
}

fn within_budget(place: &str, figures: &Figures) {
    let budgets =
        std::fs::read_to_string(root().join("tests/system/budgets")).expect("the budgets are there");
    let mut compared = 0;
    let mut wrong = Vec::new();
    for line in budgets.lines().filter(|line| !line.starts_with('#')) {
        let [row, where_, most] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("tests/system/budgets: {line}: not ROW WHERE MOST");
        };
        if where_ != place {
            continue;
        }
        let most: u64 = most.parse().unwrap_or_else(|_| panic!("tests/system/budgets: {line}: no number"));
        match figures.get(row) {
            Some(figure) if *figure <= most => compared += 1,
            figure => wrong.push(format!("{row}: {figure:?}, budget {most}")),
        }
    }
    assert!(wrong.is_empty(), "{place}: {wrong:#?}");
    let rows = figures.keys().filter(|row| *row != "nothing").count();
    assert_eq!(compared, rows, "{place}: every row but `nothing` has a budget: {figures:#?}");
}

const ONE_IMAGE: &str = "one image for all boards";

/// What a turn at the distributor's lock may cost: the holder's instructions, while those who wait ask again and again.
const TURN: u64 = 100;

/// Cores of another partition that do nothing but take the distributor's lock cost a core the turns of those that came before
/// it, mostly: QEMU lets a core stand still in the middle of its turn when the computer has no core for it.
fn turns_are_short(on: On) {
    let [calm, hammered] = speed::turns(on);
    println!("least, middle, 99 %, worst: calm {calm:?}, hammered {hammered:?}");
    for (row, [least, middle, ..]) in calm {
        assert!(middle <= least + 10, "{row} varies with nobody else at it: {least} to {middle}");
        let [_, waited, ..] = hammered[row];
        assert!(
            waited <= middle + 3 * TURN,
            "{row}: {waited} instructions while hammered, {middle} in the calm"
        );
    }
}

system_tests! {
    fn turns_at_the_distributor(on)
        [virt_gicv3: run, virt_gicv2: run, raspi4b: "the figures are the core's and the GIC's, not the board's"]
    {
        turns_are_short(on);
    }

    fn exits(on)
        [virt_gicv3: run, virt_gicv2: run, raspi4b: "the figures are the core's and the GIC's, not the board's"]
    {
        for path in PATHS {
            within_budget(&place(on, *path, ""), &speed::partition(on, *path));
        }
    }

    /// Fast exits cost the same, and those that come to Rust as much more as the guard has instructions.
    fn exits_with_guard(on)
        [virt_gicv3: run, virt_gicv2: run, raspi4b: "the figures are the core's and the GIC's, not the board's"]
    {
        for path in PATHS {
            let (figures, guard) = speed::guarded(on, *path);
            within_budget(&place(on, *path, "+guard"), &figures);
            // Eight branches of three instructions, and seven around them (macros.S).
            assert_eq!(guard, 7 + 3 * 8, "{figures:#?}");
        }
    }

    fn reset_to_entry(on)
        [virt_gicv3: run, virt_gicv2: run, raspi4b: "the figures are the core's and the GIC's, not the board's"]
    {
        for path in PATHS {
            within_budget(&place(on, *path, "+boot"), &speed::boot(on, *path));
        }
    }

    /// From the command to the next life's first instruction, by steps.
    fn restart(on)
        [virt_gicv3: run, virt_gicv2: run, raspi4b: "the figures are the core's and the GIC's, not the board's"]
    {
        within_budget(&format!("{}+restart", gic(on)), &speed::restart(on));
    }

    /// The peer's column has what a partition's has. Without its package there is none.
    fn exits_in_xen(on)
        [virt_gicv3: run, virt_gicv2: run, raspi4b: "the figures are the core's and the GIC's, not the board's"]
    {
        match Xen::fetch() {
            Ok(xen) => {
                let figures = speed::exits_in_xen(on, &xen).unwrap_or_else(|why| panic!("{why}"));
                // A call leaves the guest, so it costs more than natively.
                assert!(figures["psci-version-hvc"] > 10 && figures["timer-latency"] > 10, "{figures:#?}");
                assert!(figures["sgi-other-receiver"] > 10, "{figures:#?}");
            }
            Err(why) => println!("without Xen: {why}"),
        }
    }

    fn size(on) [virt_gicv3: run, virt_gicv2: ONE_IMAGE, raspi4b: ONE_IMAGE] {
        within_budget("image", &speed::image(on));
    }
}
