//! What a plan or a platform may name although the project does not build it: Linux kernels, an initramfs for them,
//! U-Boot, a board's tree. They live in the cache's `images` folder. What is missing is fetched (`fetch`) or made
//! (`initramfs`); nothing here prints, and nothing outside the cache is changed.

mod error;
mod fetch;
mod firmware;
mod initramfs;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::KitError;
pub use firmware::firmware;

/// The names that [`ensure`] knows, as a plan's `kernel` and `initrd` give them.
pub const NAMES: [&str; 8] = [
    "vmlinuz",
    INITRAMFS,
    WITH_MODULES[0].0,
    WITH_MODULES[1].0,
    WITH_MODULES[2].0,
    "u-boot.bin",
    GENERAL[0],
    GENERAL[1],
];

const INITRAMFS: &str = "initramfs.cpio.gz";
/// The same with some of the general kernel's modules, each from a folder, whose files are in the order in which they can
/// be loaded: those for cards that it may have to mount, those for virtio functions, and a watchdog's.
const WITH_MODULES: [(&str, &str); 3] = [
    ("initramfs-arm64.cpio.gz", "modules-arm64"),
    ("initramfs-virtio.cpio.gz", "modules-virtio"),
    ("initramfs-watchdog.cpio.gz", "modules-watchdog"),
];
const BUSYBOX: &str = "busybox";
/// What comes from the general kernel's package, which is large: all of it is fetched when one is missing.
const GENERAL: [&str; 5] =
    ["vmlinuz-arm64", "bcm2711-rpi-4-b.dtb", WITH_MODULES[0].1, WITH_MODULES[1].1, WITH_MODULES[2].1];

/// The folder of modules that an initramfs has.
fn modules_of(name: &str) -> Option<&'static str> {
    WITH_MODULES.iter().find(|(initramfs, _)| *initramfs == name).map(|(_, folder)| *folder)
}

/// Whether an image is made here, for Linux to begin with.
#[must_use]
pub fn is_initramfs(name: &str) -> bool {
    name == INITRAMFS || modules_of(name).is_some()
}

/// Whether a name is that of such a folder.
fn is_modules(name: &str) -> bool {
    WITH_MODULES.iter().any(|(_, folder)| *folder == name)
}

/// Where things are, and what is allowed.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The project's root.
    pub root: &'a Path,
    /// The cache folder.
    pub cache: &'a Path,
    /// Whether the network must not be asked.
    pub offline: bool,
    /// The program of this name, for an initramfs; none where it could not be built.
    pub partitactl: Option<&'a Path>,
    /// Is told, in a few words, what is being done when that takes a while.
    pub progress: &'a dyn Fn(&str),
}

/// The path of an image of the kit, after fetching or making it where it is missing.
///
/// Several tools may run at once: all but one wait until the image is there.
///
/// # Errors
/// When the name is none of [`NAMES`], when the image cannot be fetched, or when the cache cannot be written.
pub fn ensure(name: &str, options: Options<'_>) -> Result<PathBuf, KitError> {
    if !NAMES.contains(&name) {
        return Err(KitError::Unknown(name.to_owned()));
    }
    let images = options.cache.join("images");
    let path = images.join(name);
    if is_current(&path, &inputs(name, &images, options)) {
        return Ok(path);
    }
    fs::create_dir_all(&images).map_err(KitError::at(&images))?;
    let lock_path = options.cache.join("lock");
    let lock = File::create(&lock_path).map_err(KitError::at(&lock_path))?;
    // Released when the file is closed, also by a crash.
    lock.lock().map_err(KitError::at(&lock_path))?;
    if is_current(&path, &inputs(name, &images, options)) {
        return Ok(path);
    }
    match modules_of(name) {
        Some(folder) => {
            let modules = images.join(folder);
            if !modules.exists() {
                fetch_with_mates(folder, options)?;
            }
            make_initramfs(&path, Some(&modules), options)?;
        }
        None if name == INITRAMFS => make_initramfs(&path, None, options)?,
        None => fetch_with_mates(name, options)?,
    }
    Ok(path)
}

/// Fetches an image and what comes from the same package. Modules fit one kernel, so they never come without it.
fn fetch_with_mates(name: &str, options: Options<'_>) -> Result<(), KitError> {
    let wanted = |other: &&str| {
        *other != name
            && (is_modules(name) || is_modules(other) || !options.cache.join("images").join(other).exists())
    };
    let mates = GENERAL.iter().copied().filter(|_| GENERAL.contains(&name)).filter(wanted);
    let names: Vec<&str> = [name].into_iter().chain(mates).collect();
    match fetch::fetch(&names, options) {
        // The script brings one after the other, the one that was asked for first: a mate that is missing is missed later.
        Err(_) if options.cache.join("images").join(name).exists() => Ok(()),
        result => result,
    }
}

/// What an image is made from; empty for those that are fetched and then stay.
fn inputs(name: &str, images: &Path, options: Options<'_>) -> Vec<PathBuf> {
    let folder = modules_of(name);
    if !is_initramfs(name) {
        return Vec::new();
    }
    // The tool itself is one: it decides what the archive looks like.
    let common = [images.join(BUSYBOX), init_path(options)];
    let modules = folder.map(|folder| images.join(folder));
    let programs = std::env::current_exe().ok().into_iter().chain(options.partitactl.map(Path::to_owned));
    common.into_iter().chain(modules).chain(programs).collect()
}

/// Whether the file exists and none of its inputs is missing or newer.
fn is_current(path: &Path, inputs: &[PathBuf]) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let Some(made) = changed(path) else { return false };
    inputs.iter().all(|input| changed(input).is_some_and(|input: SystemTime| input <= made))
}

fn init_path(options: Options<'_>) -> PathBuf {
    options.root.join("guests/linux/init")
}

fn make_initramfs(path: &Path, modules: Option<&Path>, options: Options<'_>) -> Result<(), KitError> {
    let busybox_path = options.cache.join("images").join(BUSYBOX);
    if !busybox_path.exists() {
        fetch::fetch(&[BUSYBOX], options)?;
    }
    (options.progress)("making the initramfs");
    let read = |path: &Path| fs::read(path).map_err(KitError::at(path));
    let (busybox, init) = (read(&busybox_path)?, read(&init_path(options))?);
    // Renamed into place, so that nobody finds half of it.
    let new = path.with_extension("new");
    let mut files = Vec::new();
    if let Some(folder) = modules {
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for entry in entries.map_err(KitError::at(folder))? {
            files.push((entry.file_name().to_string_lossy().into_owned(), read(&entry.path())?));
        }
        files.sort();
    }
    let partitactl = options.partitactl.map(read).transpose()?;
    let programs = [Some(("busybox", busybox)), partitactl.map(|bytes| ("partitactl", bytes))];
    let programs: Vec<(&str, Vec<u8>)> = programs.into_iter().flatten().collect();
    let archive = initramfs::compressed(&programs, &init, &files).map_err(KitError::at(&new))?;
    fs::write(&new, archive).map_err(KitError::at(&new))?;
    fs::rename(&new, path).map_err(KitError::at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options<'a>(cache: &'a Path, progress: &'a dyn Fn(&str)) -> Options<'a> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Options { root, cache, offline: true, partitactl: None, progress }
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = ensure("../vmlinuz", options(Path::new("/nowhere"), &|_| ())).unwrap_err();
        assert!(matches!(error, KitError::Unknown(_)), "{error}");
    }

    #[test]
    fn offline_does_not_fetch() {
        let cache = tempfile::tempdir().unwrap();
        let error = ensure("vmlinuz", options(cache.path(), &|_| ())).unwrap_err();
        assert!(matches!(error, KitError::Offline { .. }), "{error}");
        assert!(error.to_string().contains("--offline"), "{error}");
    }

    #[test]
    fn the_initramfs_is_made_once_and_again_when_busybox_changes() {
        let cache = tempfile::tempdir().unwrap();
        let images = cache.path().join("images");
        fs::create_dir_all(&images).unwrap();
        fs::write(images.join(BUSYBOX), b"first").unwrap();
        let told = std::cell::Cell::new(0);
        let count = |_: &str| told.set(told.get() + 1);
        let path = ensure(INITRAMFS, options(cache.path(), &count)).unwrap();
        let first = fs::read(&path).unwrap();
        ensure(INITRAMFS, options(cache.path(), &count)).unwrap();
        assert_eq!(told.get(), 1);

        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::write(images.join(BUSYBOX), b"second").unwrap();
        File::options().append(true).open(images.join(BUSYBOX)).unwrap().set_modified(later).unwrap();
        ensure(INITRAMFS, options(cache.path(), &count)).unwrap();
        assert_eq!(told.get(), 2);
        let second = fs::read(&path).unwrap();
        assert_ne!(second, first);

        let partitactl = cache.path().join("partitactl");
        fs::write(&partitactl, b"program").unwrap();
        File::options().append(true).open(&partitactl).unwrap().set_modified(later).unwrap();
        let with = Options { partitactl: Some(&partitactl), ..options(cache.path(), &count) };
        ensure(INITRAMFS, with).unwrap();
        assert_ne!(fs::read(&path).unwrap(), second);
    }
}
