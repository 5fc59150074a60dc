//! How much is made of a partition's DMA faults. Each costs the core that takes the event's interrupt some time, which
//! may be another partition's core; so the SMMU records a fixed number of them for each partition, and no more.

/// How many of a partition's faults are told one by one.
pub const SAID: u32 = 4;
/// How many of a partition's faults are recorded until the machine is powered off.
pub const RECORDED: u32 = 64;

/// One partition's faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u32);

/// What is to be done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Count it and say what it was.
    Say,
    /// Count it.
    Count,
    /// Count it, make the partition's streams silent, and say that: it was the last.
    Silence,
    /// It came after the streams were made silent: it was on its way before.
    Late,
}

impl Faults {
    /// One more.
    pub fn note(&mut self) -> Note {
        let number = self.0;
        self.0 = number.saturating_add(1);
        match number {
            _ if number >= RECORDED => Note::Late,
            _ if number + 1 == RECORDED => Note::Silence,
            _ if number < SAID => Note::Say,
            _ => Note::Count,
        }
    }

    /// Whether its streams are silent by now.
    #[must_use]
    pub fn silent(&self) -> bool {
        self.0 >= RECORDED
    }
}
