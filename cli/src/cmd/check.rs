//! `partita check`: the plan, or what is wrong with it.

use super::print;
use crate::args::CheckCommand;
use crate::failure::Outcome;
use crate::machine::Options;
use crate::report;
use crate::session::Session;
use crate::ui::Ui;

/// Prints a good plan; a bad one is the error.
pub fn check(args: &CheckCommand, ui: Ui) -> Outcome<()> {
    let session = Session::open(&args.plan, &Options::default(), None, ui)?;
    if args.json {
        return print(format!("{:#}\n", report::json(&session)).as_bytes());
    }
    report::notes(&session, ui);
    if ui.quiet() { Ok(()) } else { print(report::text(&session).as_bytes()) }
}
