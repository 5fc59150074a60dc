use super::exits::{Exits, Kind, NAMES};
use super::*;
use proptest::prelude::*;

#[test]
fn an_ordinary_life_and_another() {
    let life = Lifecycle::new();
    assert_eq!(life.get(), (State::Off, Cause::NotStarted));
    assert!(!life.run() && !life.stop(Cause::SystemOff) && !life.settle());
    assert!(life.load() && !life.load());
    assert!(life.run() && !life.run());
    assert!(life.stop(Cause::SystemReset));
    // The first cause wins.
    assert!(!life.stop(Cause::SError));
    assert_eq!(life.get(), (State::Stopping, Cause::SystemReset));
    assert!(!life.load());
    assert!(life.is(State::Stopping) && !life.is(State::Off));
    assert!(life.settle() && life.is(State::Off) && !life.is(State::Failed));
    assert!(life.load() && life.run() && life.stop(Cause::SError) && life.settle());
    assert_eq!(life.get(), (State::Failed, Cause::SError));
    assert!(life.load());
    assert!(life.stop(Cause::BadImage) && life.settle());
    assert_eq!(life.get(), (State::Failed, Cause::BadImage));
}

#[test]
fn words_are_words() {
    let mut seen = std::collections::BTreeSet::new();
    for word in Cause::ALL.iter().map(|cause| cause.word()).chain(State::ALL.iter().map(|state| state.word()))
    {
        assert!(word.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{word}");
        assert!(seen.insert(word), "{word} twice");
    }
    for &state in State::ALL {
        for &cause in Cause::ALL {
            assert_eq!(parts(word(state, cause)), (state, cause));
        }
    }
}

#[test]
fn summary_line() {
    let (first, second) = (Exits::new(), Exits::new());
    for (times, (kind, _)) in NAMES.iter().enumerate() {
        assert_eq!(*kind as usize, times);
        (0..times).for_each(|_| first.count(*kind));
        second.count(*kind);
    }
    let exits = [first.get(), second.get()].into_iter().sum();
    let line = Summary { name: "linux", state: State::Off, cause: Cause::SystemOff, exits, dma: 3 };
    assert_eq!(
        format!("partita: {line}"),
        "partita: summary: linux state=off cause=system-off irq=1 sgi=2 mmio=3 sysreg=4 psci=5 hvc=6 other=7 dma=3"
    );
    first.count(Kind::Irq);
    assert_eq!(first.get().0[0], 1);
}

proptest! {
    /// No order of calls leads anywhere but along the arrows, and a garbled word is a failure, not a panic.
    #[test]
    fn only_the_arrows(steps in proptest::collection::vec((0u8..4, 0usize..11), 0..50), raw: u32) {
        let life = Lifecycle::new();
        for (step, cause) in steps {
            let (before, _) = life.get();
            let moved = match step {
                0 => life.load(),
                1 => life.run(),
                2 => life.stop(Cause::ALL[cause]),
                _ => life.settle(),
            };
            let (after, _) = life.get();
            use State::{Failed, Loading, Off, Running, Stopping};
            let arrow = matches!(
                (before, after),
                (Off | Failed, Loading) | (Loading, Running) | (Loading | Running, Stopping) | (Stopping, Off | Failed)
            );
            prop_assert_eq!(moved, arrow);
            prop_assert!(moved || before == after);
        }
        let _ = parts(raw);
    }
}
