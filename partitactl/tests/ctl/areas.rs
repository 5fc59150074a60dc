//! Areas as nobody should make them: each is told, and none ends the program.

use std::cell::Cell;
use std::mem::offset_of;

use partita_abi::supervision::{Area, Header, LOG_BYTES, Log, state};
use partitactl::area::{self, AreaError};
use partitactl::log::Follower;
use proptest::prelude::*;

use super::fake::{Fake, Image, metronome, vault};

#[test]
fn a_bad_word_is_told() {
    for (offset, value, wanted) in [
        (offset_of!(Header, magic), 7, AreaError::Magic(7)),
        (offset_of!(Header, version), 9, AreaError::Version(9)),
        (offset_of!(Header, log), 1 << 40, AreaError::Outside("log", 1 << 40)),
        (offset_of!(Header, log), 0x104, AreaError::Outside("log", 0x104)),
        (offset_of!(Header, log), 0x1f80, AreaError::Outside("log", 0x1f80)),
        (offset_of!(Header, cpus), u64::MAX - 7, AreaError::Outside("virtual CPUs", u64::MAX - 7)),
        (offset_of!(Header, cpus), 0x1fc8, AreaError::Outside("virtual CPUs", 0x1fc8)),
        (offset_of!(Header, records), 0x1f00, AreaError::Outside("records", 0x1f00)),
        (offset_of!(Header, cpu_count), u64::MAX, AreaError::Outside("virtual CPUs", 0x1140)),
        (offset_of!(Header, cpu_count), 1 << 58, AreaError::Outside("virtual CPUs", 0x1140)),
        (offset_of!(Header, cpu_count), 50, AreaError::Outside("records", 0x1180)),
        (offset_of!(Header, name), u64::from_le_bytes(*b"linux\0\0\0"), AreaError::Name("linux".to_owned())),
    ] {
        let image = metronome();
        image.set(offset, value);
        assert_eq!(area::read(&image, "metronome"), Err(wanted));
        // The others are shown all the same.
        let fake = Fake::new(&[("metronome", image), ("vault", vault())]);
        let (status, out, said) = fake.run("list");
        assert!(said.starts_with("partitactl: error: metronome: its status page "), "{said}");
        assert!(status == 1 && out.contains("vault"), "{out}");
        let (status, out, _) = fake.run("metrics");
        assert!(status == 1 && out.contains("partita_partition_readable{partition=\"metronome\"} 0\n"));
    }
    assert_eq!(area::read(&metronome(), "metronome").map(|read| read.restarts), Ok(2));
    let none = Image(std::rc::Rc::default());
    assert!(area::read(&none, "metronome").is_err());
}

#[test]
fn numbers_of_a_later_hypervisor_are_shown_as_numbers() {
    let image = metronome();
    image.life(9, 77, 0, 0);
    let fake = Fake::new(&[("metronome", image)]);
    assert!(fake.run("list").1.contains("number-9  -       2         number-77"));
}

/// A record that is written whenever it is read is told; one that is whole at the second look is read.
#[test]
fn a_torn_record_is_not_shown() {
    let sequence = offset_of!(Header, record_sequence);
    let fake = Fake::usual();
    fake.at_refresh(move |image| {
        image.set(sequence, image.get(sequence) + 1);
    });
    let (status, out, said) = fake.run("crash vault");
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(said.contains("has a record that changes all the time"), "{said}");
    // Odd: somebody writes it, and never ends.
    let fake = Fake::usual();
    fake.images[2].set(sequence, 11);
    assert_eq!(fake.run("crash vault").0, 1);
    let fake = Fake::usual();
    let left = Cell::new(6);
    fake.at_refresh(move |image| {
        if left.get() > 0 {
            left.set(left.get() - 1);
            image.set(sequence, image.get(sequence) + 1).set(offset_of!(Header, record_life), 7);
        }
    });
    let (status, out, _) = fake.run("crash vault");
    assert!(status == 0 && out.starts_with("vault: life 7: "), "{out}");
}

/// Everything that a partition says is read once, and in order, or counted as missed, however fast it speaks.
#[test]
fn a_log_is_followed_without_gaps_that_are_not_told() {
    let image = Image::new("metronome", 1);
    let fake = Fake::new(&[("metronome", image.clone())]);
    let supervisor = fake.supervisor().expect("a device");
    let mut follower = Follower::default();
    let mut said = String::new();
    let mut heard = String::new();
    assert_eq!(follower.look(supervisor.area(0)).expect("a log").bytes, b"");
    for (round, burst) in [1, 100, 3584, 3585, 9000, 4096, 0, 7].into_iter().enumerate() {
        let text: String = (0..burst).map(|n| char::from(b'a' + ((n + round) % 26) as u8)).collect();
        image.say(&text);
        said += &text;
        let news = follower.look(supervisor.area(0)).expect("a log");
        assert_eq!(news.missed, (burst as u64).saturating_sub(3584), "{burst}");
        heard += &said[heard.len()..][..news.missed as usize];
        heard += std::str::from_utf8(&news.bytes).expect("text");
        assert_eq!(heard, said);
    }
    // While it is copied, more comes: what that may have overwritten is missed.
    let more = image.clone();
    fake.at_refresh(move |_| {
        more.say(&"x".repeat(2000));
    });
    let news = follower.look(supervisor.area(0)).expect("a log");
    // 2,000 before the copy, 2,000 behind it: of the first only what is less than 3,584 bytes back is whole.
    assert_eq!((news.bytes.len(), news.missed), (1584, 416));
    // A count that goes back.
    fake.at_refresh(|_| ());
    image.set(offset_of!(Area, log) + offset_of!(Log, head), 4);
    assert_eq!(follower.look(supervisor.area(0)).expect("a log").bytes.len(), 4);
    image.set(offset_of!(Area, log) + offset_of!(Log, head), u64::MAX);
    let news = follower.look(supervisor.area(0)).expect("a log");
    assert!(news.bytes.len() <= LOG_BYTES, "{}", news.bytes.len());
}

#[test]
fn a_partition_does_nothing_to_the_terminal() {
    let image = metronome();
    image.say("[metronome] \x1b]0;title\x07 \u{9b}31m \x08\n");
    let (_, out, _) = Fake::new(&[("metronome", image)]).run("log metronome");
    assert!(out.chars().all(|letter| letter == '\n' || !letter.is_control()), "{out:?}");
}

#[test]
fn a_line_without_its_beginning_is_left_out() {
    let image = Image::new("metronome", 1);
    for line in 0..500 {
        image.say(&format!("[metronome] line {line}\r\n"));
    }
    let fake = Fake::new(&[("metronome", image)]);
    let (_, out, _) = fake.run("log metronome");
    assert!(out.starts_with("[metronome] line ") && out.ends_with("[metronome] line 499\n"), "{out}");
    assert_eq!(fake.run("log metronome -n 2").1, "[metronome] line 498\n[metronome] line 499\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any bytes at all, behind a beginning that is believed or not.
    #[test]
    fn no_area_ends_the_program(
        noise in prop::collection::vec(any::<u64>(), 0..1600),
        keep in 0_usize..64,
        small in any::<bool>(),
    ) {
        let image = Image::new("metronome", 1);
        let good = image.0.borrow().clone();
        let mut words = if small { noise.iter().map(|word| (word % 0x3000) & !7).collect() } else { noise };
        let kept = keep.min(words.len());
        words[..kept].copy_from_slice(&good[..kept]);
        *image.0.borrow_mut() = words;
        let fake = Fake::new(&[("metronome", image)]);
        for line in ["list", "status", "top -n 1 -d 0.01", "log metronome", "crash metronome", "metrics", "list --json"] {
            let (status, _, _) = fake.run(line);
            prop_assert!([0, 1, 3].contains(&status), "{line}: {status}");
        }
    }

    /// One word of a good area changed to anything.
    #[test]
    fn no_word_ends_the_program(at in 0_usize..0x400, value in any::<u64>()) {
        let image = vault();
        let words = image.0.borrow().len();
        image.set(8 * (at % words), value);
        let fake = Fake::new(&[("vault", image)]);
        for line in ["status --json", "log vault", "crash vault", "crash vault --json", "metrics --json"] {
            prop_assert!([0, 1, 3].contains(&fake.run(line).0));
        }
    }
}

#[test]
fn the_state_is_what_the_life_word_says() {
    for (word, name) in (0..).zip(state::WORDS) {
        let image = metronome();
        image.life(word, 0, 0, 0);
        let fake = Fake::new(&[("metronome", image)]);
        assert_eq!(fake.run("is-active metronome").1, format!("{name}\n"));
    }
}
