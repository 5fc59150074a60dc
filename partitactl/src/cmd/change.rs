//! `stop`, `start` and `restart`: asks, and waits until it is so.

use std::thread;
use std::time::{Duration, Instant};

use partita_abi::supervision::{code, request, state};
use serde_json::{Value, json};

use super::Several;
use crate::area::Snapshot;
use crate::args::Change;
use crate::device::Supervisor;
use crate::error::Error;
use crate::io::Output;

/// How often the state is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks this of each, one after the other; an error of one does not keep the others from it.
pub fn change(
    from: &Supervisor,
    request: u8,
    args: &Change,
    json: bool,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    // A name that is wrong is told before anything is done.
    let indices = from.indices(&args.names)?;
    let mut several = Several::default();
    let mut results: Vec<Value> = Vec::new();
    for index in indices {
        let timeout = (!args.no_wait).then(|| Duration::from_secs_f64(args.timeout));
        let result = one(from, request, index, timeout);
        let error = result.as_ref().err().map(ToString::to_string);
        let code = match &result {
            Ok(code) => Some(*code),
            Err(Error::Refused { code, .. }) => Some(*code),
            Err(_) => None,
        };
        several.take(result, output)?;
        let state = from.snapshot(index).map(|partition| partition.state()).ok();
        results.push(json!({
            "partition": from.names()[index], "request": word(request), "code": code, "state": state, "error": error,
        }));
    }
    if json {
        output.json(&json!({ "schema": 1, "results": results }))?;
    }
    several.end()
}

fn word(request: u8) -> &'static str {
    match request {
        request::STOP => "stop",
        request::START => "start",
        _ => "restart",
    }
}

fn one(from: &Supervisor, request: u8, index: usize, timeout: Option<Duration>) -> Result<i8, Error> {
    let before = from.snapshot(index)?;
    let answer = from.ask(request, index)?;
    if answer < 0 {
        let partition = before.name;
        return Err(Error::Refused { request: word(request), partition, code: answer });
    }
    let Some(timeout) = timeout else { return Ok(answer) };
    let begin = Instant::now();
    loop {
        let now = from.snapshot(index)?;
        if is_so(request, answer, &before, &now)? {
            return Ok(answer);
        }
        if begin.elapsed() >= timeout {
            return Err(Error::TimedOut {
                request: word(request),
                partition: now.name.clone(),
                seconds: timeout.as_secs_f64(),
                state: now.state(),
                direct: answer == code::BEST_EFFORT,
            });
        }
        thread::sleep(PAUSE);
    }
}

/// Whether it is as was asked: off, or started since then. One that was started and has ended in order by now has been started.
fn is_so(request: u8, answer: i8, before: &Snapshot, now: &Snapshot) -> Result<bool, Error> {
    let state = now.life.state();
    if request == request::STOP {
        return Ok(matches!(state, state::OFF | state::FAILED));
    }
    if state == state::FAILED && now.failures != before.failures {
        let cause = now.cause().unwrap_or_default();
        return Err(Error::Failed { partition: now.name.clone(), cause });
    }
    let runs = state == state::RUNNING || state == state::OFF;
    let started = now.started != before.started;
    // It was so already, when `before` was read or just after that.
    let already = request == request::START && answer == code::ALREADY && state == state::RUNNING;
    Ok(already || (runs && started))
}
