//! The console's bytes as lines.

/// A longer line is nobody's word of importance; this bounds what a flood without line feeds can cost.
const LONGEST: usize = 4096;

/// Puts lines together from what comes.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and tells each line that they end.
    pub fn take(&mut self, bytes: &[u8], mut see: impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.end(&mut see),
                byte if self.line.len() < LONGEST => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// There is no more: what is there is a line.
    pub fn end(&mut self, mut see: impl FnMut(&str)) {
        let line = std::mem::take(&mut self.line);
        if let Ok(line) = std::str::from_utf8(&line) {
            see(line);
        }
    }
}
