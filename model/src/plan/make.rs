//! Making a plan: read the trees, read the board, read what is asked for, see whether the board can give it, place.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::devices::{Catalogue, Given, give, warnings};
use super::own_tree::{self, Has};
use super::pci::Bridge;
use super::place::{self, ImageRequest, MemoryRequest, Placement};
use super::spec::Spec;
use super::{
    Board, Console, Dtb, ErrorKind, Inputs, InterruptPath, Memory, Movable, Move, Partition, Plan, PlanError,
    Planned, Restart, Supervisor, Watchdog, overlay, own, pci, rules, space, spec,
};
use crate::addr::{Pa, PaSpan};
use crate::dt::{self, Index, Tree};
use crate::sort;

impl Plan {
    /// Decides everything, or says what is wrong with the plan. The same inputs give the same plan or the same words.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the overlay within each step.
    #[expect(clippy::new_ret_no_self, reason = "the plan comes with the tree that it was read from")]
    pub fn new<'a>(inputs: &Inputs<'a>) -> Result<Planned<'a>, PlanError> {
        Self::from_tree(overlay::board(inputs.tree)?, inputs)
    }

    /// The same where the board's tree, [`Inputs::tree`], was read already.
    ///
    /// # Errors
    ///
    /// As [`Plan::new`]'s.
    pub fn from_tree<'a>(board: Tree<'a>, inputs: &Inputs<'a>) -> Result<Planned<'a>, PlanError> {
        let (tree, note) = overlay::merge(board, inputs.tree, inputs.overlay)?;
        let mut plan = {
            let index = Index::new(&tree);
            let mut board = Board::read(&tree, &index, inputs.ram, inputs.occupied)?;
            let partitions = index.find("/partitions").and_then(|number| index.node(number));
            let partitions = partitions.ok_or_else(|| PlanError::node("/", ErrorKind::NoPartitions))?;
            let specs = spec::read(partitions)?;
            rules::check(&specs)?;
            let cores = rules::cores(&mut board, &specs)?;
            let given = devices(&index, &board, &specs)?;
            let (mut consoles, mut wired) = (Vec::new(), space::Wired::new(&index, &specs)?);
            for (spec, given) in specs.iter().zip(&given) {
                space::memory(&board, spec, given)?;
                let bell = wired.bell(spec)?;
                consoles.push((space::console(&board, spec, given, bell)?, bell));
            }
            let (mut supervisors, mut watchdogs) = (Vec::new(), Vec::new());
            for (number, (spec, (given, (console, _)))) in
                specs.iter().zip(given.iter().zip(&consoles)).enumerate()
            {
                let supervisor = space::supervisor(&board, &specs, number, given, console)?;
                watchdogs.push(space::watchdog(&board, spec, given, console, supervisor.as_ref())?);
                supervisors.push(supervisor);
            }
            let trees = dt::content(inputs.tree) + inputs.overlay.map_or(0, dt::content);
            let (memory, moves) = memory(&mut board, &specs, &given, &supervisors, trees)?;
            let emulated = consoles.into_iter().zip(supervisors).zip(watchdogs);
            let emulated = emulated.map(|(((console, bell), supervisor), watchdog)| Emulated {
                console,
                bell,
                supervisor,
                watchdog,
            });
            let shares = cores.into_iter().zip(given).zip(emulated).zip(memory);
            let shares =
                shares.map(|(((cpus, given), emulated), memory)| Share { cpus, given, emulated, memory });
            assemble(inputs, board, moves, specs.into_iter().zip(shares))?
        };
        plan.notes.splice(0..0, note);
        Ok(Planned { plan, tree })
    }
}

fn devices(index: &Index<'_>, board: &Board, specs: &[Spec]) -> Result<Vec<Given>, PlanError> {
    // Partita keeps its UART if any console is shared, which a partition's is by default if it owns no UART.
    let free = Catalogue::new(index);
    free.check_interfaces(board)?;
    let shared = specs.iter().any(|spec| space::shares_console(spec, free.names_uart(&spec.devices)));
    let catalogue = if shared { free.with_uart(board) } else { free };
    let mut given = give(&catalogue, board, specs)?;
    pci::give(&catalogue, board, specs, &mut given)?;
    Ok(given)
}

/// Where each partition's RAM is, and what makes room for it; the board is told of the new places.
fn memory(
    board: &mut Board,
    specs: &[Spec],
    given: &[Given],
    supervisors: &[Option<Supervisor>],
    trees: u64,
) -> Result<(Vec<Vec<Memory>>, Vec<Move>), PlanError> {
    let entries = || specs.iter().flat_map(|spec| &spec.memory);
    let requests: Vec<MemoryRequest> = entries()
        .map(|entry| MemoryRequest {
            node: entry.node.clone(),
            property: if entry.pin.is_some() { "host-base" } else { "reg" },
            ipa: entry.ipa,
            pin: entry.pin,
        })
        .collect();
    let of = |bases: Vec<Pa>| -> Vec<Vec<Memory>> {
        let mut bases = bases.into_iter();
        let of = |spec: &Spec| {
            let entries = spec.memory.iter().zip(bases.by_ref());
            entries.map(|(entry, pa)| Memory { ipa: entry.ipa, pa, numa: entry.numa }).collect()
        };
        specs.iter().map(of).collect()
    };
    let placed = match place::memory(&board.ram, &board.reserved, &requests) {
        Ok(Placement { memory, moves }) => (of(memory), moves),
        Err(error) => {
            // Once more with what the hypervisor does not keep, as if all lay where guests see it; that is a guess.
            let bases = requests.iter().map(|request| request.pin.unwrap_or(Pa(request.ipa.base.0)));
            let kept = |memory: &[Vec<Memory>]| own::kept(board, specs, given, supervisors, memory, trees);
            let guess = kept(&of(bases.collect())) + own::SLACK;
            let reserved = own::without_rest(&board.reserved, guess);
            let placed = place::memory(&board.ram, &reserved, &requests);
            let placed = placed.ok().map(|Placement { memory, moves }| (of(memory), moves));
            // What EL2 moves may not come to lie there, and neither may itself.
            let stays = |moves: &[Move]| moves.iter().all(|step| step.what == Movable::Tree);
            let fits = |memory: &[Vec<Memory>]| kept(memory) <= guess;
            placed.filter(|(memory, moves)| stays(moves) && fits(memory)).ok_or(error)?
        }
    };
    let (memory, moves) = placed;
    for entry in &mut board.reserved {
        entry.span = place::after(&moves, entry);
    }
    let kept = own::kept(board, specs, given, supervisors, &memory, trees);
    board.reserved = own::without_rest(&board.reserved, kept);
    sort::by(&mut board.reserved, |a, b| a.span < b.span);
    Ok((memory, moves))
}

/// What a partition gets of the board.
struct Share {
    cpus: Vec<usize>,
    given: Given,
    emulated: Emulated,
    memory: Vec<Memory>,
}

/// What it has beside that.
struct Emulated {
    console: Console,
    bell: Option<u32>,
    supervisor: Option<Supervisor>,
    watchdog: Option<Watchdog>,
}

fn assemble(
    inputs: &Inputs<'_>,
    board: Board,
    moves: Vec<Move>,
    shares: impl Iterator<Item = (Spec, Share)>,
) -> Result<Plan, PlanError> {
    let mut notes = Vec::new();
    let mut partitions = Vec::new();
    for (spec, Share { cpus, given, emulated, memory }) in shares {
        let Emulated { console, bell, supervisor, watchdog } = emulated;
        let request = ImageRequest {
            node: &spec.path,
            kernel: &spec.kernel,
            initrd: spec.initrd.as_deref(),
            load_address: spec.load_address,
            entry: spec.entry,
            dtb_address: spec.dtb_address,
            dtb: &spec.dtb,
            memory: &memory,
        };
        let load = place::images(inputs.files, &request)?;
        if let Dtb::File(name) = &spec.dtb
            && let Some(blob) = inputs.files.get(name)
        {
            // Configuration space is not mapped, but answered.
            let ecam = given.pci.iter().filter_map(|part| board.pci.get(part.bridge)).map(Bridge::root_ecam);
            let mmio: Vec<PaSpan> = given.mmio.iter().copied().chain(ecam).collect();
            let has = Has {
                board: &board,
                cpus: cpus.len(),
                memory: &memory,
                mmio: &mmio,
                console: &console,
                supervisor: supervisor.as_ref(),
                watchdog: watchdog.as_ref(),
            };
            own_tree::check(blob, &has)
                .map_err(|fault| spec.error("dtb", ErrorKind::OwnTree(name.clone(), Box::new(fault))))?;
        }
        notes.extend(worth_knowing(&board, &spec, &given, &console));
        partitions.push(Partition {
            name: spec.name,
            path: spec.path,
            cpus,
            memory,
            devices: given.devices,
            pci: given.pci,
            mmio: given.mmio,
            spis: given.spis,
            streams: given.streams,
            fixed_clocks: given.fixed_clocks,
            console,
            supervisor,
            watchdog,
            bootargs: spec.bootargs,
            load,
            dtb: spec.dtb,
            interrupt_path: spec.interrupt_path,
            bell,
            start: spec.start,
            restart: spec.restart,
            restart_limit: spec.restart_limit,
            clear_memory: spec.clear_memory,
            guest_tree: spec.guest_tree,
        });
    }
    notes.extend(warnings(&board, &partitions));
    Ok(Plan { board, partitions, moves, notes })
}

/// What a direct partition gives up, each found by trying (docs/isolation.md has the attacks).
const DIRECT: [&str; 3] = [
    "interrupts reach it without Partita: it can end an interrupt that is active on another partition's core, which then may \
     come once more; it can do no more to others than that",
    "stop is best-effort: a guest that masks interrupts at the CPU interface and sleeps, or that loops in exceptions without \
     ever translating an address, keeps its cores until power-off",
    "its console's output is written before the store to its UART ends; keys come to it while another partition is mediated, \
     or else when it uses its UART",
];

/// What the user should know of a partition although it stops nothing.
fn worth_knowing(board: &Board, spec: &Spec, given: &Given, console: &Console) -> Vec<String> {
    let mut words = given.notes.clone();
    if spec.interrupt_path == InterruptPath::Direct {
        words.extend(DIRECT.map(String::from));
        if spec.restart != Restart::Never {
            words.push(
                "it is started again only once all its cores have stopped, which they need not do".into(),
            );
        }
    } else if spec.best_effort {
        words.push("stop is guaranteed, not only best-effort, because interrupts are mediated".into());
    }
    match &board.uart {
        Some(uart) if given.mmio.iter().any(|span| span.overlaps(&uart.span)) => words.push(format!(
            "it has the board's UART {}, so Partita prints nothing once partitions run",
            uart.path
        )),
        None if matches!(console, Console::Shared { .. }) => words.push(
            "its shared console leads nowhere: stdout-path names no UART that Partita can drive".into(),
        ),
        _ => {}
    }
    words.iter().map(|words| format!("{}: {words}", spec.name)).collect()
}
