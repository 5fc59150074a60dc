//! From reset to a guest's first instruction: of one core, all instructions whoever executes them.

use std::ops::Range;

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectSymbol};

use super::counts::{Count, Counter};
use super::{CPU, Figures, ICOUNT, PLAN, Path};
use crate::xen::{CODE, Guest, Xen};
use crate::{Machine, On, Outcome, build_image, native_image};

/// Bytes of the guest, all of which a hypervisor has to load.
const SIZE: usize = 7 << 10;

/// A guest that marks its first instruction and powers the machine off: an arm64 Image (Linux, Documentation/arch/arm64/
/// booting.rst) whose first word is the mark. What follows is not executed, and not zero.
fn guest() -> Vec<u8> {
    const HINT_127: u32 = 0xd503_2fff;
    /// To behind the header, from its second word.
    const BRANCH: u32 = 0x1400_000f;
    /// MOV w0, #8; MOVK w0, #0x8400, LSL #16 (SYSTEM_OFF: DEN 0022, 5.1.9); HVC #0; B to itself.
    const OFF: [u32; 4] = [0x5280_0100, 0x72b0_8000, 0xd400_0002, 0x1400_0000];
    /// Little endian, pages of 4 KiB, anywhere in memory.
    const FLAGS: u64 = 0xa;
    let mut image = Vec::new();
    image.extend([HINT_127, BRANCH].map(u32::to_le_bytes).concat());
    image.extend([0, SIZE as u64, FLAGS, 0, 0, 0].map(u64::to_le_bytes).concat());
    image.extend(b"ARM\x64\0\0\0\0");
    image.extend(OFF.map(u32::to_le_bytes).concat());
    image.resize(SIZE, 0xa5);
    image
}

/// Without a hypervisor: QEMU's own first instructions.
pub fn boot_alone(on: On) -> Figures {
    let counter = Counter::new();
    let [option, plugin] = counter.args();
    let outcome =
        native_image(on, &guest(), CPU, 1, "").args(&ICOUNT).args(&[&option, &plugin]).limit(60).to_end();
    let count = first_mark(&counter).unwrap_or_else(|| outcome.fail("the guest did not start"));
    Figures::from([row("reset-to-entry", count.el2 + count.other)])
}

/// As the only partition, with 64 MiB that need not be cleared; and how much of it the digests of the bundle's files are.
pub fn boot(on: On, path: Path) -> Figures {
    let counter = Counter::new().apart(&digests());
    let [option, plugin] = counter.args();
    let changes = [
        path.change(),
        ("0x0 0x400000>", "0x0 0x4000000>"),
        ("kernel = \"bench\"", "kernel = \"first\"; clear-memory = \"on-reuse\""),
    ];
    let outcome = Machine::run_changed(on, PLAN, &changes)
        .image("first", &guest())
        .args(&["--cpu", CPU, "--icount", "--", "-smp", "1", &option, &plugin])
        .limit(60)
        .to_end();
    let count = first_mark(&counter).unwrap_or_else(|| outcome.fail("the guest did not start"));
    outcome.check(count.apart > 0, "the digests have instructions");
    Figures::from([
        row("reset-to-entry", count.el2 + count.other - count.apart),
        row("reset-to-entry-digests", count.apart),
    ])
}

/// The same boot, with these words in the firmware's bootargs.
pub fn boot_told(on: On, bootargs: &str) -> Outcome {
    Machine::run_changed(on, PLAN, &[("kernel = \"bench\"", "kernel = \"first\"")])
        .image("first", &guest())
        .args(&["--cpu", CPU, "--icount", "--", "-append", bootargs])
        .to_end()
}

/// As the only guest of Xen.
///
/// # Errors
/// Why there are no figures.
pub fn boot_xen(on: On, xen: &Xen) -> Result<Figures, String> {
    let folder = tempfile::TempDir::new().map_err(|error| error.to_string())?;
    let kernel = folder.path().join("first");
    std::fs::write(&kernel, guest()).map_err(|error| error.to_string())?;
    let counter = Counter::of(CODE);
    let [option, plugin] = counter.args();
    let first = Guest { kernel: &kernel, initrd: None, bootargs: "", cores: 1, mib: 64 };
    let args = [&ICOUNT[..], &[&option, &plugin]].concat();
    xen.run(on, first, &args, 60, |_| first_mark(&counter).is_some())?;
    let count = first_mark(&counter).ok_or("the guest did not start")?;
    Ok(Figures::from([row("reset-to-entry", count.el2 + count.other)]))
}

fn row(name: &str, value: u64) -> (String, u64) {
    (name.to_owned(), value)
}

fn first_mark(counter: &Counter) -> Option<Count> {
    counter.marks().first()?.counts.first().copied()
}

/// Where the hypervisor's code of SHA-256 is.
fn digests() -> Vec<Range<u64>> {
    let bytes = build_image();
    let elf = ElfFile::<FileHeader64<Endianness>>::parse(&*bytes).expect("the hypervisor is an ELF file");
    let symbols = elf.symbols().filter(|symbol| symbol.name().is_ok_and(|name| name.contains("sha2")));
    symbols.map(|symbol| symbol.address()..symbol.address() + symbol.size()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_is_an_image() {
        let image = guest();
        assert_eq!(image.len(), SIZE);
        assert_eq!(image[0x38..0x3c], *b"ARM\x64");
        // The branch goes to the first instruction behind the header.
        assert_eq!(4 + 4 * (image[4] as usize), 0x40);
        assert_eq!(image[0x40..0x44], 0x5280_0100_u32.to_le_bytes());
    }
}
