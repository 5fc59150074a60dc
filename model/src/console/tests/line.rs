use super::super::line::{Assembler, MOST, WIDTH};
use proptest::prelude::*;

/// What comes out for these bytes.
fn put(console: &mut Assembler, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    bytes.iter().for_each(|byte| out.extend_from_slice(console.put(*byte)));
    String::from_utf8(out).unwrap()
}

fn background(bytes: &[u8]) -> String {
    put(&mut Assembler::new("linux"), bytes)
}

fn focused(bytes: &[u8]) -> String {
    let mut console = Assembler::new("linux");
    assert_eq!(console.focus(true), b"");
    put(&mut console, bytes)
}

#[test]
fn whole_lines_with_the_name() {
    assert_eq!(background(b"hello\r\nworld\nno end"), "[linux] hello\n[linux] world\n");
    assert_eq!(background(b"a\n\rb\n\n"), "[linux] a\n[linux] b\n[linux] \n");
    assert_eq!(background("caf\u{e9} \u{4e2d}\n".as_bytes()), "[linux] caf\u{e9} \u{4e2d}\n");
    assert_eq!(background(b"a\tb\n"), "[linux] a       b\n");
}

#[test]
fn a_line_is_what_a_terminal_would_show() {
    assert_eq!(background(b"10%\r20%\r30%\r\n"), "[linux] 30%\n");
    assert_eq!(background(b"autoboot:  2 \x08\x08\x08 1 \x08\x08\x08 0 \r\n"), "[linux] autoboot:  0 \n");
    assert_eq!(background(b"abc\x1b[2Dx\x1b[K\n"), "[linux] ax\n");
    assert_eq!(background(b"abc\x1b[10Gd\x1b[1K\n"), format!("[linux] {}\n", " ".repeat(10)));
    assert_eq!(background(b"abc\x1b[2Kd\n"), "[linux]    d\n");
}

#[test]
fn background_output_has_no_sequences() {
    assert_eq!(background(b"\x1b[31mred\x1b[0m \x1b[2J\x1b[5;5Hx\x1b[?25l\x07\n"), "[linux] red x\n");
    assert_eq!(
        background(b"\x1b]0;title\x07a\x1b]0;t\x1b\\b\x1bP1q\x1b\\c\x1b(0d\x1bce\n"),
        "[linux] abcde\n"
    );
    // An unfinished sequence ends with the line.
    assert_eq!(background(b"a\x1b]0;never\nb\n\x1b[12\nc\n"), "[linux] a\n[linux] b\n[linux] \n[linux] c\n");
    assert_eq!(background(b"\x00\x01\x7f\x0e\x9bx\x80\xff\xc0\x80\n"), "[linux] ?x????\n");
    // C1 and direction controls in UTF-8, an overlong form, a broken one.
    assert_eq!(background("\u{9b}\u{202e}\u{2028}x\n".as_bytes()), "[linux] ???x\n");
    assert_eq!(background(b"\xe0\x80\x80y\xe4\xb8z\n"), "[linux] ?y?z\n");
}

#[test]
fn what_ends_a_sequence() {
    // A designated character set: any intermediates, then one final byte.
    assert_eq!(background(b"\x1b(Bx\x1b$(Cy\n"), "[linux] xy\n");
    // CAN and SUB end whatever it is.
    assert_eq!(background(b"a\x1b[31\x18m\x1b]title\x1ab\x1b\x18c\n"), "[linux] ambc\n");
    // In a string, other controls are part of it; BEL ends it.
    assert_eq!(background(b"\x1b]a\tb\x08c\x07x\n"), "[linux] x\n");
    assert_eq!(focused(b"\x1b]a\x07\x07x"), "[linux] \x07x");
    // Characters of four bytes.
    assert_eq!(background("\u{1f600}\u{10348}\n".as_bytes()), "[linux] \u{1f600}\u{10348}\n");
    assert_eq!(background(b"\xf4\x90\x80\x80\xf5\n"), "[linux] ??\n");
}

#[test]
fn private_and_endless_sequences_are_dropped() {
    assert_eq!(focused(b"\x1b[?1;2mx\x1b[>4;1my"), "[linux] xy");
    assert_eq!(focused(b"\x1b[38:5:1mx"), "[linux] x");
    let endless = format!("\x1b[{}mx", "1;".repeat(200));
    assert_eq!(focused(endless.as_bytes()), "[linux] x");
    assert_eq!(focused(b"\x1b[99999999999999999999Gx").len(), "[linux] ".len() + WIDTH);
}

#[test]
fn the_cursor_goes_right_over_the_text() {
    assert_eq!(background(b"abcd\x1b[4D\x1b[2Cx\x1b[Cy\n"), "[linux] abxdy\n");
    assert_eq!(focused(b"abc\x1b[3D\x1b[2Cx"), "[linux] abc\x1b[3Dabx");
    // Not beyond the last column: there is no next line but by a newline or a character.
    let full = "x".repeat(WIDTH);
    assert_eq!(background(format!("{full}\x1b[3C\ry\n").as_bytes()), format!("[linux] y{}\n", &full[1..]));
}

#[test]
fn a_bell_rings_behind_the_name() {
    assert_eq!(focused(b"\x07\x07a\n\x07"), "[linux] \x07\x07a\n[linux] \x07");
    assert_eq!(background(b"\x07a\x07\n"), "[linux] a\n");
}

#[test]
fn long_lines_go_on_with_the_name() {
    let long = "x".repeat(WIDTH);
    assert_eq!(background(format!("{long}\n").as_bytes()), format!("[linux] {long}\n"));
    assert_eq!(background(format!("{long}yz\n").as_bytes()), format!("[linux] {long}\n[linux] yz\n"));
    assert_eq!(focused(format!("{long}yz\n").as_bytes()), format!("[linux] {long}\n[linux] yz\n"));
}

#[test]
fn in_focus_everything_appears_at_once() {
    assert_eq!(focused(b"~ # "), "[linux] ~ # ");
    assert_eq!(focused(b"hello\r\nworld\n"), "[linux] hello\n[linux] world\n");
    assert_eq!(focused(b"\x1b[1;32mok\x1b[m\n"), "[linux] \x1b[1;32mok\x1b[m\x1b[m\n");
    assert_eq!(focused(b"ab\x08 \x08\x1b[J"), "[linux] ab\x08 \x08\x1b[J");
}

#[test]
fn in_focus_the_cursor_stays_in_the_text() {
    // Back over the prefix, to the start of the line, up, home: none of it leaves the guest's own text.
    assert_eq!(focused(b"a\x08\x08\x08b"), "[linux] a\x08b");
    assert_eq!(focused(b"abc\rX"), "[linux] abc\x1b[3DX");
    assert_eq!(focused(b"ab\x1b[99DX\x1b[A\x1b[H\x1b[2;2H\x1b[s\x1b[uY"), "[linux] ab\x1b[2DXY");
    assert_eq!(focused(b"\x1b[6nq\x1b[2J"), "[linux] q");
    assert_eq!(focused(b"ab\x1b[5G."), "[linux] ab  .");
    // A combining mark may take no column: nothing is moved for it.
    assert_eq!(focused("e\u{301}\x08\x08\x08.".as_bytes()), "[linux] e\u{301}\x08.");
    assert_eq!(focused("e\u{300}\x08\x08\x08.".as_bytes()), "[linux] e\u{300}\x08.");
    assert_eq!(focused(b"ab\x1b[2K"), "[linux] ab\r[linux]   \x1b[K");
}

#[test]
fn focus_comes_and_goes() {
    let mut console = Assembler::new("linux");
    assert_eq!(put(&mut console, b"login: "), "");
    assert_eq!(console.focus(true), b"[linux] login: ");
    assert_eq!(console.focus(true), b"");
    assert_eq!(put(&mut console, b"r"), "r");
    assert_eq!(console.focus(false), b"\n");
    assert_eq!(put(&mut console, b"oot\n"), "[linux] oot\n");
}

#[test]
fn an_interrupted_line_is_shown_again() {
    let mut console = Assembler::new("linux");
    let _ = console.focus(true);
    assert_eq!(put(&mut console, b"~ # ec"), "[linux] ~ # ec");
    console.interrupted();
    assert_eq!(put(&mut console, b"h"), "[linux] ~ # ech");
    console.interrupted();
    console.interrupted();
    assert_eq!(put(&mut console, b"o\x08"), "[linux] ~ # echo\x08");
    console.interrupted();
    assert_eq!(put(&mut console, b"O"), "[linux] ~ # echo\x08O");
}

/// What interrupted it ended it: the terminal has all of it.
#[test]
fn an_interrupted_line_that_ends_is_not_shown_twice() {
    let mut console = Assembler::new("linux");
    let _ = console.focus(true);
    for end in [&b"\n"[..], b"\r\n"] {
        assert_eq!(put(&mut console, b"mem=228"), "[linux] mem=228");
        console.interrupted();
        assert_eq!(put(&mut console, end), "");
        assert_eq!(put(&mut console, b"x\n"), "[linux] x\n");
    }
    assert_eq!(put(&mut console, b"bye"), "[linux] bye");
    console.interrupted();
    assert_eq!(console.finish(), b"");
    assert_eq!(console.focus(false), b"");
}

#[test]
fn an_interrupted_line_that_changed_is_shown_again() {
    let mut console = Assembler::new("linux");
    let _ = console.focus(true);
    assert_eq!(put(&mut console, b"abc"), "[linux] abc");
    console.interrupted();
    assert_eq!(put(&mut console, b"\rd"), "[linux] abc\x1b[3Dd");
    console.interrupted();
    // Nor is one lost that has changed out of focus.
    assert_eq!(console.focus(false), b"");
    assert_eq!(put(&mut console, b"e\n"), "[linux] dec\n");
}

#[test]
fn out_of_focus_nothing_is_shown_again() {
    let mut console = Assembler::new("linux");
    assert_eq!(put(&mut console, b"login: "), "");
    console.interrupted();
    assert_eq!(put(&mut console, b"root\n"), "[linux] login: root\n");
}

#[test]
fn an_end_without_newline() {
    let mut console = Assembler::new("u-boot");
    assert_eq!(put(&mut console, b"bye\x1b[3"), "");
    assert_eq!(console.finish(), b"[u-boot] bye\n");
    assert_eq!(console.finish(), b"");
    assert_eq!(put(&mut console, b"m\n"), "[u-boot] m\n");
}

#[test]
fn room() {
    assert_eq!(Assembler::room(0), 0);
    assert_eq!(Assembler::room(MOST - 1), 0);
    assert_eq!(Assembler::room(MOST), 1);
    assert_eq!(Assembler::room(usize::MAX - 1), usize::MAX - MOST);
}

/// Bytes that a hostile guest would choose, and others.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[ -~]{0,20}".prop_map(String::into_bytes),
        2 => "\\PC{0,8}".prop_map(String::into_bytes),
        2 => proptest::collection::vec(any::<u8>(), 0..6),
        4 => "\x1b\\[[0-9;?]{0,6}[A-Za-z@`]".prop_map(String::into_bytes),
        2 => proptest::sample::select(vec![&b"\r"[..], b"\n", b"\x08", b"\t", b"\x1b]", b"[metronome] ", b"\x1b["])
            .prop_map(<[u8]>::to_vec),
        1 => Just("\u{1f600}".repeat(170).into_bytes()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A terminal's line discipline, for checking: the texts of the lines that were ever visible at the moment a byte had
/// been written, with 0 columns for characters that may have none.
fn starts_with_prefix(out: &str) -> bool {
    let mut row: Vec<char> = Vec::new();
    let mut at = 0usize;
    let mut chars = out.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                if !row.iter().collect::<String>().starts_with("[linux] ") {
                    return false;
                }
                row.clear();
                at = 0;
            }
            '\r' => at = 0,
            '\x08' => at = at.saturating_sub(1),
            '\x07' => {}
            '\x1b' => {
                assert_eq!(chars.next(), Some('['));
                let mut number = String::new();
                let kind = loop {
                    match chars.next() {
                        Some(c @ ('0'..='9' | ';')) => number.push(c),
                        Some(c) => break c,
                        None => return false,
                    }
                };
                match kind {
                    'D' => at = at.saturating_sub(number.parse().unwrap()),
                    'J' | 'K' => row.truncate(at),
                    'm' => {}
                    other => panic!("CSI {other}"),
                }
            }
            // The worst case: what may take no column takes none.
            c if c as u32 >= 0x300 => {}
            c if c.is_control() => panic!("{c:?}"),
            c => {
                if at < row.len() {
                    row[at] = c
                } else {
                    row.push(c)
                }
                at += 1;
            }
        }
        // While the prefix is being written (again), it is there already or comes whole.
        let shown: String = row.iter().take(8).collect();
        if !("[linux] ".starts_with(&shown) || shown.starts_with("[linux] ")) {
            return false;
        }
    }
    true
}

proptest! {
    /// Whatever a guest writes out of focus: complete lines of plain text, each with its name.
    #[test]
    fn background_is_plain_lines(bytes in stream()) {
        let mut console = Assembler::new("linux");
        let mut out = String::new();
        for byte in &bytes {
            let staged = console.put(*byte);
            prop_assert!(staged.len() < MOST);
            prop_assert!(staged.is_empty() || staged.ends_with(b"\n"));
            out.push_str(core::str::from_utf8(staged).unwrap());
        }
        for line in out.lines() {
            prop_assert!(line.starts_with("[linux] ") && !line.contains(char::is_control), "{line:?}");
        }
    }

    /// Whatever a guest writes in focus: nothing on a terminal ever stands where its name stands.
    #[test]
    fn focus_cannot_touch_the_name(bytes in stream(), breaks in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut console = Assembler::new("linux");
        let mut out = Vec::new();
        out.extend_from_slice(console.focus(true));
        for (index, byte) in bytes.iter().enumerate() {
            match breaks.get(index) {
                Some(0..5) => {
                    out.extend_from_slice(if out.last().is_none_or(|last| *last == b'\n') { b"" } else { b"\n" });
                    console.interrupted();
                }
                Some(5..12) => {
                    out.extend_from_slice(console.focus(false));
                    out.extend_from_slice(console.focus(true));
                }
                _ => {}
            }
            let staged = console.put(*byte);
            prop_assert!(staged.len() < MOST);
            out.extend_from_slice(staged);
        }
        out.extend_from_slice(console.finish());
        let out = String::from_utf8(out).unwrap();
        prop_assert!(starts_with_prefix(&out), "{out:?}");
    }
}
