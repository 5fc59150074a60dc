//! The terminal of `top`: keys at once, and as it was before in the end.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

/// Standard input without lines and echo, until this goes.
pub struct Keys {
    before: Option<Termios>,
}

impl Keys {
    /// Takes the keyboard, if there is one.
    pub fn take() -> Self {
        let before = isatty(io::stdin()).then(|| tcgetattr(io::stdin()).ok()).flatten();
        if let Some(before) = &before {
            let mut now = before.clone();
            // Ctrl-C comes as a key, or it would leave the terminal as it is now.
            now.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            // Without this keys are shown, and Enter is needed.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &now);
        }
        Self { before }
    }

    /// Waits so long, or until a key says that it is enough: q, Ctrl-C, or Ctrl-D.
    pub fn wait(&self, time: Duration) -> bool {
        if self.before.is_none() {
            std::thread::sleep(time);
            return false;
        }
        let end = std::time::Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut stdin = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
            if !matches!(poll(&mut stdin, Some(&left)), Ok(1..)) {
                return false;
            }
            let mut key = [0];
            match rustix::io::read(rustix::stdio::stdin(), &mut key) {
                Ok(1) if !matches!(key[0], b'q' | b'Q' | 3 | 4) => {}
                _ => return true,
            }
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
