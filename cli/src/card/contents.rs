//! What lies on a platform's card: `card/contents` in its folder. A line for each file says its name there and where it
//! comes from; `#` begins a comment.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Where a file of the card comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    /// `image`: the hypervisor.
    Image,
    /// `bundle`: the bundle.
    Bundle,
    /// `overlay`: the plan's overlay, if the plan is one.
    Overlay,
    /// `tree`: the board's tree.
    Tree,
    /// `file`: the file of this name in the same folder.
    File,
    /// `firmware PACKAGE [FILE]`: a file of the board's firmware, by the name that it has in a package of the distribution.
    Firmware(Packaged),
    /// `licence PACKAGE [FILE]`: the same, but the card does without.
    Licence(Packaged),
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packaged {
    /// The package.
    pub package: String,
    /// The file's name without folders.
    pub file: String,
}

/// A card's contents.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// `label`: the volume's name.
    pub label: String,
    /// `hint`: where people find the firmware; a sentence.
    pub hint: Option<String>,
    /// The files: name and origin.
    pub files: Vec<(String, Origin)>,
}

/// The folder of a platform's card.
pub fn folder(platform: &Path) -> PathBuf {
    platform.join("card")
}

impl Contents {
    /// Reads a platform's. `platform` is its folder.
    pub fn read(platform: &Path) -> Outcome<Self> {
        let file = folder(platform).join("contents");
        if !file.is_file() {
            let name = platform.file_name().unwrap_or_default().display();
            return Err(Failure::input(format!(
                "platform {name} has no card: its folder lacks card/contents; `partita build` makes what other loaders take"
            )));
        }
        let text = fs::read_to_string(&file).map_err(|error| Failure::file(&file, &error))?;
        Self::parse(&text)
            .map_err(|(line, what)| Failure::input(format!("{}:{line}: {what}", file.display())))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut contents = Self { label: "PARTITA".to_owned(), ..Self::default() };
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            contents.line(line).map_err(|what| (index + 1, what))?;
        }
        Ok(contents)
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let words: Vec<_> = rest.split_whitespace().collect();
        let packaged = |words: &[&str]| {
            let last = name.rsplit('/').next().unwrap_or(name);
            let (package, file) = match *words {
                [package] => (package, last),
                [package, file] => (package, file),
                _ => return Err("expected PACKAGE or PACKAGE FILE".to_owned()),
            };
            Ok(Packaged { package: package.to_owned(), file: file.to_owned() })
        };
        let origin = match (name, words.as_slice()) {
            ("label", [label]) if is_label(label) => {
                (*label).clone_into(&mut self.label);
                return Ok(());
            }
            ("label", _) => return Err("a label is 1 to 11 of A-Z, 0-9, - and _".to_owned()),
            ("hint", _) => {
                self.hint = Some(rest.to_owned());
                return Ok(());
            }
            (_, ["image"]) => Origin::Image,
            (_, ["bundle"]) => Origin::Bundle,
            (_, ["overlay"]) => Origin::Overlay,
            (_, ["tree"]) => Origin::Tree,
            (_, ["file"]) => Origin::File,
            (_, ["firmware", words @ ..]) => Origin::Firmware(packaged(words)?),
            (_, ["licence", words @ ..]) => Origin::Licence(packaged(words)?),
            _ => {
                return Err(format!(
                    "{name}: expected image, bundle, overlay, tree, file, firmware PACKAGE or licence PACKAGE behind it"
                ));
            }
        };
        if !is_path(name) {
            return Err(format!("{name}: no name for a file on a card"));
        }
        if self.files.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(format!("{name} is there twice (FAT does not tell upper from lower case)"));
        }
        self.files.push((name.to_owned(), origin));
        Ok(())
    }

    /// The label as FAT stores it.
    pub fn label(&self) -> [u8; 11] {
        let mut label = [b' '; 11];
        for (to, from) in label.iter_mut().zip(self.label.bytes()) {
            *to = from;
        }
        label
    }
}

fn is_label(label: &str) -> bool {
    (1..=11).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

/// At most one folder deep, of characters that FAT, mtools and every system take.
fn is_path(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    name.split('/').count() <= 2 && name.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let text = "# a comment\nlabel BOARD\nhint  Look there.\n\nkernel.img image\noverlays/p.dtbo\toverlay\n\
                    start.elf firmware fw\nLICENCE licence fw copyright\n";
        let contents = Contents::parse(text).unwrap();
        assert_eq!(&contents.label(), b"BOARD      ");
        assert_eq!(contents.hint.as_deref(), Some("Look there."));
        let packaged = |file: &str| Packaged { package: "fw".into(), file: file.into() };
        let expected = [
            ("kernel.img", Origin::Image),
            ("overlays/p.dtbo", Origin::Overlay),
            ("start.elf", Origin::Firmware(packaged("start.elf"))),
            ("LICENCE", Origin::Licence(packaged("copyright"))),
        ];
        assert_eq!(contents.files, expected.map(|(name, origin)| (name.to_owned(), origin)));
    }

    #[test]
    fn mistakes_are_found_with_their_line() {
        for (text, line, words) in [
            ("a image\n\nb imagine\n", 3, "expected image, bundle"),
            ("a\n", 1, "expected image"),
            ("../a image\n", 1, "no name for a file"),
            ("/a image\n", 1, "no name for a file"),
            ("a/b/c image\n", 1, "no name for a file"),
            ("a image\nA bundle\n", 2, "twice"),
            ("a firmware\n", 1, "expected PACKAGE"),
            ("label too-long-a-label\n", 1, "a label is"),
            ("label böse\n", 1, "a label is"),
        ] {
            let (at, what) = Contents::parse(text).unwrap_err();
            assert_eq!(at, line, "{text}");
            assert!(what.contains(words), "{text}: {what}");
        }
    }
}
