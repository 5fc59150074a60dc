//! All that three partitions on four cores can come to, by every interleaving of their cores' steps: what guests do, what one
//! partition asks of another, kicks, and the steps of EL2's own loop (src/core.rs, `idle`; src/life.rs). Decisions are the model's
//! own, the ones that EL2 takes: [`Life::after`], [`order`], [`Psci`]; what is modelled here is what EL2 does between them.
//!
//! The first partition has two cores and may ask anything of the second; the second has one and may ask of the third.
#![cfg(not(miri))] // hundreds of thousands of states

use partita_abi::psci as id;
use partita_model::addr::Ipa;
use partita_model::lifecycle::{Cause, Effect, Event, Life, Order, Request, State, Verdict, order};
use partita_model::psci::{Outcome, Power, Psci, Start};
use stateright::{Checker, Model, Property};

const PARTITIONS: usize = 3;
const CORES: usize = 4;
/// Which partition each core is of, and which of its virtual CPUs it is.
const SEATS: [(usize, usize); CORES] = [(0, 0), (0, 1), (1, 0), (2, 0)];
/// Whom each partition may ask something of.
const MANAGES: [Option<usize>; PARTITIONS] = [Some(1), Some(2), None];
const START: Start = Start { entry: Ipa(0), context: 0 };

/// What a core is in the midst of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    /// In its guest.
    Guest,
    /// In EL2, after a kick that was acknowledged: about to see whether its partition ends.
    Looking,
    /// About to kick the cores from this one on that are a partition's and not itself; then to leave its guest, or to go back.
    Kicking { partition: usize, from: usize, leaves: bool },
    /// About to be counted as out of the guest.
    Leaving,
    /// At the head of EL2's loop.
    Awake,
    /// Fills its partition's memory.
    Loading,
    /// Asleep until it is kicked.
    Asleep,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Core {
    at: At,
    /// A kick is pending.
    kicked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Part {
    life: Life,
    parked: usize,
    psci: Psci,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Machine {
    parts: Vec<Part>,
    cores: Vec<Core>,
    /// What must never be was seen.
    wrong: Option<&'static str>,
}

/// A step of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The guest calls PSCI.
    Call(u32, u64),
    /// The guest faults, or something of it does.
    Fault,
    /// The guest asks something of the partition that its own manages.
    Ask(Request),
    /// EL2's own next step. Where its partition's policy has a say, this is it; where a file may be damaged, whether it is.
    Go(Verdict),
    /// The file that it loads is damaged.
    Damaged,
}

/// Nothing that follows depends on why a partition that does not stop ended the last time, nor on who said so: states that
/// differ in that alone count as one ([`what_was_does_not_matter`]).
fn forget(life: Life) -> Life {
    let cause = if life.state == State::Stopping { life.cause } else { Cause::NotStarted };
    Life { cause, by: None, ..life }
}

/// So many of the partitions, with their cores.
struct Lives(usize);

impl Machine {
    fn vcpus(partition: usize) -> usize {
        SEATS.iter().filter(|seat| seat.0 == partition).count()
    }

    fn kick(&mut self, partition: usize, vcpu: usize) {
        let core = SEATS.iter().position(|seat| *seat == (partition, vcpu));
        if let Some(core) = core {
            self.cores[core].kicked = true;
        }
    }

    fn event(&mut self, partition: usize, event: Event) -> Option<(Life, Life)> {
        let old = self.parts[partition].life;
        let new = forget(old.after(event)?);
        self.parts[partition].life = new;
        Some((old, new))
    }

    /// src/life.rs, `end`: the first to say so has it stop, and every one kicks the others and leaves.
    fn stop(&mut self, core: usize, cause: Cause) {
        let partition = SEATS[core].0;
        let _ = self.event(partition, Event::Stop(cause));
        self.cores[core].at = At::Kicking { partition, from: 0, leaves: true };
    }

    fn go(&mut self, core: usize, verdict: Verdict) {
        let (partition, vcpu) = SEATS[core];
        let vcpus = Machine::vcpus(partition);
        match self.cores[core].at {
            At::Guest => {
                // The kick is taken.
                self.cores[core].kicked = false;
                self.cores[core].at = At::Looking;
            }
            At::Looking => {
                let stopping = self.parts[partition].life.state == State::Stopping;
                self.cores[core].at = if stopping { At::Leaving } else { At::Guest };
            }
            At::Kicking { partition: whose, from, leaves } => {
                let next = (from..self.cores.len()).find(|other| SEATS[*other].0 == whose && *other != core);
                self.cores[core].at = match next {
                    Some(other) => {
                        self.cores[other].kicked = true;
                        At::Kicking { partition: whose, from: other + 1, leaves }
                    }
                    None if leaves => At::Leaving,
                    // Back to the guest; a kick that came meanwhile is taken there.
                    None => At::Guest,
                };
            }
            At::Leaving => {
                self.parts[partition].parked += 1;
                self.cores[core].at = At::Awake;
            }
            At::Awake => {
                let Part { life, parked, psci } = &mut self.parts[partition];
                match order(life.state, vcpu, vcpus, *parked, psci) {
                    Order::Enter(_) => {
                        *parked -= 1;
                        self.cores[core].at = At::Guest;
                    }
                    Order::Load => {
                        if *parked != vcpus {
                            self.wrong = Some("memory is filled under a guest that runs");
                        }
                        self.cores[core].at = At::Loading;
                    }
                    Order::Finish => self.finish(core, verdict),
                    Order::Gather | Order::Wait => self.cores[core].at = At::Asleep,
                }
            }
            At::Loading => {
                self.parts[partition].psci.launch(START);
                let _ = self.event(partition, Event::Run);
                self.cores[core].at = At::Awake;
            }
            At::Asleep => {
                self.cores[core].kicked = false;
                self.cores[core].at = At::Awake;
            }
        }
    }

    /// src/life.rs, `finish`.
    fn finish(&mut self, core: usize, verdict: Verdict) {
        let (partition, vcpu) = SEATS[core];
        match self.event(partition, Event::Settle(verdict)) {
            Some((_, new)) if new.state == State::Loading && vcpu != 0 => self.kick(partition, 0),
            Some(_) => {}
            None => self.wrong = Some("finished what does not stop"),
        }
        self.cores[core].at = At::Awake;
    }

    fn call(&mut self, core: usize, function: u32, target: u64) {
        let (partition, vcpu) = SEATS[core];
        match self.parts[partition].psci.call(vcpu, [function.into(), target, 0, 0], |_| true) {
            Outcome::CpuOn(other) => self.kick(partition, other),
            Outcome::CpuOff { last: true } => self.stop(core, Cause::AllCpusOff),
            Outcome::CpuOff { last: false } => self.cores[core].at = At::Leaving,
            Outcome::SystemOff => self.stop(core, Cause::SystemOff),
            Outcome::SystemReset => self.stop(core, Cause::SystemReset),
            Outcome::Return(_) | Outcome::Standby | Outcome::Suspend => {}
        }
    }

    fn ask(&mut self, core: usize, request: Request) {
        let by = SEATS[core].0;
        let Some(target) = MANAGES[by].filter(|target| *target < self.parts.len()) else { return };
        let Some((old, new)) = self.event(target, Event::Ask(request, Some(by as u8))) else { return };
        match old.effect(new) {
            Effect::KickAll => {
                self.cores[core].at = At::Kicking { partition: target, from: 0, leaves: false };
            }
            Effect::KickFirst => self.kick(target, 0),
            Effect::Nothing => {}
        }
    }

    /// Cores of a partition.
    fn of(&self, partition: usize) -> impl Iterator<Item = &Core> {
        self.cores
            .iter()
            .enumerate()
            .filter(move |(core, _)| SEATS[*core].0 == partition)
            .map(|(_, core)| core)
    }

    /// Somebody is about to kick this partition's cores.
    fn is_being_kicked(&self, partition: usize, core: usize) -> bool {
        self.cores.iter().any(|one| {
            matches!(one.at, At::Kicking { partition: whose, from, .. } if whose == partition && from <= core)
        })
    }
}

impl Model for Lives {
    type State = Machine;
    type Action = (usize, Step);

    fn init_states(&self) -> Vec<Machine> {
        let part = |partition| Part {
            life: Life::NEW.after(Event::Load).expect("it can be loaded"),
            parked: Machine::vcpus(partition),
            psci: Psci::new(Machine::vcpus(partition)),
        };
        let core = || Core { at: At::Awake, kicked: false };
        vec![Machine {
            parts: (0..self.0).map(part).collect(),
            cores: SEATS.iter().filter(|seat| seat.0 < self.0).map(|_| core()).collect(),
            wrong: None,
        }]
    }

    fn actions(&self, machine: &Machine, actions: &mut Vec<(usize, Step)>) {
        for (core, Core { at, kicked }) in machine.cores.iter().enumerate() {
            let (partition, vcpu) = SEATS[core];
            let mut can = |step| actions.push((core, step));
            match at {
                At::Guest => {
                    if *kicked {
                        can(Step::Go(Verdict::Stay));
                    }
                    if Machine::vcpus(partition) > 1 {
                        can(Step::Call(id::CPU_ON, 1 - vcpu as u64));
                        can(Step::Call(id::CPU_OFF, 0));
                        can(Step::Call(id::SYSTEM_RESET, 0));
                    }
                    can(Step::Call(id::SYSTEM_OFF, 0));
                    can(Step::Fault);
                    // One core of each asks: two are no other interleavings of what is asked.
                    if MANAGES[partition].is_some() && vcpu == 0 {
                        for request in [Request::Start, Request::Stop, Request::Restart] {
                            can(Step::Ask(request));
                        }
                    }
                }
                At::Awake => {
                    let Part { life, parked, psci } = &machine.parts[partition];
                    let finishes = matches!(
                        order(life.state, vcpu, Machine::vcpus(partition), *parked, &mut psci.clone()),
                        Order::Finish
                    );
                    can(Step::Go(Verdict::Stay));
                    if finishes {
                        can(Step::Go(Verdict::Again));
                        can(Step::Go(Verdict::Exhausted));
                    }
                }
                At::Loading => {
                    can(Step::Go(Verdict::Stay));
                    can(Step::Damaged);
                }
                At::Asleep if !kicked => {}
                At::Looking | At::Kicking { .. } | At::Leaving | At::Asleep => can(Step::Go(Verdict::Stay)),
            }
        }
    }

    fn next_state(&self, machine: &Machine, (core, step): (usize, Step)) -> Option<Machine> {
        let mut next = machine.clone();
        match step {
            Step::Call(function, target) => next.call(core, function, target),
            Step::Fault => next.stop(core, Cause::UnexpectedException),
            Step::Ask(request) => next.ask(core, request),
            Step::Go(verdict) => next.go(core, verdict),
            Step::Damaged => {
                let _ = next.event(SEATS[core].0, Event::Stop(Cause::BadImage));
                next.cores[core].at = At::Awake;
            }
        }
        (next != *machine).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is wrong", |_, machine: &Machine| machine.wrong.is_none()),
            Property::always("who is out of the guest is counted", |_, machine: &Machine| {
                (0..machine.parts.len()).all(|partition| {
                    let out = machine.of(partition).filter(|core| !inside(core.at)).count();
                    machine.parts[partition].parked == out
                })
            }),
            Property::always("no guest runs while it is off or loaded", |_, machine: &Machine| {
                (0..machine.parts.len()).all(|partition| {
                    let still = matches!(
                        machine.parts[partition].life.state,
                        State::Off | State::Failed | State::Loading
                    );
                    !still || machine.of(partition).all(|core| !inside(core.at))
                })
            }),
            Property::always("who is in the guest is on", |_, machine: &Machine| {
                machine.cores.iter().zip(SEATS).all(|(core, (partition, vcpu))| {
                    core.at != At::Guest || machine.parts[partition].psci.power(vcpu) == Some(Power::On)
                })
            }),
            Property::always("one core at most loads a partition", |_, machine: &Machine| {
                (0..PARTITIONS)
                    .all(|partition| machine.of(partition).filter(|core| core.at == At::Loading).count() <= 1)
            }),
            Property::always("a partition that stops is left by every core", |_, machine: &Machine| {
                machine.cores.iter().enumerate().all(|(number, core)| {
                    let partition = SEATS[number].0;
                    let waits =
                        machine.parts[partition].life.state == State::Stopping && core.at == At::Guest;
                    !waits || core.kicked || machine.is_being_kicked(partition, number)
                })
            }),
            Property::always("nobody sleeps over what is his to do", |_, machine: &Machine| {
                (0..machine.parts.len()).all(|partition| asleep_in_peace(machine, partition))
            }),
            Property::sometimes("all stay off", |_, machine: &Machine| {
                machine.parts.iter().all(|part| part.life.state == State::Off)
                    && machine.cores.iter().all(|core| core.at == At::Asleep && !core.kicked)
            }),
            Property::sometimes("one fails while the others run", |_, machine: &Machine| {
                machine.parts[0].life.state == State::Failed
                    && machine.parts[1..].iter().all(|part| part.life.state == State::Running)
            }),
            Property::sometimes(
                "what is told to restart while it stops comes back",
                |_, machine: &Machine| {
                    let next = machine.parts[1].life.next;
                    machine.parts[1].life.state == State::Stopping
                        && next == partita_model::lifecycle::Next::Again
                        && machine.parts[1].life.cause == Cause::UnexpectedException
                },
            ),
        ]
    }
}

/// Counts as in the guest, though it may be on its way out.
fn inside(at: At) -> bool {
    !matches!(at, At::Awake | At::Loading | At::Asleep)
}

/// If a core would have an order other than to wait, it is awake, or will be woken, or another one is at it.
fn asleep_in_peace(machine: &Machine, partition: usize) -> bool {
    let Part { life, parked, psci } = &machine.parts[partition];
    let vcpus = Machine::vcpus(partition);
    let seats = || SEATS.iter().enumerate().filter(|(_, seat)| seat.0 == partition);
    let woken = |number: usize| {
        let core = &machine.cores[number];
        core.at != At::Asleep || core.kicked || machine.is_being_kicked(partition, number)
    };
    match life.state {
        // Any one of them finishes it.
        State::Stopping => *parked != vcpus || seats().any(|(number, _)| woken(number)),
        _ => seats().all(|(number, (_, vcpu))| {
            let order = order(life.state, *vcpu, vcpus, *parked, &mut psci.clone());
            order == Order::Wait || woken(number)
        }),
    }
}

fn check(lives: Lives) {
    let checker = lives.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} steps", checker.unique_state_count(), checker.state_count());
    checker.assert_properties();
}

#[test]
fn all_that_three_cores_can_come_to() {
    check(Lives(2));
}

#[test]
#[ignore = "minutes: make states"]
fn all_that_four_cores_can_come_to() {
    check(Lives(3));
}

#[test]
fn what_was_does_not_matter() {
    let events = |events: &mut Vec<Event>| {
        events.extend([Event::Load, Event::Run]);
        events.extend(Cause::ALL.iter().map(|cause| Event::Stop(*cause)));
        for request in [Request::Start, Request::Stop, Request::Restart] {
            events.push(Event::Ask(request, Some(1)));
        }
        events.extend([Verdict::Again, Verdict::Stay, Verdict::Exhausted].map(Event::Settle));
    };
    let mut all = Vec::new();
    events(&mut all);
    for &state in State::ALL {
        for &cause in Cause::ALL {
            for by in [None, Some(2)] {
                let life = Life { state, cause, by, ..Life::NEW };
                for &event in &all {
                    let short = forget(life).after(event).map(forget);
                    assert_eq!(life.after(event).map(forget), short, "{life:?} {event:?}");
                }
            }
        }
    }
}
