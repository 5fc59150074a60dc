//! What a guest's bytes mean to a terminal, as far as one line goes (ECMA-48): a stream parser that knows the few
//! sequences a line editor needs and swallows all others.
//!
//! Nothing that moves up, clears more than the rest of the line, sets modes, titles or character sets, or asks the
//! terminal to answer comes out of here.

use arrayvec::ArrayVec;

/// Most parameters of a colour sequence.
const PARAMETERS: usize = 8;

/// Parameters of a sequence.
pub type Parameters = ArrayVec<u16, PARAMETERS>;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A visible character.
    Print(char),
    /// LF, and VT, FF.
    Newline,
    /// CR.
    Return,
    /// TAB.
    Tab,
    /// BEL.
    Bell,
    /// BS, or cursor left (CUB).
    Left(u16),
    /// Cursor right (CUF).
    Right(u16),
    /// Cursor to a column, from 1 (CHA).
    Column(u16),
    /// Erase from the cursor on (EL 0, ED 0).
    EraseRight,
    /// Erase up to and with the cursor (EL 1).
    EraseLeft,
    /// Erase the line (EL 2).
    EraseLine,
    /// Colours (SGR).
    Style(Parameters),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// Within a UTF-8 sequence: bytes to come, bits so far, least code point of this length.
    Utf8 { need: u8, code: u32, least: u32 },
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one more byte.
    Intermediate,
    /// After ESC `[`. `odd`: it has something in it that no known sequence has.
    Csi { parameters: Parameters, odd: bool },
    /// In an OSC, DCS, SOS, PM or APC string, up to BEL or ST, or the end of the line.
    Text,
}

/// The parser's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parser(State);

impl Parser {
    /// At the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self(State::Ground)
    }

    /// Takes one byte; calls `act` for what it completes (a broken UTF-8 sequence and what follows it: twice).
    pub fn feed(&mut self, byte: u8, act: &mut impl FnMut(Op)) {
        if let (State::Utf8 { .. }, false) = (&self.0, byte & 0xc0 == 0x80) {
            self.0 = State::Ground;
            act(Op::Print('?'));
        }
        // Control characters act within sequences too, and end strings, so that a guest which breaks off in a
        // sequence does not lose the lines after it.
        if byte < 0x20 || byte == 0x7f {
            return self.control(byte, act);
        }
        match core::mem::take(&mut self.0) {
            State::Ground => self.ground(byte, act),
            State::Utf8 { need, code, least } => {
                self.continued(need, code << 6 | u32::from(byte & 0x3f), least, act)
            }
            State::Escape => {
                self.0 = match byte {
                    b'[' => State::Csi { parameters: Parameters::new(), odd: false },
                    b']' | b'P' | b'X' | b'^' | b'_' => State::Text,
                    0x20..=0x2f => State::Intermediate,
                    _ => State::Ground,
                };
            }
            State::Intermediate => self.0 = if byte < 0x30 { State::Intermediate } else { State::Ground },
            State::Csi { parameters, odd } => self.csi(byte, parameters, odd, act),
            State::Text => self.0 = State::Text,
        }
    }

    fn control(&mut self, byte: u8, act: &mut impl FnMut(Op)) {
        let text = matches!(self.0, State::Text);
        match byte {
            0x1b => return self.0 = State::Escape,
            // BEL ends a string; CAN and SUB end everything.
            0x07 if text => return self.0 = State::Ground,
            0x18 | 0x1a => return self.0 = State::Ground,
            b'\n' | b'\r' => self.0 = State::Ground,
            _ if text => return,
            _ => {}
        }
        match byte {
            b'\n' | 0x0b | 0x0c => act(Op::Newline),
            b'\r' => act(Op::Return),
            b'\t' => act(Op::Tab),
            0x07 => act(Op::Bell),
            0x08 => act(Op::Left(1)),
            _ => {}
        }
    }

    fn ground(&mut self, byte: u8, act: &mut impl FnMut(Op)) {
        match byte {
            0x20..=0x7e => act(Op::Print(char::from(byte))),
            0xc2..=0xdf => self.0 = State::Utf8 { need: 1, code: u32::from(byte & 0x1f), least: 0x80 },
            0xe0..=0xef => self.0 = State::Utf8 { need: 2, code: u32::from(byte & 0x0f), least: 0x800 },
            0xf0..=0xf4 => self.0 = State::Utf8 { need: 3, code: u32::from(byte & 0x07), least: 0x1_0000 },
            // A stray continuation (as an 8-bit control it could steer a terminal), or no UTF-8 at all.
            _ => act(Op::Print('?')),
        }
    }

    fn continued(&mut self, need: u8, code: u32, least: u32, act: &mut impl FnMut(Op)) {
        if need > 1 {
            self.0 = State::Utf8 { need: need - 1, code, least };
            return;
        }
        let shown = char::from_u32(code).filter(|c| code >= least && is_plain(*c));
        act(Op::Print(shown.unwrap_or('?')));
    }

    fn csi(&mut self, byte: u8, mut parameters: Parameters, mut odd: bool, act: &mut impl FnMut(Op)) {
        match byte {
            b'0'..=b'9' => {
                if parameters.is_empty() {
                    parameters.push(0);
                }
                if let Some(last) = parameters.last_mut() {
                    *last = last.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                }
            }
            b';' => {
                if parameters.is_empty() {
                    parameters.push(0);
                }
                odd |= parameters.try_push(0).is_err();
            }
            0x40..=0x7e => {
                if !odd {
                    final_byte(byte, parameters, act);
                }
                return;
            }
            // Private and sub-parameters, intermediates, anything that is not ASCII.
            _ => odd = true,
        }
        self.0 = State::Csi { parameters, odd };
    }
}

fn final_byte(byte: u8, parameters: Parameters, act: &mut impl FnMut(Op)) {
    let first = parameters.first().copied().unwrap_or(0);
    match (byte, first) {
        (b'D', n) => act(Op::Left(n.max(1))),
        (b'C', n) => act(Op::Right(n.max(1))),
        (b'G', n) => act(Op::Column(n.max(1))),
        (b'K' | b'J', 0) => act(Op::EraseRight),
        (b'K', 1) => act(Op::EraseLeft),
        (b'K', 2) => act(Op::EraseLine),
        (b'm', _) => act(Op::Style(parameters)),
        _ => {}
    }
}

/// Whether a character only shows itself: no C1 control, no line or direction control, nothing invisible.
const fn is_plain(c: char) -> bool {
    !matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}
