//! The device of this machine: found in its tree, mapped from its memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::args::Place;
use crate::device::{Device, Supervisor, Words};
use crate::error::Error;
use crate::memory::{Mapping, counter};
use crate::tree::{self, Span};

struct Mapped {
    file: File,
    registers: Mapping,
    areas: Vec<Mapping>,
}

/// The device.
///
/// # Errors
/// When there is none, or it cannot be reached.
pub fn open(place: &Place) -> Result<Supervisor, Error> {
    let node = tree::find(&place.tree).map_err(Error::Tree)?.ok_or(Error::ManagesNobody)?;
    let failed = |address| {
        let path = place.memory.clone();
        move |error: io::Error| Error::Memory { path, address, error }
    };
    let file = file(&place.memory).map_err(failed(None))?;
    let map = |span: Span, writable| Mapping::new(&file, span, writable).map_err(failed(Some(span.base)));
    let registers = map(node.registers, true)?;
    let (names, spans): (Vec<_>, Vec<_>) = node.partitions.into_iter().unzip();
    let areas = spans.into_iter().map(|span| map(span, false)).collect::<Result<_, _>>()?;
    Supervisor::new(Box::new(Mapped { file, registers, areas }), names)
}

/// O_SYNC: what is mapped is not to be cached, were it RAM.
fn file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(OFlags::SYNC.bits() as i32).open(path)
}

impl Device for Mapped {
    fn register(&self, offset: u64) -> u64 {
        self.registers.load(offset as usize).unwrap_or_default()
    }

    fn command(&self, word: u64) {
        self.registers.store(partita_abi::supervision::registers::COMMAND as usize, word);
    }

    fn area(&self, index: usize) -> &dyn Words {
        &self.areas[index]
    }

    fn now(&self) -> u64 {
        counter().0
    }

    fn frequency(&self) -> u64 {
        counter().1
    }

    // What cannot be locked is used all the same: the result says whose it is.
    fn lock(&self) {
        let _ = flock(&self.file, FlockOperation::LockExclusive);
    }

    fn unlock(&self) {
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
