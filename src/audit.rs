//! The audit of the tables in use (`partita_model::audit` says how): at boot of every core's and every partition's, before
//! anything starts; of a partition's again before it is loaded anew; and of all of them when somebody asks for it at
//! the console (Ctrl-] a), each core its own, while the partitions run.
//!
//! No guest can ask. While it runs, a core reads [`STEP`] descriptors at a time and looks after its interrupts in between.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aarch64_cpu::registers::{HCR_EL2, MPIDR_EL1, SCTLR_EL2, TCR_EL2, TTBR0_EL2, VTCR_EL2, VTTBR_EL2};
use partita_model::addr::{Pa, PaSpan, Span};
use partita_model::audit::{Audit, Fault, Form, Region, Rights, Words, check, join};
use partita_model::plan::{self, Plan};
use tock_registers::interfaces::Readable;

use crate::core::Core;
use crate::heap::{self, Arena};
use crate::layout::{self, BLOCK, PAGE};
use crate::mmu::device_address;
use crate::prepare::{Machine, bundle_address};
use crate::sysreg::mrs;
use crate::{console, gic, pci};

/// Descriptors that a core reads before it looks at its interrupts again: some two thousand instructions.
const STEP: usize = 64;

/// VTTBR_EL2.BADDR, without VMID and CnP (DDI 0487, VTTBR_EL2).
const BADDR: u64 = 0x0000_ffff_ffff_fffe;

/// How often somebody asked.
static ASKED: AtomicU32 = AtomicU32::new(0);

/// Asks every core for an audit; they have to be kicked.
pub fn ask() {
    ASKED.fetch_add(1, Ordering::AcqRel);
}

/// One core's part in it.
#[derive(Debug)]
pub struct Auditor {
    /// What its own tables have to map, by the plan.
    own: &'static [Region],
    /// Where those tables lie.
    tables: PaSpan,
    /// How many requests it has taken up.
    taken: u32,
    run: Option<Run>,
}

/// An audit on its way.
#[derive(Clone, Debug)]
struct Run {
    audit: Audit<'static>,
    /// Blocks and pages of the core's own tables, once they are done.
    own: Option<u64>,
}

/// Whether tables are as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As far as was looked.
    Sound,
    /// No: it was said, and the partition has to end.
    Broken,
}

impl Auditor {
    /// Of a core whose tables lie in `arena`.
    pub fn new(own: &'static [Region], arena: Arena) -> Self {
        let tables = Span { base: layout::pa_of(arena.start), size: arena.size as u64 };
        Self { own, tables, taken: 0, run: None }
    }

    /// Whether one was asked for that this core has not done.
    pub fn is_wanted(&self) -> bool {
        self.run.is_some() || self.taken != ASKED.load(Ordering::Acquire)
    }

    /// Whether an audit is on its way. Interrupts do not take the fast path then: the audit goes on behind each.
    pub fn is_busy(&self) -> bool {
        self.run.is_some()
    }
}

/// What lies where nothing may be mapped while partitions run: around the stacks, the window while it is closed, and
/// what only the boot used.
pub fn guards() -> [core::ops::Range<usize>; 5] {
    [
        layout::STACK_GUARD,
        layout::STACK_TOP..layout::STACK_TOP + PAGE,
        layout::EMERGENCY_TOP..layout::EMERGENCY_TOP + PAGE,
        layout::WINDOW_BLOCK..layout::WINDOW_PAGES + BLOCK,
        layout::boot_tables()..layout::boot_guard() + PAGE,
    ]
}

/// Where the pieces of a core lie that were allocated for it.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// What it has for itself, what its partition has, what all have.
    pub arenas: [Arena; 3],
    /// The pages of its two stacks.
    pub stacks: [usize; 2],
}

/// What a core has to map by the plan: the image's parts, its arenas, its stacks, the devices that EL2 has, the
/// redistributors of its partition; and the bundle where it is loaded from.
pub fn wanted(
    plan: &Plan,
    partition: &plan::Partition,
    first: bool,
    places: &Places,
    machine: &Machine,
) -> Vec<Region> {
    let (text, rodata, data) = (layout::text_end(), layout::rodata_end(), layout::data_end());
    let memory = |va: usize, at: usize, size: usize, rights| {
        Region::own(va, Span { base: layout::pa_of(at), size: size as u64 }, rights)
    };
    let device = |span: PaSpan| Region::own(device_address(span) & !(PAGE - 1), span, Rights::Device);
    let [stack, emergency] = places.stacks;
    let image = [
        memory(layout::IMAGE, layout::IMAGE, text - layout::IMAGE, Rights::Text),
        memory(text, text, rodata - text, Rights::Constant),
        memory(rodata, rodata, data - rodata, Rights::Data),
        memory(layout::STACK_TOP - layout::STACK_SIZE, stack, layout::STACK_SIZE, Rights::Data),
        memory(
            layout::EMERGENCY_TOP - layout::EMERGENCY_SIZE,
            emergency,
            layout::EMERGENCY_SIZE,
            Rights::Data,
        ),
    ];
    let arenas = places.arenas.iter().map(|arena| memory(arena.start, arena.start, arena.size, Rights::Data));
    let private = partition.cpus.iter().filter_map(|cpu| machine.gic.private.get(*cpu).copied().flatten());
    let power = plan.board.power.iter().map(|power| power.span);
    let devices = machine.gic.frames.iter().copied().chain(private).chain(machine.uart).chain(power);
    let bundle = first
        .then(|| Region::own(bundle_address(machine.bundle) & !(PAGE - 1), machine.bundle, Rights::Constant));
    // Who has a device behind an SMMU has its registers and tables; who has PCI functions has their configuration space.
    let streams = !partition.streams.is_empty();
    let smmus = machine.smmus.frames.iter().copied().filter(|_| streams);
    let smmu_arena = machine.smmus.arena.filter(|_| streams);
    let smmu_arena = smmu_arena.map(|arena| memory(arena.start, arena.start, arena.size, Rights::Data));
    let functions =
        pci::pages(&plan.board, partition).map(|(va, page)| Region::own(va, page, Rights::Device));
    let all = image.into_iter().chain(arenas).chain(smmu_arena).chain(devices.chain(smmus).map(device));
    join(all.chain(functions).chain(bundle).collect())
}

/// All tables that are about to be used, on the first core, which maps them all. (A function of its own: a test stops
/// there.)
///
/// # Errors
/// The first thing that is not as planned.
#[inline(never)]
pub fn at_boot(plan: &Plan, cores: &[(usize, &'static mut Core)]) -> Result<(), Box> {
    let memory: Vec<PaSpan> =
        plan.partitions.iter().flat_map(|partition| &partition.memory).map(plan::Memory::physical).collect();
    // Where tables may lie: in what is kept, none of which is a partition's.
    let [kept, _] = heap::used();
    let heap = Span { base: layout::pa_of(kept.start), size: kept.len() as u64 };
    let whole = |audit: &mut Audit| -> Result<u64, Fault> {
        while let Some(page) = audit.page() {
            step(audit, page, heap)?;
        }
        Ok(audit.leaves())
    };
    let (mut own, mut theirs) = (0, 0);
    for (index, core) in cores {
        let path = &plan.board.cpus[*index].path;
        check(core.auditor.own, &memory, &guards())
            .map_err(|rule| alloc::format!("audit: {path}: EL2's own tables: {rule}; nothing starts"))?;
        own += whole(&mut Audit::new(Form::EL2, core.stage1.root(), core.auditor.own))
            .map_err(|fault| alloc::format!("audit: {path}: EL2's own tables: {fault}; nothing starts"))?;
        if core.vcpu == 0 {
            theirs += whole(&mut stage2(core)).map_err(|fault| {
                alloc::format!("audit: {}: stage 2: {fault}; nothing starts", core.partition.status.name)
            })?;
        }
    }
    log::info!(
        "audit: EL2's own tables of {} cores ({own} blocks and pages) and stage 2 of {} partitions ({theirs}) are as planned",
        cores.len(),
        plan.partitions.len()
    );
    Ok(())
}

/// An error of the boot.
type Box = alloc::boxed::Box<dyn core::error::Error>;

fn stage2(core: &Core) -> Audit<'static> {
    let partition = core.partition;
    Audit::new(partition.form, Pa(partition.vttbr & BADDR), partition.wanted)
}

/// One step through a page that this core maps at its linked address, if it lies where tables do.
fn step(audit: &mut Audit, page: Pa, within: PaSpan) -> Result<(), Fault> {
    if !within.contains_span(&Span { base: page, size: PAGE as u64 }) {
        return Err(Fault::Astray(page.0));
    }
    let words = layout::va_of(page) as *const AtomicU64;
    // SAFETY: the page lies in memory of EL2's own that is mapped here, and indices are below 512.
    audit.step(STEP, |index| unsafe { (*words.add(index)).load(Ordering::Relaxed) })
}

/// The registers that rule translation on this core, which is in use.
///
/// # Errors
/// The first one that is not as planned.
pub fn registers(core: &Core) -> Result<(), Fault> {
    // What boot.S writes: SCTLR_EL2 M, A, C, SA, I, WXN, EE; TCR_EL2 T0SZ, IRGN0, ORGN0, SH0, TG0, TBI (DDI 0487, D24.2).
    const SCTLR: (u64, u64) = (0xf | 1 << 12 | 1 << 19 | 1 << 25, 0xd | 1 << 12 | 1 << 19);
    const TCR: (u64, u64) = (0x3f | 0xff << 8 | 1 << 20, 16 | 1 << 8 | 1 << 10 | 3 << 12);
    // HCR_EL2: VM; not DC, TGE, E2H; RW.
    const HCR: (u64, u64) = (1 | 1 << 12 | 1 << 27 | 1 << 34 | 1 << 31, 1 | 1 << 31);
    let partition = core.partition;
    let table = [
        ("TTBR0_EL2", (u64::MAX, core.stage1.root().0), TTBR0_EL2.get()),
        ("SCTLR_EL2", SCTLR, SCTLR_EL2.get()),
        ("TCR_EL2", TCR, TCR_EL2.get()),
        ("MAIR_EL2", (0xffff, 0xff04), mrs!("mair_el2")),
        ("VTTBR_EL2", (u64::MAX, partition.vttbr), VTTBR_EL2.get()),
        ("VTCR_EL2", (u64::MAX, partition.vtcr), VTCR_EL2.get()),
        ("HCR_EL2", HCR, HCR_EL2.get()),
    ];
    let wrong = table.into_iter().find(|(_, (mask, wanted), found)| found & mask != *wanted);
    wrong.map_or(Ok(()), |(name, (_, wanted), found)| Err(Fault::Register { name, wanted, found }))
}

/// Goes on with what was asked for, until it is done or an interrupt waits.
pub fn go_on(core: &mut Core) -> Verdict {
    let asked = ASKED.load(Ordering::Acquire);
    if core.auditor.run.is_none() {
        if core.auditor.taken == asked {
            return Verdict::Sound;
        }
        core.auditor.taken = asked;
        if core.vcpu == 0 {
            // The console knows one core of each partition.
            (1..core.partition.vcpus.len()).for_each(|vcpu| core.partition.kick(vcpu));
        }
        if let Err(fault) = registers(core) {
            return broken(core, &fault);
        }
        let audit = Audit::new(Form::EL2, core.stage1.root(), core.auditor.own);
        core.auditor.run = Some(Run { audit, own: None });
    }
    while let Some(run) = core.auditor.run.take() {
        match advance(core, run) {
            Ok(next) => core.auditor.run = next,
            Err(fault) => return broken(core, &fault),
        }
        if gic::interrupt_waits() {
            break;
        }
    }
    core.refresh();
    Verdict::Sound
}

/// One step. None: it is done.
fn advance(core: &mut Core, mut run: Run) -> Result<Option<Run>, Fault> {
    match (run.audit.page(), run.own) {
        (Some(page), None) => step(&mut run.audit, page, core.auditor.tables)?,
        (Some(page), Some(_)) => step_window(core, &mut run.audit, page)?,
        (None, None) => run = Run { own: Some(run.audit.leaves()), audit: stage2(core) },
        (None, Some(own)) => {
            let mut words = line(core);
            words.text("as planned: ").number(own).text(" blocks and pages of EL2's own, ");
            console::tell(words.number(run.audit.leaves()).text(" of the partition's").as_str().as_bytes());
            return Ok(None);
        }
    }
    Ok(Some(run))
}

/// One step through a table of stage 2, which no core maps but for that.
fn step_window(core: &mut Core, audit: &mut Audit, page: Pa) -> Result<(), Fault> {
    if !layout::image().contains_span(&Span { base: page, size: PAGE as u64 }) {
        return Err(Fault::Astray(page.0));
    }
    core.window.table(page, |words| {
        audit.step(STEP, |index| words.get(index).map_or(0, |word| word.load(Ordering::Relaxed)))
    })
}

/// Stage 2 of this core's partition in one go, while no core of it is in the guest: before it is loaded again.
pub fn of_partition(core: &mut Core) -> Verdict {
    let mut audit = stage2(core);
    while let Some(page) = audit.page() {
        if let Err(fault) = step_window(core, &mut audit, page) {
            return broken(core, &fault);
        }
        core.partition.mailbox.serve(core.vcpu);
    }
    Verdict::Sound
}

fn broken(core: &Core, fault: &Fault) -> Verdict {
    console::tell(line(core).fault(fault).text("; the partition ends").as_str().as_bytes());
    Verdict::Broken
}

fn line(core: &Core) -> Words {
    let mut words = Words::default();
    words.text("audit: core ").hex(MPIDR_EL1.get() & 0xff_00ff_ffff).text(" (");
    words.text(&core.partition.status.name).text("): ");
    words
}
