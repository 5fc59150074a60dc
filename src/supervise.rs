//! What a partition asks of those that it manages, performed on its own core. Decisions are the model's (`model::supervision`).
//!
//! No lock of the other's is taken, and nothing is waited for: a request is a step of the other's life, which is one atomic word, and
//! a kick for each of its cores. They do the rest, at their own cost.

use core::sync::atomic::{AtomicU64, Ordering};

use partita_abi::supervision::{Command, Outcome};
use partita_model::addr::IpaSpan;
use partita_model::lifecycle::{Effect, Reply, Request};
use partita_model::plan::{self, Managed};
use partita_model::supervision::{self, Access, Call, Refusal};
use partita_model::weaken::{Guard, removed};

use crate::console;
use crate::core::Core;
use crate::partition::Partition;
use crate::status::{self, Status};
use crate::trap::Frame;

/// A partition's device.
#[derive(Debug)]
pub struct Supervisor {
    /// Where it sees the page of registers.
    pub registers: IpaSpan,
    managed: alloc::vec::Vec<Managed>,
    /// What became of the last command: an [`Outcome`].
    result: AtomicU64,
}

impl Supervisor {
    /// As the plan has it.
    pub fn new(device: &plan::Supervisor) -> Self {
        Self { registers: device.registers, managed: device.managed.clone(), result: AtomicU64::new(0) }
    }
}

/// A partition that may be asked, and which of its managers asks.
type Target = (&'static Status, u8);

/// The one with this index.
fn target(partition: &Partition, index: usize) -> Result<Target, Refusal> {
    let all = status::all();
    let managed = partition.supervisor.as_ref().and_then(|device| device.managed.get(index));
    let named = managed.and_then(|managed| Some((all.get(managed.partition)?, managed.rank)));
    let anybody = || all.get(index).filter(|_| removed(Guard::ManagesNamed)).map(|status| (status, 0));
    named.or_else(anybody).ok_or(Refusal::NoSuch)
}

fn managed(partition: &Partition) -> usize {
    partition.supervisor.as_ref().map_or(0, |device| device.managed.len())
}

/// Asks, and has the other's cores look.
fn ask(partition: &Partition, request: Request, index: usize) -> Result<i8, Refusal> {
    let (status, rank) = target(partition, index)?;
    if console::quitting() && request != Request::Stop {
        return Err(Refusal::Final);
    }
    let reply = status.life.ask(request, Some(rank));
    match reply {
        Reply::Asked(Effect::KickAll) => {
            status.kick_all();
            if status.is_direct() {
                // Its guest may have to do with its console then, and so with EL2.
                console::knock(status.number);
            }
        }
        Reply::Asked(Effect::KickFirst) => {
            // This core's own partition is not off, so the machine has not ended meanwhile.
            status::one_is_on();
            status.kick_first();
        }
        Reply::Asked(Effect::Nothing) | Reply::Already | Reply::Final => {}
    }
    supervision::outcome(reply, status.is_direct())
}

/// Counts a refusal.
fn refuse(partition: &Partition, refusal: Refusal) -> i8 {
    partition.status.area.header().refused.fetch_add(1, Ordering::Relaxed);
    refusal.code()
}

/// A guest's load or store in the page of registers. Apart, as the next one: other exits pay nothing for it.
#[cold]
#[inline(never)]
pub fn access(partition: &Partition, offset: u64, width: u8, write: Option<u64>) -> u64 {
    let Some(device) = &partition.supervisor else { return 0 };
    match supervision::access(offset, width, write, managed(partition)) {
        Access::Value(value) => value,
        Access::Refused => partition.status.area.header().refused.load(Ordering::Relaxed),
        Access::Result => device.result.load(Ordering::Relaxed),
        Access::Command(command) => {
            let asked = supervision::command(command, managed(partition));
            let code = asked.and_then(|(request, index)| ask(partition, request, index));
            note(device, command, code.unwrap_or_else(|refusal| refuse(partition, refusal)));
            0
        }
        Access::Refresh(index) => match target(partition, index) {
            Ok((status, _)) => {
                status.area.clean();
                status.life.life().pack().into()
            }
            Err(refusal) => {
                refuse(partition, refusal);
                0
            }
        },
        Access::Refuse => {
            refuse(partition, Refusal::Unknown);
            0
        }
    }
}

/// What became of a command. Only the partition's own cores come to be here at once.
fn note(device: &Supervisor, command: Command, code: i8) {
    let next = |old| Some(Outcome::new(command, code, Outcome(old).count().wrapping_add(1)).0);
    let _ = device.result.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

/// Answers a hypercall.
#[cold]
#[inline(never)]
pub fn call(core: &mut Core, frame: &mut Frame) {
    let partition = core.partition;
    let function = frame.x[0] as u32;
    let called = Call::read(function, frame.x[1], managed(partition));
    let answered = called.and_then(|call| {
        let mut answers = [0; 4];
        let code = match call {
            Call::Count => {
                answers[0] = managed(partition) as u64;
                0
            }
            Call::Name(index) => {
                let (status, _) = target(partition, index)?;
                for (answer, word) in answers.iter_mut().zip(&status.area.header().name) {
                    *answer = word.load(Ordering::Relaxed);
                }
                0
            }
            Call::State(index) => {
                let (status, _) = target(partition, index)?;
                let header = status.area.header();
                let [restarts, started] =
                    [&header.restarts, &header.started].map(|word| word.load(Ordering::Relaxed));
                answers = [status.life.life().pack().into(), restarts, started, 0];
                0
            }
            Call::Ask(request, index) => ask(partition, request, index)?,
            Call::Beat => {
                partition.status.beat(core.vcpu);
                0
            }
        };
        Ok((code, answers))
    });
    let (code, answers) = answered.unwrap_or_else(|refusal| (refuse(partition, refusal), [0; 4]));
    frame.x[0] = i64::from(code) as u64;
    for (register, answer) in frame.x.iter_mut().skip(1).zip(answers).take(Call::answers(function)) {
        *register = answer;
    }
}
