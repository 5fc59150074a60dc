//! Events: what an SMMU has refused.

use super::Words;

/// What a record in the event queue says (IHI 0070, 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose transaction it was.
    pub stream: u32,
    /// What was wrong.
    pub kind: Kind,
    /// The address that the device used, where the kind has one.
    pub address: Option<u64>,
    /// Whether the device wanted to read, where the kind says.
    pub read: Option<bool>,
}

/// The kinds of events that can come, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// F_UUT: a transaction that the SMMU does not support.
    Unsupported,
    /// C_BAD_STREAMID: beyond the stream table.
    BadStream,
    /// F_STE_FETCH: the stream's entry could not be read.
    EntryFetch,
    /// C_BAD_STE: the stream's entry makes no sense.
    BadEntry,
    /// F_BAD_ATS_TREQ: a request for a translation (PCIe ATS), which no stream may make.
    Ats,
    /// F_TRANSL_FORBIDDEN: an address that the device claims to be translated.
    Translated,
    /// F_WALK_EABT: the tables could not be read.
    WalkAborted,
    /// F_TRANSLATION: nothing is mapped there.
    Translation,
    /// F_ADDR_SIZE: the address is too large.
    AddressSize,
    /// F_ACCESS: the access flag.
    Access,
    /// F_PERMISSION: not this way.
    Permission,
    /// Any other.
    Other(u8),
}

/// Numbers and names.
const KINDS: [(u8, Kind, &str); 11] = [
    (0x01, Kind::Unsupported, "F_UUT"),
    (0x02, Kind::BadStream, "C_BAD_STREAMID"),
    (0x03, Kind::EntryFetch, "F_STE_FETCH"),
    (0x04, Kind::BadEntry, "C_BAD_STE"),
    (0x05, Kind::Ats, "F_BAD_ATS_TREQ"),
    (0x07, Kind::Translated, "F_TRANSL_FORBIDDEN"),
    (0x0b, Kind::WalkAborted, "F_WALK_EABT"),
    (0x10, Kind::Translation, "F_TRANSLATION"),
    (0x11, Kind::AddressSize, "F_ADDR_SIZE"),
    (0x12, Kind::Access, "F_ACCESS"),
    (0x13, Kind::Permission, "F_PERMISSION"),
];

impl Event {
    /// 64-bit words of a record.
    pub const WORDS: usize = 4;

    /// Reads a record. Any bits at all make an event.
    #[must_use]
    pub fn decode(words: [u64; Self::WORDS]) -> Self {
        // 7.3: the number in bits 7:0, StreamID in bits 63:32, RnW in bit 99, InputAddr in bits 191:128.
        let [first, second, address, _] = words;
        let number = first as u8;
        let known = KINDS.iter().find(|(known, ..)| *known == number);
        let kind = known.map_or(Kind::Other(number), |(_, kind, _)| *kind);
        let addressed = matches!(number, 0x01 | 0x05 | 0x07 | 0x0b | 0x10..=0x13);
        Self {
            stream: (first >> 32) as u32,
            kind,
            address: addressed.then_some(address),
            read: addressed.then_some(second >> 35 & 1 != 0),
        }
    }
}

impl Event {
    /// Adds the event to a line: `write at 0x7ffff000 by stream 0x10 (F_TRANSLATION)`.
    #[must_use]
    pub fn tell(&self, words: Words) -> Words {
        let mut words = words.text(match self.read {
            Some(true) => "read",
            Some(false) => "write",
            None => "access",
        });
        if let Some(address) = self.address {
            words = words.text(" at ").hex(address);
        }
        let words = words.text(" by stream ").hex(self.stream.into()).text(" (");
        let words = match (self.kind, KINDS.iter().find(|(_, kind, _)| *kind == self.kind)) {
            (Kind::Other(number), _) => words.text("event ").hex(number.into()),
            (_, known) => words.text(known.map_or("event", |(.., name)| name)),
        };
        words.text(")")
    }
}
