//! A plan as text and as JSON: cores, memory, devices and interrupts per partition, and what goes where.

use partita_model::plan::{
    Console, Device, Dtb, Gic, InterruptPath, Partition, PciPart, Plan, Smmu, Spi, Streams, Watchdog,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::session::Session;
use crate::table::Table;
use crate::ui::Ui;

/// A size as people read it.
pub fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{} GiB", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{} MiB", b >> 20),
        b if b >= 10 << 20 => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
        b if b >= 1 << 10 => format!("{} KiB", b.div_ceil(1 << 10)),
        b => format!("{b} B"),
    }
}

/// An interrupt as a tree names it.
pub fn interrupt(intid: u32) -> String {
    match intid {
        32.. => format!("SPI {}", intid - 32),
        16..32 => format!("PPI {}", intid - 16),
        _ => format!("SGI {intid}"),
    }
}

fn spis(spis: &[Spi]) -> String {
    spis.iter().map(|spi| interrupt(spi.intid)).collect::<Vec<_>>().join(", ")
}

/// A console in words.
pub fn console(console: &Console) -> String {
    match console {
        Console::Device(path) => path.clone(),
        Console::Shared { base, intid } => format!("shared, PL011 at {base}, {}", interrupt(*intid)),
        Console::None => "none".to_owned(),
    }
}

fn tree(session: &Session, index: usize) -> String {
    match (&session.plan.partitions[index].dtb, &session.trees[index]) {
        (Dtb::File(name), _) => name.clone(),
        (Dtb::Generated, Some(blob)) => format!("generated, {} bytes", blob.len()),
        (Dtb::Generated, None) => "generated".to_owned(),
        (Dtb::None, _) => "none".to_owned(),
    }
}

/// Shows what the user should know of a plan although it stops nothing: said about the data, not part of it.
pub fn notes(session: &Session, ui: Ui) {
    session.plan.notes.iter().for_each(|note| ui.note(note));
}

/// The whole plan as text.
pub fn text(session: &Session) -> String {
    let plan = &session.plan;
    let mut text = String::new();
    let mut section = |title: &str, table: &Table| {
        if !table.is_empty() {
            text.push_str(&format!("{title}\n{}\n", table.text(2)));
        }
    };
    section("partitions", &partitions(session));
    section("cores", &cores(plan));
    section("memory", &memory(session));
    section("moved at boot", &moves(plan));
    section("devices", &devices(plan));
    section("PCI functions", &functions(plan));
    section("PCI windows", &windows(plan));
    section("supervision", &supervision(plan));
    section("clocks", &clocks(plan));
    section("watchdogs", &watchdogs(plan));
    section("images", &images(plan));
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn partitions(session: &Session) -> Table {
    let mut table = Table::new(&[
        "name",
        "cores",
        "memory",
        "tables",
        "devices",
        "console",
        "interrupts",
        "start",
        "tree",
    ]);
    for (index, partition) in session.plan.partitions.iter().enumerate() {
        let total: u64 = partition.memory.iter().map(|memory| memory.ipa.size).sum();
        table.row([
            partition.name.clone(),
            partition.cpus.len().to_string(),
            size(total),
            size(partition.table_bytes(&session.plan.board.gic)),
            (partition.devices.len() + partition.functions().count()).to_string(),
            console(&partition.console),
            word(&partition.interrupt_path),
            format!("{}, restart {}", word(&partition.start), word(&partition.restart)),
            tree(session, index),
        ]);
    }
    table
}

fn cores(plan: &Plan) -> Table {
    let mut table = Table::new(&["core", "affinity", "partition", "seen as"]);
    for cpu in &plan.board.cpus {
        let (owner, seen) = match cpu.owner {
            Some((partition, number)) => (plan.partitions[partition].name.as_str(), format!("cpu {number}")),
            None => ("-", String::new()),
        };
        table.row([cpu.path.clone(), format!("{:#x}", cpu.mpidr), owner.to_owned(), seen]);
    }
    table
}

fn memory(session: &Session) -> Table {
    let plan = &session.plan;
    let mut rows = Vec::new();
    for partition in &plan.partitions {
        for memory in &partition.memory {
            let seen = match memory.ipa.base.0 == memory.pa.0 {
                true => "the same".to_owned(),
                false => memory.ipa.to_string(),
            };
            rows.push((memory.physical(), partition.name.clone(), seen));
        }
    }
    let reserved = plan.board.reserved.iter().map(|r| (r.span, format!("({})", r.what), String::new()));
    rows.extend(reserved);
    rows.sort_by_key(|row| row.0);
    rows.dedup();
    let mut table = Table::new(&["host", "size", "used by", "seen by the guest at"]);
    for (span, user, seen) in rows {
        table.row([span.to_string(), size(span.size), user, seen]);
    }
    table
}

/// What EL2 moves out of the way of pinned memory.
fn moves(plan: &Plan) -> Table {
    let mut table = Table::new(&["what", "from", "to"]);
    for step in &plan.moves {
        table.row([step.what.words().to_owned(), step.from.to_string(), step.to.to_string()]);
    }
    table
}

fn devices(plan: &Plan) -> Table {
    let given = || plan.partitions.iter().flat_map(|p| p.devices.iter().map(move |device| (p, device)));
    // A column that is seen where there is something to see.
    let unguarded = given().any(|(_, device)| !device.dma.is_empty());
    let guarded = given().any(|(_, device)| !device.streams.is_empty());
    let mut head = vec!["device", "partition", "interrupts", "registers"];
    head.extend(guarded.then_some("DMA as"));
    head.extend(unguarded.then_some("UNGUARDED DMA"));
    let mut table = Table::new(&head);
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for (partition, device) in given() {
        let regs: Vec<_> = device.regs.iter().map(ToString::to_string).collect();
        let row =
            [device.path.clone(), partition.name.clone(), dash(spis(&device.spis)), dash(regs.join(", "))];
        let row = row.into_iter().chain(guarded.then(|| dash(streams(&plan.board.smmus, &device.streams))));
        table.row(row.chain(unguarded.then(|| dash(reach(device)))));
    }
    table
}

/// PCI functions that are given one by one.
fn functions(plan: &Plan) -> Table {
    let mut table = Table::new(&["function", "partition", "interrupt", "DMA as"]);
    for partition in &plan.partitions {
        for function in partition.functions() {
            table.row([
                function.name.clone(),
                partition.name.clone(),
                function.spi.map_or("-".to_owned(), |spi| interrupt(spi.intid)),
                streams(&plan.board.smmus, &function.streams),
            ]);
        }
    }
    table
}

/// Where their memory can be.
fn windows(plan: &Plan) -> Table {
    let mut table = Table::new(&["bridge", "partition", "on the bus", "host", "size"]);
    for partition in &plan.partitions {
        for (part, window) in partition.pci.iter().flat_map(|p| p.windows.iter().map(move |w| (p, w))) {
            table.row([
                plan.board.pci[part.bridge].path.clone(),
                partition.name.clone(),
                window.on_bus().to_string(),
                window.physical().to_string(),
                size(window.size),
            ]);
        }
    }
    table
}

/// Who manages whom, and where each sees that.
fn supervision(plan: &Plan) -> Table {
    let mut table = Table::new(&["partition", "device at", "manages", "shown at"]);
    for partition in &plan.partitions {
        let Some(device) = &partition.supervisor else { continue };
        for managed in &device.managed {
            table.row([
                partition.name.clone(),
                device.registers.to_string(),
                plan.partitions[managed.partition].name.clone(),
                managed.area.to_string(),
            ]);
        }
    }
    table
}

/// The memory that a device can read and write with nothing to stop it, in words; empty if it does no DMA.
pub fn reach(device: &Device) -> String {
    device.dma.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What SMMUs know a device by, in words; empty if none that Partita drives is before it.
pub fn streams(smmus: &[Smmu], streams: &[Streams]) -> String {
    let path = |run: &Streams| smmus.get(run.smmu).map_or("", |smmu| &smmu.path);
    let words = streams.iter().map(|run| format!("stream {run} of {}", path(run)));
    words.collect::<Vec<_>>().join(", ")
}

/// The same, as JSON has it.
pub fn streams_json(smmus: &[Smmu], streams: &[Streams]) -> Vec<Value> {
    let path = |run: &Streams| smmus.get(run.smmu).map(|smmu| &smmu.path);
    streams
        .iter()
        .map(|run| json!({ "smmu": path(run), "first": format!("{:#x}", run.first), "count": run.count }))
        .collect()
}

fn clocks(plan: &Plan) -> Table {
    let mut table = Table::new(&["clock", "output", "partition", "fixed at"]);
    for partition in &plan.partitions {
        for clock in &partition.fixed_clocks {
            let output: Vec<_> = clock.output.iter().map(ToString::to_string).collect();
            table.row([
                clock.provider.clone(),
                if output.is_empty() { "-".to_owned() } else { output.join(" ") },
                partition.name.clone(),
                format!("{} Hz", clock.hz),
            ]);
        }
    }
    table
}

/// A watchdog in words.
pub fn watchdog(watchdog: &Watchdog) -> String {
    let Watchdog { control, refresh, intid } = watchdog;
    format!("control frame at {control}, refresh frame at {refresh}, {}", interrupt(*intid))
}

fn watchdogs(plan: &Plan) -> Table {
    let mut table = Table::new(&["partition", "control frame", "refresh frame", "interrupt"]);
    for partition in &plan.partitions {
        if let Some(Watchdog { control, refresh, intid }) = partition.watchdog {
            table.row([partition.name.clone(), control.to_string(), refresh.to_string(), interrupt(intid)]);
        }
    }
    table
}

fn images(plan: &Plan) -> Table {
    let mut table = Table::new(&["image", "partition", "at", "size"]);
    for partition in &plan.partitions {
        for piece in &partition.load.pieces {
            let at = format!("{}{}", piece.at, entry_in(partition, piece.at));
            table.row([piece.file.clone(), partition.name.clone(), at, size(piece.at.size)]);
        }
        if let Some(span) = partition.load.dtb_span {
            let row = ["(device tree)".to_owned(), partition.name.clone(), span.base.to_string()];
            table.row(row.into_iter().chain([format!("up to {}", size(span.size))]));
        }
    }
    table
}

fn entry_in(partition: &Partition, span: partita_model::addr::IpaSpan) -> String {
    let entry = partition.load.entry;
    if span.contains(entry) { format!(", entry {entry}") } else { String::new() }
}

/// A unit variant's name as the overlay writes it: `OnFailure` is `on-failure`.
pub fn word(value: &impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for c in format!("{value:?}").chars() {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

/// An address or a range, as JSON has it: numbers beyond 2^53 are not safe there, so addresses are text.
#[derive(Serialize)]
pub struct Range {
    base: String,
    size: u64,
}

impl<A: partita_model::addr::Address> From<partita_model::addr::Span<A>> for Range {
    fn from(span: partita_model::addr::Span<A>) -> Self {
        Self { base: format!("{:#x}", span.base.raw()), size: span.size }
    }
}

/// Ranges, as JSON has them.
pub fn ranges<A: partita_model::addr::Address>(spans: &[partita_model::addr::Span<A>]) -> Vec<Range> {
    spans.iter().map(|span| Range::from(*span)).collect()
}

/// The whole plan as JSON, schema 1.
pub fn json(session: &Session) -> Value {
    let plan = &session.plan;
    let cpus = plan.board.cpus.iter().map(|cpu| {
        let owner = cpu.owner.map(
            |(partition, number)| json!({ "partition": plan.partitions[partition].name, "cpu": number }),
        );
        json!({ "path": cpu.path, "affinity": format!("{:#x}", cpu.mpidr), "owner": owner })
    });
    let reserved =
        plan.board.reserved.iter().map(|r| json!({ "what": r.what, "range": Range::from(r.span) }));
    let gic = match &plan.board.gic {
        Gic::V3 { path, .. } => json!({ "version": 3, "path": path }),
        Gic::V2 { path, .. } => json!({ "version": 2, "path": path }),
    };
    let board = json!({
        "cpus": cpus.collect::<Vec<_>>(),
        "ram": ranges(&plan.board.ram),
        "reserved": reserved.collect::<Vec<_>>(),
        "gic": gic,
        "uart": plan.board.uart.as_ref().map(|uart| &uart.path),
        "smmus": plan.board.smmus.iter().map(|smmu| &smmu.path).collect::<Vec<_>>(),
    });
    let partitions = plan.partitions.iter().map(|partition| partition_json(plan, partition));
    let moves = plan.moves.iter().map(|step| {
        json!({ "what": step.what.words(), "from": Range::from(step.from), "to": Range::from(step.to) })
    });
    json!({
        "schema": 1,
        "board": board,
        "partitions": partitions.collect::<Vec<_>>(),
        "moves": moves.collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

/// Interrupts, as JSON has them.
pub fn spis_json(spis: &[Spi]) -> Vec<Value> {
    spis.iter()
        .map(|spi| json!({ "intid": spi.intid, "trigger": if spi.edge { "edge" } else { "level" } }))
        .collect()
}

/// A partition's part of a PCI bridge.
fn pci_json(plan: &Plan, part: &PciPart) -> Value {
    let functions = part.functions.iter().map(|function| {
        json!({
            "name": function.name,
            "interrupts": spis_json(function.spi.as_slice()),
            "streams": streams_json(&plan.board.smmus, &function.streams),
        })
    });
    let windows = part.windows.iter().map(
        |window| json!({ "bus": format!("{:#x}", window.bus.0), "host": Range::from(window.physical()) }),
    );
    json!({
        "bridge": plan.board.pci[part.bridge].path,
        "functions": functions.collect::<Vec<_>>(),
        "windows": windows.collect::<Vec<_>>(),
    })
}

fn partition_json(plan: &Plan, partition: &Partition) -> Value {
    let memory = partition.memory.iter().map(|memory| {
        json!({
            "guest": format!("{:#x}", memory.ipa.base.0),
            "host": format!("{:#x}", memory.pa.0),
            "size": memory.ipa.size,
        })
    });
    let devices = partition.devices.iter().map(|device| {
        json!({
            "path": device.path,
            "registers": ranges(&device.regs),
            "interrupts": spis_json(&device.spis),
            "unguarded-dma": ranges(&device.dma),
            "streams": streams_json(&plan.board.smmus, &device.streams),
        })
    });
    let clocks = partition
        .fixed_clocks
        .iter()
        .map(|clock| json!({ "provider": clock.provider, "output": clock.output, "rate": clock.hz }));
    let console = match &partition.console {
        Console::Device(path) => json!({ "kind": "device", "path": path }),
        Console::Shared { base, intid } => {
            json!({ "kind": "shared", "base": format!("{:#x}", base.0), "intid": intid })
        }
        Console::None => json!({ "kind": "none" }),
    };
    let watchdog = partition.watchdog.map(|watchdog| {
        json!({
            "control": format!("{:#x}", watchdog.control.0),
            "refresh": format!("{:#x}", watchdog.refresh.0),
            "intid": watchdog.intid,
        })
    });
    let dtb = match &partition.dtb {
        Dtb::Generated => json!({ "kind": "generated" }),
        Dtb::File(name) => json!({ "kind": "file", "file": name }),
        Dtb::None => json!({ "kind": "none" }),
    };
    let pieces = partition
        .load
        .pieces
        .iter()
        .map(|piece| json!({ "file": piece.file, "offset": piece.offset, "at": Range::from(piece.at) }));
    let path = match partition.interrupt_path {
        InterruptPath::Mediated => "mediated",
        InterruptPath::Direct => "direct",
    };
    let supervisor = partition.supervisor.as_ref().map(|device| {
        let managed = device.managed.iter().map(|managed| {
            let name = &plan.partitions[managed.partition].name;
            json!({ "partition": name, "area": Range::from(managed.area) })
        });
        json!({ "registers": Range::from(device.registers), "manages": managed.collect::<Vec<_>>() })
    });
    json!({
        "name": partition.name,
        "path": partition.path,
        "cpus": partition.cpus.iter().map(|index| plan.board.cpus[*index].path.as_str()).collect::<Vec<_>>(),
        "memory": memory.collect::<Vec<_>>(),
        "table-bytes": partition.table_bytes(&plan.board.gic),
        "devices": devices.collect::<Vec<_>>(),
        "pci": partition.pci.iter().map(|part| pci_json(plan, part)).collect::<Vec<_>>(),
        "interrupts": spis_json(&partition.spis),
        "fixed-clocks": clocks.collect::<Vec<_>>(),
        "console": console,
        "supervisor": supervisor,
        "watchdog": watchdog,
        "bootargs": partition.bootargs,
        "kernel": partition.load.kernel,
        "initrd": partition.load.initrd,
        "load": pieces.collect::<Vec<_>>(),
        "entry": format!("{:#x}", partition.load.entry.0),
        "dtb": dtb,
        "dtb-range": partition.load.dtb_span.map(Range::from),
        "interrupt-path": path,
        "start": word(&partition.start),
        "restart": word(&partition.restart),
        "restart-limit": [partition.restart_limit.0, partition.restart_limit.1],
        "clear-memory": word(&partition.clear_memory),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use partita_model::plan::Restart;

    #[test]
    fn sizes_and_words_read_well() {
        assert_eq!(size(256 << 20), "256 MiB");
        assert_eq!(size(3 << 30), "3 GiB");
        assert_eq!(size((26 << 20) + (1 << 19)), "26.5 MiB");
        assert_eq!(size(4097), "5 KiB");
        assert_eq!(size(12), "12 B");
        assert_eq!(word(&Restart::OnFailure), "on-failure");
        assert_eq!(interrupt(33), "SPI 1");
        assert_eq!(interrupt(27), "PPI 11");
    }
}
