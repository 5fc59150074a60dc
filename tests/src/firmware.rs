//! Boot loaders before Partita: firmware images from the distribution's packages, and FAT disks for them to load from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;

/// A boot loader that starts a machine in place of QEMU's own.
#[derive(Clone, Copy, Debug)]
pub enum Firmware {
    /// U-Boot for the virt machine.
    UBoot,
    /// U-Boot for Raspberry Pi 4.
    UBootPi,
    /// EDK2, an implementation of UEFI.
    Edk2,
}

impl Firmware {
    /// Its image, fetched where this is the first test that wants it.
    pub(crate) fn image(self) -> PathBuf {
        let name = match self {
            Firmware::UBoot => "u-boot.bin",
            Firmware::UBootPi => "u-boot-rpi:rpi_4/u-boot.bin",
            Firmware::Edk2 => "qemu-efi-aarch64:QEMU_EFI.fd",
        };
        fetched(name).unwrap_or_else(|why| panic!("{why}"))
    }
}

/// A file of the cache, fetched where this is the first one that wants it: an image of the kit, or `PACKAGE:FILE`
/// (scripts/guest-packages).
pub(crate) fn fetched(name: &str) -> Result<PathBuf, String> {
    let cache = cache();
    let path = match name.split_once(':') {
        Some((package, file)) => cache.join("firmware").join(package).join(file),
        None => cache.join("images").join(name),
    };
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    // The tool's own lock: whoever comes second finds what the first has fetched.
    let lock = File::create(cache.join("lock")).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|error| format!("{}: {error}", cache.display()))?;
    if !path.exists() {
        let output =
            Command::new(build::root().join("scripts/guest-packages")).arg(&cache).arg(name).output();
        let output = output.map_err(|error| format!("scripts/guest-packages: {error}"))?;
        if !output.status.success() {
            // What the script says itself comes last.
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(words.lines().next_back().unwrap_or(name).to_owned());
        }
    }
    Ok(path)
}

/// The tool's cache (cli/src/project.rs).
pub(crate) fn cache() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("PARTITA_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("partita")))
        .or_else(|| named("HOME").map(|home| home.join(".cache/partita")))
        .unwrap_or_else(|| std::env::temp_dir().join(".cache/partita"))
}

/// QEMU's words for a read-only disk whose FAT partition has the files of a folder.
pub(crate) fn disk(folder: &Path) -> [String; 4] {
    let drive = format!("if=none,id=disk,format=raw,readonly=on,file=fat:{}", folder.display());
    ["-drive".to_owned(), drive, "-device".to_owned(), "virtio-blk-device,drive=disk".to_owned()]
}
