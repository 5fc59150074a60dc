//! From the first Rust instruction to running partitions, on the first core.

use aarch64_cpu::registers::MPIDR_EL1;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use tock_registers::interfaces::Readable;

use partita_abi::psci;
use partita_abi::supervision::area_bytes;
use partita_model::addr::{Pa, PaSpan, Span};
use partita_model::bundle::{Bundle, OVERLAY};
use partita_model::dt::{self, Index};
use partita_model::plan::{self, Board, CpuEnable, Inputs, Movable, Plan, Planned, Reserved, own};

use crate::area::Area;
use crate::core::Core;
use crate::heap::Arena;
use crate::kinds::Kind;
use crate::layout::{self, PAGE};
use crate::mmu::Stage1;
use crate::muster::Stayed;
use crate::partition::Partition;
use crate::prepare::{self, Machine};
use crate::status::{self, Status};
use crate::timeline::{self, Phase};
use crate::{
    audit, board, cache, console, early, gic, heap, kinds, muster, pci, power, print, relocate, smmu, uart,
    weaken,
};

type Refusal = Box<dyn core::error::Error>;

/// Called by boot.S with translation and caches on: the physical addresses of the device tree and of the image, the
/// exception level of entry, whether HCR_EL2.E2H cannot be cleared, where the bundle is if the tree does not say it, and
/// whether EL2 moved itself or the bundle.
#[unsafe(no_mangle)]
extern "C" fn boot_main(
    tree: u64,
    image: u64,
    level: u64,
    e2h: u64,
    bundle: u64,
    bundle_end: u64,
    moved: u64,
) -> ! {
    layout::set_image(Pa(image));
    timeline::done(Phase::Firmware);
    heap::init();
    print::init();
    let outcome = {
        let bundle = (bundle != 0).then(|| Span::between(Pa(bundle), Pa(bundle_end)));
        match level {
            2 if e2h == 0 => {
                early_tree(Pa(tree), level, false).and_then(|(_, tree)| boot(tree, bundle, moved != 0))
            }
            _ => Err(last_words(Pa(tree), level, e2h != 0)),
        }
    };
    match outcome {
        Ok(core) => become_core(core),
        Err(refusal) => {
            log::error!("{refusal}");
            power::off()
        }
    }
}

/// The word in the firmware's /chosen bootargs by which EL2 says more.
const VERBOSE: &str = "partita.verbose";

fn is_verbose(firmware: &dt::Tree<'_>) -> bool {
    dt::bootargs(firmware).is_some_and(|words| words.split_whitespace().any(|word| word == VERBOSE))
}

/// Bytes of a flattened tree's header (Devicetree Specification, 5.2).
const HEADER: usize = 40;

/// The firmware's tree, and where it lies, by boot.S's tables.
fn early_tree(tree: Pa, level: u64, e2h: bool) -> Result<(&'static [u8], PaSpan), Refusal> {
    let va = early::map(0, tree, HEADER, false, level, e2h);
    // SAFETY: mapped just now, at least 2 MiB from here; firmware's tree does not change.
    let header = unsafe { core::slice::from_raw_parts(va as *const u8, HEADER) };
    let size = dt::total_size(header)?;
    early::map(0, tree, size, false, level, e2h);
    // SAFETY: as above; `total_size` is at most dt::MAX_TREE, 2 MiB.
    let blob = unsafe { core::slice::from_raw_parts(va as *const u8, size) };
    Ok((blob, Span { base: tree, size: size as u64 }))
}

/// Finds the UART without tables of EL2's own, which it cannot have here, and says why nothing can ever work.
fn last_words(tree: Pa, level: u64, e2h: bool) -> Refusal {
    let blob = early_tree(tree, level, e2h).map_or(&[][..], |(blob, _)| blob);
    if let Ok(firmware) = dt::parse(blob) {
        let index = Index::new(&firmware);
        if let Some(found) = Board::stdout(&index) {
            uart::init(early::map(1, found.span.base, PAGE, true, level, e2h), found.kind);
        }
        power::set_conduit(Board::conduit(&index));
    }
    match level {
        2 => "this core's EL2 is a host's (HCR_EL2.E2H cannot be cleared): not supported".into(),
        _ => entered_elsewhere(level),
    }
}

fn entered_elsewhere(level: u64) -> Refusal {
    // Firmware that is called from another level than EL2 may not answer: park, do not call.
    power::set_conduit(None);
    let cure = if level == 1 {
        "let the boot loader enter at EL2 (QEMU: -M virt,virtualization=on)"
    } else {
        "put firmware that enters at EL2 before it (QEMU: without secure=on)"
    };
    alloc::format!("entered at EL{level}, but a hypervisor runs at EL2; {cure}").into()
}

/// Everything up to the first core's own block; the other cores run by then.
fn boot(tree: PaSpan, bundle: Option<PaSpan>, moved: bool) -> Result<&'static mut Core, Refusal> {
    // Leaked: tables that are in use are never dropped.
    let tables = Box::leak(Box::new(Stage1::new()));
    tables.add_boot();
    let tree_va = layout::TREE + (tree.base.0 as usize & (PAGE - 1));
    tables.add_read_only(layout::TREE, tree.pages());
    // SAFETY: the image, the heap and the boot stack stay where boot.S mapped them.
    unsafe { tables.activate() };
    // SAFETY: mapped just now; the tree lies in memory that the plan keeps from partitions.
    let blob: &'static [u8] =
        unsafe { core::slice::from_raw_parts(tree_va as *const u8, tree.size as usize) };
    let firmware = dt::parse(blob)?;
    let index = Index::new(&firmware);
    power::set_conduit(Board::conduit(&index));
    let uart = Board::stdout(&index);
    if let Some(uart) = &uart {
        uart::init(tables.add_device(uart.span), uart.kind);
    }
    weaken::init(&firmware)?;
    let manager = Board::power(&index);
    if let Some(manager) = &manager {
        power::set_manager(tables.add_device(manager.span));
    }

    // Before any memory is a partition's; what was done earlier by devices that firmware had started is firmware's.
    smmu::close(&Board::smmus(&index)?, tables)?;

    let span = bundle.map_or_else(|| bundle_span(&firmware), Ok)?;
    tables.add_read_only(prepare::bundle_address(span), span.pages());
    let start = prepare::bundle_address(span) as *const u8;
    // SAFETY: mapped just now; the bundle lies in memory that the plan keeps from partitions.
    let bytes: &'static [u8] = unsafe { core::slice::from_raw_parts(start, span.size as usize) };
    timeline::done(Phase::Tree);
    let bundle = Bundle::parse(bytes)?;
    timeline::done(Phase::Bundle);

    let occupied = [
        Reserved::hypervisor(layout::image()),
        Reserved::movable(span, Movable::Bundle),
        Reserved::movable(tree, Movable::Tree),
    ];
    let overlay = bundle.get(OVERLAY);
    if overlay.is_some() {
        bundle.check(OVERLAY)?;
    }
    timeline::done(Phase::Digests);
    let inputs = Inputs { tree: blob, overlay, files: &bundle, ram: &[], occupied: &occupied };
    let verbose = is_verbose(&firmware);
    let Planned { plan, tree: merged } = Plan::from_tree(firmware, &inputs)?;
    // The overlay may say otherwise than firmware. What counts is what every core will map.
    match &plan.board.power {
        decided if *decided == manager => {}
        Some(decided) => power::set_manager(tables.add_device(decided.span)),
        None => power::set_manager(0),
    }
    // Before anything is moved or filled: what firmware left to do DMA does no more of it.
    pci::silence(&plan, tables);
    timeline::done(Phase::Plan);
    if relocate::is_needed(&plan.moves) {
        if moved {
            return Err("the plan wants the hypervisor or the bundle moved again; this is a defect".into());
        }
        for step in &plan.moves {
            log::info!("{} moves from {} to {}", step.what.words(), step.from, step.to);
        }
        relocate::start_anew(tables, tree.base, span, bytes, &plan.moves);
    }
    for name in bundle.names().filter(|name| *name != OVERLAY && is_used(&plan, name)) {
        bundle.check(name)?;
    }
    timeline::done(Phase::Digests);
    announce(&plan);
    let merged = Index::new(&merged);
    let cores = prepare_all(&plan, &merged, &bundle, span, tables, uart.as_ref())?;
    start_all(&plan, cores, tables, verbose)
}

fn is_used(plan: &Plan, name: &str) -> bool {
    plan.partitions.iter().any(|partition| partition.load.pieces.iter().any(|piece| piece.file == name))
}

/// Where the boot loader put the bundle: /chosen linux,initrd-start and -end.
fn bundle_span(firmware: &dt::Tree<'_>) -> Result<PaSpan, Refusal> {
    let (start, end) = dt::initrd(firmware).ok_or_else(|| {
        let merged = firmware.root.children().any(|child| child.name() == "partitions");
        let plan = if merged { " (the tree has the plan; the images that it names are in the bundle)" } else { "" };
        alloc::format!(
            "/chosen: no linux,initrd-start and linux,initrd-end; load the bundle as the initial RAM disk{plan}"
        )
    })?;
    if start >= end {
        let what =
            alloc::format!("/chosen: linux,initrd-start {start:#x} is not below linux,initrd-end {end:#x}");
        return Err(what.into());
    }
    let span = Span::between(Pa(start), Pa(end));
    // Before it is mapped: what is behind other addresses may not answer at all.
    if Board::memory(firmware)?.iter().any(|ram| ram.contains_span(&span)) {
        Ok(span)
    } else {
        Err(alloc::format!(
            "/chosen: linux,initrd-start and -end say {span}, which is not all RAM; load the bundle into RAM"
        )
        .into())
    }
}

fn announce(plan: &Plan) {
    for note in &plan.notes {
        log::info!("note: {note}");
    }
    for partition in &plan.partitions {
        let cores: Vec<String> = partition.cpus.iter().map(ToString::to_string).collect();
        let memory: u64 = partition.memory.iter().map(|memory| memory.ipa.size).sum();
        log::info!(
            "{}: cores {}, {} KiB, kernel {}, devices {}",
            partition.name,
            cores.join(" "),
            memory >> 10,
            partition.load.kernel,
            partition.devices.len() + partition.functions().count()
        );
    }
}

/// Prepares every partition and core. The result has one entry per core that a partition owns.
fn prepare_all(
    plan: &Plan,
    merged: &Index<'_>,
    bundle: &Bundle<'static>,
    span: PaSpan,
    tables: &mut Stage1,
    uart: Option<&plan::Uart>,
) -> Result<Vec<(usize, &'static mut Core)>, Refusal> {
    let gic = gic::find(plan, tables)?;
    let areas = plan.partitions.iter().map(|partition| area_bytes(partition.cpus.len())).sum::<usize>();
    let consoles = console::OWN_BYTES + (plan.partitions.len() + 1) * console::SHARED_BYTES;
    let shared = Arena::fill(areas + own::SHARED_PAGES as usize * PAGE + consoles, |shared| {
        let seats = |cpus: &[usize]| cpus.iter().map(|cpu| gic.seat(*cpu)).collect();
        // First, as they are whole pages.
        let areas: Vec<Area> =
            plan.partitions.iter().map(|p| Area::new(&p.name, p.cpus.len(), p.is_direct())).collect();
        let statuses = plan.partitions.iter().zip(areas).enumerate();
        status::init(
            statuses.map(|(number, (p, area))| Status::new(plan, number, area, seats(&p.cpus))).collect(),
        );
        console::init(plan, &gic);
        shared
    });
    // A partition may own the UART when no console is shared; then EL2 falls silent once partitions run.
    let kept = uart.filter(|_| plan.uart_owner().is_none());
    smmu::close(&plan.board.smmus, tables)?;
    let smmus = smmu::prepare(plan, &gic.cores, tables)?;
    let machine = Machine { gic, uart: kept.map(|uart| uart.span), bundle: span, shared, smmus };
    let maintenance =
        Board::maintenance(merged).ok_or("the GIC's node names no maintenance interrupt (interrupts)")?;
    let [.., timer] = plan.board.timer_ppis;
    board::set(maintenance, timer, kept.and_then(|uart| uart.intid).unwrap_or(0));
    gic::controller().init();
    let mut cores = Vec::new();
    for number in 0..plan.partitions.len() {
        let (partition, arena): (&'static Partition, Arena) =
            prepare::partition(plan, number, merged, bundle, &machine)?;
        for (vcpu, &index) in plan.partitions[number].cpus.iter().enumerate() {
            cores.push((index, prepare::core(partition, arena, vcpu, plan, &machine)));
        }
    }
    timeline::done(Phase::Tables);
    audit::at_boot(plan, &cores)?;
    timeline::done(Phase::Audit);
    Ok(cores)
}

/// What a secondary core looks up by its MPIDR, with its caches off (boot.S). One that nobody owns has no tables, and
/// instead of a stack the physical address where it says that it came.
#[repr(C)]
struct Secondary {
    mpidr: u64,
    ttbr: u64,
    stack: u64,
    core: u64,
}

/// Physical address and length of the table of [`Secondary`].
#[unsafe(no_mangle)]
static SECONDARIES: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

#[expect(improper_ctypes, reason = "assembly passes the pointer on and never looks behind it")]
unsafe extern "C" {
    static secondary_start: u8;
    fn switch_stage1(ttbr: u64, stack: usize, core: *mut Core) -> !;
}

/// Starts every core that a partition owns but this one, whose block is returned; they wait for its word. Where cores wait in memory (spin
/// tables) those that nobody owns come too, to stay in EL2: what firmware had for them is in no table of partitions, but
/// only its release addresses are known.
fn start_all(
    plan: &Plan,
    cores: Vec<(usize, &'static mut Core)>,
    tables: &mut Stage1,
    verbose: bool,
) -> Result<&'static mut Core, Refusal> {
    let here = MPIDR_EL1.get() & plan::MPIDR_AFFINITY;
    let spare: Vec<&plan::Cpu> = (plan.board.cpus.iter())
        .filter(|cpu| cpu.owner.is_none() && cpu.mpidr != here)
        .filter(|cpu| matches!(cpu.enable, CpuEnable::SpinTable(_)))
        .collect();
    let size = (cores.len() + spare.len()) * size_of::<Secondary>() + (spare.len() + 1) * size_of::<Stayed>();
    let (table, stayed) = Arena::fill(size, |_| {
        // First, as it may want the arena's first bytes for its alignment.
        let stayed: &'static [Stayed] = spare.iter().map(|_| Stayed::new()).collect::<Vec<_>>().leak();
        let owned = cores.iter().map(|(index, core)| Secondary {
            mpidr: plan.board.cpus[*index].mpidr,
            ttbr: core.stage1.root().0,
            stack: layout::STACK_TOP as u64,
            core: core::ptr::from_ref::<Core>(core) as u64,
        });
        let unowned = spare.iter().zip(stayed).map(|(cpu, stayed)| Secondary {
            mpidr: cpu.mpidr,
            ttbr: 0,
            stack: layout::pa_of(stayed.word()).0,
            core: 0,
        });
        let mut table = Vec::with_capacity(cores.len() + spare.len());
        table.extend(owned.chain(unowned));
        (&*table.leak(), stayed)
    });
    SECONDARIES[0].store(layout::pa_of(table.as_ptr() as usize).0, Ordering::Relaxed);
    SECONDARIES[1].store(table.len() as u64, Ordering::Relaxed);
    let owned = cores.iter().any(|(index, _)| plan.board.cpus[*index].mpidr == here);
    lend(plan, tables, owned)?;
    let others = cores.iter().filter(|(index, _)| plan.board.cpus[*index].mpidr != here).count();
    let streams = plan.partitions.iter().any(|partition| !partition.streams.is_empty());
    if others + spare.len() != 0 || streams {
        // Secondaries read their blocks and tables with caches off, and an SMMU may walk stage 2 beside the caches. What
        // nobody writes to is in memory since the boot loader put it there.
        cache::flush(layout::rodata_end(), layout::data_end() - layout::rodata_end());
        let [kept, _] = heap::used();
        cache::flush(kept.start, kept.len());
    }
    let silent =
        |cpu: &plan::Cpu| alloc::format!("{}: firmware started this core, but it did not come", cpu.path);
    for (cpu, stayed) in spare.into_iter().zip(stayed) {
        start_core(cpu, tables)?;
        if !stayed.wait() {
            return Err(silent(cpu).into());
        }
    }
    let (mut own, mut started) = (None, 0);
    for (index, core) in cores {
        let cpu = &plan.board.cpus[index];
        if cpu.mpidr == here {
            own = Some(core);
        } else {
            start_core(cpu, tables)?;
            started += 1;
            if !muster::await_cores(started) {
                return Err(silent(cpu).into());
            }
        }
    }
    if own.is_some() {
        kinds::report(Kind::of_this_core());
    }
    timeline::done(Phase::Cores);
    kinds::announce(&plan.board.cpus, verbose);
    if verbose {
        timeline::show();
    }
    console::start();
    smmu::start();
    if plan.uart_owner().is_some() {
        uart::release();
    }
    Ok(match own {
        Some(core) => {
            core.begins = true;
            core
        }
        // A boot core that no partition owns has nothing left to do.
        None => {
            heap::hand_over_mapped();
            muster::go();
            power::core_off()
        }
    })
}

/// Sees to it that what is kept is no partition's, and whether what is not is one's. Nothing more is kept from here on. A core
/// that no partition has stays on tables of the boot's, which then have to be kept, too.
fn lend(plan: &Plan, tables: &mut Stage1, owned: bool) -> Result<(), Refusal> {
    let memory = || plan.partitions.iter().flat_map(|partition| &partition.memory);
    let overlaps = |part: &PaSpan| memory().any(|memory| memory.physical().overlaps(part));
    if !overlaps(&layout::image()) {
        return Ok(());
    }
    if !owned {
        *tables = Arena::fill(own::BOOT_PAGES as usize * PAGE, |_| {
            let mut kept = Stage1::new();
            kept.add_boot();
            kept.add_known_devices();
            // SAFETY: the image, the heap, the boot stack and registers stay where they were.
            unsafe { kept.activate() };
            kept
        });
    }
    let kept = heap::lend();
    if overlaps(&kept) {
        return Err(alloc::format!(
            "the plan lets a partition have memory of the hypervisor's, which needs {kept} for good; this is a defect"
        )
        .into());
    }
    Ok(())
}

fn start_core(cpu: &plan::Cpu, tables: &mut Stage1) -> Result<(), Refusal> {
    let entry = layout::pa_of(core::ptr::addr_of!(secondary_start) as usize).0;
    match cpu.enable {
        CpuEnable::Psci => match power::firmware(psci::CPU_ON | psci::SMC64, [cpu.mpidr, entry, 0]) {
            Some(psci::SUCCESS) => Ok(()),
            Some(code) => Err(alloc::format!("{}: firmware's CPU_ON answers {code}", cpu.path).into()),
            None => {
                Err(alloc::format!("{}: enable-method is psci, but the tree has no PSCI by SMC", cpu.path)
                    .into())
            }
        },
        CpuEnable::SpinTable(release) => {
            let va = tables.add_mailbox(release);
            // SAFETY: the tree says that this is the core's release address; the write is cleaned to memory, where the
            // core polls it with its caches off, before it is woken.
            unsafe {
                (va as *mut u64).write_volatile(entry);
                cache::flush(va, 8);
                core::arch::asm!("sev", options(nostack, preserves_flags));
            }
            Ok(())
        }
        CpuEnable::Unknown => Err(alloc::format!("{}: no enable-method that is known", cpu.path).into()),
    }
}

/// Leaves the boot stack and the boot tables for the core's own.
fn become_core(core: &'static mut Core) -> ! {
    let ttbr = core.stage1.root().0;
    // SAFETY: the tables map the image and this core's own stack and block; nothing of the boot stack is used again.
    unsafe { switch_stage1(ttbr, layout::STACK_TOP, core) }
}
