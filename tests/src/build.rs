//! The programs under test, built once per test process (and by cargo's own doing, once at all).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// cargo of the toolchain that set-up chose.
fn cargo(args: &[&str]) {
    let mut command = Command::new(root().join("scripts/cargo"));
    let output = command.args(args).current_dir(root()).output().expect("scripts/cargo can be run");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {}: {}\n{words}", args.join(" "), output.status);
}

/// The folder `target/` that scripts/cargo uses: a test lies in its debug/deps, a program in its debug.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let debug = test.ancestors().find(|folder| folder.ends_with("debug")).expect("target/debug/deps/TEST");
    debug.parent().expect("debug lies in target/").to_owned()
}

/// The host tool. Building it here too, and the programs for bare metal that it would build at its first run, keeps the
/// compiler's time out of the machines' time limits.
pub fn partita() -> &'static Path {
    static TOOL: OnceLock<PathBuf> = OnceLock::new();
    TOOL.get_or_init(|| {
        cargo(&["build", "-q", "--locked", "-p", "partita-cli"]);
        // One at a time, as the tool builds them: together they would share features, and be other programs.
        for package in [
            "partita",
            "metronome",
            "probe",
            "flat",
            "bench",
            "attacker",
            "victim",
            "pci",
            "fuzzer",
            "soak",
            "crasher",
            "warden",
        ] {
            cargo(&["build", "-q", "--locked", "--release", "--target", TARGET, "-p", package]);
        }
        if has_partitactl() {
            let what = ["--profile", "static", "--target", "aarch64-unknown-linux-musl", "-p", "partitactl"];
            cargo(&[&["build", "-q", "--locked"], &what[..]].concat());
        }
        target().join("debug/partita")
    })
}

/// Whether the toolchain that set-up chose can build `partitactl` for Linux: then the kit's initramfs has it.
pub fn has_partitactl() -> bool {
    let choice = std::fs::read_to_string(root().join("target/partita/toolchain")).unwrap_or_default();
    choice.lines().any(|line| line == "linux_std=yes")
}

/// The hypervisor as it was linked, with its symbols.
pub fn image() -> Vec<u8> {
    partita();
    let path = target().join(TARGET).join("release/partita");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The plugin that counts instructions.
pub fn counter() -> PathBuf {
    cargo(&["build", "-q", "--locked", "-p", "partita-counter"]);
    target().join("debug/libpartita_counter.so")
}

/// The hypervisor from which a guard can be taken away, as an Image: in a folder of its own, so that it is never taken
/// for the other one.
pub fn weakened() -> PathBuf {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = root().join("target/weaken");
        let place = folder.to_str().expect("the project's path is text");
        let what = ["-p", "partita", "--features", "weaken", "--target-dir", place];
        cargo(&[&["build", "-q", "--locked", "--release", "--target", TARGET], &what[..]].concat());
        let image = folder.join("partita-image");
        // Several processes may write the same: whole, or not at all.
        let new = tempfile::NamedTempFile::new_in(&folder).expect("target/ takes files");
        std::fs::write(new.path(), flat(&folder.join(TARGET).join("release/partita")))
            .expect("target/ takes files");
        new.persist(&image).expect("target/ takes files");
        image
    };
    IMAGE.get_or_init(make).clone()
}

/// Bytes of the hypervisor's image, from its start, that nothing writes to once it runs.
pub fn constant_part() -> u64 {
    let (text, constants) = (section(".text"), section(".rodata"));
    (constants.end - text.start) & !0xfff
}

/// The addresses of a section of the hypervisor's.
pub fn section(name: &str) -> Range<u64> {
    let bytes = image();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).expect("the hypervisor is an ELF file");
    let section = elf.section_by_name(name).unwrap_or_else(|| panic!("the image has no {name}"));
    section.address()..section.address() + section.size()
}

/// The addresses of the hypervisor's one symbol that has this in its mangled name.
pub fn symbol(part: &str) -> Range<u64> {
    let bytes = image();
    let elf = ElfFile64::<Endianness>::parse(&*bytes).expect("the hypervisor is an ELF file");
    let found = elf.symbols().find(|symbol| symbol.name().is_ok_and(|name| name.contains(part)));
    let symbol = found.unwrap_or_else(|| panic!("the image has no {part}"));
    symbol.address()..symbol.address() + symbol.size()
}

/// Bytes of the hypervisor's Image, as a boot loader loads it.
pub fn image_file() -> u64 {
    partita();
    flat(&target().join(TARGET).join("release/partita")).len() as u64
}

/// A guest's ELF file, with its symbols.
pub fn guest_elf(program: &str) -> PathBuf {
    partita();
    target().join(TARGET).join("release").join(program)
}

/// A guest as a flat binary.
pub fn guest(program: &str) -> Vec<u8> {
    partita();
    flat(&target().join(TARGET).join("release").join(program))
}

/// An ELF file's segments in the order of their addresses, without the zeros at the end.
fn flat(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let elf = ElfFile64::<Endianness>::parse(&*bytes).expect("a guest is an ELF file");
    let endian = elf.endian();
    let loads = || elf.elf_program_headers().iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    let base = loads().map(|segment| segment.p_paddr(endian)).min().expect("a guest has a segment");
    let mut flat = Vec::new();
    for segment in loads() {
        let at = (segment.p_paddr(endian) - base) as usize;
        let data = segment.data(endian, &*bytes).expect("the segment lies in the file");
        flat.resize(flat.len().max(at + data.len()), 0);
        flat[at..at + data.len()].copy_from_slice(data);
    }
    assert!(elf.is_64(), "a guest is for AArch64");
    flat
}
