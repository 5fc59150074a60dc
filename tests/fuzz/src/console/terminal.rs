//! A terminal that checks what it is told: every line begins with a partition's name, the cursor stays behind it, and
//! of control sequences only those few come that a line editor needs, each whole and in bounds.

/// Where the stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum At {
    /// A line's first byte comes, or the first after it was returned to.
    Start,
    /// Within the name in front.
    Prefix(Vec<u8>),
    /// Text of this partition.
    Text(usize),
    /// After ESC.
    Escape(usize),
    /// After ESC `[`: parameters so far.
    Csi(usize, String),
    /// In a UTF-8 sequence.
    Utf8(usize, Vec<u8>),
}

/// The terminal.
pub struct Terminal {
    prefixes: Vec<Vec<u8>>,
    at: At,
    /// The line was returned to, so the same name must come again.
    again: Option<usize>,
    /// The least number of columns that the cursor has moved right since the name.
    column: usize,
    /// The line so far, then each partition's finished ones.
    line: String,
    lines: Vec<String>,
}

impl Terminal {
    pub fn new(names: &[&str]) -> Self {
        let prefixes: Vec<_> = names.iter().map(|name| format!("[{name}] ").into_bytes()).collect();
        let lines = vec![String::new(); prefixes.len()];
        Self { prefixes, at: At::Start, again: None, column: 0, line: String::new(), lines }
    }

    /// All lines of a partition, in order, as they came, each with its name and LF.
    pub fn lines_of(&self, number: usize) -> &str {
        &self.lines[number]
    }

    pub fn show(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.at = match std::mem::replace(&mut self.at, At::Start) {
                At::Start => self.prefix(Vec::new(), *byte),
                At::Prefix(seen) => self.prefix(seen, *byte),
                At::Text(owner) => self.text(owner, *byte),
                At::Escape(owner) => {
                    assert_eq!(*byte, b'[', "an escape sequence that is no CSI");
                    At::Csi(owner, String::new())
                }
                At::Csi(owner, parameters) => self.csi(owner, parameters, *byte),
                At::Utf8(owner, seen) => self.utf8(owner, seen, *byte),
            };
        }
    }

    fn prefix(&mut self, mut seen: Vec<u8>, byte: u8) -> At {
        seen.push(byte);
        let of = |prefix: &Vec<u8>| prefix.starts_with(&seen);
        let known = self.prefixes.iter().any(of);
        assert!(known, "a line begins with {:?}", String::from_utf8_lossy(&seen));
        match self.prefixes.iter().position(|prefix| *prefix == seen) {
            None => At::Prefix(seen),
            Some(owner) => {
                assert!(self.again.take().is_none_or(|before| before == owner), "another's name over a line");
                self.column = 0;
                self.line = String::from_utf8(seen).expect("a name");
                At::Text(owner)
            }
        }
    }

    fn text(&mut self, owner: usize, byte: u8) -> At {
        match byte {
            0x20..=0x7e => {
                self.column += 1;
                self.line.push(char::from(byte));
                At::Text(owner)
            }
            b'\n' => {
                self.lines[owner].push_str(&self.line);
                self.lines[owner].push('\n');
                At::Start
            }
            b'\r' => {
                self.again = Some(owner);
                At::Start
            }
            0x07 => At::Text(owner),
            0x08 => self.left(owner, 1),
            0x1b => At::Escape(owner),
            0xc2..=0xf4 => At::Utf8(owner, vec![byte]),
            _ => panic!("a raw {byte:#04x} comes out"),
        }
    }

    fn left(&mut self, owner: usize, columns: usize) -> At {
        assert!(columns >= 1 && columns <= self.column, "left by {columns} of {}", self.column);
        self.column -= columns;
        At::Text(owner)
    }

    fn csi(&mut self, owner: usize, mut parameters: String, byte: u8) -> At {
        let next = At::Text(owner);
        match byte {
            b'0'..=b'9' | b';' => {
                parameters.push(char::from(byte));
                assert!(parameters.len() < 64, "{parameters}");
                At::Csi(owner, parameters)
            }
            b'm' => {
                let numbers = parameters.split(';').filter(|number| !number.is_empty());
                assert!(
                    numbers.clone().count() <= 8
                        && numbers.clone().all(|number| number.parse::<u16>().is_ok())
                );
                next
            }
            b'D' => self.left(owner, parameters.parse().expect("a number of columns")),
            b'J' | b'K' if parameters.is_empty() => next,
            _ => panic!("ESC[{parameters}{} comes out", char::from(byte)),
        }
    }

    fn utf8(&mut self, owner: usize, mut seen: Vec<u8>, byte: u8) -> At {
        seen.push(byte);
        match std::str::from_utf8(&seen) {
            Ok(text) => {
                let c = text.chars().next().expect("a character");
                assert!(!c.is_control() && !('\u{80}'..'\u{a0}').contains(&c), "{c:?} comes out");
                // From the combining marks on a terminal may give it no column.
                self.column += usize::from(u32::from(c) < 0x300);
                self.line.push(c);
                At::Text(owner)
            }
            Err(error) => {
                assert!(error.error_len().is_none(), "broken UTF-8 comes out: {seen:x?}");
                At::Utf8(owner, seen)
            }
        }
    }
}
