//! What a machine has printed so far, and waiting for more of it.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    text: String,
    closed: bool,
}

/// A growing text that a thread reads from a process.
#[derive(Clone, Default)]
pub struct Console(Arc<(Mutex<State>, Condvar)>);

impl Console {
    /// Goes on reading `from` until it ends.
    pub(crate) fn read(&self, mut from: impl Read + Send + 'static) {
        let console = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A pseudo-terminal ends with an error when its other side is closed.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                console.state().text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                console.0.1.notify_all();
            }
            console.state().closed = true;
            console.0.1.notify_all();
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that has been printed.
    pub fn text(&self) -> String {
        self.state().text.clone()
    }

    /// Waits until `found` likes the text, or until `deadline`, or until there will be no more.
    pub(crate) fn wait(&self, deadline: Instant, found: impl Fn(&str) -> bool) -> bool {
        let mut state = self.state();
        loop {
            if found(&state.text) {
                return true;
            }
            let now = Instant::now();
            if state.closed || now >= deadline {
                return false;
            }
            let step = (deadline - now).min(Duration::from_secs(1));
            state = self.0.1.wait_timeout(state, step).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until there will be no more.
    pub(crate) fn wait_closed(&self, deadline: Instant) -> bool {
        let mut state = self.state();
        while !state.closed {
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            state = self.0.1.wait_timeout(state, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// The lines of one partition, or with `partita` the hypervisor's own, without what marks them. An unfinished line that
/// another's came into is shown again, longer, by the next one of the same partition: it counts once.
pub fn lines_of<'a>(log: &'a str, who: &str) -> Vec<&'a str> {
    let mark = if who == "partita" { "partita: ".to_owned() } else { format!("[{who}] ") };
    let all: Vec<&str> =
        log.lines().map(|line| line.trim_end_matches('\r').trim_end_matches("\x1b[m")).collect();
    let own = |line: &'a str| line.strip_prefix(mark.as_str());
    let mut lines = Vec::new();
    for (index, line) in all.iter().enumerate() {
        let Some(text) = own(line) else { continue };
        let mut rest = all[index + 1..].iter();
        let cut = rest.next().is_some_and(|next| own(next).is_none())
            && rest
                .find_map(|line| own(line))
                .is_some_and(|again| again.len() > text.len() && again.starts_with(text));
        if !cut {
            lines.push(text);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_shown_again_counts_once() {
        let log = "[a] x\r\n[a] x\r\n[a] mem=22\x1b[m\r\n[b] 1\r\n\r\n[b] 10\r\n[a] mem=228 MiB\r\n[b] 2\r\npartita: y\r\n[b] 2\r\n[a] z";
        assert_eq!(lines_of(log, "a"), ["x", "x", "mem=228 MiB", "z"]);
        assert_eq!(lines_of(log, "partita"), ["y"]);
        // It takes what is the start of the next one for the same line, also where it was not.
        assert_eq!(lines_of(log, "b"), ["10", "2", "2"]);
    }
}
