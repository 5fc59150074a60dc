//! Prints where each system test ran, from what the tests left in the folder that is the only argument. Prints nothing
//! where none ran.

use std::path::Path;

fn main() {
    let folder = std::env::args_os().nth(1).expect("usage: table FOLDER");
    if let Some(table) = partita_tests::show(Path::new(&folder)) {
        print!("{table}");
    }
}
