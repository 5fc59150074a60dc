//! Reading one node of the overlay: each property as the type that it must have, or an error that says so.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::dt::Node;

use crate::bundle::{OVERLAY, SUMS, is_plain_name};
use crate::dt::{self, cells, nearest, number, properties, value};
use crate::plan::vocabulary::Word;
use crate::plan::{ErrorKind, PlanError};

/// What dtc adds by itself.
const ADDED: &[&str] = &["phandle", "linux,phandle", "name"];

/// A node of the overlay.
pub(super) struct Reader<'a> {
    /// Its path in the merged tree.
    pub(super) path: String,
    /// The node.
    pub(super) node: &'a Node<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn below(&self, child: &'a Node<'a>) -> Self {
        Self { path: format!("{}/{}", self.path.trim_end_matches('/'), child.name()), node: child }
    }

    pub(super) fn error(&self, property: &str, kind: ErrorKind) -> PlanError {
        PlanError::property(&self.path, property, kind)
    }

    pub(super) fn has(&self, property: &str) -> bool {
        value(self.node, property).is_some()
    }

    /// Refuses properties that are not in the vocabulary, or not yet.
    pub(super) fn known_properties(&self, words: &'static [Word]) -> Result<(), PlanError> {
        for (name, _) in properties(self.node) {
            match words.iter().find(|word| word.matches(name)) {
                Some(word) if word.supported => {}
                Some(_) => return Err(self.error(name, ErrorKind::NotSupported(None))),
                None if ADDED.contains(&name) => {}
                None => return Err(self.error(name, ErrorKind::UnknownProperty(near(name, words)))),
            }
        }
        Ok(())
    }

    /// Refuses subnodes that are not in the vocabulary, or not yet.
    pub(super) fn known_nodes(&self, words: &'static [Word]) -> Result<(), PlanError> {
        for child in self.node.children() {
            let name = child.name();
            let error = |kind| Err(PlanError::node(self.below(child).path, kind));
            match words.iter().find(|word| word.matches(name)) {
                Some(word) if word.supported => {}
                Some(_) => return error(ErrorKind::NotSupported(None)),
                None => return error(ErrorKind::UnknownNode(near(name, words))),
            }
        }
        Ok(())
    }

    pub(super) fn compatible(&self, with: &'static str) -> Result<(), PlanError> {
        match dt::compatible(self.node, &[with]) {
            true => Ok(()),
            false => Err(self.error("compatible", ErrorKind::Compatible(with))),
        }
    }

    /// One string.
    pub(super) fn string(&self, property: &str) -> Result<Option<&'a str>, PlanError> {
        let Some(bytes) = value(self.node, property) else { return Ok(None) };
        dt::string(bytes).map(Some).ok_or_else(|| self.error(property, ErrorKind::NotString))
    }

    /// A bundle file.
    pub(super) fn file(&self, property: &str) -> Result<Option<String>, PlanError> {
        let Some(name) = self.string(property)? else { return Ok(None) };
        // What a bundle can hold, but not what Partita itself puts there.
        let wrong = !is_plain_name(name) || matches!(name, OVERLAY | SUMS);
        match wrong {
            true => Err(self.error(property, ErrorKind::BadFileName(name.to_owned()))),
            false => Ok(Some(name.to_owned())),
        }
    }

    /// A list of strings, each named once.
    pub(super) fn strings(&self, property: &str) -> Result<Vec<String>, PlanError> {
        let Some(bytes) = value(self.node, property) else { return Ok(Vec::new()) };
        let list = dt::strings(bytes).ok_or_else(|| self.error(property, ErrorKind::NotStrings))?;
        self.listed(property, &list)
    }

    /// A list of node names, as strings.
    pub(super) fn nodes(&self, property: &str) -> Result<Vec<String>, PlanError> {
        let Some(bytes) = value(self.node, property) else { return Ok(Vec::new()) };
        let Some(list) = dt::strings(bytes) else {
            let textual = |byte: &u8| matches!(*byte, 0 | b' '..=b'~');
            let kind = match cells(bytes) {
                _ if bytes.starts_with(b"/") && bytes.iter().all(textual) => ErrorKind::Empty,
                Some(numbers) if !numbers.is_empty() => ErrorKind::ByLabel(None),
                Some(_) => ErrorKind::Empty,
                None => ErrorKind::NotStrings,
            };
            return Err(self.error(property, kind));
        };
        if let Some(label) = list.iter().find(|name| name.starts_with('&')) {
            return Err(self.error(property, ErrorKind::ByLabel(Some((*label).to_owned()))));
        }
        self.listed(property, &list)
    }

    fn listed(&self, property: &str, list: &[&str]) -> Result<Vec<String>, PlanError> {
        for (place, name) in list.iter().enumerate() {
            if name.is_empty() {
                return Err(self.error(property, ErrorKind::Empty));
            }
            if list.iter().take(place).any(|before| before == name) {
                return Err(self.error(property, ErrorKind::Twice(format!("\"{name}\""))));
            }
        }
        Ok(list.iter().map(|name| (*name).to_owned()).collect())
    }

    /// The place of a word among those allowed.
    pub(super) fn word(
        &self,
        property: &str,
        allowed: &'static [&'static str],
    ) -> Result<Option<usize>, PlanError> {
        let Some(word) = self.string(property)? else { return Ok(None) };
        let place = allowed.iter().position(|candidate| *candidate == word);
        place.map(Some).ok_or_else(|| self.error(property, ErrorKind::Word(word.to_owned(), allowed)))
    }

    /// A property without a value.
    pub(super) fn flag(&self, property: &str) -> Result<bool, PlanError> {
        match value(self.node, property) {
            None => Ok(false),
            Some([]) => Ok(true),
            Some(_) => Err(self.error(property, ErrorKind::NotFlag)),
        }
    }

    /// Numbers of `width` cells each.
    pub(super) fn numbers(
        &self,
        property: &str,
        width: usize,
        want: &str,
    ) -> Result<Option<Vec<u64>>, PlanError> {
        let Some(bytes) = value(self.node, property) else { return Ok(None) };
        let wrong = || self.error(property, ErrorKind::Cells(want.to_owned(), bytes.len()));
        let list = cells(bytes).ok_or_else(wrong)?;
        if width == 0 || !list.len().is_multiple_of(width) {
            return Err(wrong());
        }
        list.chunks(width).map(|chunk| number(chunk).ok_or_else(wrong)).collect::<Result<_, _>>().map(Some)
    }

    /// One number of `width` cells.
    pub(super) fn number(&self, property: &str, width: usize, want: &str) -> Result<Option<u64>, PlanError> {
        let Some(list) = self.numbers(property, width, want)? else { return Ok(None) };
        match *list.as_slice() {
            [one] => Ok(Some(one)),
            _ => Err(self.error(property, ErrorKind::Cells(want.to_owned(), list.len() * width * 4))),
        }
    }

    /// One cell from `least` to `most`.
    pub(super) fn cell(&self, property: &str, least: u32, most: u32) -> Result<Option<u32>, PlanError> {
        let Some(found) = self.number(property, 1, "one cell")? else { return Ok(None) };
        match u32::try_from(found) {
            Ok(small) if (least..=most).contains(&small) => Ok(Some(small)),
            _ => Err(self.error(property, ErrorKind::Range(found, u64::from(least), u64::from(most)))),
        }
    }
}

/// The nearest word of the vocabulary. Unit addresses and endings are left out of the comparison.
fn near(name: &str, words: &'static [Word]) -> Option<&'static str> {
    let stem = |word: &'static Word| word.name.trim_end_matches(['*', '@']);
    let near = nearest(name.split('@').next().unwrap_or(name), words.iter().map(stem))?;
    words.iter().find(|word| stem(word) == near).map(|word| word.name)
}
