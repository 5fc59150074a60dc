//! A board's own firmware, which is not Partita's to give: from a folder of the user's, or from the distribution's package.

use std::fs;
use std::path::Path;

use super::contents::Packaged;
use crate::failure::{Failure, Outcome, Report};
use crate::ui::Ui;
use crate::{kit, project};

/// Where firmware is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A folder that has the files by their names on the card.
    Folder(&'a Path),
    /// The distribution's packages, through the cache.
    Packages,
}

/// A file that is wanted.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Its name on the card.
    pub name: &'a str,
    /// Where a package has it.
    pub packaged: &'a Packaged,
    /// Whether the card does without.
    pub optional: bool,
}

/// A file that was found: content, and where it came from in words.
pub type Found = (Vec<u8>, String);

/// Finds the files, in order; none for what is optional and not there. `hint` is the platform's word on where people
/// find them.
pub fn find(
    wanted: &[Wanted<'_>],
    source: Source<'_>,
    hint: Option<&str>,
    ui: Ui,
) -> Outcome<Vec<Option<Found>>> {
    let found = match source {
        Source::Folder(folder) => from_folder(wanted, folder)?,
        Source::Packages => from_packages(wanted, ui).map_err(|reason| missing(wanted, &reason, hint))?,
    };
    let lacking = |(wanted, found): &(&Wanted<'_>, &Option<Found>)| !wanted.optional && found.is_none();
    let names: Vec<_> = wanted.iter().zip(&found).filter(lacking).map(|(wanted, _)| wanted.name).collect();
    match source {
        _ if names.is_empty() => Ok(found),
        Source::Folder(folder) => {
            let reason = format!("{} lacks {}", folder.display(), names.join(", "));
            Err(missing(wanted, &reason, hint))
        }
        Source::Packages => Err(missing(wanted, &format!("the packages lack {}", names.join(", ")), hint)),
    }
}

fn from_folder(wanted: &[Wanted<'_>], folder: &Path) -> Outcome<Vec<Option<Found>>> {
    if !folder.is_dir() {
        return Err(Failure::Usage(format!("--firmware: {} is no folder", folder.display())));
    }
    let read = |wanted: &Wanted<'_>| {
        let path = folder.join(wanted.name);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
        Ok(Some((bytes, path.display().to_string())))
    };
    wanted.iter().map(read).collect()
}

fn from_packages(wanted: &[Wanted<'_>], ui: Ui) -> Result<Vec<Option<Found>>, String> {
    let shown = ui.progress("looking for the board's firmware");
    let (root, cache) = (project::root(), project::cache());
    let progress = |doing: &str| shown.say(doing);
    let options = kit::Options {
        root: &root,
        cache: &cache,
        offline: ui.offline(),
        partitactl: None,
        progress: &progress,
    };
    let files: Vec<_> =
        wanted.iter().map(|wanted| (&*wanted.packaged.package, &*wanted.packaged.file)).collect();
    let paths = kit::firmware(&files, options).map_err(|error| match error {
        kit::KitError::Fetch { reason, .. } => reason,
        kit::KitError::Offline { .. } => {
            "it is not in the cache, and --offline forbids fetching it".to_owned()
        }
        other => other.to_string(),
    })?;
    let read = |(wanted, path): (&Wanted<'_>, &std::path::PathBuf)| match fs::read(path) {
        Ok(bytes) => Ok(Some((bytes, format!("package {}", wanted.packaged.package)))),
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    wanted.iter().zip(&paths).map(read).collect()
}

fn missing(wanted: &[Wanted<'_>], reason: &str, hint: Option<&str>) -> Failure {
    let names: Vec<_> = wanted.iter().filter(|wanted| !wanted.optional).map(|wanted| wanted.name).collect();
    let mut help = vec!["--firmware DIR takes them from a folder that has them by these names".to_owned()];
    help.extend(hint.map(str::to_owned));
    help.push(
        "--no-firmware makes the card without them: QEMU needs none, and they can be copied onto it later"
            .to_owned(),
    );
    let message = format!("the board needs its own firmware on the card ({}): {reason}", names.join(", "));
    Failure::Input(Box::new(Report { message, place: None, help }))
}
