//! The board a plan is for: which platform it is, its tree and its RAM as firmware will hand them over.

use std::fs;
use std::path::{Path, PathBuf};

use dtoolkit::fdt::Fdt;
use partita_model::addr::PaSpan;

use crate::args::BoardArgs;
use crate::failure::{Failure, Outcome};
use crate::machine::{self, Machine};
use crate::project;
use crate::source::{Form, Source};
use crate::tree;
use crate::ui::Ui;

/// What is assumed when nothing names a platform.
const DEFAULT: &str = "qemu-virt";

/// A board.
#[derive(Debug)]
pub struct Board {
    /// The platform's folder.
    pub platform: PathBuf,
    /// The flattened tree; with a merged plan, that plan.
    pub tree: Vec<u8>,
    /// RAM where the user stated it; empty: what the tree says.
    pub stated_ram: Vec<PaSpan>,
    /// The machine that plays the board, where QEMU can.
    pub machine: Option<Machine>,
    /// The tree when it is not the machine's own, to be given to QEMU.
    pub foreign_tree: Option<PathBuf>,
}

impl Board {
    /// Finds the board for a plan, or for none.
    pub fn find(
        args: &BoardArgs,
        plan: Option<&Source>,
        options: &machine::Options,
        ui: Ui,
    ) -> Outcome<Self> {
        let merged = plan.filter(|plan| plan.form == Form::Merged);
        if merged.is_some() && args.dtb.is_some() {
            let message =
                "--dtb: the plan is a merged tree already, so there is no second one to apply it to";
            return Err(Failure::Usage(message.to_owned()));
        }
        let name = platform(args, plan, ui);
        let folder = project::root().join("platforms").join(&name);
        if !folder.is_dir() {
            return Err(unknown(&name));
        }
        let file = machine::args_file(&folder);
        let machine = if file.is_file() { Some(Machine::read(&file, options, args.gic)?) } else { None };
        let foreign_tree = merged.map(|plan| plan.path.clone()).or_else(|| args.dtb.clone());
        let tree = match (&foreign_tree, &machine, merged) {
            (_, _, Some(plan)) => plan.blob.clone(),
            (Some(path), ..) => fs::read(path).map_err(|error| Failure::file(path, &error))?,
            (None, Some(machine), _) => machine.tree(ui)?,
            (None, None, _) => {
                return Err(Failure::input(format!(
                    "platform {name}: its tree comes with its firmware; give it with --dtb FILE and --ram BASE+SIZE"
                )));
            }
        };
        if let (Some(path), None) = (&args.dtb, merged)
            && plan.is_some()
            && Fdt::new(&tree).is_ok_and(|tree| tree.find_node("/partitions").is_some())
        {
            let path = path.display();
            return Err(Failure::input(format!(
                "--dtb {path}: that tree has /partitions already, so the hypervisor would use it and not this plan; \
                 give the tree itself as the plan, or one without /partitions"
            )));
        }
        Ok(Self { platform: folder, tree, stated_ram: args.ram.clone(), machine, foreign_tree })
    }

    /// RAM: as stated, else as the tree says.
    pub fn ram(&self) -> Vec<PaSpan> {
        match Fdt::new(&self.tree) {
            _ if !self.stated_ram.is_empty() => self.stated_ram.clone(),
            Ok(fdt) => tree::ram(&fdt),
            Err(_) => Vec::new(),
        }
    }
}

fn platform(args: &BoardArgs, plan: Option<&Source>, ui: Ui) -> String {
    let said = args.platform.clone().or_else(|| plan.and_then(|plan| tree::wishes(&plan.blob).platform));
    if let Some(name) = said.or_else(|| plan.and_then(|plan| lies_in(plan.folder()))) {
        return name;
    }
    if args.dtb.is_none() && plan.is_none_or(|plan| plan.form == Form::Overlay) {
        ui.note(&format!("no platform is named; {DEFAULT} is assumed"));
    }
    DEFAULT.to_owned()
}

/// The platform whose folder a path is in.
fn lies_in(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let platforms = project::root().join("platforms").canonicalize().ok()?;
    let inside = folder.strip_prefix(platforms).ok()?;
    Some(inside.components().next()?.as_os_str().to_str()?.to_owned())
}

fn unknown(name: &str) -> Failure {
    let folder = project::root().join("platforms");
    let mut known: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    known.sort();
    Failure::input(format!(
        "platform \"{name}\": no such folder of platforms/; there are: {}",
        known.join(", ")
    ))
}
