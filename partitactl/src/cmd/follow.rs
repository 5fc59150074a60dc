//! `log`: what a partition said, and what it says.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::args::LogCommand;
use crate::device::Supervisor;
use crate::error::Error;
use crate::io::Output;
use crate::log::{self, Follower};

/// How often the log is looked at: at 115200 baud a console does not fill what is kept in it in that time.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines to begin with.
const BEGIN: usize = 10;

pub fn log(from: &Supervisor, args: &LogCommand, json: bool, output: &mut Output<'_>) -> Result<(), Error> {
    let index = from.index(&args.name)?;
    let wrong = |error| from.wrong(index, error);
    let partition = from.snapshot(index)?;
    let mut follower = Follower::default();
    let news = follower.look(from.area(index)).map_err(wrong)?;
    // The last line may be unfinished: it goes on with what comes.
    let finished = news.bytes.last().is_none_or(|byte| *byte == b'\n');
    let mut lines = log::lines(&news, partition.output);
    let wanted = args.lines.unwrap_or(if args.follow { BEGIN } else { usize::MAX });
    lines.drain(..lines.len().saturating_sub(wanted));
    if json {
        let value = json!({ "schema": 1, "partition": args.name, "lines": lines, "missed": 0 });
        if args.follow {
            output.print(&format!("{value}\n"))?
        } else {
            output.json(&value)?
        };
    } else {
        let mut text = lines.join("\n");
        if !lines.is_empty() && (finished || !args.follow) {
            text.push('\n');
        }
        output.print(&text)?;
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        thread::sleep(PAUSE);
        let news = follower.look(from.area(index)).map_err(wrong)?;
        if news.bytes.is_empty() {
            continue;
        }
        let text = log::text(&news.bytes);
        if json {
            let value = json!({ "schema": 1, "partition": args.name, "text": text, "missed": news.missed });
            output.print(&format!("{value}\n"))?;
            continue;
        }
        if news.missed > 0 {
            output.note(&format!("{} bytes came too fast and are missing here", news.missed));
        }
        output.print(&text)?;
    }
}
