//! A plan, its board and its files, brought together: what every command that takes a PLAN begins with.

use partita_model::bundle;
use partita_model::dt::Tree;
use partita_model::guest_tree;
use partita_model::plan::{Dtb, Files, Inputs, Plan, PlanError};

use crate::args::PlanArgs;
use crate::bare::{self, Age};
use crate::board::Board;
use crate::elf::{self, ImageHeader};
use crate::failure::{Failure, Outcome, Report};
use crate::files::HostFiles;
use crate::layout::{self, Sizes};
use crate::machine;
use crate::source::Source;
use crate::tree;
use crate::ui::Ui;

/// What is assumed of the hypervisor's size where none has been built yet.
const ASSUMED: ImageHeader = ImageHeader { text_offset: 0, image_size: 4 << 20 };

/// A good plan with all that belongs to it.
pub struct Session {
    /// The plan as written.
    pub source: Source,
    /// Its board.
    pub board: Board,
    /// Its files.
    pub files: HostFiles,
    /// The names of the files it uses.
    pub names: Vec<String>,
    /// The plan as decided.
    pub plan: Plan,
    /// The generated guest trees, by partition.
    pub trees: Vec<Option<Vec<u8>>>,
}

impl Session {
    /// Reads and checks a plan. With `image` it is checked for that hypervisor, else for the one built last.
    pub fn open(args: &PlanArgs, options: &machine::Options, image: Option<&[u8]>, ui: Ui) -> Outcome<Self> {
        let source = Source::read(&args.plan)?;
        let board = Board::find(&args.board, Some(&source), options, ui)?;
        let images = args.images.as_deref().unwrap_or(source.folder());
        if !images.is_dir() {
            return Err(Failure::input(format!("--images: {} is no folder", images.display())));
        }
        let age = if image.is_some() { Age::Fresh } else { Age::Any };
        let files = HostFiles::new(images, age, ui);
        let names = tree::wishes(&source.blob).files;
        let header = match image {
            Some(image) => elf::header_of(image),
            None => bare::hypervisor_header(),
        }
        .unwrap_or(ASSUMED);
        let sizes = Sizes {
            text_offset: header.text_offset,
            image: header.image_size,
            bundle: bundle_size(&source, &files, &names),
            tree: board.tree.len() as u64,
        };
        let occupied = layout::occupied(&board.ram(), sizes);
        let inputs = Inputs {
            tree: &board.tree,
            overlay: source.overlay(),
            files: &files,
            ram: &board.stated_ram,
            occupied: &occupied,
        };
        let planned = Plan::new(&inputs).map_err(|error| refused(&source, &files, &error))?;
        let trees = trees(&planned.plan, &planned.tree).map_err(|error| refused(&source, &files, &error))?;
        let plan = planned.plan;
        Ok(Self { source, board, files, names, plan, trees })
    }

    /// The bundle: the overlay, if the plan is one, and the images.
    pub fn bundle(&self) -> Outcome<Vec<u8>> {
        let overlay = self.source.overlay().map(|blob| (bundle::OVERLAY, blob));
        let images = self.names.iter().filter_map(|name| Some((name.as_str(), self.files.get(name)?)));
        let files: Vec<_> = overlay.into_iter().chain(images).collect();
        bundle::write(&files).map_err(|error| Failure::input(error.to_string()))
    }
}

fn trees(plan: &Plan, host: &Tree<'_>) -> Result<Vec<Option<Vec<u8>>>, PlanError> {
    let partitions = plan.partitions.iter().enumerate();
    let tree = |(index, partition): (usize, &partita_model::plan::Partition)| match partition.dtb {
        Dtb::Generated => guest_tree::write(plan, index, host).map(Some),
        Dtb::File(_) | Dtb::None => Ok(None),
    };
    partitions.map(tree).collect()
}

/// The bundle's size without making it: newc has 110 bytes of header, and pads the name with its NUL, and the data,
/// to 4 bytes. SHA256SUMS has 64 digits, two blanks, the name and a line feed for each file.
fn bundle_size(source: &Source, files: &HostFiles, names: &[String]) -> u64 {
    let member =
        |name: &str, size: usize| (110 + name.len() + 1).next_multiple_of(4) + size.next_multiple_of(4);
    let mut total = member("TRAILER!!!", 0);
    let mut sums = 0;
    let overlay = source.overlay().map(|blob| (bundle::OVERLAY, blob.len()));
    let images = names.iter().map(|name| (name.as_str(), files.get(name).map_or(0, <[u8]>::len)));
    for (name, size) in overlay.into_iter().chain(images) {
        total += member(name, size);
        sums += 64 + 2 + name.len() + 1;
    }
    (total + member(bundle::SUMS, sums)) as u64
}

/// A refused plan in words, with its place in the source.
fn refused(source: &Source, files: &HostFiles, error: &PlanError) -> Failure {
    let message = error.to_string();
    let words = error.kind.to_string();
    let place = source.place(&error.node, error.property.as_deref(), &words);
    Failure::Input(Box::new(Report { message, place, help: files.problems() }))
}
