//! What the overlay asks for, property by property: types, ranges and words are checked here; whether the board can
//! give it is decided elsewhere.

mod memory;
mod read;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::dt::Node;

use crate::lifecycle::MOST_COUNTED;

use super::vocabulary::{PARTITION, PARTITIONS, SUBNODES};
use super::{ClearMemory, Dtb, ErrorKind, InterruptPath, PlanError, Restart, Start};
pub(super) use memory::{MemorySpec, TOP};
use read::Reader;

/// One partition as the overlay describes it.
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) path: String,
    /// Cores by affinity, and the property that names them.
    pub(super) cpus: Vec<u64>,
    pub(super) cpus_property: &'static str,
    pub(super) memory: Vec<MemorySpec>,
    pub(super) kernel: String,
    pub(super) initrd: Option<String>,
    pub(super) load_address: Option<u64>,
    pub(super) entry: Option<u64>,
    pub(super) dtb_address: Option<u64>,
    pub(super) bootargs: String,
    pub(super) dtb: Dtb,
    pub(super) guest_tree: Option<String>,
    pub(super) devices: Vec<String>,
    pub(super) fixed_clocks: Vec<String>,
    pub(super) dma_trusted: Vec<String>,
    pub(super) console: Option<ConsoleWord>,
    pub(super) console_base: Option<u64>,
    pub(super) console_interrupt: Option<u32>,
    pub(super) interrupt_path: InterruptPath,
    pub(super) best_effort: bool,
    pub(super) start: Start,
    pub(super) restart: Restart,
    pub(super) restart_limit: (u32, u32),
    pub(super) watchdog: bool,
    pub(super) clear_memory: ClearMemory,
    pub(super) manages: Vec<String>,
}

/// What `console` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsoleWord {
    Device,
    Shared,
    None,
}

impl Spec {
    pub(super) fn error(&self, property: &str, kind: ErrorKind) -> PlanError {
        PlanError::property(&self.path, property, kind)
    }
}

/// All partitions below /partitions, in its order.
pub(super) fn read(partitions: &Node<'_>) -> Result<Vec<Spec>, PlanError> {
    let top = Reader { path: "/partitions".to_string(), node: partitions };
    top.known_properties(PARTITIONS)?;
    top.compatible("partita,partitions")?;
    if top.string("platform")?.is_some_and(str::is_empty) {
        return Err(top.error("platform", ErrorKind::Empty));
    }
    let specs: Vec<Spec> =
        partitions.children().map(|child| partition(&top.below(child))).collect::<Result<_, _>>()?;
    if specs.is_empty() { Err(PlanError::node("/partitions", ErrorKind::NoPartition)) } else { Ok(specs) }
}

fn partition(reader: &Reader<'_>) -> Result<Spec, PlanError> {
    let name = reader.node.name();
    if !valid_name(name) {
        return Err(PlanError::node(&reader.path, ErrorKind::BadName));
    }
    reader.known_properties(PARTITION)?;
    reader.known_nodes(SUBNODES)?;
    reader.compatible("partita,partition")?;
    let (cpus, cpus_property) = cpus(reader)?;
    let address =
        required(reader, "#address-cells", reader.cell("#address-cells", 1, 2)?, "#address-cells = <2>")?;
    let size = required(reader, "#size-cells", reader.cell("#size-cells", 1, 2)?, "#size-cells = <2>")?;
    let (address, size) = (address as usize, size as usize);
    let want = alloc::format!("one address of {address} cells, as #address-cells says");
    let at = |property| reader.number(property, address, &want);
    let memory = memory::read(reader, address, size)?;
    let kernel = required(reader, "kernel", reader.file("kernel")?, "kernel = \"vmlinuz\"")?;
    let dtb = match reader.string("dtb")? {
        None => Dtb::Generated,
        Some("none") => Dtb::None,
        Some(_) => reader.file("dtb")?.map_or(Dtb::Generated, Dtb::File),
    };
    let dtb_address = at("dtb-address")?;
    if dtb == Dtb::None && dtb_address.is_some() {
        return Err(reader.error("dtb-address", ErrorKind::Needs("a device tree (dtb is \"none\")")));
    }
    let guest_tree = reader.node.children().find(|child| child.name() == "guest-tree");
    let restart_limit = match reader.numbers("restart-limit", 1, "<COUNT SECONDS>")?.as_deref() {
        None => (5, 60),
        Some([count, _]) if *count > u64::from(MOST_COUNTED) => {
            return Err(reader.error("restart-limit", ErrorKind::Range(*count, 0, u64::from(MOST_COUNTED))));
        }
        Some([count, seconds]) => (*count as u32, *seconds as u32),
        Some(other) => {
            return Err(
                reader.error("restart-limit", ErrorKind::Cells("<COUNT SECONDS>".into(), other.len() * 4))
            );
        }
    };
    Ok(Spec {
        name: name.to_string(),
        path: reader.path.clone(),
        cpus,
        cpus_property,
        memory,
        kernel,
        initrd: reader.file("initrd")?,
        load_address: at("load-address")?,
        entry: at("entry")?,
        dtb_address,
        bootargs: reader.string("bootargs")?.unwrap_or_default().to_string(),
        dtb,
        guest_tree: guest_tree.map(|child| reader.below(child).path),
        devices: reader.nodes("devices")?,
        fixed_clocks: reader.nodes("fixed-clocks")?,
        dma_trusted: reader.nodes("dma-trusted")?,
        console: reader.word("console", &["device", "shared", "none"])?.map(|place| match place {
            0 => ConsoleWord::Device,
            1 => ConsoleWord::Shared,
            _ => ConsoleWord::None,
        }),
        console_base: at("console-base")?,
        // SPIs are 32..1019, so their numbers are 0..987 (IHI 0069, 2.2).
        console_interrupt: reader.cell("console-interrupt", 0, 987)?,
        interrupt_path: match reader.word("interrupt-path", &["mediated", "direct"])? {
            Some(1) => InterruptPath::Direct,
            _ => InterruptPath::Mediated,
        },
        best_effort: reader.word("stop", &["guaranteed", "best-effort"])? == Some(1),
        start: match reader.word("start", &["auto", "manual"])? {
            Some(1) => Start::Manual,
            _ => Start::Auto,
        },
        restart: match reader.word("restart", &["never", "on-failure", "always"])? {
            Some(1) => Restart::OnFailure,
            Some(2) => Restart::Always,
            _ => Restart::Never,
        },
        restart_limit,
        watchdog: reader.flag("watchdog")?,
        clear_memory: match reader.word("clear-memory", &["always", "on-reuse"])? {
            Some(1) => ClearMemory::OnReuse,
            _ => ClearMemory::Always,
        },
        manages: reader.strings("manages")?,
    })
}

fn valid_name(name: &str) -> bool {
    name.len() <= 31
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn required<T>(
    reader: &Reader<'_>,
    property: &str,
    found: Option<T>,
    example: &'static str,
) -> Result<T, PlanError> {
    found.ok_or_else(|| reader.error(property, ErrorKind::Missing(example)))
}

fn cpus(reader: &Reader<'_>) -> Result<(Vec<u64>, &'static str), PlanError> {
    let (property, width, want) = match (reader.has("cpus"), reader.has("cpus64")) {
        (true, true) => return Err(reader.error("cpus64", ErrorKind::Excludes("cpus"))),
        (false, true) => ("cpus64", 2, "core numbers of two cells each"),
        _ => ("cpus", 1, "core numbers of one cell each"),
    };
    let cpus = required(reader, property, reader.numbers(property, width, want)?, "cpus = <0 1>")?;
    if cpus.is_empty() {
        return Err(reader.error(property, ErrorKind::Empty));
    }
    for (place, core) in cpus.iter().enumerate() {
        if cpus.iter().take(place).any(|before| before == core) {
            return Err(reader.error(property, ErrorKind::Twice(alloc::format!("core {core:#x}"))));
        }
    }
    Ok((cpus, property))
}
