//! Makes what each partition and each of its cores needs at run time, from the plan. Everything lands in arenas that
//! only the cores concerned map.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use partita_model::addr::{Ipa, IpaSpan, Pa, PaSpan, Span};
use partita_model::audit::{Form, Region, join};
use partita_model::bundle::Bundle;
use partita_model::crash;
use partita_model::dt::Index;
use partita_model::gic::{Config, DIST_SIZE, DIST_SIZE_V2, Path, REDIST_SIZE, Spi, Vgic};
use partita_model::lifecycle::Policy;
use partita_model::plan::{self, ClearMemory, Console, Dtb, InterruptPath, Plan, own};
use partita_model::psci::Start;
use partita_model::stage2::{self, Mapping, Shape, Tables};
use partita_model::weaken::{Guard, removed};

use crate::audit::{self, Auditor, Places};
use crate::clock;
use crate::core::Core;
use crate::gic::{self, Found};
use crate::heap::{self, Arena};
use crate::layout::{self, PAGE};
use crate::mmu::Stage1;
use crate::partition::{File, Image, Partition, Setup, Vcpu};
use crate::pci;
use crate::smmu;
use crate::status;
use crate::supervise::Supervisor;
use crate::{traps, weaken};

/// What the first core found of the machine.
#[derive(Debug)]
pub struct Machine {
    /// The interrupt controller.
    pub gic: Found,
    /// The UART's registers.
    pub uart: Option<PaSpan>,
    /// Where the bundle lies.
    pub bundle: PaSpan,
    /// What every core maps: statuses and the console's rings.
    pub shared: Arena,
    /// The SMMUs before partitions' devices.
    pub smmus: smmu::Found,
}

/// Where the bundle is in EL2's address space: congruent with where it lies, so that blocks map it.
pub fn bundle_address(bundle: PaSpan) -> usize {
    layout::BUNDLE + (bundle.base.0 as usize & (layout::BLOCK - 1))
}

/// Stage-2 tables in the heap. No core maps them while partitions run.
#[derive(Debug)]
pub struct Heap;

impl Tables for Heap {
    fn alloc(&mut self, pages: usize) -> Option<Pa> {
        Some(layout::pa_of(heap::keep(pages, pages * PAGE)))
    }

    fn read(&self, table: Pa, index: usize) -> u64 {
        // SAFETY: `table` came from `alloc`, and the model stays within it.
        unsafe { (layout::va_of(table) as *const u64).add(index).read() }
    }

    fn write(&mut self, table: Pa, index: usize, value: u64) {
        // SAFETY: as above; nobody uses the tables yet.
        unsafe { (layout::va_of(table) as *mut u64).add(index).write(value) };
    }
}

/// Prepares partition `number` of the plan.
pub fn partition(
    plan: &Plan,
    number: usize,
    tree: &Index<'_>,
    bundle: &Bundle<'static>,
    machine: &Machine,
) -> Result<(&'static Partition, Arena), Box<dyn core::error::Error>> {
    let wanted = &plan.partitions[number];
    let generated = match (&wanted.dtb, wanted.load.dtb_span) {
        (Dtb::Generated, Some(at)) => Some((partita_model::guest_tree::write_from(plan, number, tree)?, at)),
        _ => None,
    };
    let frames = gic_frames(&plan.board.gic, wanted.cpus.len());
    let mut mappings = wanted.mappings(&plan.board.gic);
    mappings.extend(wanted.shown(|number| status::all()[number].area.span().base));
    let mappings = weaken::mappings(plan, wanted, mappings);
    let (root, shape) = stage2_tables(&mappings)?;
    let highest = wanted.spis.iter().map(|spi| spi.intid).max().unwrap_or(31);
    let ready_bytes = wanted.cpus.len() * (highest as usize + 1) * 8;
    let tree_bytes = generated.as_ref().map_or(0, |(tree, _)| tree.len());
    let function = own::FUNCTION_BYTES as usize;
    let pci_bytes = wanted.pci.iter().map(|part| PAGE + function * part.functions.len()).sum::<usize>();
    const { assert!(size_of::<Region>() <= own::REGION_BYTES as usize) };
    let wanted_bytes = 2 * mappings.len() * size_of::<Region>();
    let direct = wanted.is_direct();
    let root_span =
        PaSpan { base: root, size: if direct { u64::from(shape.root_pages) * PAGE as u64 } else { 0 } };
    const { assert!(size_of::<Option<crash::Core>>() <= own::RECORD_BYTES as usize) };
    let records = wanted.cpus.len() * own::RECORD_BYTES as usize;
    let restarts = own::RESTART_BYTES as usize * wanted.restart_limit.0 as usize;
    let size = own::PARTITION_PAGES as usize * PAGE
        + records
        + restarts
        + root_span.size as usize
        + pci_bytes
        + wanted_bytes
        + ready_bytes
        + tree_bytes
        + wanted.cpus.len() * own::VCPU_PAGES as usize * PAGE;
    Arena::fill(size, |arena| {
        let setup = Setup {
            number,
            status: &status::all()[number],
            memory: wanted.memory.clone(),
            direct,
            bell: wanted.bell,
            root: (root_span, table(root_span)),
            spares_others: wanted.cpus.len() == 1 && plan.partitions.len() > 1,
            streams: !wanted.streams.is_empty(),
            vcpus: wanted.cpus.iter().map(|&index| vcpu(index, highest, machine)).collect(),
            dist: frames.0,
            redists: frames.1,
            console: match wanted.console {
                Console::Shared { base, intid } => Some((Span { base, size: PAGE as u64 }, intid)),
                _ => None,
            },
            supervisor: wanted.supervisor.as_ref().map(Supervisor::new),
            watchdog: wanted.watchdog.map(|watchdog| watchdog.intid),
            windows: windows(wanted),
            vttbr: root.0 | (if removed(Guard::Vmid) { 0 } else { number as u64 } + 1) << 48,
            vtcr: stage2::vtcr(&shape, traps::pa_bits()),
            wanted: Vec::leak(join(mappings.iter().map(Region::from).collect())),
            form: Form::stage2(&shape),
            image: image(wanted, bundle, generated.as_ref()),
        };
        let vgic = vgic(plan, wanted, &setup)?;
        let partition: &'static Partition =
            Box::leak(Box::new(Partition::new(setup, vgic, pci::hosts(&plan.board, wanted), policy(wanted))));
        Ok((partition, arena))
    })
}

/// What is in a table.
fn table(span: PaSpan) -> Vec<u8> {
    (0..span.size as usize / 8).flat_map(|index| Heap.read(span.base, index).to_ne_bytes()).collect()
}

fn stage2_tables(mappings: &[Mapping]) -> Result<(Pa, Shape), stage2::Error> {
    let top = mappings.iter().map(|mapping| mapping.ipa.end()).max().unwrap_or(Ipa(0));
    let shape = Shape::for_top(top, traps::pa_bits())?;
    let root = stage2::build(&mut Heap, &shape, mappings)?;
    Ok((root, shape))
}

/// Where a guest sees its distributor and its redistributors: at the board's own addresses.
fn gic_frames(gic: &plan::Gic, vcpus: usize) -> (IpaSpan, IpaSpan) {
    let span = |base, size| Span { base: Ipa(base), size };
    match gic {
        plan::Gic::V2 { dist, .. } => (span(dist.base.0, DIST_SIZE_V2), span(0, 0)),
        plan::Gic::V3 { dist, redists, .. } => {
            let first = redists.first().map_or(0, |region| region.base.0);
            let frames = vcpus + usize::from(removed(Guard::GicRedistributor));
            (span(dist.base.0, DIST_SIZE), span(first, REDIST_SIZE * frames as u64))
        }
    }
}

fn vcpu(index: usize, highest: u32, machine: &Machine) -> Vcpu {
    Vcpu { seat: machine.gic.seat(index), ready: (0..=highest).map(|_| AtomicU64::new(0)).collect() }
}

fn image(wanted: &plan::Partition, bundle: &Bundle<'static>, tree: Option<&(Vec<u8>, IpaSpan)>) -> Image {
    let physical = |at: IpaSpan| {
        let pa = wanted.memory.iter().find_map(|memory| memory.translate(at.base));
        PaSpan { base: pa.expect("the plan placed this in the partition's memory"), size: at.size }
    };
    let pieces = wanted.load.pieces.iter().map(|piece| {
        let file = bundle.get(&piece.file).expect("the plan was made from this bundle");
        let offset = piece.offset as usize;
        (&file[offset..offset + piece.at.size as usize], physical(piece.at))
    });
    let own_tree = match &wanted.dtb {
        Dtb::File(name) => Some(name),
        Dtb::Generated | Dtb::None => None,
    };
    let names = [Some(&wanted.load.kernel), wanted.load.initrd.as_ref(), own_tree].into_iter().flatten();
    let context = wanted.load.dtb_span.map_or(0, |at| at.base.0);
    let files = names.map(|name| File {
        bytes: bundle.get(name).expect("the plan was made from this bundle"),
        sum: bundle.sum(name).expect("every file has a checksum"),
    });
    Image {
        files: files.collect(),
        pieces: pieces.collect(),
        tree: tree.map(|(bytes, at)| (bytes.clone(), physical(*at))),
        start: Start { entry: wanted.load.entry, context },
        clear_first: wanted.clear_memory == ClearMemory::Always,
    }
}

/// What it sees of emulated devices beside the interrupt controller and the console.
fn windows(wanted: &plan::Partition) -> Vec<IpaSpan> {
    let frames = wanted.watchdog.iter().flat_map(plan::Watchdog::frames);
    wanted.pci.iter().map(|part| part.ecam).chain(frames).collect()
}

/// Whether it comes back when it has ended.
fn policy(wanted: &plan::Partition) -> Policy {
    let (count, seconds) = wanted.restart_limit;
    Policy::new(wanted.restart, count, u64::from(seconds) * clock::frequency())
}

fn vgic(plan: &Plan, wanted: &plan::Partition, setup: &Setup) -> Result<Vgic, Box<dyn core::error::Error>> {
    let mut spis: Vec<Spi> =
        wanted.spis.iter().map(|spi| Spi { intid: spi.intid, edge: spi.edge, emulated: false }).collect();
    let console = setup.console.map(|(_, intid)| intid);
    let bell = wanted.bell.filter(|bell| console != Some(*bell));
    for intid in console.into_iter().chain(bell).chain(setup.watchdog) {
        spis.push(Spi { intid, edge: false, emulated: true });
    }
    // The non-secure EL1 and the virtual timer are the guest's own: its core is never shared.
    let ppis = plan.board.timer_ppis[1..3].iter().fold(0, |mask, ppi| mask | 1 << ppi);
    let shape = gic::controller().shape();
    let config = Config {
        version: gic::version(),
        vcpus: setup.vcpus.len(),
        ppis,
        edge_ppis: 0,
        spis: &spis,
        priority_bits: shape.priority_bits.into(),
        tdir: shape.traps_dir,
        path: match wanted.interrupt_path {
            InterruptPath::Direct => Path::Direct,
            InterruptPath::Mediated if plan.partitions.iter().any(plan::Partition::is_direct) => Path::Wary,
            InterruptPath::Mediated => Path::Mediated,
        },
    };
    Vgic::new(&config).map_err(|error| alloc::format!("{}: {error:?}", wanted.name).into())
}

/// Prepares the core that is virtual CPU `vcpu` of a partition: its tables, its stack and its block.
pub fn core(
    partition: &'static Partition,
    arena: Arena,
    vcpu: usize,
    plan: &Plan,
    machine: &Machine,
) -> &'static mut Core {
    let owned = &plan.partitions[partition.number];
    let pages = own::CORE_PAGES as usize + own::BRIDGE_PAGES as usize * owned.pci.len();
    Arena::fill(pages * PAGE, |own| {
        let mut stage1 = Stage1::new();
        stage1.add_arena(own);
        stage1.add_arena(arena);
        stage1.add_arena(machine.shared);
        let stacks = [
            stage1.add_stack(layout::STACK_TOP, layout::STACK_SIZE),
            stage1.add_stack(layout::EMERGENCY_TOP, layout::EMERGENCY_SIZE),
        ];
        let window = stage1.add_window();
        if removed(Guard::El2Memory) {
            stage1.add_read_only(layout::REDISTS, partition.memory[0].physical());
        }
        for &frame in &machine.gic.frames {
            stage1.add_device(frame);
        }
        for &index in &owned.cpus {
            if let Some(frame) = machine.gic.private[index] {
                stage1.add_device(frame);
            }
        }
        if partition.streams {
            for &frame in &machine.smmus.frames {
                stage1.add_device(frame);
            }
            if let Some(smmus) = machine.smmus.arena {
                stage1.add_arena(smmus);
            }
        }
        if let Some(uart) = machine.uart {
            stage1.add_device(uart);
        }
        if let Some(power) = &plan.board.power {
            stage1.add_device(power.span);
        }
        pci::map(&plan.board, owned, &mut stage1);
        if vcpu == 0 {
            stage1.add_read_only(bundle_address(machine.bundle), machine.bundle.pages());
        }
        let places = Places { arenas: [own, arena, machine.shared], stacks };
        let wanted = audit::wanted(plan, &plan.partitions[partition.number], vcpu == 0, &places, machine);
        let auditor = Auditor::new(Vec::leak(wanted), own);
        Box::leak(Box::new(Core::new(partition, vcpu, stage1, window, auditor)))
    })
}
