//! Which line of the source said what of which node.

use std::fs;
use std::rc::Rc;

use super::Place;

/// A run of bytes on one line of one file. Lines and columns count from 1, columns in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file's name.
    pub file: Rc<str>,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// Bytes.
    pub length: u32,
}

impl Spot {
    /// Reads dtc's `FILE:LINE.COLUMN[-[LINE.]COLUMN]`.
    pub fn parse(text: &str) -> Option<Self> {
        let (file, numbers) = text.rsplit_once(':')?;
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, ""));
        let (line, column) = first.split_once('.')?;
        let (line, column) = (line.parse().ok()?, column.parse().ok()?);
        let length = match last.parse::<u32>() {
            Ok(end) if end > column => end - column,
            _ => 1,
        };
        Some(Self { file: file.into(), line, column, length })
    }

    /// The place in the file as it is on disk, if it can still be read.
    pub fn place(&self) -> Option<Place> {
        let text = fs::read_to_string(&*self.file).ok()?;
        let start_of_line: usize =
            text.split_inclusive('\n').take(self.line.checked_sub(1)? as usize).map(str::len).sum();
        let line = text.get(start_of_line..)?.lines().next().unwrap_or("");
        let column = (self.column.saturating_sub(1) as usize).min(line.len());
        let end = (column + self.length as usize).min(line.len());
        let span = start_of_line + column..start_of_line + end.max(column);
        text.get(span.clone())?;
        Some(Place { path: self.file.to_string(), text, span })
    }
}

/// One node or property in the source.
#[derive(Debug)]
pub struct Entry {
    /// The node's path in the merged tree.
    pub node: String,
    /// The property; none for the node itself.
    pub property: Option<String>,
    /// Its name in the source.
    pub at: Spot,
    /// The strings of the property's value, without quotes.
    pub strings: Vec<(String, Spot)>,
}

/// All nodes and properties of a source, in its order.
#[derive(Debug, Default)]
pub struct SourceMap {
    /// The entries.
    pub entries: Vec<Entry>,
}

impl SourceMap {
    /// The best spot for a message about a property of a node: the word it names within the property's value, the
    /// property, the node, or the nearest node above it.
    pub fn find(&self, node: &str, property: Option<&str>, message: &str) -> Option<&Spot> {
        let mut path = node;
        loop {
            let here = || self.entries.iter().rev().filter(|entry| entry.node == path);
            if path == node
                && let Some(entry) = property.and_then(|p| here().find(|e| e.property.as_deref() == Some(p)))
            {
                let named = entry.strings.iter().find(|(text, _)| names(message, text));
                return Some(named.map_or(&entry.at, |(_, spot)| spot));
            }
            if let Some(entry) = here().find(|entry| entry.property.is_none()) {
                return Some(&entry.at);
            }
            path = &path[..path.rfind('/')?];
        }
    }
}

/// Whether a message has this text as a word of its own.
fn names(message: &str, text: &str) -> bool {
    let outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"-_@/".contains(c));
    !text.is_empty()
        && message.match_indices(text).any(|(at, _)| {
            let (before, after) =
                (message[..at].chars().next_back(), message[at + text.len()..].chars().next());
            outside(before) && outside(after)
        })
}
