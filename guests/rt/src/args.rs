//! The words of `bootargs`: `name` or `name=value`, separated by spaces. The last one of a name counts.

/// Value of `name=value`; an empty string for a bare `name`.
pub fn get<'a>(bootargs: &'a str, name: &str) -> Option<&'a str> {
    bootargs.split_ascii_whitespace().rev().find_map(|word| match word.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (word == name).then_some(""),
    })
}

/// A number, decimal or 0x-prefixed hexadecimal.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
