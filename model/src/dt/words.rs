//! The nearest known word to a mistyped one, for error messages.

use alloc::vec::Vec;

/// The candidate that the fewest single-letter changes lead to, if they are few for a word of this length.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = if word.len() < 4 { 1 } else { (word.len() / 3).clamp(2, 6) };
    let near = candidates.into_iter().map(|candidate| (distance(word, candidate, most), candidate));
    near.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// Insertions, deletions and substitutions from one to the other; more than `most` where the lengths show it.
fn distance(from: &str, to: &str, most: usize) -> usize {
    if from.len().abs_diff(to.len()) > most {
        return most + 1;
    }
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.bytes()) {
            let cost = corner + usize::from(a != b);
            corner = *cell;
            left = cost.min(left + 1).min(corner + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting", 9), 3);
        assert_eq!(distance("", "abc", 9), 3);
        assert_eq!(distance("abc", "", 9), 3);
        assert_eq!(distance("same", "same", 9), 0);
        assert!(distance("a", "abcdef", 2) > 2);
    }

    /// By definition: what is left after the first letters were kept, replaced, dropped or added.
    fn defined(from: &[u8], to: &[u8]) -> usize {
        match (from, to) {
            ([], rest) | (rest, []) => rest.len(),
            ([a, from_rest @ ..], [b, to_rest @ ..]) => {
                let replaced = defined(from_rest, to_rest) + usize::from(a != b);
                replaced.min(defined(from_rest, to) + 1).min(defined(from, to_rest) + 1)
            }
        }
    }

    #[test]
    fn distance_is_as_defined() {
        let words = ["", "a", "b", "ab", "ba", "abc", "bca", "aab", "cabb", "abab", "bbaac", "acbab"];
        for from in words {
            for to in words {
                assert_eq!(distance(from, to, 9), defined(from.as_bytes(), to.as_bytes()), "{from} {to}");
            }
        }
    }

    #[test]
    fn longer_words_may_have_more_mistakes() {
        // One of three letters, two of four, a third of many, at most six.
        assert_eq!(nearest("cpx", ["cpu"]), Some("cpu"));
        assert_eq!(nearest("cxx", ["cpu"]), None);
        assert_eq!(nearest("cpxx", ["cpus"]), Some("cpus"));
        assert_eq!(nearest("cxxx", ["cpus"]), None);
        assert_eq!(nearest("cxnsxle-bxsx", ["console-base"]), Some("console-base"));
        assert_eq!(nearest("cxnsxlx-bxsx", ["console-base"]), None);
        assert_eq!(
            nearest("abcdefghijklmnopqrszzzzzz", ["abcdefghijklmnopqrstuvwxy"]),
            Some("abcdefghijklmnopqrstuvwxy")
        );
        assert_eq!(nearest("abcdefghijklmnopqrzzzzzzz", ["abcdefghijklmnopqrstuvwxy"]), None);
    }

    #[test]
    fn near_words_only() {
        let known = ["cpus", "kernel", "initrd", "bootargs"];
        assert_eq!(nearest("kernal", known), Some("kernel"));
        assert_eq!(nearest("cpu", known), Some("cpus"));
        assert_eq!(nearest("frobnicate", known), None);
    }
}
