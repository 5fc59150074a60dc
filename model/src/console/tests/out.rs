use super::super::drain::Drain;
use super::super::ring::Ring;
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn fill(drain: &Drain, rings: &[Ring<64>], space: usize) -> String {
    let mut out = vec![0; space];
    let filled = drain.turn_of_all().unwrap().fill(|source| rings.get(source), &mut out);
    String::from_utf8(out[..filled].to_vec()).unwrap()
}

fn push(drain: &Drain, rings: &[Ring<64>], source: usize, text: &str) {
    assert!(rings[source].push(text.as_bytes()));
    drain.mark(source);
}

/// Whether the ring's producer hears that its line was cut.
fn was_cut(drain: &Drain, source: usize) -> bool {
    let cut = drain.begin(source);
    assert!(!drain.end(source, false));
    cut
}

fn three() -> (Drain, [Ring<64>; 3]) {
    (Drain::new(usize::MAX, 0), [Ring::new(), Ring::new(), Ring::new()])
}

#[test]
fn a_ring_is_a_queue() {
    let ring = Ring::<8>::new();
    assert!(ring.push(b"abcdef") && !ring.push(b"ghi") && ring.push(b"gh"));
    assert_eq!((ring.len(), ring.free(), ring.is_empty()), (8, 0, false));
    let mut out = [0; 3];
    assert_eq!((ring.pop(&mut out), out), (3, *b"abc"));
    assert!(ring.push(b"i\nj"));
    let mut out = [0; 10];
    assert_eq!(ring.pop_line(&mut out), 7);
    assert_eq!(&out[..7], b"defghi\n");
    assert_eq!((ring.pop(&mut out), ring.pop(&mut out), ring.is_empty()), (1, 0, true));
}

#[test]
fn lines_take_turns() {
    let (drain, rings) = three();
    push(&drain, &rings, 0, "a1\na2\n");
    push(&drain, &rings, 1, "b1\nb2\n");
    push(&drain, &rings, 2, "c1\n");
    // In steps of any size, lines stay whole.
    let out: String = (0..5).map(|_| fill(&drain, &rings, 4)).collect();
    assert_eq!(out, "b1\nc1\na1\nb2\na2\n");
    assert_eq!(fill(&drain, &rings, 4), "");
    assert!(!drain.is_pending());
}

#[test]
fn the_next_source_is_the_one_that_fill_takes() {
    let (drain, rings) = three();
    assert_eq!(drain.next_source(), None);
    push(&drain, &rings, 0, "a\n");
    push(&drain, &rings, 2, "c1 ");
    assert_eq!(drain.next_source(), Some(2));
    assert_eq!(fill(&drain, &rings, 3), "c1 ");
    // An open line goes on while its ring has bytes; then others have their turn.
    push(&drain, &rings, 2, "c2 ");
    assert_eq!(drain.next_source(), Some(2));
    assert_eq!(fill(&drain, &rings, 3), "c2 ");
    push(&drain, &rings, 1, "b\n");
    assert_eq!(fill(&drain, &rings, 3), "\na\n");
    assert_eq!(drain.next_source(), Some(1));
    assert_eq!(fill(&drain, &rings, 3), "b\n");
    assert_eq!(drain.next_source(), None);
}

#[test]
fn the_highest_source_is_followed_by_the_lowest() {
    let drain = Drain::new(usize::MAX, 0);
    let rings: Vec<Ring<64>> = (0..64).map(|_| Ring::new()).collect();
    for source in [0, 5, 63] {
        push(&drain, &rings, source, "1\n");
        push(&drain, &rings, source, "2\n");
    }
    // Nobody, and so never next.
    drain.mark(64);
    let mut order = Vec::new();
    while let Some(source) = drain.next_source() {
        // Each line is one fill.
        assert!(!fill(&drain, &rings, 2).is_empty());
        order.push(source);
    }
    assert_eq!(order, [5, 63, 0, 5, 63, 0]);
}

#[test]
fn an_unfinished_line_makes_way() {
    let (drain, rings) = three();
    push(&drain, &rings, 0, "[a] ~ # ");
    assert_eq!(fill(&drain, &rings, 32), "[a] ~ # ");
    assert!(!drain.is_pending() && !was_cut(&drain, 0));
    push(&drain, &rings, 0, "x");
    assert_eq!(fill(&drain, &rings, 32), "x");
    push(&drain, &rings, 2, "[c] tick\n");
    assert_eq!(fill(&drain, &rings, 32), "\n[c] tick\n");
    assert!(was_cut(&drain, 0) && !was_cut(&drain, 0) && !was_cut(&drain, 2));
    push(&drain, &rings, 0, "[a] ~ # \x1b[31mx");
    push(&drain, &rings, 1, "[b] tock\n");
    // Colours are taken back, also when the FIFO has room for one byte at a time.
    let out: String = (0..40).map(|_| fill(&drain, &rings, 1)).collect();
    assert_eq!(out, "[a] ~ # \x1b[31mx\x1b[m\n[b] tock\n");
    assert!(was_cut(&drain, 0));
}

#[test]
fn one_holder_at_a_time() {
    let (drain, rings) = three();
    let turn = drain.turn_of_all().unwrap();
    assert!(drain.turn_of_all().is_none());
    // Having been refused changes nothing.
    assert!(drain.turn_of_all().is_none());
    push(&drain, &rings, 0, "x\n");
    drop(turn);
    assert!(drain.is_pending());
    assert_eq!(fill(&drain, &rings, 9), "x\n");
}

#[test]
fn strangers_are_nobody() {
    let (drain, rings) = three();
    drain.mark(64);
    drain.mark(usize::MAX);
    assert!(!drain.is_pending() && !was_cut(&drain, usize::MAX));
    drain.mark(63);
    drain.mark(5);
    assert_eq!(fill(&drain, &rings, 9), "");
    assert!(!drain.is_pending());
}

/// How many lines `SOURCE NUMBER` each source has; they count up from 0.
pub(super) fn in_order(out: &str) -> [usize; 3] {
    let mut next = [0; 3];
    for line in out.lines() {
        let (source, number) = line.split_once(' ').unwrap();
        let expected = &mut next[source.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *expected);
        *expected += 1;
    }
    next
}

/// Three producers and a drain on other threads: every line comes out once, whole, in its producer's order.
#[test]
fn many_cores() {
    let lines = if cfg!(miri) { 20 } else { 2000 };
    let (drain, rings) = three();
    let done = AtomicBool::new(false);
    let mut out = Vec::new();
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..3)
            .map(|source| {
                let (drain, rings) = (&drain, &rings);
                scope.spawn(move || {
                    for line in 0..lines {
                        while !rings[source].push(format!("{source} {line}\n").as_bytes()) {
                            std::thread::yield_now();
                        }
                        drain.mark(source);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        loop {
            let over = done.load(Ordering::Acquire);
            let mut step = [0; 16];
            let filled = drain.turn_of_all().unwrap().fill(|source| rings.get(source), &mut step);
            out.extend_from_slice(&step[..filled]);
            if over && filled == 0 {
                break;
            }
        }
    });
    assert_eq!(in_order(&String::from_utf8(out).unwrap()), [lines; 3]);
}

proptest! {
    /// First in, first out, whole pushes or none, never more than fits.
    #[test]
    fn rings_keep_order(steps in proptest::collection::vec((any::<bool>(), 0usize..20), 0..200)) {
        let ring = Ring::<16>::new();
        let (mut given, mut taken) = (0u8, 0u8);
        for (push, size) in steps {
            if push {
                let bytes: Vec<u8> = (0..size).map(|n| given.wrapping_add(n as u8)).collect();
                let fits = size <= ring.free();
                prop_assert_eq!(ring.push(&bytes), fits);
                if fits {
                    given = given.wrapping_add(size as u8);
                }
            } else {
                let mut out = vec![0; size];
                let popped = ring.pop(&mut out);
                prop_assert_eq!(popped, size.min(usize::from(given.wrapping_sub(taken))));
                for byte in &out[..popped] {
                    prop_assert_eq!(*byte, taken);
                    taken = taken.wrapping_add(1);
                }
            }
            prop_assert_eq!(ring.len(), usize::from(given.wrapping_sub(taken)));
        }
    }

    /// A flood in one ring holds up another's line by one line at most.
    #[test]
    fn a_flood_costs_one_line(space in 1usize..40) {
        let (drain, rings) = three();
        let mut out = String::new();
        for round in 0..30 {
            while rings[0].push(b"flood\n") { drain.mark(0); }
            if round == 5 { push(&drain, &rings, 1, "here\n"); }
            let before = out.len();
            out.push_str(&fill(&drain, &rings, space));
            prop_assert!(out.len() > before);
            if round >= 5 && out.len() >= 5 * space + 12 {
                prop_assert!(out.contains("here"));
            }
        }
    }
}
