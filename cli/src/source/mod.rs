//! The plan as the user wrote it: an overlay in source or compiled, or a merged tree, and the way back from a node
//! of the merged tree to the line that said it.

mod dtc;
mod map;
mod preprocess;
mod scan;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use dtoolkit::fdt::Fdt;

use crate::failure::{Failure, Outcome, Report};
pub use dtc::decompile;
use map::SourceMap;

/// A place in a text, ready to be shown.
#[derive(Debug)]
pub struct Place {
    /// The file's name as the user may type it.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The bytes that are meant.
    pub span: Range<usize>,
}

/// What a plan's blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An overlay, to be applied to the board's tree.
    Overlay,
    /// The board's tree with /partitions in it already.
    Merged,
}

/// A plan, read and compiled.
#[derive(Debug)]
pub struct Source {
    /// The file the user named.
    pub path: PathBuf,
    /// The flattened tree.
    pub blob: Vec<u8>,
    /// What it is.
    pub form: Form,
    map: Option<SourceMap>,
}

impl Source {
    /// Reads a plan, compiling it when it is in source.
    pub fn read(path: &Path) -> Outcome<Self> {
        let bytes = fs::read(path).map_err(|error| Failure::file(path, &error))?;
        let (blob, map) =
            if bytes.starts_with(&[0xd0, 0x0d, 0xfe, 0xed]) { (bytes, None) } else { compile(path, bytes)? };
        let tree = Fdt::new(&blob).map_err(|error| {
            Failure::input(format!("{}: not a whole flattened device tree: {error}", path.display()))
        })?;
        // A board's tree has cores; an overlay has fragments, and the common slip `/ { partitions` has neither.
        let merged = tree.find_node("/partitions").is_some() && tree.find_node("/cpus").is_some();
        let form = if merged { Form::Merged } else { Form::Overlay };
        Ok(Self { path: path.to_owned(), form, map, blob })
    }

    /// The folder that the plan lies in.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The overlay's blob, if it is one.
    pub fn overlay(&self) -> Option<&[u8]> {
        (self.form == Form::Overlay).then_some(self.blob.as_slice())
    }

    /// Where the source says this of a node (its path in the merged tree), best the word that `message` quotes.
    pub fn place(&self, node: &str, property: Option<&str>, message: &str) -> Option<Place> {
        self.map.as_ref()?.find(node, property, message)?.place()
    }
}

fn compile(path: &Path, bytes: Vec<u8>) -> Outcome<(Vec<u8>, Option<SourceMap>)> {
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::input(format!("{}: neither a device tree blob nor UTF-8 source", path.display()))
    })?;
    let expanded = if preprocess::is_needed(&text) { Some(preprocess::run(path)?) } else { None };
    let blob = dtc::compile(path, expanded.as_deref()).map_err(|error| match error {
        dtc::Error::Source { message, spot } => Failure::Input(Box::new(Report {
            message,
            place: spot.and_then(|s| s.place()),
            help: Vec::new(),
        })),
        dtc::Error::Other(failure) => failure,
    })?;
    let name = path.display().to_string();
    Ok((blob, Some(scan::scan(&name, expanded.as_deref().unwrap_or(&text)))))
}
