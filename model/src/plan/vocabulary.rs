//! Every property and subnode that the overlay may contain. The parser takes its words from here, and so does the
//! check of the published reference and binding, so that none can drift from the others.

/// A property or subnode of the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its name; a trailing `*` stands for any ending.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub value: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// Whether its effect is there; otherwise using it is an error.
    pub supported: bool,
}

const fn word(name: &'static str, value: &'static str, default: &'static str) -> Word {
    Word { name, value, default, supported: true }
}

const fn later(name: &'static str) -> Word {
    Word { name, value: "reserved", default: "-", supported: false }
}

/// Properties of /partitions.
pub const PARTITIONS: &[Word] = &[
    word("compatible", "\"partita,partitions\"", "required"),
    word("platform", "a folder of platforms/", "the one the plan lies in"),
    word("#address-cells", "allowed, without meaning", "-"),
    word("#size-cells", "allowed, without meaning", "-"),
];

/// Properties of a partition's node.
pub const PARTITION: &[Word] = &[
    word("compatible", "\"partita,partition\"", "required"),
    word("#address-cells", "1 or 2", "required"),
    word("#size-cells", "1 or 2", "required"),
    word("cpus", "host cores by MPIDR, one cell each", "required (or cpus64)"),
    word("cpus64", "host cores by MPIDR, two cells each", "required (or cpus)"),
    word("kernel", "a bundle file", "required"),
    word("initrd", "a bundle file", "none"),
    word("load-address", "an address", "by image type"),
    word("entry", "an address", "by image type"),
    word("dtb-address", "an address", "the last 2 MiB of the first RAM entry"),
    word("bootargs", "a string", "empty"),
    word("dtb", "a bundle file or \"none\"", "generated"),
    word("devices", "paths or aliases of host nodes, and PCI functions", "none"),
    word("fixed-clocks", "paths or aliases of clock providers", "none"),
    word("dma-trusted", "paths or aliases of devices", "none"),
    word("console", "\"device\", \"shared\" or \"none\"", "\"shared\" when it owns no UART"),
    word("console-base", "an address", "0x09000000"),
    word("console-interrupt", "an SPI's number", "1"),
    word("interrupt-path", "\"mediated\" or \"direct\"", "\"mediated\""),
    word("stop", "\"guaranteed\" or \"best-effort\"", "\"guaranteed\""),
    word("start", "\"auto\" or \"manual\"", "\"auto\""),
    word("restart", "\"never\", \"on-failure\" or \"always\"", "\"never\""),
    word("restart-limit", "<COUNT SECONDS>", "<5 60>"),
    word("watchdog", "a flag", "none"),
    word("clear-memory", "\"always\" or \"on-reuse\"", "\"always\""),
    word("manages", "names of partitions", "none"),
    later("shared-memory"),
    later("doorbells"),
    later("virtio*"),
    later("colors"),
    later("bandwidth"),
];

/// Subnodes of a partition's node.
pub const SUBNODES: &[Word] = &[
    word("memory@*", "guest RAM", "required"),
    word("guest-tree", "copied into the generated tree", "none"),
    later("registers@*"),
    later("shared-memory*"),
    later("doorbell*"),
    later("virtio*"),
];

/// Properties of a `memory@*` node.
pub const MEMORY: &[Word] = &[
    word("device_type", "\"memory\"", "\"memory\""),
    word("reg", "guest-physical base and size of each entry", "required"),
    word("host-base", "host address of each entry; empty: 1:1", "placed by Partita"),
    word("numa-node-id", "a number", "none"),
];

impl Word {
    /// Whether this is the word for a name that someone wrote.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix) && (!prefix.ends_with('@') || name.len() > prefix.len()),
            None => self.name == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_ending() {
        let memory = SUBNODES[0];
        assert!(memory.matches("memory@40000000") && !memory.matches("memory@") && !memory.matches("memory"));
        assert!(later("virtio*").matches("virtio-net@1"));
        assert!(word("cpus", "", "").matches("cpus") && !word("cpus", "", "").matches("cpus64"));
    }
}
