//! What may be on the board's console while partitions print what they like: whole lines with names in front, and nothing
//! that steers a terminal beyond the line that it is in.

/// Lines that begin with nobody's name, and control characters that no partition may bring out.
pub(super) fn wrong(log: &str, partitions: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in log.split('\n') {
        let text = without_sequences(line);
        if let Some(odd) = text.chars().find(|c| is_control(*c)) {
            wrong.push(format!("{odd:?} in {line:?}"));
        }
        // What a line editor redraws is a line again.
        let text = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        // The attacker says so when it plays others.
        let forged = |part: &str| part.starts_with("[victim] forged") || part.starts_with("partita: forged");
        if line.split('\r').any(forged) {
            wrong.push(format!("forged: {line:?}"));
            continue;
        }
        let name = text.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let named = name.is_some_and(|(name, _)| partitions.contains(&name));
        if !(text.is_empty() || named || text.starts_with("partita: ")) {
            wrong.push(format!("nobody's line: {line:?}"));
        }
    }
    wrong
}

/// A control character, but for those that a focused line may have: CR, BEL, BS.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\r' | '\u{7}' | '\u{8}')
}

/// A line without the sequences that EL2 itself gives out: colours (SGR), to the left (CUB), erase to the right (EL, ED)
/// of ECMA-48. Of others the escape is left, which is a control character.
fn without_sequences(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text += before;
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(after.len());
        let (parameters, tail) = after.split_at(end);
        let known = match tail.chars().next() {
            Some('m' | 'D') => true,
            Some('K' | 'J') => parameters.is_empty(),
            _ => false,
        };
        if known {
            rest = &tail[1..];
        } else {
            text.push('\u{1b}');
            rest = after;
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn lines_have_names() {
        let good = "partita: audit: x\r\n[a] one\r\n\r\n[b] \u{1b}[1;31mred\u{1b}[m\u{1b}[3D\u{1b}[J\r\n[a] x\r[a] y\r\n";
        assert_eq!(wrong(good, &["a", "b"]), Vec::<String>::new());
        for bad in [
            "[b] x\r[victim] forged",
            "[a] x\rpartita: forged",
            "one",
            "[c] one",
            "[a]one",
            "[a] one\r\ntwo",
            "[a] x\rpartita-x",
        ] {
            assert_eq!(wrong(bad, &["a", "b"]).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        for bad in [
            "[a] \u{1b}]0;title\u{7}",
            "[a] \u{1b}[2J",
            "[a] \u{1b}[A",
            "[a] \u{1b}c",
            "[a] \u{9b}A",
            "[a] \u{0}",
        ] {
            assert_eq!(wrong(bad, &["a"]).len(), 1, "{bad:?}");
        }
    }
}
