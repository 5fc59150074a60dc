//! ELF64 executables for AArch64: their loadable segments, bounds-checked.
//!
//! Two fixed structures are all that is read (System V ABI, chapters 4 and 5), at whatever alignment the file has
//! in the bundle.

use crate::sort;
use alloc::vec::Vec;

use super::{ElfFault, MAX_SIZE, le16, le32, le64};

/// An ELF64 executable for AArch64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// First instruction, in the same addresses as [`Segment::address`].
    pub entry: u64,
    /// ET_DYN: it may be moved as a whole (it relocates itself).
    pub movable: bool,
    /// What is loaded, by rising address; never empty, without overlaps.
    pub segments: Vec<Segment>,
}

/// A loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its physical address (`p_paddr`).
    pub address: u64,
    /// Its size in memory; what the file does not fill is zero.
    pub size: u64,
    /// Where its bytes are in the file.
    pub offset: u64,
    /// How many there are, at most `size`.
    pub file_size: u64,
}

impl Elf {
    /// The lowest address, and one past the highest.
    #[must_use]
    pub fn bounds(&self) -> (u64, u64) {
        let low = self.segments.iter().map(|s| s.address).min().unwrap_or(0);
        let high = self.segments.iter().map(|s| s.address.saturating_add(s.size)).max().unwrap_or(0);
        (low, high)
    }
}

/// More segments than a linker makes: a bound on what a damaged file can cost.
const MAX_SEGMENTS: usize = 64;

const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
/// Size of an Elf64_Phdr.
const PROGRAM_HEADER: usize = 56;

pub(super) fn parse(file: &[u8]) -> Result<Elf, ElfFault> {
    use ElfFault::Malformed;
    // e_ident[EI_CLASS] and e_ident[EI_DATA]
    match (file.get(4), file.get(5)) {
        (Some(&ELFCLASS64), Some(&ELFDATA2LSB)) => {}
        (Some(&ELFCLASS64), Some(_)) => return Err(ElfFault::BigEndian),
        (Some(1), Some(_)) => return Err(ElfFault::Class32),
        _ => return Err(Malformed),
    }
    let kind = le16(file, 0x10).ok_or(Malformed)?;
    let machine = le16(file, 0x12).ok_or(Malformed)?;
    if machine != EM_AARCH64 {
        return Err(ElfFault::Machine(machine));
    }
    if kind != ET_EXEC && kind != ET_DYN {
        return Err(ElfFault::NotExecutable);
    }
    let start = le64(file, 0x18).ok_or(Malformed)?;
    let table = le64(file, 0x20).and_then(|at| usize::try_from(at).ok()).ok_or(Malformed)?;
    let (entry_size, count) = (le16(file, 0x36).ok_or(Malformed)?, le16(file, 0x38).ok_or(Malformed)?);
    if count == 0 {
        return Err(ElfFault::NothingToLoad);
    }
    if usize::from(entry_size) != PROGRAM_HEADER {
        return Err(Malformed);
    }
    let len = PROGRAM_HEADER * usize::from(count);
    let headers = file.get(table..).and_then(|rest| rest.get(..len)).ok_or(ElfFault::Truncated)?;

    let mut segments: Vec<Segment> = Vec::new();
    let mut entry = None;
    for header in headers.chunks_exact(PROGRAM_HEADER) {
        let kind = le32(header, 0).ok_or(Malformed)?;
        if kind == PT_INTERP {
            return Err(ElfFault::Interpreter);
        }
        let field = |at| le64(header, at).ok_or(Malformed);
        let virtual_address = field(0x10)?;
        let segment = Segment {
            address: field(0x18)?,
            size: field(0x28)?,
            offset: field(0x08)?,
            file_size: field(0x20)?,
        };
        if kind != PT_LOAD || segment.size == 0 {
            continue;
        }
        if segment.offset.checked_add(segment.file_size).is_none_or(|end| end > file.len() as u64) {
            return Err(ElfFault::Truncated);
        }
        if segment.file_size > segment.size || segment.address > MAX_SIZE || segment.size > MAX_SIZE {
            return Err(Malformed);
        }
        if segments.len() == MAX_SEGMENTS {
            return Err(Malformed);
        }
        // e_entry is virtual; the guest begins with its MMU off, so its physical counterpart is wanted.
        if let Some(into) = start.checked_sub(virtual_address).filter(|into| *into < segment.file_size) {
            entry = entry.or(Some(segment.address + into));
        }
        segments.push(segment);
    }
    if segments.is_empty() {
        return Err(ElfFault::NothingToLoad);
    }
    sort::by(&mut segments, |a, b| a.address < b.address);
    if segments.is_sorted_by(|a, b| a.address + a.size <= b.address) {
        Ok(Elf { entry: entry.ok_or(ElfFault::Entry)?, movable: kind == ET_DYN, segments })
    } else {
        Err(ElfFault::Overlap)
    }
}
