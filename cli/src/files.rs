//! Where images come from on the host: the images folder, then Partita's own guests (built on demand), then what
//! set-up fetches. Files are read when first asked for, and once.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use elsa::FrozenMap;
use partita_model::bundle::is_plain_name;
use partita_model::plan::Files;

use crate::bare::{self, Age};
use crate::ui::Ui;
use crate::{elf, kit, project};

/// The host's files.
pub struct HostFiles {
    images: PathBuf,
    age: Age,
    ui: Ui,
    read: FrozenMap<String, Box<[u8]>>,
    absent: RefCell<Vec<String>>,
    problems: RefCell<Vec<String>>,
}

impl HostFiles {
    /// Files of an images folder, and what stands behind it. `age` tells how new own guests must be.
    pub fn new(images: &Path, age: Age, ui: Ui) -> Self {
        Self {
            images: images.to_owned(),
            age,
            ui,
            read: FrozenMap::new(),
            absent: RefCell::default(),
            problems: RefCell::default(),
        }
    }

    /// Why files that were asked for are not there, where more is known than that.
    pub fn problems(&self) -> Vec<String> {
        self.problems.borrow().clone()
    }

    fn find(&self, name: &str) -> Option<Box<[u8]>> {
        // What cannot stand in a bundle is not looked for; the plan's reader says so with the place.
        if !is_plain_name(name) {
            return None;
        }
        let path = self.images.join(name);
        if path.is_file() {
            return self.open(&path);
        }
        if bare::is_guest(name) {
            let path =
                bare::program(name, self.age, self.ui).map_err(|problem| self.problem(problem)).ok()?;
            return self.open(&path).map(|bytes| elf::strip(bytes.into_vec()).into_boxed_slice());
        }
        if kit::NAMES.contains(&name) {
            let path = self.fetch(name).map_err(|problem| self.problem(problem)).ok()?;
            return self.open(&path);
        }
        None
    }

    fn fetch(&self, name: &str) -> Result<PathBuf, kit::KitError> {
        let shown = self.ui.progress(format!("looking for {name}"));
        let (root, cache) = (project::root(), project::cache());
        let progress = |doing: &str| shown.say(doing);
        let offline = self.ui.offline();
        let partitactl = self.partitactl(name);
        let partitactl = partitactl.as_deref();
        kit::ensure(
            name,
            kit::Options { root: &root, cache: &cache, offline, partitactl, progress: &progress },
        )
    }

    /// `partitactl`, for an image that has it. One without it is good, too, where no compiler can make it.
    fn partitactl(&self, name: &str) -> Option<PathBuf> {
        if !kit::is_initramfs(name) {
            return None;
        }
        let built = bare::partitactl(self.age, self.ui);
        built.map_err(|error| self.ui.note(&format!("{name} goes without partitactl: {error}"))).ok()
    }

    fn open(&self, path: &Path) -> Option<Box<[u8]>> {
        match fs::read(path) {
            Ok(bytes) => Some(bytes.into_boxed_slice()),
            Err(error) => {
                self.problem(format!("{}: {error}", path.display()));
                None
            }
        }
    }

    fn problem(&self, problem: impl ToString) {
        self.problems.borrow_mut().push(problem.to_string());
    }
}

impl Files for HostFiles {
    fn get(&self, name: &str) -> Option<&[u8]> {
        if let Some(bytes) = self.read.get(name) {
            return Some(bytes);
        }
        if self.absent.borrow().iter().any(|absent| absent == name) {
            return None;
        }
        match self.find(name) {
            Some(bytes) => Some(self.read.insert(name.to_owned(), bytes)),
            None => {
                self.absent.borrow_mut().push(name.to_owned());
                None
            }
        }
    }
}
