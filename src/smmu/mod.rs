//! SMMUs: what keeps a device's DMA within the memory of the partition that has the device.
//!
//! EL2's first act on a board's devices is to have every SMMU refuse everything ([`close`]). Those that stand before a
//! partition's device get tables ([`prepare`]); a partition's streams are let through from its launch to its end
//! ([`admit`], [`block`]). What is refused is counted, and told up to a point ([`interrupt`]).

mod device;
mod memory;
mod regs;

use alloc::boxed::Box;
use alloc::vec::Vec;

use partita_model::addr::{Ipa, Pa, PaSpan, Span};
use partita_model::plan::{self, Plan};
use partita_model::smmu::{Guard, Owner, build, pages_needed};
use partita_model::stage2::{self, Kind, Mapping, Shape};
use partita_model::weaken::{self, removed};
use spin::Once;
use spin::mutex::TicketMutex;

use crate::gic::{self, Seat};
use crate::heap::Arena;
use crate::layout::PAGE;
use crate::mmu::Stage1;
use crate::prepare::Heap;
use crate::traps;

use device::Device;
use memory::Coherence;
use regs::{Regs, Stuck};

type Refusal = Box<dyn core::error::Error>;

/// What a core of a partition with streams maps.
#[derive(Debug)]
pub struct Found {
    /// Tables, queues, and what EL2 knows of them.
    pub arena: Option<Arena>,
    /// Registers.
    pub frames: Vec<PaSpan>,
}

/// An SMMU with its lock, first come, first served: held for a few commands, or for as many events as its queue holds twice.
#[derive(Debug)]
struct Shared {
    device: TicketMutex<Device>,
    /// Its interrupts' INTIDs, and the core that takes them.
    event: Option<u32>,
    error: Option<u32>,
    seat: Seat,
}

/// In the arena of [`Found`]: only the cores that map it may look.
static SMMUS: Once<Vec<Shared>> = Once::new();

fn stuck(path: &str) -> impl Fn(Stuck) -> Refusal + '_ {
    move |Stuck(register)| {
        alloc::format!(
            "{path}: this SMMU does not answer ({register} does not change), so nothing keeps devices from \
             memory; disable its node if the board does not have it"
        )
        .into()
    }
}

/// Has every SMMU of the board refuse all DMA, whatever firmware had let through.
pub fn close(smmus: &[plan::Smmu], tables: &mut Stage1) -> Result<(), Refusal> {
    for smmu in smmus {
        let regs = Regs(tables.add_device(smmu.span));
        // First what holds once translation is off, then off.
        let closed = if removed(weaken::Guard::SmmuClosed) { Ok(()) } else { regs.abort_all() };
        closed.and_then(|()| regs.control(0)).map_err(stuck(&smmu.path))?;
    }
    Ok(())
}

/// Makes what the SMMUs before partitions' devices need, and turns them on with every stream aborted. The others stay
/// closed.
pub fn prepare(plan: &Plan, seats: &[Option<Seat>], tables: &mut Stage1) -> Result<Found, Refusal> {
    let mut found = Found { arena: None, frames: Vec::new() };
    let mut wanted = Vec::new();
    for (number, smmu) in plan.board.smmus.iter().enumerate() {
        let regs = Regs(tables.add_device(smmu.span));
        let tenants = tenants(plan, number);
        let Some(first) = tenants.first().map(|(first, _)| *first) else { continue };
        let features = regs.features().map_err(|unfit| {
            alloc::format!(
                "{}: this SMMU cannot keep devices within a partition's memory: {unfit}; take the devices behind it \
                 out of `devices`",
                smmu.path
            )
        })?;
        let owners: Vec<(usize, Owner)> = tenants
            .into_iter()
            .map(|(partition, streams)| {
                let guard =
                    guard(&plan.board.gic, &plan.partitions[partition], partition, features.output_bits)?;
                Ok((partition, Owner { streams, guard }))
            })
            .collect::<Result<_, Refusal>>()?;
        let seat = seats[plan.partitions[first].cpus[0]].ok_or("the first core has no seat")?;
        wanted.push((smmu, regs, features, owners, seat));
        found.frames.push(smmu.span);
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    let pages: usize =
        wanted.iter().map(|(.., owners, _)| 8 + pages_needed(owners.iter().map(|(_, o)| o))).sum();
    Arena::fill(pages * PAGE, |arena| {
        found.arena = Some(arena);
        let mut all = Vec::new();
        for (smmu, regs, features, owners, seat) in wanted {
            let mut coherence = Coherence(features.coherent && smmu.coherent);
            // Copied into the arena: what was collected until now is gone when partitions run.
            let (numbers, owners): (Vec<usize>, Vec<Owner>) = owners.iter().cloned().unzip();
            let table = build(&mut coherence, &features, &owners)
                .map_err(|unfit| alloc::format!("{}: {unfit}; take devices out of `devices`", smmu.path))?;
            let owned = table.owned.iter().cloned();
            let tenants =
                numbers.into_iter().zip(owners).zip(owned).map(|((n, owner), owned)| (n, owner, owned));
            let mut device = Device::new(smmu.path.clone(), regs, &features, coherence, tenants.collect());
            device.start(&table, features.ats).map_err(stuck(&smmu.path))?;
            let intid = |spi: Option<plan::Spi>| spi.map(|spi| spi.intid);
            all.push(Shared {
                device: TicketMutex::new(device),
                event: intid(smmu.event),
                error: intid(smmu.error),
                seat,
            });
        }
        SMMUS.call_once(|| all);
        Ok(found)
    })
}

/// The partitions with devices behind an SMMU, and their streams there.
fn tenants(plan: &Plan, smmu: usize) -> Vec<(usize, Vec<plan::Streams>)> {
    let of = |partition: &plan::Partition| -> Vec<plan::Streams> {
        partition.streams.iter().filter(|run| run.smmu == smmu).copied().collect()
    };
    let all = plan.partitions.iter().map(of).enumerate();
    all.filter(|(_, streams)| !streams.is_empty()).collect()
}

/// Tables of a partition's RAM and of nothing else: no device's registers, no interrupt controller.
fn guard(
    gic: &plan::Gic,
    partition: &plan::Partition,
    number: usize,
    output_bits: u32,
) -> Result<Guard, Refusal> {
    let output_bits = output_bits.min(traps::pa_bits());
    let memory = || partition.memory.iter();
    let mut mappings: Vec<Mapping> =
        memory().map(|entry| Mapping { ipa: entry.ipa, pa: entry.pa, kind: Kind::Memory }).collect();
    if removed(weaken::Guard::SmmuDevices) {
        let span = gic.frames().first().map_or(PaSpan { base: Pa(0), size: 0 }, PaSpan::pages);
        let ipa = Span { base: Ipa(span.base.0), size: span.size };
        mappings.push(Mapping { ipa, pa: span.base, kind: Kind::Device });
    }
    if let Some(beyond) = memory().find(|entry| entry.physical().end().0 >> output_bits != 0) {
        return Err(alloc::format!(
            "{}: its memory at {} is beyond the {output_bits} bits of the SMMU before its devices; use host-base to \
             place it lower",
            partition.name,
            beyond.physical()
        )
        .into());
    }
    let top = mappings.iter().map(|mapping| mapping.ipa.end()).max().unwrap_or(Ipa(0));
    let shape = Shape::for_top(top, output_bits)?;
    let root = stage2::build(&mut Heap, &shape, &mappings)?;
    // What was built is read back: every page is RAM of this partition.
    let mut stray = None;
    stage2::walk(&Heap, &shape, root, &mut |leaf| {
        let page = PaSpan { base: leaf.pa, size: leaf.ipa.size };
        let own = memory().any(|entry| entry.physical().contains_span(&page));
        if !own || leaf.kind() != Some(Kind::Memory) {
            stray = stray.or(Some(page));
        }
    });
    if let Some(page) = stray.filter(|_| !removed(weaken::Guard::SmmuDevices)) {
        return Err(alloc::format!(
            "the audit found {page} in the tables for DMA of {}; nothing starts",
            partition.name
        )
        .into());
    }
    let number = if removed(weaken::Guard::SmmuVmid) { 0 } else { number as u16 };
    Ok(Guard { root, shape, output_bits, vmid: number + 1 })
}

/// Turns the SMMUs' interrupts on. Called once, when every core has come.
pub fn start() {
    for shared in SMMUS.get().into_iter().flatten() {
        for intid in [shared.event, shared.error].into_iter().flatten() {
            gic::claim(intid, true);
            gic::controller().route(intid, shared.seat);
            gic::enable(intid);
        }
    }
}

/// Lets the devices of a partition with streams reach its memory: it is filled, and about to run. On its own cores, as
/// the others here.
pub fn admit(partition: usize) {
    set(partition, true);
}

/// Keeps the devices of a partition from its memory. When this returns none of their accesses is under way.
pub fn block(partition: usize) {
    set(partition, removed(weaken::Guard::SmmuEnd));
}

fn set(partition: usize, translate: bool) {
    for shared in SMMUS.get().into_iter().flatten() {
        let mut device = shared.device.lock();
        // What happened until now is to be counted before the partition's summary.
        device.drain();
        device.set(partition, translate);
    }
}

/// Whether nobody is at any of them now.
pub fn can_be_had() -> bool {
    SMMUS.get().into_iter().flatten().all(|shared| shared.device.try_lock().is_some())
}

/// Whether an interrupt is an SMMU's; then it has been answered.
pub fn interrupt(intid: u32) -> bool {
    let mut mine = false;
    for shared in SMMUS.get().into_iter().flatten() {
        if shared.event == Some(intid) || shared.error == Some(intid) {
            mine = true;
            let mut device = shared.device.lock();
            if shared.error == Some(intid) {
                device.errors();
            }
            if device.drain() {
                gic::pend(intid);
            }
        }
    }
    mine
}
