//! What EL2 does on the victim's core, tick by tick, from the log of the counter (tests/counter).

use std::ops::Range;

use super::siege::{ATTACKER, VICTIM};

/// What the victim suffered in a span of time: instructions of EL2 on its core within one of its ticks, from timer
/// interrupt to timer interrupt. A core is never shared, so nothing but these can make the victim late; what it asks EL2
/// for itself, for one to print its report once a second, is among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suffered {
    /// In the worst tick.
    pub worst: u64,
    /// In the middle one of all ticks.
    pub middle: u64,
}

/// What the victim suffered in the calm and during each row, from the counter's log: both mark time, the victim each tick,
/// the attacker each row. Where a busy computer let ticks pass without an interrupt, the victim marks them one behind the other,
/// and what was counted until then is of them all.
pub(crate) fn suffered(counts: &str) -> (Suffered, Vec<Suffered>) {
    let (mut calm, mut rows): (Vec<u64>, Vec<Vec<u64>>) = (Vec::new(), Vec::new());
    // Rows that overlap the tick that is going on, and the count at its begin.
    let (mut since, mut begin) = (0, None);
    // What EL2 did until the last mark, in how many ticks, and the rows that they overlap.
    let mut last: Option<(u64, u64, Range<usize>)> = None;
    let mut push = |rows: &mut Vec<Vec<u64>>, (el2, ticks, during): (u64, u64, Range<usize>)| {
        let one = el2.div_ceil(ticks);
        match rows.get_mut(during) {
            Some([]) | None => calm.push(one),
            Some(rows) => rows.iter_mut().for_each(|row| row.push(one)),
        }
    };
    for line in counts.lines().filter_map(|line| line.strip_prefix("mark ")) {
        let Some((core, counts)) = line.split_once(": ") else { continue };
        let count = counts.split(' ').nth(VICTIM).and_then(|pair| pair.split_once('/')?.0.parse().ok());
        let Some(el2): Option<u64> = count else { continue };
        if core == ATTACKER.to_string() {
            rows.push(Vec::new());
        } else if core == VICTIM.to_string() {
            let before = begin.replace(el2);
            match (before, &mut last) {
                (Some(before), Some((_, ticks, _))) if before == el2 => *ticks += 1,
                (Some(before), _) => {
                    last.replace((el2 - before, 1, since..rows.len()))
                        .into_iter()
                        .for_each(|tick| push(&mut rows, tick));
                }
                (None, _) => {}
            }
            since = rows.len().saturating_sub(1);
        }
    }
    last.into_iter().for_each(|tick| push(&mut rows, tick));
    (summed_up(calm), rows.into_iter().map(summed_up).collect())
}

fn summed_up(mut ticks: Vec<u64>) -> Suffered {
    ticks.sort_unstable();
    let middle = ticks.get(ticks.len() / 2).copied().unwrap_or(0);
    Suffered { worst: ticks.last().copied().unwrap_or(0), middle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_belong_to_the_rows_they_overlap() {
        let counts = "mark 0: 10/100 0/0\nmark 0: 15/300 0/0\nmark 1: 16/310 0/0\nmark 0: 40/320 0/0\n\
            mark 1: 41/330 0/0\nmark 1: 42/331 0/0\nmark 0: 50/340 0/0\nend 0: 60/400 0/0\n";
        let (calm, rows) = suffered(counts);
        let one = |worst, middle| Suffered { worst, middle };
        assert_eq!(calm, one(5, 5));
        assert_eq!(rows, [one(25, 25), one(10, 10), one(10, 10)]);
    }

    /// Three ticks for which there was one interrupt.
    #[test]
    fn ticks_that_passed_are_ticks() {
        let counts = "mark 0: 10/100 0/0\nmark 0: 15/300 0/0\nmark 1: 16/310 0/0\nmark 0: 45/320 0/0\n\
            mark 0: 45/321 0/0\nmark 0: 45/322 0/0\nmark 0: 52/340 0/0\nend 0: 60/400 0/0\n";
        let (calm, rows) = suffered(counts);
        assert_eq!(calm, Suffered { worst: 5, middle: 5 });
        assert_eq!(rows, [Suffered { worst: 10, middle: 10 }]);
    }
}
