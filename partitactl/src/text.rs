//! Numbers as people read them.

/// A time in its two largest units, as systemctl has it: `3min 12s`, `2d 4h`; below a minute `12.3s`.
#[must_use]
pub fn span(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{:.1}s", (seconds * 10.0).floor() / 10.0);
    }
    let whole = seconds as u64;
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let mut rest = whole;
    let parts = units.iter().filter_map(|(unit, size)| {
        let count = rest / size;
        rest %= size;
        (count > 0).then(|| format!("{count}{unit}"))
    });
    parts.take(2).collect::<Vec<_>>().join(" ")
}

/// `1 restart`, `2 restarts`.
#[must_use]
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A rate with as many digits as tell something.
#[must_use]
pub fn rate(number: f64) -> String {
    if number == 0.0 || number >= 100.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!([0.0, 0.96, 59.99, 60.0].map(span), ["0.0s", "0.9s", "59.9s", "1min"]);
        assert_eq!([192.0, 3661.9, 90_000.0].map(span), ["3min 12s", "1h 1min", "1d 1h"]);
        assert_eq!([0.0, 0.25, 99.94, 1000.4].map(rate), ["0", "0.2", "99.9", "1000"]);
        assert_eq!(
            (count(1, "restart"), count(0, "failure")),
            ("1 restart".to_owned(), "0 failures".to_owned())
        );
    }
}
