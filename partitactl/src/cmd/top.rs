//! `top`: what happens per second, again and again.

use std::time::Duration;

use serde_json::json;

use super::Several;
use crate::area::Snapshot;
use crate::args::Top;
use crate::device::Supervisor;
use crate::error::Error;
use crate::io::Output;
use crate::show::{Look, View};
use crate::terminal::Keys;

/// To the first column of the first line; what is behind a line; what is below (ECMA-48, CUP, EL and ED).
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_BELOW: &str = "\x1b[J";
/// The whole screen, once.
const CLEAR: &str = "\x1b[2J";

pub fn top(from: &Supervisor, args: &Top, json: bool, output: &mut Output<'_>) -> Result<(), Error> {
    let live = output.terminal && !json;
    let keys = live.then(Keys::take);
    let delay = Duration::from_secs_f64(args.delay);
    let mut before = look(from, output)?;
    let mut left = args.iterations;
    if live {
        output.print(CLEAR)?;
    }
    while left != Some(0) {
        match &keys {
            Some(keys) if keys.wait(delay) => break,
            Some(_) => {}
            None => std::thread::sleep(delay),
        }
        let now = look(from, output)?;
        let view = View::now(from);
        if json {
            let rates = view.rates(&before, &now);
            output.print(&format!("{}\n", json!({ "schema": 1, "partitions": rates })))?;
        } else {
            let text = view.top(&before, &now, output);
            let text = if live {
                format!("{HOME}{}{CLEAR_BELOW}", text.replace('\n', CLEAR_LINE))
            } else {
                format!("{text}\n")
            };
            output.print(&text)?;
        }
        before = now;
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// All partitions now; one whose area cannot be believed is told, and left out.
fn look(from: &Supervisor, output: &mut Output<'_>) -> Result<Look, Error> {
    let mut several = Several::default();
    let mut all: Vec<Snapshot> = Vec::new();
    for index in 0..from.names().len() {
        all.extend(several.take(from.snapshot(index), output)?);
    }
    Ok(Look { at: from.device.now(), partitions: all })
}
