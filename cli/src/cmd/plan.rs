//! `partita plan`: a good plan as a table, as JSON or as a drawing.

use super::{print, write};
use crate::args::PlanCommand;
use crate::drawing;
use crate::failure::Outcome;
use crate::machine::Options;
use crate::report;
use crate::session::Session;
use crate::ui::Ui;

/// Shows a plan.
pub fn plan(args: &PlanCommand, ui: Ui) -> Outcome<()> {
    let session = Session::open(&args.plan, &Options::default(), None, ui)?;
    if let Some(path) = &args.svg {
        write(path, drawing::svg(&session).as_bytes())?;
    }
    if args.json {
        return print(format!("{:#}\n", report::json(&session)).as_bytes());
    }
    report::notes(&session, ui);
    if args.svg.is_none() { print(report::text(&session).as_bytes()) } else { Ok(()) }
}
