use partita_abi::supervision::{CAUSES, KINDS, Outcome, TOLD, state};
use proptest::prelude::*;

use super::*;
use crate::lifecycle::{Cause, Lifecycle, State, exits};

const REQUESTS: [(u8, Request); 3] =
    [(request::STOP, Request::Stop), (request::START, Request::Start), (request::RESTART, Request::Restart)];

#[test]
fn words_are_the_summary_s() {
    assert_eq!(Cause::ALL.iter().map(|cause| cause.word()).collect::<Vec<_>>(), CAUSES);
    assert_eq!(State::ALL.iter().map(|state| state.word()).collect::<Vec<_>>(), state::WORDS);
    assert_eq!(exits::NAMES.map(|(_, name)| name), KINDS);
    assert_eq!(Cause::Told as u8, TOLD);
    assert!(Cause::ALL.iter().zip(0..).all(|(cause, number)| *cause as u8 == number));
    let states = [state::OFF, state::LOADING, state::RUNNING, state::STOPPING, state::FAILED];
    assert!(State::ALL.iter().zip(states).all(|(state, number)| *state as u8 == number));
}

#[test]
fn registers() {
    let read = |offset| access(offset, 8, None, 2);
    assert_eq!(read(reg::MAGIC), Access::Value(u64::from_le_bytes(*b"PTSUPERV")));
    assert_eq!(read(reg::VERSION), Access::Value(1));
    assert_eq!(read(reg::COUNT), Access::Value(2));
    assert_eq!((read(reg::REFUSED), read(reg::RESULT)), (Access::Refused, Access::Result));
    assert_eq!(access(reg::COMMAND, 8, Some(5), 2), Access::Command(Command(5)));
    assert_eq!((read(0x400), read(0x408)), (Access::Refresh(0), Access::Refresh(1)));
    for refused in [reg::COMMAND, 0x30, 0x3f8, 0x410, 0xff8] {
        assert_eq!(read(refused), Access::Refuse, "{refused:#x}");
    }
}

/// Every offset, width and direction: what is not in the table above is refused.
#[test]
fn nothing_else_is_a_register() {
    for managed in [0, 1, 3, 384] {
        for offset in 0..reg::SIZE {
            for width in [1, 2, 4, 8] {
                for write in [None, Some(0), Some(u64::MAX)] {
                    let whole = width == 8 && offset % 8 == 0;
                    let known = match write {
                        None => {
                            matches!(offset, 0 | 0x8 | 0x10 | 0x18 | 0x28)
                                || offset >= 0x400 && (offset - 0x400) / 8 < managed as u64
                        }
                        Some(_) => offset == 0x20,
                    };
                    let refused = access(offset, width, write, managed) == Access::Refuse;
                    assert_eq!(refused, !(whole && known), "{offset:#x} {width} {write:?}");
                }
            }
        }
    }
}

/// Every state, request and right, by register and by hypercall: the same of both, and without the right nothing changes.
#[test]
fn every_state_request_and_right() {
    for (&state, &cause) in State::ALL.iter().flat_map(|s| Cause::ALL.iter().map(move |cause| (s, cause))) {
        for (code, request) in REQUESTS {
            for (index, managed) in [(0, 0), (0, 1), (1, 1), (1, 2), (0xffff, 2)] {
                let asked = command(Command::new(code, index, 0xabcd), managed);
                let called = Call::read(call::STOP - 1 + u32::from(code), index.into(), managed);
                assert_eq!(called, asked.map(|(request, index)| Call::Ask(request, index)));
                if usize::from(index) >= managed {
                    assert_eq!(asked, Err(Refusal::NoSuch));
                    continue;
                }
                assert_eq!(asked, Ok((request, index.into())));
                let life = Lifecycle::new();
                let reach = match state {
                    State::Off => true,
                    State::Loading => life.load(),
                    State::Running => life.load() && life.run(),
                    State::Stopping => life.load() && life.stop(cause),
                    State::Failed => continue,
                };
                assert!(reach);
                for direct in [false, true] {
                    let code = outcome(life.ask(request, Some(0)), direct).map_err(Refusal::code);
                    match (state, request) {
                        (State::Off, Request::Stop) => assert_eq!(code, Ok(code::ALREADY)),
                        (State::Stopping, _) => assert!(code.is_ok() || code == Err(code::FINAL)),
                        _ => assert!(code.is_ok(), "{state} {request:?}: {code:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn outcomes() {
    let all = [
        (Reply::Asked(Effect::KickAll), false, Ok(0)),
        (Reply::Asked(Effect::KickAll), true, Ok(2)),
        (Reply::Asked(Effect::KickFirst), true, Ok(0)),
        (Reply::Asked(Effect::Nothing), true, Ok(0)),
        (Reply::Already, true, Ok(1)),
        (Reply::Final, false, Err(Refusal::Final)),
    ];
    for (reply, direct, wanted) in all {
        assert_eq!(outcome(reply, direct), wanted);
    }
    let codes = [Refusal::Unknown, Refusal::NoSuch, Refusal::Malformed, Refusal::Final].map(Refusal::code);
    assert_eq!(codes, [-1, -2, -3, -4]);
    let command = Command::new(3, 0x1234, 0xfedc);
    let outcome = Outcome::new(command, -2, 0x5678);
    assert_eq!(outcome.0, 0xfedc_1234_5678_fe03);
    assert!(outcome.is_of(command) && outcome.code() == -2 && outcome.count() == 0x5678);
    assert!(!outcome.is_of(Command::new(3, 0x1235, 0xfedc)));
}

#[test]
fn calls() {
    let read = |function, x1| Call::read(function, x1, 2);
    assert_eq!(read(0xc600_0000, u64::MAX), Ok(Call::Count));
    assert_eq!(read(0xc600_0006, u64::MAX), Ok(Call::Beat));
    assert_eq!((read(0xc600_0001, 1), read(0xc600_0002, 0)), (Ok(Call::Name(1)), Ok(Call::State(0))));
    for x1 in [2, 0x1_0000_0000, 0x8000_0000_0000_0001, u64::MAX] {
        for function in 0xc600_0001..=0xc600_0005 {
            assert_eq!(read(function, x1), Err(Refusal::NoSuch), "{function:#x} {x1:#x}");
        }
    }
    assert!((0xc600_0000..0xc600_0007).all(Call::owns));
    assert!(![0xc5ff_ffff, 0xc600_0007, 0x8600_0000, 0x8600_0001, u32::MAX, 0].into_iter().any(Call::owns));
    assert_eq!([0, 1, 2, 3, 6].map(|call| Call::answers(0xc600_0000 + call)), [1, 4, 3, 0, 0]);
}

proptest! {
    /// Whatever a guest writes, what comes of it is about one that it manages.
    #[test]
    fn an_index_is_one_of_the_caller_s_own(word: u64, offset in 0u64..0x2000, width in 0u8..17, write: Option<u64>,
        function: u32, x1: u64, managed in 0usize..400)
    {
        if let Ok((_, index)) = command(Command(word), managed) {
            prop_assert!(index < managed && word as u32 >> 8 == 0);
        }
        if let Access::Refresh(index) = access(offset, width, write, managed) {
            prop_assert!(index < managed && write.is_none());
        }
        match Call::read(function, x1, managed) {
            Ok(Call::Name(index) | Call::State(index) | Call::Ask(_, index)) => prop_assert!(index < managed),
            Ok(_) => prop_assert!(Call::owns(function)),
            Err(refusal) => prop_assert!(refusal.code() < 0),
        }
    }
}
