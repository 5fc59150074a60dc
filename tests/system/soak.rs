//! The soak, shortly: `make soak` does it at length.

use partita_tests::soak::{Amount, PATHS, soak};
use partita_tests::{On, system_tests};

const SHORT: Amount = Amount { timers: 20_000, sgis: 5000 };
const THE_SAME: &str = "the interrupt controller of virt_gicv2, on cores that take longer";

fn each_comes_once(on: On, cores: u64) {
    for path in PATHS {
        println!("{}: {}", path.0, soak(on, path, cores, SHORT, 240));
    }
}

system_tests! {
    fn one_core(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: THE_SAME] {
        each_comes_once(on, 1);
    }

    fn two_cores(on) [virt_gicv3: run, virt_gicv2: run, raspi4b: THE_SAME] {
        each_comes_once(on, 2);
    }
}
