use super::exits::{Exits, Kind, NAMES};
use super::*;
use crate::plan::Restart;
use proptest::prelude::*;

#[test]
fn an_ordinary_life_and_another() {
    let life = Lifecycle::new();
    assert_eq!(life.get(), (State::Off, Cause::NotStarted));
    assert!(!life.run() && !life.stop(Cause::SystemOff) && life.settle(Verdict::Stay).is_none());
    assert!(life.load() && !life.load());
    assert!(life.run() && !life.run());
    assert!(life.stop(Cause::SystemReset));
    // The first cause wins.
    assert!(!life.stop(Cause::SError));
    assert_eq!(life.get(), (State::Stopping, Cause::SystemReset));
    assert!(!life.load());
    assert!(life.is(State::Stopping) && !life.is(State::Off));
    // A reset is no matter of policy.
    assert_eq!(life.settle(Verdict::Stay), Some(State::Loading));
    assert!(life.run() && life.stop(Cause::SError));
    assert_eq!(life.settle(Verdict::Stay), Some(State::Failed));
    assert_eq!(life.get(), (State::Failed, Cause::SError));
    assert!(life.load() && life.stop(Cause::UnexpectedException));
    assert_eq!(life.settle(Verdict::Again), Some(State::Loading));
    assert!(life.run() && life.stop(Cause::SystemOff));
    assert_eq!(life.settle(Verdict::Exhausted), Some(State::Failed));
    assert!(life.load() && life.stop(Cause::BadImage));
    // Nothing brings back what cannot be helped.
    assert_eq!(life.settle(Verdict::Again), Some(State::Failed));
    assert_eq!(life.get(), (State::Failed, Cause::BadImage));
}

#[test]
fn another_partition_asks() {
    let life = Lifecycle::new();
    let by = Some(2);
    let told = |life: &Lifecycle| (life.life().cause, life.life().by);
    assert_eq!(life.ask(Request::Stop, by), Reply::Already);
    assert_eq!(life.ask(Request::Start, by), Reply::Asked(Effect::KickFirst));
    assert_eq!(life.ask(Request::Start, by), Reply::Already);
    assert_eq!(life.ask(Request::Restart, by), Reply::Asked(Effect::KickAll));
    assert_eq!(told(&life), (Cause::Told, by));
    // Two who ask: the last one counts, and the first is on record.
    assert_eq!(life.ask(Request::Stop, None), Reply::Asked(Effect::Nothing));
    assert_eq!(life.ask(Request::Stop, None), Reply::Already);
    assert_eq!(told(&life), (Cause::Told, by));
    assert_eq!(life.settle(Verdict::Again), Some(State::Off));
    assert_eq!(life.ask(Request::Restart, by), Reply::Asked(Effect::KickFirst));
    // It failed by itself, and is told to stay off before its policy could bring it back.
    assert!(life.run() && life.stop(Cause::SError));
    assert_eq!(life.ask(Request::Stop, by), Reply::Asked(Effect::Nothing));
    assert_eq!(life.settle(Verdict::Again), Some(State::Failed));
    assert_eq!(told(&life), (Cause::SError, None));
    // The user ends everything, and nobody overrules him.
    assert!(life.load() && life.stop(Cause::Quit));
    assert_eq!(life.ask(Request::Start, by), Reply::Final);
    assert_eq!(life.settle(Verdict::Again), Some(State::Off));
    assert_eq!(life.ask(Request::Start, by), Reply::Final);
    assert_eq!(life.ask(Request::Stop, by), Reply::Already);
}

/// Every state, cause and request: what is asked for follows, or it is so already, or it never can be.
#[test]
fn every_request_has_its_reply() {
    for (&state, &cause) in
        State::ALL.iter().flat_map(|state| Cause::ALL.iter().map(move |cause| (state, cause)))
    {
        for next in [Next::Policy, Next::Again, Next::Stay] {
            for request in [Request::Start, Request::Stop, Request::Restart] {
                let before = Life { state, cause, by: None, next };
                let life = Lifecycle { word: AtomicU32::new(before.pack()) };
                let (reply, after) = (life.ask(request, Some(3)), life.life());
                let runs = matches!(after.state, State::Loading | State::Running);
                let comes = runs || after.state == State::Stopping && after.next == Next::Again;
                let all = format!("{before:?} {request:?}: {reply:?} {after:?}");
                match (reply, request) {
                    (Reply::Asked(_), _) => assert_ne!(before, after, "{all}"),
                    _ => assert_eq!(before, after, "{all}"),
                }
                let lost = matches!(cause, Cause::Quit | Cause::HypervisorFault)
                    && matches!(state, State::Off | State::Failed)
                    || state == State::Stopping && cause.is_final() && cause != Cause::Told;
                match reply {
                    Reply::Final => assert!(lost && request != Request::Stop, "{all}"),
                    _ if request == Request::Stop => assert!(!runs, "{all}"),
                    _ => assert!(comes && !lost, "{all}"),
                }
                if after.state == State::Stopping && before.state != State::Stopping {
                    assert_eq!((after.cause, after.by), (Cause::Told, Some(3)), "{all}");
                }
            }
        }
    }
}

#[test]
fn restarts_are_counted_by_time() {
    let mut policy = Policy::new(Restart::OnFailure, 2, 100);
    assert_eq!(policy.verdict(Cause::SystemOff, 0), Verdict::Stay);
    assert_eq!(policy.verdict(Cause::BadImage, 0), Verdict::Stay);
    assert_eq!(policy.verdict(Cause::SError, 0), Verdict::Again);
    assert_eq!(policy.verdict(Cause::SError, 50), Verdict::Again);
    assert_eq!(policy.verdict(Cause::SError, 99), Verdict::Exhausted);
    // The window slides: in none of 100 ticks are there more than two.
    assert_eq!(policy.verdict(Cause::SError, 100), Verdict::Again);
    assert_eq!(policy.verdict(Cause::SError, 149), Verdict::Exhausted);
    assert_eq!(policy.verdict(Cause::SError, 150), Verdict::Again);
    let mut always = Policy::new(Restart::Always, 5, 0);
    assert!((0..1000).all(|_| always.verdict(Cause::AllCpusOff, 7) == Verdict::Again));
    assert_eq!(always.verdict(Cause::Told, 7), Verdict::Stay);
    assert_eq!(always.verdict(Cause::Quit, 7), Verdict::Stay);
    assert_eq!(Policy::new(Restart::Never, 5, 60).verdict(Cause::SError, 0), Verdict::Stay);
    assert_eq!(Policy::new(Restart::Always, 0, 60).verdict(Cause::SError, 0), Verdict::Exhausted);
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
            for by in [None, Some(0), Some(63)] {
                for next in [Next::Policy, Next::Again, Next::Stay] {
                    let life = Life { state, cause, by, next };
                    assert_eq!(Life::unpack(life.pack()), life);
                }
            }
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
    let cause = Cause::SystemOff;
    let mut line =
        Summary { name: "linux", state: State::Off, cause, by: None, exits, dma: 3, restarts: 4, refused: 0 };
    assert_eq!(
        format!("partita: {line}"),
        "partita: summary: linux state=off cause=system-off irq=1 sgi=2 mmio=3 sysreg=4 psci=5 hvc=6 other=7 dma=3 restarts=4"
    );
    (line.cause, line.by, line.refused) = (Cause::Told, Some("boss"), 2);
    assert!(line.to_string().ends_with(" dma=3 restarts=4 by=boss refused=2"), "{line}");
    first.count(Kind::Irq);
    assert_eq!(first.get().0[0], 1);
}

proptest! {
    /// No order of calls leads anywhere but along the arrows, and a garbled word is a failure, not a panic.
    #[test]
    fn only_the_arrows(steps in proptest::collection::vec((0u8..7, 0usize..13), 0..50), raw: u32) {
        let life = Lifecycle::new();
        let moves = |reply| matches!(reply, Reply::Asked(Effect::KickAll | Effect::KickFirst));
        for (step, cause) in steps {
            let (before, _) = life.get();
            let moved = match step {
                0 => life.load(),
                1 => life.run(),
                2 => life.stop(Cause::ALL[cause]),
                3 => life.settle(Verdict::Again).is_some(),
                4 => life.settle(Verdict::Stay).is_some(),
                5 => moves(life.ask(Request::Stop, Some(1))),
                _ => moves(life.ask(Request::Restart, Some(1))),
            };
            let (after, _) = life.get();
            use State::{Failed, Loading, Off, Running, Stopping};
            let arrow = matches!(
                (before, after),
                (Off | Failed, Loading) | (Loading, Running) | (Loading | Running, Stopping) | (Stopping, Off | Failed | Loading)
            );
            prop_assert_eq!(moved, arrow);
            prop_assert!(moved || before == after);
        }
        let _ = Life::unpack(raw);
    }
}
