//! Finds places in a partition's memory for kernel, initial RAM disk and device tree.
//!
//! The kernel goes where its kind wants it, the tree to the end of the first RAM entry (or where the plan says), the
//! RAM disk as high as possible below that, so that a kernel that needs more than it says has room to grow.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{PlaceError, subtract};
use crate::addr::{Ipa, IpaSpan, PAGE};
use crate::image::Image;
use crate::plan::{Dtb, ErrorKind, Files, Load, Memory, Piece, PlanError};

/// What a partition wants loaded.
#[derive(Clone, Copy)]
pub struct ImageRequest<'a> {
    /// The partition's node, for messages.
    pub node: &'a str,
    /// The kernel's file name.
    pub kernel: &'a str,
    /// The initial RAM disk's file name.
    pub initrd: Option<&'a str>,
    /// `load-address`: where the kernel's first byte goes.
    pub load_address: Option<u64>,
    /// `entry`: the first instruction.
    pub entry: Option<u64>,
    /// `dtb-address`: where the tree goes.
    pub dtb_address: Option<u64>,
    /// How the tree comes about.
    pub dtb: &'a Dtb,
    /// The partition's memory, already placed.
    pub memory: &'a [Memory],
}

const MIB: u64 = 1 << 20;
/// arm64 kernels take a tree of at most 2 MiB (Documentation/arch/arm64/booting.rst).
const DTB_MAX: u64 = 2 * MIB;
/// Room for a tree in small memories: a quarter of them, and at least this.
const DTB_MIN: u64 = 64 << 10;
/// An arm64 kernel and its RAM disk must lie in one 1 GiB-aligned window of 32 GiB (booting.rst).
const WINDOW: u64 = 32 << 30;

/// Something that has its place.
struct Placed {
    span: IpaSpan,
    /// For messages: a file's name in quotes, or "the device tree".
    what: String,
}

/// Decides where everything goes that is loaded before a partition starts.
pub fn images(files: &dyn Files, request: &ImageRequest<'_>) -> Result<Load, PlanError> {
    let refuse =
        |property: &str, why| PlanError::property(request.node, property, ErrorKind::Place(Box::new(why)));
    let mut layout = Layout { memory: request.memory, placed: Vec::new(), pieces: Vec::new() };

    let at = if request.load_address.is_some() { "load-address" } else { "kernel" };
    let image = match files.get(request.kernel) {
        Some(bytes) => Image::parse(request.kernel, bytes),
        None => return Err(refuse("kernel", PlaceError::MissingFile(request.kernel.into()))),
    };
    let image = image.map_err(|error| refuse("kernel", PlaceError::Image(error)))?;
    let length = files.get(request.kernel).map_or(0, <[u8]>::len) as u64;
    let entry = layout.kernel(request, &image, length).map_err(|why| refuse(at, why))?;
    let entry = match request.entry {
        None => entry,
        Some(entry) if !entry.is_multiple_of(4) => {
            return Err(refuse("entry", PlaceError::NotMultiple(entry, 4)));
        }
        Some(entry) if layout.placed.iter().any(|placed| placed.span.contains(Ipa(entry))) => Ipa(entry),
        Some(entry) => {
            return Err(refuse("entry", PlaceError::EntryOutside(Ipa(entry), request.kernel.into())));
        }
    };

    let dtb_span = match (request.dtb, request.dtb_address) {
        (Dtb::None, _) => None,
        (_, Some(address)) => Some(layout.tree_at(Ipa(address)).map_err(|why| refuse("dtb-address", why))?),
        (_, None) => Some(layout.tree_at_end().map_err(|why| refuse(at, why))?),
    };
    if let (Dtb::File(name), Some(span)) = (request.dtb, dtb_span) {
        layout.tree_file(files, name, span).map_err(|why| refuse("dtb", why))?;
    }
    let initrd_span = match request.initrd {
        None => None,
        Some(name) => Some(layout.initrd(files, name).map_err(|why| refuse("initrd", why))?),
    };
    Ok(Load {
        kernel: request.kernel.into(),
        initrd: request.initrd.map(Into::into),
        pieces: layout.pieces,
        entry,
        initrd_span,
        dtb_span,
    })
}

/// What has been placed so far. The kernel comes first.
struct Layout<'a> {
    memory: &'a [Memory],
    placed: Vec<Placed>,
    pieces: Vec<Piece>,
}

impl Layout<'_> {
    /// The first RAM entry; a partition without memory has an empty one.
    fn first(&self) -> IpaSpan {
        self.memory.first().map_or(IpaSpan { base: Ipa(0), size: 0 }, |memory| memory.ipa)
    }

    /// The RAM entry that an address lies in.
    fn entry_of(&self, address: Ipa) -> Option<IpaSpan> {
        self.memory.iter().map(|memory| memory.ipa).find(|entry| entry.contains(address))
    }

    /// Takes a range, which must lie in one RAM entry and be free.
    fn claim(&mut self, base: u64, size: u64, what: &str) -> Result<IpaSpan, PlaceError> {
        let outside = || {
            let memory = self.memory.iter().map(|memory| memory.ipa).collect();
            PlaceError::OutsideMemory(what.into(), Ipa(base), memory)
        };
        let span = IpaSpan::new(Ipa(base), size).ok_or_else(outside)?;
        let entry = self.entry_of(span.base).ok_or_else(outside)?;
        if !entry.contains_span(&span) {
            return Err(PlaceError::DoesNotFit {
                what: what.into(),
                needs: size,
                at: span.base,
                room: entry.end().0 - base,
            });
        }
        if let Some(other) = self.placed.iter().find(|placed| placed.span.overlaps(&span)) {
            return Err(PlaceError::Overlap(what.into(), span, other.what.clone(), other.span));
        }
        self.placed.push(Placed { span, what: what.into() });
        Ok(span)
    }

    /// Places the kernel and returns its own entry point.
    fn kernel(&mut self, request: &ImageRequest<'_>, image: &Image, length: u64) -> Result<Ipa, PlaceError> {
        let name = request.kernel;
        let what = quoted(name);
        match image {
            Image::Arm64 { text_offset, image_size } => {
                let base = match request.load_address {
                    None => aligned(self.first().base.0, 2 * MIB).saturating_add(*text_offset),
                    Some(base)
                        if base.checked_sub(*text_offset).is_some_and(|b| b.is_multiple_of(2 * MIB)) =>
                    {
                        base
                    }
                    Some(base) => return Err(PlaceError::BadLoadAddress(base, *text_offset)),
                };
                self.claim(base, *image_size, &what)?;
                self.piece(name, 0, base, length);
                Ok(Ipa(base))
            }
            Image::Elf(elf) => {
                let (low, _) = elf.bounds();
                let in_place = |s: &crate::image::Segment| self.entry_of(Ipa(s.address)).is_some();
                // Moved as a whole: to where the plan says, or, if it can be moved and has to be, to the first RAM.
                let shift = match request.load_address {
                    Some(base) => base.wrapping_sub(low),
                    None if elf.movable && !elf.segments.iter().all(in_place) => {
                        aligned(self.first().base.0, PAGE).wrapping_sub(low & !(PAGE - 1))
                    }
                    None => 0,
                };
                for segment in &elf.segments {
                    let base = segment.address.wrapping_add(shift);
                    self.claim(base, segment.size, &what)?;
                    self.piece(name, segment.offset, base, segment.file_size);
                }
                aligned_entry(elf.entry.wrapping_add(shift))
            }
            Image::Flat { len } => {
                let base = request.load_address.unwrap_or(self.first().base.0);
                self.claim(base, *len, &what)?;
                self.piece(name, 0, base, *len);
                aligned_entry(base)
            }
        }
    }

    fn piece(&mut self, file: &str, offset: u64, base: u64, size: u64) {
        if size > 0 {
            self.pieces.push(Piece { file: file.into(), offset, at: IpaSpan { base: Ipa(base), size } });
        }
    }

    /// The tree where the plan wants it, with the room up to whatever comes next.
    fn tree_at(&mut self, base: Ipa) -> Result<IpaSpan, PlaceError> {
        if !base.0.is_multiple_of(8) {
            return Err(PlaceError::NotMultiple(base.0, 8));
        }
        let end = self.entry_of(base).map_or(base, |entry| entry.end());
        let next = self.placed.iter().map(|placed| placed.span.base).filter(|next| *next > base).min();
        let room = IpaSpan::between(base, end.min(next.unwrap_or(end)));
        self.claim(base.0, room.size.clamp(1, DTB_MAX), TREE)
    }

    /// The tree at the end of the first RAM entry.
    fn tree_at_end(&mut self) -> Result<IpaSpan, PlaceError> {
        let first = self.first();
        let size =
            if first.size >= 4 * DTB_MAX { DTB_MAX } else { (first.size / 4).max(DTB_MIN) & !(PAGE - 1) };
        let end = first.end().0 & !(PAGE - 1);
        match end.checked_sub(size).filter(|base| *base >= first.base.0) {
            // The kernel is to blame when the two meet: it takes all but the end.
            Some(base) => {
                match self.placed.iter().find(|p| p.span.overlaps(&IpaSpan { base: Ipa(base), size })) {
                    Some(kernel) => Err(PlaceError::DoesNotFit {
                        what: kernel.what.clone(),
                        needs: kernel.span.size,
                        at: kernel.span.base,
                        room: base.saturating_sub(kernel.span.base.0),
                    }),
                    None => self.claim(base, size, TREE),
                }
            }
            None => Err(PlaceError::DoesNotFit {
                what: TREE.to_string(),
                needs: size,
                at: first.base,
                room: first.size,
            }),
        }
    }

    /// A tree from the bundle, into the room that trees get.
    fn tree_file(&mut self, files: &dyn Files, name: &str, span: IpaSpan) -> Result<(), PlaceError> {
        let file = files.get(name).ok_or_else(|| PlaceError::MissingFile(name.into()))?;
        let word = |at: usize| Some(u32::from_be_bytes(*file.get(at..)?.first_chunk()?));
        // Devicetree Specification 5.2: magic, then totalsize.
        let size = match (word(0), word(4)) {
            (Some(0xd00d_feed), Some(size)) => u64::from(size),
            _ => return Err(PlaceError::NotTree(name.into(), "it does not begin with the magic 0xd00dfeed")),
        };
        if size > file.len() as u64 || size < 40 {
            return Err(PlaceError::NotTree(name.into(), "its header names another size than it has"));
        }
        if size > span.size {
            let (needs, at, room) = (size, span.base, span.size);
            return Err(PlaceError::DoesNotFit { what: quoted(name), needs, at, room });
        }
        self.piece(name, 0, span.base.0, size);
        Ok(())
    }

    /// The RAM disk: as high as possible in the first RAM entry that has room for it.
    fn initrd(&mut self, files: &dyn Files, name: &str) -> Result<IpaSpan, PlaceError> {
        let file = files.get(name).ok_or_else(|| PlaceError::MissingFile(name.into()))?;
        let size = file.len() as u64;
        if size == 0 {
            return Err(PlaceError::EmptyFile(name.into()));
        }
        let kernel = self.placed.first().map_or(0, |kernel| kernel.span.base.0);
        let window_base = kernel & !((1 << 30) - 1);
        let window = IpaSpan::between(Ipa(window_base), Ipa(window_base.saturating_add(WINDOW)));
        let mut largest = 0;
        for memory in self.memory {
            let inside =
                IpaSpan::between(memory.ipa.base.max(window.base), memory.ipa.end().min(window.end()));
            let mut holes = Vec::from([inside]);
            for placed in &self.placed {
                subtract(&mut holes, &placed.span);
            }
            for hole in holes.iter().rev() {
                let low = aligned(hole.base.0, PAGE);
                largest = largest.max(hole.end().0.saturating_sub(low));
                if let Some(base) = hole.end().0.checked_sub(size).map(|base| base & !(PAGE - 1))
                    && base >= low
                {
                    let span = self.claim(base, size, &quoted(name))?;
                    self.piece(name, 0, base, size);
                    return Ok(span);
                }
            }
        }
        Err(PlaceError::NoHole { what: quoted(name), needs: size, largest })
    }
}

/// What the tree is called in messages.
const TREE: &str = "the device tree";

fn quoted(name: &str) -> String {
    alloc::format!("{name:?}")
}

fn aligned(address: u64, to: u64) -> u64 {
    address.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

/// Instructions lie on multiples of four.
fn aligned_entry(entry: u64) -> Result<Ipa, PlaceError> {
    if entry.is_multiple_of(4) { Ok(Ipa(entry)) } else { Err(PlaceError::NotMultiple(entry, 4)) }
}
