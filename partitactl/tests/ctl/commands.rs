//! Commands: what is asked of the device, what is waited for, and how it ends.

use std::mem::offset_of;

use partita_abi::supervision::{Command, Header, Outcome, code, request, state};

use super::fake::{Fake, NOW};

/// What was asked: request and index.
fn asked(fake: &Fake) -> Vec<(u8, u16)> {
    fake.commands.borrow().iter().map(|command| (command.request(), command.index())).collect()
}

#[test]
fn it_waits_until_it_is_so() {
    let fake = Fake::usual();
    assert_eq!(fake.run("restart metronome"), (0, String::new(), String::new()));
    assert_eq!(asked(&fake), [(request::RESTART, 0)]);
    assert_eq!(fake.images[0].state(), state::RUNNING);
    assert_eq!(fake.run("stop metronome"), (0, String::new(), String::new()));
    assert_eq!(fake.images[0].state(), state::OFF);
    fake.images[0].set(offset_of!(Header, started), NOW - 1);
    assert_eq!(fake.run("start metronome vault").0, 0);
    assert_eq!(asked(&fake)[2..], [(request::START, 0), (request::START, 2)]);
    let (status, out, _) = Fake::usual().run("restart metronome --json");
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let result = &value["results"][0];
    assert_eq!((status, &result["state"], &result["code"]), (0, &"running".into(), &0.into()));
}

#[test]
fn it_does_not_wait_where_it_need_not() {
    let mut fake = Fake::usual();
    fake.patience = u64::MAX;
    assert_eq!(fake.run("stop --no-wait metronome").0, 0);
    assert_eq!(fake.images[0].state(), state::STOPPING);
    // It is so already.
    let fake = Fake::usual();
    fake.code.set(code::ALREADY);
    fake.at_refresh(|image| {
        image.life(state::RUNNING, 0, 0, 0);
    });
    assert_eq!(fake.run("start metronome").0, 0);
}

#[test]
fn time_is_bounded() {
    let mut fake = Fake::usual();
    fake.patience = u64::MAX;
    let (status, _, said) = fake.run("restart metronome --timeout 0.05");
    assert_eq!(status, 124);
    assert_eq!(
        said,
        "partitactl: error: metronome: restart was asked for and is not done after 0.05 s: it is stopping\n"
    );
    fake.code.set(code::BEST_EFFORT);
    let (status, _, said) = fake.run("stop gateway --timeout 0.05");
    assert!(status == 124 && said.contains("its interrupts are direct"), "{said}");
}

#[test]
fn a_refusal_is_said_in_words() {
    for (code, words) in [
        (code::FINAL, "it cannot be started any more"),
        (code::NO_SUCH, "does not let this partition manage that one"),
        (code::UNKNOWN, "the hypervisor is older"),
        (code::MALFORMED, "the hypervisor is newer"),
        (-77, "code -77"),
    ] {
        let fake = Fake::usual();
        fake.code.set(code);
        let (status, _, said) = fake.run("start vault");
        assert_eq!(status, 5);
        assert!(said.starts_with("partitactl: error: vault: the hypervisor refuses to start it: "), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn who_is_not_managed_is_told_before_anything_is_done() {
    let fake = Fake::usual();
    for line in ["stop linux", "restart metronome linux", "log linux", "crash linux", "status linux"] {
        let (status, out, said) = fake.run(line);
        assert_eq!((status, out.as_str()), (4, ""), "{line}");
        let wanted = "partitactl: error: linux is not managed by this partition; it manages metronome, gateway, vault\n";
        assert_eq!(said, wanted, "{line}");
    }
    assert_eq!(asked(&fake), []);
}

#[test]
fn a_start_that_fails_is_told() {
    let mut fake = Fake::usual();
    fake.patience = u64::MAX;
    fake.at_refresh(|image| {
        if image.state() == state::STOPPING {
            image.life(state::FAILED, 5, 0, 0);
            image.set(offset_of!(Header, failures), 6);
        }
    });
    let (status, _, said) = fake.run("start vault");
    assert_eq!(status, 1);
    assert!(said.contains("vault was started and failed: bad-image; see `partitactl crash vault`"), "{said}");
}

/// Another program's results come between; whoever gives a command every time is told apart from an answer.
#[test]
fn another_s_result_is_not_taken_for_ours() {
    let fake = Fake::usual();
    let result = fake.result.clone();
    struct Other(Fake, std::rc::Rc<std::cell::Cell<u64>>, std::cell::Cell<u32>, u32);
    impl partitactl::device::Device for Other {
        fn register(&self, offset: u64) -> u64 {
            self.0.register(offset)
        }
        fn command(&self, word: u64) {
            self.0.command(word);
            let times = self.2.get() + 1;
            self.2.set(times);
            if times < self.3 {
                self.1.set(Outcome::new(Command::new(request::STOP, 1, 0), code::FINAL, times as u16 + 1).0);
            }
        }
        fn area(&self, index: usize) -> &dyn partitactl::device::Words {
            self.0.area(index)
        }
        fn now(&self) -> u64 {
            self.0.now()
        }
        fn frequency(&self) -> u64 {
            self.0.frequency()
        }
    }
    let ask = |times| {
        let other = Other(fake.clone(), result.clone(), std::cell::Cell::new(0), times);
        let supervisor = partitactl::device::Supervisor::new(Box::new(other), fake.names.clone());
        supervisor.expect("a device").ask(request::RESTART, 0)
    };
    assert_eq!(ask(3).ok(), Some(code::ASKED));
    assert!(matches!(ask(1000), Err(partitactl::Error::Busy)));
}

#[test]
fn exit_statuses_of_questions() {
    let fake = Fake::usual();
    assert_eq!(fake.run("is-active metronome"), (0, "running\n".to_owned(), String::new()));
    assert_eq!(fake.run("is-active vault"), (3, "failed\n".to_owned(), String::new()));
    assert_eq!(fake.run("is-active -q gateway vault"), (3, String::new(), String::new()));
    assert_eq!(fake.run("is-active vault metronome").0, 0);
    assert_eq!(fake.run("status metronome").0, 0);
    assert_eq!(fake.run("status gateway").0, 3);
    let (status, _, said) = fake.run("crash metronome");
    assert_eq!((status, said.as_str()), (1, "partitactl: error: metronome has not failed since power-on\n"));
}

#[test]
fn what_is_not_the_device_is_refused() {
    let mut fake = Fake::usual();
    fake.magic = 0;
    let (status, _, said) = fake.run("list");
    assert!(status == 1 && said.contains("the device tree is wrong"), "{said}");
    let mut fake = Fake::usual();
    fake.version = 2;
    assert!(fake.run("list").2.contains("has version 2; this program knows version 1"));
    let mut fake = Fake::usual();
    fake.count = 4;
    assert!(fake.run("list").2.contains("count of partitions reads 0x4"));
}

#[test]
fn it_describes_itself() {
    let fake = Fake::new(&[]);
    for shell in ["bash", "zsh", "fish"] {
        let (status, script, _) = fake.run(&format!("completions {shell}"));
        assert!(status == 0 && script.contains("is-active"), "{shell}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(fake.run(&format!("man {}", folder.path().display())).0, 0);
    for page in ["partitactl.1", "partitactl-top.1", "partitactl-restart.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
}
