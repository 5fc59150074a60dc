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

    #[test]
    fn near_words_only() {
        let known = ["cpus", "kernel", "initrd", "bootargs"];
        assert_eq!(nearest("kernal", known), Some("kernel"));
        assert_eq!(nearest("cpu", known), Some("cpus"));
        assert_eq!(nearest("frobnicate", known), None);
    }
}
