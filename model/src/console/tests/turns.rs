//! Each core writes out what its own partition has to say, and calls the one who is next.

use super::super::drain::Drain;
use super::super::line::Assembler;
use super::super::ring::Ring;
use super::out::in_order;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The common ring, and how long one that was called is waited for.
const COMMON: usize = 3;
const PATIENCE: u64 = 10;

fn four() -> (Drain, [Ring<64>; 4]) {
    (Drain::new(COMMON, PATIENCE), [const { Ring::new() }; 4])
}

fn push(drain: &Drain, rings: &[Ring<64>], source: usize, text: &str) {
    assert!(rings[source].push(text.as_bytes()));
    drain.mark(source);
}

/// What the core of `me` writes in one turn.
fn write(drain: &Drain, rings: &[Ring<64>], me: usize, now: u64) -> String {
    let mut out = [0; 64];
    let filled = drain.turn(me, now).unwrap().fill(|source| rings.get(source), &mut out);
    String::from_utf8(out[..filled].to_vec()).unwrap()
}

#[test]
fn a_core_writes_its_own_only() {
    let (drain, rings) = four();
    push(&drain, &rings, 0, "a1\na2\n");
    push(&drain, &rings, 1, "b\n");
    // After the last that was served (0) comes 1, so 0 has nothing to do yet.
    assert!(!drain.is_for(0, 0) && drain.is_for(1, 0) && !drain.is_for(2, 0));
    assert_eq!(write(&drain, &rings, 0, 0), "");
    assert_eq!((drain.call(0, 0), write(&drain, &rings, 2, 0)), (Some(1), String::new()));
    assert_eq!(write(&drain, &rings, 1, 0), "b\n");
    assert_eq!(drain.call(1, 0), Some(0));
    assert!(drain.is_for(0, 0) && !drain.is_for(1, 0));
    assert_eq!(write(&drain, &rings, 0, 0), "a1\na2\n");
    assert_eq!(drain.call(0, 0), None);
    assert!(!drain.is_pending());
}

#[test]
fn everybody_writes_the_common_ring() {
    let (drain, rings) = four();
    push(&drain, &rings, COMMON, "partita: x\n");
    push(&drain, &rings, 0, "a\n");
    drain.turn(2, 0).unwrap().fill(|_| None::<&Ring<64>>, &mut [0; 8]);
    push(&drain, &rings, COMMON, "partita: y\n");
    assert!(drain.is_for(1, 0) && drain.is_for(2, 0));
    assert_eq!(write(&drain, &rings, 2, 0), "partita: x\n");
    // Nobody is called for it, as the one who is there can write it.
    assert_eq!(drain.call(2, 0), Some(0));
    assert_eq!(write(&drain, &rings, 0, 0), "a\npartita: y\n");
}

/// Called once, until he has come.
#[test]
fn a_kick_each_time() {
    let (drain, rings) = four();
    push(&drain, &rings, 1, "b\n");
    assert_eq!([drain.call(0, 0), drain.call(2, 0), drain.call(0, 0)], [Some(1), None, None]);
    // He comes while another has the turn, and so does not get it: whoever has it calls him again.
    assert!(!drain.is_taken());
    let turn = drain.turn(0, 0).unwrap();
    assert!(drain.turn(1, 0).is_none() && drain.is_taken());
    drop(turn);
    assert_eq!([drain.call(0, 0), drain.call(2, 0)], [Some(1), None]);
    assert_eq!((drain.call(1, 0), write(&drain, &rings, 1, 0)), (None, "b\n".to_owned()));
}

#[test]
fn who_does_not_come_is_passed_over() {
    let (drain, rings) = four();
    push(&drain, &rings, 1, "[b] unfinis");
    assert_eq!(write(&drain, &rings, 1, 0), "[b] unfinis");
    push(&drain, &rings, 1, "hed\n");
    push(&drain, &rings, 2, "[c] x\n");
    assert_eq!(drain.call(2, 100), Some(1));
    for now in [100, 100 + PATIENCE] {
        assert!(!drain.is_for(2, now));
        assert_eq!(write(&drain, &rings, 2, now), "");
    }
    let late = 101 + PATIENCE;
    // Only by those who have something to say.
    assert!(drain.is_for(2, late) && !drain.is_for(0, late));
    assert_eq!(write(&drain, &rings, 0, late), "");
    // What it has of its line comes first, with a name in front as before.
    assert_eq!(write(&drain, &rings, 2, late), "hed\n[c] x\n");
    assert!(!drain.begin(1) && !drain.end(1, false) && !drain.is_pending());
}

/// Its next line is not written by others.
#[test]
fn who_is_passed_over_writes_his_own() {
    let (drain, rings) = four();
    push(&drain, &rings, 1, "[b] 1\n[b] 2\n[b] 3\n");
    let mut some = [0; 3];
    assert_eq!(drain.turn(1, 0).unwrap().fill(|source| rings.get(source), &mut some), 3);
    push(&drain, &rings, 2, "[c] x\n");
    assert_eq!(drain.call(2, 100), Some(1));
    assert_eq!(write(&drain, &rings, 2, 200), " 1\n[c] x\n");
    assert_eq!(
        (write(&drain, &rings, 2, 300), write(&drain, &rings, 1, 300)),
        (String::new(), "[b] 2\n[b] 3\n".to_owned())
    );
}

/// A producer that has looked, and found its line whole, adds to it: nobody cuts it before that has gone out.
#[test]
fn a_line_is_not_cut_under_its_producers_hands() {
    let (drain, rings) = four();
    let add = |text: &str| {
        assert!(rings[0].push(text.as_bytes()));
        drain.end(0, true)
    };
    assert!(!drain.begin(0) && !add("[a] ~ #"));
    assert_eq!(write(&drain, &rings, 0, 0), "[a] ~ #");
    assert!(!drain.begin(0));
    push(&drain, &rings, 1, "[b] x\n");
    assert_eq!(write(&drain, &rings, 1, 0), "");
    // Who wanted to is called, as he may not come by himself.
    assert!(add(" l"));
    assert_eq!((write(&drain, &rings, 0, 0), drain.call(0, 0)), (" l".to_owned(), Some(1)));
    assert_eq!(write(&drain, &rings, 1, 0), "\n[b] x\n");
    assert!(drain.begin(0) && !drain.end(0, false) && !drain.begin(0) && !drain.end(0, false));
}

#[test]
fn passing_over_takes_the_next_one() {
    let (drain, rings) = four();
    push(&drain, &rings, 0, "a\n");
    push(&drain, &rings, 1, "b\n");
    push(&drain, &rings, 2, "c\n");
    assert_eq!(drain.call(0, 0), Some(1));
    // After 1 comes 2, not the one who passed over.
    assert_eq!((write(&drain, &rings, 0, 99), drain.call(0, 99)), (String::new(), Some(2)));
    assert_eq!((write(&drain, &rings, 0, 200), drain.call(0, 200)), ("a\n".to_owned(), Some(1)));
}

#[test]
fn a_line_without_its_end_is_known() {
    let (drain, rings) = four();
    let within = || drain.turn_of_all().unwrap().is_within_a_line();
    assert!(!within());
    push(&drain, &rings, 0, "a");
    assert!(!within() && write(&drain, &rings, 0, 0) == "a" && within());
    push(&drain, &rings, 1, "b\n");
    // He who comes next ends it, and nobody before him.
    assert!(write(&drain, &rings, 0, 0).is_empty() && write(&drain, &rings, 2, 0).is_empty() && within());
    let mut byte = [0];
    assert_eq!(drain.turn(1, 0).unwrap().fill(|source| rings.get(source), &mut byte), 1);
    assert!(byte == *b"\n" && !within());
}

/// Cores that write their own rings and come when they are called, and a terminal that has room.
struct Cores<const N: usize> {
    drain: Drain,
    rings: [Ring<N>; 3],
    kicked: [AtomicBool; 3],
    out: Mutex<Vec<u8>>,
}

impl<const N: usize> Cores<N> {
    /// Nobody is passed over: what is lost stays so.
    fn new() -> Self {
        Self {
            drain: Drain::new(COMMON, u64::MAX),
            rings: [const { Ring::new() }; 3],
            kicked: [const { AtomicBool::new(false) }; 3],
            out: Mutex::new(Vec::new()),
        }
    }

    fn is_kicked(&self, me: usize) -> bool {
        self.kicked[me].swap(false, Ordering::SeqCst)
    }

    /// Writes what is to be written by this one, and calls the next.
    fn pump(&self, me: usize) {
        while let Some(mut turn) = self.drain.turn(me, 0) {
            let mut bytes = [0; 16];
            loop {
                let filled = turn.fill(|source| self.rings.get(source), &mut bytes);
                if filled == 0 {
                    break;
                }
                self.out.lock().unwrap().extend_from_slice(&bytes[..filled]);
            }
            drop(turn);
            if !self.drain.is_for(me, 0) {
                break;
            }
        }
        if let Some(next) = self.drain.call(me, 0) {
            self.kicked[next].store(true, Ordering::SeqCst);
        }
    }

    fn written(&self) -> usize {
        self.out.lock().unwrap().len()
    }

    /// Has each core do its work on a thread of its own; what the terminal has then.
    fn run(&self, core: impl Fn(usize) + Sync) -> String {
        std::thread::scope(|scope| {
            for me in 0..3 {
                let core = &core;
                scope.spawn(move || core(me));
            }
        });
        String::from_utf8(core::mem::take(&mut *self.out.lock().unwrap())).unwrap()
    }
}

/// Three cores that write and come when they are called: nothing is left lying, though nobody looks of his own accord.
#[test]
fn no_call_is_lost() {
    let lines = if cfg!(miri) { 20 } else { 1000 };
    let rounds = if cfg!(miri) { 1 } else { 10 };
    for _ in 0..rounds {
        let cores = Cores::<64>::new();
        let all: usize = (0..lines).map(|line| 3 * format!("0 {line}\n").len()).sum();
        let out = cores.run(|me| {
            let text = |line: usize| format!("{me} {line}\n");
            let mut line = 0;
            // Without progress for this long, something is lost.
            let mut patience = 2_000_000_u64;
            let mut seen = 0;
            while line < lines || cores.written() < all {
                if cores.is_kicked(me) {
                    cores.pump(me);
                } else if line < lines && cores.rings[me].push(text(line).as_bytes()) {
                    line += 1;
                    cores.drain.mark(me);
                    if cores.drain.is_for(me, 0) {
                        cores.pump(me);
                    }
                } else {
                    std::thread::yield_now();
                    let written = cores.written();
                    patience = if seen == written { patience - 1 } else { 2_000_000 };
                    seen = written;
                    assert!(patience > 0, "{me} waits and nobody calls: {:?}", cores.drain);
                }
            }
        });
        assert_eq!(in_order(&out), [lines; 3]);
    }
}

/// Three guests in focus at once, which write letter by letter: wherever their lines are cut, no letter stands in a line
/// without its name, and the last that is shown of each line is all of it.
#[test]
fn no_letter_is_without_its_name() {
    let (letters, lines) = if cfg!(miri) { (8, 3) } else { (40, 150) };
    let cores = Cores::<2048>::new();
    let busy = AtomicUsize::new(3);
    let out = cores.run(|me| {
        let mut assembler = Assembler::new(&me.to_string());
        let _ = assembler.focus(true);
        for line in 0..lines {
            let text = format!("{}{line}\n", "abcdefgh".repeat(letters / 8));
            for byte in text.bytes() {
                while Assembler::room(cores.rings[me].free()) == 0 || cores.is_kicked(me) {
                    cores.pump(me);
                }
                if cores.drain.begin(me) {
                    assembler.interrupted();
                }
                let bytes = assembler.put(byte);
                assert!(cores.rings[me].push(bytes));
                if cores.drain.end(me, !bytes.is_empty()) || cores.drain.is_for(me, 0) {
                    cores.pump(me);
                }
            }
        }
        busy.fetch_sub(1, Ordering::SeqCst);
        while busy.load(Ordering::SeqCst) != 0 || cores.drain.is_pending() {
            if cores.is_kicked(me) {
                cores.pump(me);
            }
            std::thread::yield_now();
        }
    });
    let mut whole = [0; 3];
    for line in out.lines() {
        let (name, text) = line.strip_prefix('[').and_then(|line| line.split_once("] ")).expect(line);
        let wanted = format!("{}{}", "abcdefgh".repeat(letters / 8), whole[name.parse::<usize>().unwrap()]);
        assert!(wanted.starts_with(text), "{line} is not of {wanted}");
        whole[name.parse::<usize>().unwrap()] += usize::from(text == wanted);
    }
    assert_eq!(whole, [lines; 3]);
}

/// A ring that nobody can call: passed over at once while its core is not at it, and not waited for by the transmit interrupt
/// while it is.
#[test]
fn who_cannot_be_called_comes_by_himself() {
    let rings = [const { Ring::new() }; 4];
    let drain = Drain::new(COMMON, PATIENCE).with_uncalled(1 << 1);
    push(&drain, &rings, 1, "b1\nb2\n");
    assert_eq!((drain.call(0, 0), drain.next_called(), drain.is_awaited()), (None, None, false));
    push(&drain, &rings, 2, "c\n");
    assert_eq!(drain.call(0, 0), None);
    assert!(drain.is_awaited() && drain.is_for(2, 0));
    assert_eq!(write(&drain, &rings, 2, 0), "c\n");
    // At it, it has its turn as anybody, and nobody is interrupted for what comes after.
    drain.present(1, true);
    push(&drain, &rings, 2, "d\n");
    assert!(drain.is_for(1, 0) && !drain.is_for(2, 100) && !drain.is_awaited());
    assert_eq!(write(&drain, &rings, 1, 0), "b1\n");
    assert_eq!((drain.call(1, 0), write(&drain, &rings, 1, 0)), (Some(2), String::new()));
    drain.present(1, false);
    assert!(drain.is_awaited());
    assert_eq!((drain.next_called(), write(&drain, &rings, 2, 0)), (Some(2), "d\n".to_owned()));
    assert!(!drain.is_awaited() && drain.is_pending());
}

/// What it began is ended by who passes it over.
#[test]
fn a_line_of_one_who_cannot_be_called_is_written_out() {
    let rings = [const { Ring::new() }; 4];
    let drain = Drain::new(COMMON, PATIENCE).with_uncalled(1 << 1);
    push(&drain, &rings, 1, "begun");
    assert_eq!(write(&drain, &rings, 1, 0), "begun");
    push(&drain, &rings, 1, ", ended\nnext\n");
    push(&drain, &rings, 0, "a\n");
    assert_eq!(write(&drain, &rings, 0, 0), ", ended\na\n");
    assert_eq!(drain.next_called(), None);
    assert!(!drain.is_awaited() && drain.is_pending());
}
