//! `make lives`: a partition that ends and comes back a thousand times, in every way, on each interrupt controller, and a
//! hundred times on the Pi. Prints what its neighbour had of it; the exit status is not 0 if anything was not as it must be.
//! Another number may be given: lives on each.

use std::process::ExitCode;
use std::time::Instant;

use partita_tests::On;
use partita_tests::lives::{SOAK, lives};

/// A machine that is not through by then is at a stand, in seconds.
const LIMIT: u64 = 2 * 60 * 60;

fn main() -> ExitCode {
    let number = match std::env::args().nth(1).map(|word| word.parse()) {
        None => None,
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => {
            eprintln!("usage: lives [NUMBER]");
            return ExitCode::from(2);
        }
    };
    for (target, count) in SOAK {
        let begin = Instant::now();
        let lives = lives(On::outside_tests(target), number.unwrap_or(count), &[], LIMIT);
        println!(
            "{}: {} restarts after {} ways to end; EL2 in a tick of the neighbour's, worst and middle: {} and {} in the calm, \
             {} and {} from then on ({} s)",
            target.name(),
            lives.restarts,
            lives.ways,
            lives.calm.worst,
            lives.calm.middle,
            lives.during.worst,
            lives.during.middle,
            begin.elapsed().as_secs()
        );
    }
    ExitCode::SUCCESS
}
