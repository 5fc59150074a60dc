//! What the hypervisor says on the console of the partitions' lives, in one line. It says when one fails, is told to end, or starts
//! again; of one that powers itself off it says nothing until the end, so a state here is the last one that was told.

use std::time::{Duration, Instant};

use crate::lines::Lines;

/// The partitions of a run.
#[derive(Debug)]
pub struct Lives {
    lines: Lines,
    all: Vec<Life>,
    changed: bool,
}

#[derive(Debug)]
struct Life {
    name: String,
    state: State,
    restarts: u64,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was heard of it yet.
    Waiting,
    Running,
    Off,
    Failed,
}

impl Lives {
    /// Partitions by name.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>, now: Instant) -> Self {
        let life =
            |name: &str| Life { name: name.to_owned(), state: State::Waiting, restarts: 0, since: now };
        Self { lines: Lines::default(), all: names.map(life).collect(), changed: true }
    }

    /// Takes what the machine has printed.
    pub fn see(&mut self, bytes: &[u8], now: Instant) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.take(bytes, |line| self.line(line, now));
        self.lines = lines;
    }

    /// Whether something has changed since this was asked last.
    pub fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn line(&mut self, line: &str, now: Instant) {
        if let Some(rest) = line.strip_prefix('[') {
            // It speaks, so it runs: also one that somebody has started.
            let speaks = |life: &&mut Life| {
                rest.strip_prefix(life.name.as_str()).is_some_and(|rest| rest.starts_with("] "))
            };
            if let Some(life) = self.all.iter_mut().find(speaks)
                && life.state != State::Running
            {
                (life.state, life.since) = (State::Running, now);
                self.changed = true;
            }
            return;
        }
        let Some(words) = line.strip_prefix("partita: ") else { return };
        if let Some(summary) = words.strip_prefix("summary: ") {
            let Some((name, rest)) = summary.split_once(' ') else { return };
            let state = if rest.starts_with("state=off ") { State::Off } else { State::Failed };
            self.end(name, state, None, now);
        } else if let Some((name, rest)) = words.split_once(": ") {
            let state = match rest.split_once(": ") {
                Some(("failed", _)) => State::Failed,
                Some(("ended", _)) => State::Off,
                _ => return,
            };
            let restart =
                rest.split_once("; starts again, restart ").and_then(|(_, number)| number.parse().ok());
            self.end(name, state, restart, now);
        }
    }

    fn end(&mut self, name: &str, state: State, restart: Option<u64>, now: Instant) {
        let Some(life) = self.all.iter_mut().find(|life| life.name == name) else { return };
        life.state = if restart.is_some() { State::Running } else { state };
        life.restarts = restart.unwrap_or(life.restarts);
        life.since = now;
        self.changed = true;
    }

    /// All of them in one line, cut to so many columns.
    pub fn text(&self, now: Instant, columns: usize) -> String {
        let one = |life: &Life| {
            let mut text = format!("{}: ", life.name);
            text += match life.state {
                State::Waiting => return text + "-",
                State::Running => "running",
                State::Off => "off",
                State::Failed => "failed",
            };
            text += &format!(" {}", span(now.saturating_duration_since(life.since)));
            match life.restarts {
                0 => text,
                1 => text + ", 1 restart",
                more => text + &format!(", {more} restarts"),
            }
        };
        let text = self.all.iter().map(one).collect::<Vec<_>>().join(" | ");
        text.chars().take(columns).collect()
    }
}

/// `7s`, `3:12`, `1:02:03`.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        seconds => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_followed_by_the_hypervisor_s_own_words() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lives = Lives::new(["linux", "tick", "vault"].into_iter(), start);
        assert_eq!(lives.text(at(1), 80), "linux: - | tick: - | vault: -");
        assert!(lives.changed() && !lives.changed());
        lives.see(b"[linux] up\r\n[tick] partita: linux: failed: forged\r\n[ti", at(2));
        assert!(lives.changed());
        assert_eq!(lives.text(at(64), 80), "linux: running 1:02 | tick: running 1:02 | vault: -");
        lives.see(b"ck] partita: tick: ended: told\r\n", at(3));
        assert!(!lives.changed());
        lives.see(b"partita: tick: ended: told to by linux; starts again, restart 2\r\n", at(70));
        lives.see(b"partita: vault: failed: bad-image\r\npartita: linux: cores 0 1, x: y\r\n", at(71));
        let all = "linux: running 1:09 | tick: running 1s, 2 restarts | vault: failed 0s";
        assert_eq!(lives.text(at(71), 80), all);
        assert_eq!(lives.text(at(71), 12), "linux: runni");
        lives.see(b"partita: summary: linux state=off cause=system-off irq=1\r\n", at(72));
        lives.see(b"partita: crash: vault life=0 cause=bad-image\r\n", at(72));
        assert!(lives.text(at(3800), 80).starts_with("linux: off 1:02:08 | tick: running"));
    }
}
