//! `make soak`: ten million timer interrupts and a million SGIs, on each interrupt controller and each interrupt path, on one
//! core and on two. Prints what was counted; the exit status is not 0 if one was lost or came twice. Other numbers may be
//! given: timer interrupts, then SGIs.

use std::process::ExitCode;
use std::time::Instant;

use partita_tests::soak::{Amount, PATHS, soak};
use partita_tests::{On, Target};

/// A machine that is not through by then is at a stand, in seconds.
const LIMIT: u64 = 6 * 60 * 60;

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> =
        std::env::args().skip(1).map(|word| word.replace('_', "").parse().ok()).collect();
    let amount = match numbers.as_deref() {
        Some([]) => Amount { timers: 10_000_000, sgis: 1_000_000 },
        Some([timers, sgis]) if timers % 2 == 0 && sgis % 4 == 0 => Amount { timers: *timers, sgis: *sgis },
        _ => {
            eprintln!("usage: soak [TIMERS SGIS], an even number and one that four divides");
            return ExitCode::from(2);
        }
    };
    for target in [Target::VirtGicv3, Target::VirtGicv2] {
        for path in PATHS {
            for cores in [1, 2] {
                let begin = Instant::now();
                let counted = soak(On::outside_tests(target), path, cores, amount, LIMIT);
                println!("{}, {}: {counted} ({} s)", target.name(), path.0, begin.elapsed().as_secs());
            }
        }
    }
    ExitCode::SUCCESS
}
