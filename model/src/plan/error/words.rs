//! The words of every error: what is wrong; what to do. tests/plans holds each of them, as EL2 and the host tool
//! print it.

use core::fmt;

use super::{ErrorKind, Plain};

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words(&mut Plain(f))
    }
}

impl ErrorKind {
    fn words(&self, f: &mut dyn fmt::Write) -> fmt::Result {
        use ErrorKind as K;
        match self {
            K::Place(error) => write!(f, "{error}"),
            K::TreeUnreadable(why) => {
                write!(f, "the board's tree cannot be read ({why}); give a flattened device tree (.dtb)")
            }
            K::OverlayUnreadable(why) => write!(
                f,
                "the overlay cannot be read ({why}); compile it with `dtc -@ -I dts -O dtb` and copy it whole"
            ),
            K::OverlayPathReference => write!(
                f,
                "the overlay refers to a node by <&{{/path}}> or by a label longer than 31 characters, which an \
                 overlay cannot carry; name devices by path as strings, such as devices = \"/pl031@9010000\""
            ),
            K::OutsideFragment(node) => write!(
                f,
                "node {node} lies outside any fragment of the overlay and would be lost; write \
                 `&{{/}} {{ partitions {{ ... }}; }};` instead of `/ {{ partitions {{ ... }}; }};`"
            ),
            K::OverlayFails(why) => write!(
                f,
                "the overlay cannot be applied to the board's tree ({why}); compile it anew with `dtc -@` and check \
                 what it refers to"
            ),
            K::NoTarget(target) => write!(
                f,
                "the overlay changes {target}, which the board's tree does not have; remove that fragment or use \
                 the tree of the right board"
            ),
            K::NoLabel(label) => write!(
                f,
                "the board's tree has no label `{label}`; name the node by its path, such as &{{/soc}} for a \
                 fragment or a string in a property"
            ),
            K::NoPartitions => write!(
                f,
                "there is no node /partitions in the board's tree or the overlay; write \
                 `&{{/}} {{ partitions {{ compatible = \"partita,partitions\"; ... }}; }};`"
            ),
            K::NoPartition => write!(
                f,
                "there is no partition; add a subnode such as `linux {{ compatible = \"partita,partition\"; ... }};`"
            ),
            K::BoardLacks(what) => {
                write!(
                    f,
                    "the board's tree has no {what}; use the tree that the board's firmware gives to Linux"
                )
            }
            K::BadBoardProperty(want) => write!(
                f,
                "the board's tree is malformed here (wanted {want}); use the tree that the board's firmware gives to \
                 Linux"
            ),
            K::InterfaceShared(other) => write!(
                f,
                "a CPU interface, which guests reach, shares its pages with {other}; use the tree that the board's \
                 firmware gives to Linux"
            ),
            K::NoRam => write!(
                f,
                "the board's tree states no RAM; state it as firmware would, such as --ram 0x40000000+0x40000000"
            ),
            K::Missing(example) => write!(f, "is required and missing; add it, such as {example}"),
            K::UnknownProperty(None) => {
                write!(f, "is no property of this node; remove it, or see the reference of the overlay")
            }
            K::UnknownProperty(Some(near)) => {
                write!(f, "is no property of this node; did you mean `{near}`? Otherwise remove it")
            }
            K::UnknownNode(None) => {
                write!(f, "is no node that belongs here; remove it, or put it into `guest-tree`")
            }
            K::UnknownNode(Some(near)) => {
                write!(f, "is no node that belongs here; did you mean `{near}`? Otherwise remove it")
            }
            K::NotSupported(None) => write!(f, "is not supported yet; remove it"),
            K::NotSupported(Some(what)) => write!(f, "{what} is not supported yet; remove it"),
            K::Compatible(want) => write!(f, "must contain \"{want}\"; write compatible = \"{want}\""),
            K::BadName => write!(
                f,
                "is no name for a partition; use a lower-case letter, then up to 30 lower-case letters, digits or \
                 hyphens"
            ),
            K::NotString => write!(f, "must be one string; write it in double quotes"),
            K::NotStrings => {
                write!(f, "must be a list of strings; write each in double quotes, with commas between them")
            }
            K::ByLabel(Some(label)) => write!(
                f,
                "names a node by reference ({label}), which most boards' trees cannot resolve; write its path as a \
                 string, such as \"/pl031@9010000\""
            ),
            K::ByLabel(None) => write!(
                f,
                "holds numbers (a reference such as <&label> becomes one), but nodes are named by path; write \
                 strings, such as \"/pl031@9010000\""
            ),
            K::CoreByLabel(label) => write!(
                f,
                "names a core by reference ({label}), which most boards' trees cannot resolve; write the cores' \
                 numbers, such as cpus = <0 1>"
            ),
            K::Cells(want, bytes) => {
                write!(f, "must be {want}, but it has {bytes} bytes; write numbers in angle brackets")
            }
            K::Empty => write!(f, "is empty; give it a value or remove it"),
            K::NotFlag => write!(f, "takes no value; write its name and a semicolon only"),
            K::Word(word, allowed) => {
                write!(f, "\"{word}\" is none of the words allowed; write ")?;
                list(f, allowed)
            }
            K::Range(number, least, most) => {
                write!(f, "{number} is out of range; use a number from {least} to {most}")
            }
            K::Twice(what) => write!(f, "{what} is named twice; remove one"),
            K::Excludes(other) => {
                write!(f, "stands beside `{other}`, which says the same; remove one of them")
            }
            K::Needs(what) => write!(f, "needs {what}; add that or remove this"),
            K::BadFileName(name) => write!(
                f,
                "\"{name}\" is no name for a file in the bundle; use one without folders and spaces that is neither \
                 partitions.dtbo nor SHA256SUMS"
            ),
            K::NoSuchPartition(name, near) => {
                write!(f, "there is no partition \"{name}\"; ")?;
                match near {
                    Some(near) => write!(f, "did you mean \"{near}\"?"),
                    None => write!(f, "name one of this plan's partitions"),
                }
            }
            K::Itself => write!(f, "a partition cannot manage itself; remove its own name"),
            K::NoSuchCore(core, have) => write!(f, "the board has no core {core:#x}; it has {have}"),
            K::CoreTaken(core, other) => {
                write!(
                    f,
                    "core {core:#x} belongs to partition {other} already; give each core to one partition"
                )
            }
            K::CoreCannotStart(core) => write!(
                f,
                "the board's tree names no way to start core {core:#x} (enable-method psci or spin-table); give \
                 another core"
            ),
            K::CoreBeyondGic(core) => write!(
                f,
                "core {core:#x} is not among the first 8 of the board's tree, and its GICv2 can have no more; give one \
                 of those"
            ),
            K::Unaligned(what, value) => {
                write!(
                    f,
                    "the {what} {value:#x} is not a multiple of 4 KiB; use one whose last three hexadecimal digits are 0"
                )
            }
            K::BadSpan(base, size) => write!(
                f,
                "{size:#x} bytes at {base:#x} are no range that a guest can have; use a size above 0 and addresses \
                 below 0x100000000000"
            ),
            K::Overlap(span, other) => write!(f, "{span} overlaps {other}; move one of them"),
            K::HostBaseCount(reg, found) => write!(
                f,
                "has {found} addresses where reg has {reg} entries; give one of #address-cells cells for each entry, \
                 or none (`host-base;`) for host address = guest address"
            ),
            K::NoSuchDevice(path, Some(near)) => {
                write!(f, "the board's tree has no node or alias \"{path}\"; did you mean \"{near}\"?")
            }
            K::NoSuchDevice(path, None) => write!(
                f,
                "the board's tree has no node or alias \"{path}\"; `partita devices` lists what can be given"
            ),
            K::Disabled(path, by) if path == by => write!(
                f,
                "{path} is disabled (status) in the board's tree and stays so; remove it, or enable it with a \
                 fragment of the overlay if the board really has it"
            ),
            K::Disabled(path, by) => write!(
                f,
                "{path} lies below {by}, which is disabled (status) in the board's tree and stays so; remove it, or \
                 enable it with a fragment of the overlay if the board really has it"
            ),
            K::Own(path, why) => write!(f, "{path} cannot be given away: {why}; remove it"),
            K::DeviceTaken(path, other) => {
                write!(f, "{path} belongs to partition {other} already; give each device to one partition")
            }
            K::Unreachable(path, why) => write!(f, "{path} cannot be given: {why}"),
            K::BadDeviceProperty(path, what) => {
                write!(f, "{path} cannot be given: its {what} cannot be understood; mend the board's tree")
            }
            K::PageMates(path, page, mates) => write!(
                f,
                "{path} shares the page at {page:#x} with devices that this partition does not have; add {mates}"
            ),
            K::InterruptMates(path, spi, mates) => write!(
                f,
                "{path} shares interrupt SPI {spi} with devices that this partition does not have; add {mates}"
            ),
            K::PrivateInterrupt(path, ppi) => write!(
                f,
                "{path} uses PPI {ppi}, which every core has for itself, and giving such devices is not supported \
                 yet; remove it"
            ),
            K::Dma(path) => write!(
                f,
                "{path} can do DMA (or is not known to be unable to), and no SMMU that Partita drives keeps it \
                 within the partition's memory; remove it, or add \"{path}\" to dma-trusted if this partition may \
                 read and write everybody's memory"
            ),
            K::DmaMate(path, mate) => write!(
                f,
                "{path} shares a page with the disabled {mate}, which can do DMA and would be within reach; remove it"
            ),
            K::DmaReach(path, reach) => write!(
                f,
                "{path} reaches only {reach} by DMA (dma-ranges of the buses above it), and none of this partition's \
                 memory is there; move a memory@* node there"
            ),
            K::StreamTaken(shared) => write!(
                f,
                "{} and {} (now in {}) are the same stream {:#x} to {}, which cannot tell them apart; give both to one \
                 partition",
                shared.device, shared.other, shared.owner, shared.id, shared.smmu
            ),
            K::InRam(path, span) => {
                write!(
                    f,
                    "{path} has registers at {span}, which is RAM; such devices cannot be given, remove it"
                )
            }
            K::NeedsDevice(path, property, provider) => {
                write!(
                    f,
                    "{path} needs {provider} ({property}), which has registers of its own; add \"{provider}\""
                )
            }
            K::NeedsThrough(device, path, property, provider) => write!(
                f,
                "{device} leads to {path}, which needs {provider} ({property}), and that has registers of its own; \
                 add \"{provider}\", or cut what leads there with a fragment of the overlay (disable that node, or \
                 override the property that refers)"
            ),
            K::NeedsClock(path, property, provider) => write!(
                f,
                "{path} needs the clock provider {provider} ({property}), which has registers of its own; add \
                 \"{provider}\" here, or to fixed-clocks if its rate never changes"
            ),
            K::Dangling(path, property, phandle) => write!(
                f,
                "{path} cannot be given: its {property} refers to phandle {phandle:#x}, which no node has; mend the \
                 board's tree"
            ),
            K::NoRate(path, fragment) => write!(
                f,
                "the rate of {path} is not known; state it in Hz with a fragment of the overlay: `{fragment}`"
            ),
            K::NoOutputRate(path, outputs, user, fragment) => write!(
                f,
                "the rate of {path}'s output {outputs} is not known ({user} uses it); state what it runs at after \
                 boot, in Hz, with a fragment of the overlay: `{fragment}`"
            ),
            K::ClockLists(path) => write!(
                f,
                "{path} states its rates so that they cannot be understood; give clock-indices one entry of \
                 #clock-cells cells for each rate in clock-frequency"
            ),
            K::ClockUnused(path) => write!(
                f,
                "no device of this partition has a clock from {path}; remove it, or name the provider that they \
                 have theirs from"
            ),
            K::NotClock(path) => {
                write!(f, "{path} is no clock provider (it has no #clock-cells); remove it")
            }
            K::NotGiven(path) => {
                write!(f, "{path} is not among this partition's devices; add it there or remove it")
            }
            K::PciBridge(name, path) => write!(
                f,
                "{name} is a PCI function, but {path} is no host bridge that Partita knows (pci-host-ecam-generic); \
                 remove it"
            ),
            K::PciNumbers(name) => write!(
                f,
                "{name} is no PCI function; write bus, device and function as lspci prints them, such as 00:02.0"
            ),
            K::PciDevice(name, other) => write!(
                f,
                "{name} is of one device with {other}, and nothing keeps functions of a device apart; give them to \
                 one partition"
            ),
            K::PciFirst(name, zero) => {
                write!(
                    f,
                    "{name} cannot be found by a guest without function 0 of its device; add \"{zero}\""
                )
            }
            K::PciLine(name, spi, mates) => write!(
                f,
                "{name} shares interrupt SPI {spi} with {mates}; give them to one partition, or plug one into a slot \
                 with another interrupt"
            ),
            K::PciDma(name, path) => write!(
                f,
                "{name} can do DMA, and no SMMU that Partita drives stands before it (iommu-map of {path}); remove \
                 it, or use a board that has one (QEMU: -M virt,iommu=smmuv3)"
            ),
            K::PciWindow(path, parts) => write!(
                f,
                "the windows of {path} cannot be divided among {parts} partitions; give its functions to fewer"
            ),
            K::NoUart => write!(
                f,
                "\"device\" needs a UART, and there is none in `devices`; add one, or use \"shared\" or \"none\""
            ),
            K::ConsoleClash(base, other) => write!(
                f,
                "the console's page at {base:#x} overlaps {other}; set console-base to a free address, or console to \
                 \"none\""
            ),
            K::ConsoleInterruptTaken(spi, device) => write!(
                f,
                "SPI {spi} is the interrupt of {device}; set console-interrupt to a number that no device of the \
                 partition uses"
            ),
            K::DirectInterruptTaken(spi, device) => write!(
                f,
                "SPI {spi} is the interrupt of {device}, and a direct partition's console has a physical one; set \
                 console-interrupt to a number that nothing on the board uses"
            ),
            K::OwnTree(file, fault) => write!(f, "\"{file}\": {fault}"),
            K::GuestTree(fault) => write!(f, "{fault}"),
        }
    }
}

/// `"a", "b" or "c"`.
fn list(f: &mut dyn fmt::Write, words: &[&str]) -> fmt::Result {
    for (index, word) in words.iter().enumerate() {
        match index {
            0 => {}
            _ if index + 1 == words.len() => write!(f, " or ")?,
            _ => write!(f, ", ")?,
        }
        write!(f, "\"{word}\"")?;
    }
    Ok(())
}
