//! The linked image, instruction by instruction: no exit of a guest can make EL2 panic, allocate, call through a pointer,
//! or come to the end of its stack; and what a guest trained cannot steer it.

use partita_tests::exits::{self, ENDS, FORBIDDEN, TABLES, slots};
use partita_tests::reach::Image;
use partita_tests::{build_image, system_tests};

const ONE_IMAGE: &str = "one image for all boards";

/// What an exit may have on its stack, of 16 KiB (src/layout.rs): the guard page is there for what is not known to be.
const MOST_STACK: u64 = 0x2000;

system_tests! {
    fn no_exit_panics_or_allocates(_on) [virt_gicv3: run, virt_gicv2: ONE_IMAGE, raspi4b: ONE_IMAGE] {
        let image = Image::new(&build_image());
        let reached = exits::reached(&image);
        for ((finding, place), way) in &reached.findings {
            println!("{finding:?} {place}\n    {}", way.join(" -> "));
        }
        assert!(reached.findings.is_empty(), "{} findings", reached.findings.len());
        println!("{} functions, {} instructions", reached.functions.len(), reached.instructions);
        let (deepest, way) = &reached.stack;
        println!("at most {deepest} bytes of stack: {}", way.join(" -> "));
        assert!(*deepest <= MOST_STACK, "{deepest} bytes of stack");
        // It looked at what it is about; an end that nothing comes to is none;
        let entries = ["trap_sync", "trap_irq", "trap_serror", "trap_aarch32", "core_idle", "el2_fault"];
        for name in entries.into_iter().chain(ENDS.map(|(name, _)| name)) {
            let found = reached.functions.iter().any(|function| function.starts_with(name));
            assert!(found, "{name} is not reached");
        }
        // and it finds what is there: the boot may panic and allocates.
        let boot = image.reach(&[image.symbol("boot_main")], &[], FORBIDDEN);
        for kind in ["panicking", "GlobalAlloc"] {
            assert!(boot.findings.keys().any(|(_, place)| place.contains(kind)), "boot_main reaches {kind}");
        }
    }

    /// From an exit to its answer without Rust there is no indirect branch; with a guard, none to the end of the guard.
    fn nothing_steers_an_exit(_on) [virt_gicv3: run, virt_gicv2: ONE_IMAGE, raspi4b: ONE_IMAGE] {
        let image = Image::new(&build_image());
        for (table, guarded) in TABLES {
            // The lower level's slots: the others are faults of EL2's own.
            for (number, slot) in slots(image.symbol(table)).enumerate().skip(8) {
                let paths = image.paths(slot);
                let what = format!("{table}, slot {number}: {paths:x?}");
                assert!(paths.others.is_empty(), "an indirect branch: {what}");
                assert_eq!(paths.guards.is_empty(), !guarded, "a guard: {what}");
                // All of Rust is behind the guard where there is one, and called straight where there is none.
                assert_eq!(paths.calls.is_empty(), guarded, "calls: {what}");
                // Calls, interrupts and aborts have an answer without Rust; no interrupt comes from a direct guest.
                let slow = number > if table.contains("direct") { 8 } else { 10 };
                assert_eq!(paths.returns.is_empty(), slow, "a return: {what}");
            }
        }
    }

    fn a_barrier_is_behind_each_return(_on) [virt_gicv3: run, virt_gicv2: ONE_IMAGE, raspi4b: ONE_IMAGE] {
        let (all, bare) = Image::new(&build_image()).returns();
        assert!(all.len() > 10, "{} returns", all.len());
        assert!(bare.is_empty(), "no barrier behind the ERET at {bare:x?}");
    }

    /// The number of a virtual CPU, which a guest makes up, names nothing beyond the table where its bounds check is predicted
    /// wrongly.
    fn a_number_of_the_guests_is_clamped(_on) [virt_gicv3: run, virt_gicv2: ONE_IMAGE, raspi4b: ONE_IMAGE] {
        let image = Image::new(&build_image());
        for path in ["sgi_to_another", "sgir_to_another", "direct_value", "direct_sgir"] {
            for path in [path.to_owned(), format!("{path}_guarded")] {
                assert!(image.clamps(image.symbol(&path)), "{path} has no clamp");
            }
        }
    }

    fn no_sequence_of_erratum_843419(_on) [virt_gicv3: run, virt_gicv2: ONE_IMAGE, raspi4b: ONE_IMAGE] {
        let found = Image::new(&build_image()).adrp_at_page_ends();
        assert!(found.is_empty(), "docs/errata.md, Cortex-A53: {found:x?}");
    }
}
