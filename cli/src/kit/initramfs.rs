//! The kit's initramfs: busybox, partitactl, /init, and the few nodes that must exist before /init mounts anything. A newc cpio
//! (Documentation/driver-api/early-userspace/buffer-format.rst in Linux), compressed; the same inputs give the same bytes.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const PLAIN: u32 = 0o100_644;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

/// A file's name and what is in it.
type File<Name> = (Name, Vec<u8>);

/// The archive, compressed with gzip without time stamp. `programs` lie in `bin`, where one is busybox; `modules` are the files of
/// its folder of that name.
pub fn compressed(programs: &[File<&str>], init: &[u8], modules: &[File<String>]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    gzip.write_all(&archive(programs, init, modules))?;
    gzip.finish()
}

fn archive(programs: &[File<&str>], init: &[u8], modules: &[File<String>]) -> Vec<u8> {
    let mut cpio = Cpio::default();
    for directory in ["bin", "dev", "etc", "mnt", "proc", "root", "sys", "tmp"] {
        cpio.entry(directory, DIRECTORY, (0, 0), &[]);
    }
    // The kernel opens the console before /init runs (init/main.c: console_on_rootfs).
    cpio.entry("dev/console", DEVICE, (5, 1), &[]);
    cpio.entry("dev/null", DEVICE, (1, 3), &[]);
    for (name, program) in programs {
        cpio.entry(&format!("bin/{name}"), PROGRAM, (0, 0), program);
    }
    cpio.entry("bin/sh", LINK, (0, 0), b"busybox");
    cpio.entry("init", PROGRAM, (0, 0), init);
    if !modules.is_empty() {
        cpio.entry("modules", DIRECTORY, (0, 0), &[]);
    }
    for (name, data) in modules {
        cpio.entry(&format!("modules/{name}"), PLAIN, (0, 0), data);
    }
    cpio.entry("TRAILER!!!", 0, (0, 0), &[]);
    cpio.bytes
}

#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    entries: usize,
}

impl Cpio {
    fn entry(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), data: &[u8]) {
        let directory = mode == DIRECTORY;
        self.entries += 1;
        let header = format!(
            "070701{ino:08x}{mode:08x}{owner:08x}{owner:08x}{links:08x}{time:08x}{size:08x}{dev:08x}{dev:08x}\
             {major:08x}{minor:08x}{name_size:08x}{check:08x}",
            ino = self.entries,
            owner = 0,
            links = if directory { 2 } else { 1 },
            time = 0,
            size = data.len(),
            dev = 0,
            name_size = name.len() + 1,
            check = 0,
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_reader_finds_every_entry() {
        let modules = [("10-first.ko".to_owned(), b"ELF".to_vec())];
        let programs = [("busybox", b"not really busybox".to_vec()), ("partitactl", b"static".to_vec())];
        let archive = archive(&programs, b"#!/bin/sh\n", &modules);
        let entries: Vec<_> = cpio_reader::iter_files(&archive).collect();
        let names: Vec<_> = entries.iter().map(|entry| entry.name()).collect();
        let directories = ["bin", "dev", "etc", "mnt", "proc", "root", "sys", "tmp"];
        assert_eq!(names[..8], directories);
        let files = [
            "dev/console",
            "dev/null",
            "bin/busybox",
            "bin/partitactl",
            "bin/sh",
            "init",
            "modules",
            "modules/10-first.ko",
        ];
        assert_eq!(names[8..], files);
        assert_eq!(entries[8].mode().bits(), DEVICE);
        assert_eq!(entries[10].file(), b"not really busybox");
        assert_eq!((entries[11].file(), entries[11].mode().bits()), (&b"static"[..], PROGRAM));
        assert_eq!(entries[12].file(), b"busybox");
        assert_eq!(entries[13].file(), b"#!/bin/sh\n");
        assert_eq!(entries[13].mode().bits(), PROGRAM);
        assert_eq!(entries[15].file(), b"ELF");
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        let programs = [("busybox", b"busybox".to_vec())];
        let first = compressed(&programs, b"init", &[]).unwrap();
        assert_eq!(first, compressed(&programs, b"init", &[]).unwrap());
        // No flags and no time: Linux skips a file name in the header but nothing else (lib/decompress_inflate.c).
        assert_eq!(first[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }
}
