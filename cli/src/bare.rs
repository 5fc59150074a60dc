//! The programs for the board that the tool itself needs: the hypervisor, Partita's own guests, and `partitactl`.

use std::env;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::ui::Ui;
use crate::{elf, project, toolchain};

/// The hypervisor's package.
const HYPERVISOR: &str = "partita";
/// The package for Linux, and its profile.
const PARTITACTL: &str = "partitactl";
const STATIC: &str = "static";

/// How new a program must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Built from the source as it is now.
    Fresh,
    /// As it was built last, if it was: a check has no time for a compiler.
    Any,
}

/// The ELF file of a package.
pub fn program(package: &str, age: Age, ui: Ui) -> Result<PathBuf, toolchain::BuildError> {
    fresh_or_any(package, toolchain::TARGET, "release", age, ui)
}

/// `partitactl`, as a static program for arm64 Linux.
pub fn partitactl(age: Age, ui: Ui) -> Result<PathBuf, toolchain::BuildError> {
    fresh_or_any(PARTITACTL, toolchain::LINUX, STATIC, age, ui)
}

fn fresh_or_any(
    package: &str,
    target: &str,
    profile: &str,
    age: Age,
    ui: Ui,
) -> Result<PathBuf, toolchain::BuildError> {
    let root = project::root();
    if age == Age::Any
        && let Some(built) = built(&root, package, target, profile)
    {
        return Ok(built);
    }
    let _progress = ui.progress(format!("building {package}"));
    toolchain::build(&root, package, target, profile)
}

/// The hypervisor as a flat arm64 Image, from today's source.
pub fn hypervisor(ui: Ui) -> Outcome<Vec<u8>> {
    let path = program(HYPERVISOR, Age::Fresh, ui).map_err(|error| match error {
        toolchain::BuildError::Start { .. } => Failure::Missing(error.to_string()),
        _ => Failure::input(error.to_string()),
    })?;
    let elf = std::fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
    elf::to_image(&elf).map_err(Failure::input)
}

/// The header of the hypervisor that was built last, if one was.
pub fn hypervisor_header() -> Option<elf::ImageHeader> {
    let elf = std::fs::read(built(&project::root(), HYPERVISOR, toolchain::TARGET, "release")?).ok()?;
    elf::header_of(&elf::to_image(&elf).ok()?)
}

/// Whether the project has a guest of this name.
pub fn is_guest(name: &str) -> bool {
    project::root().join("guests").join(name).join("Cargo.toml").is_file()
}

/// The newest that was built: scripts/cargo gives the distribution's compiler a target folder of its own.
fn built(root: &Path, package: &str, target: &str, profile: &str) -> Option<PathBuf> {
    let folders = [root.join("target"), root.join("target/distro")];
    let named = env::var_os("CARGO_TARGET_DIR").map(|folder| root.join(folder));
    let files = folders.into_iter().chain(named).map(|t| t.join(target).join(profile).join(package));
    files
        .filter(|file| file.is_file())
        .max_by_key(|file| file.metadata().and_then(|data| data.modified()).ok())
}
