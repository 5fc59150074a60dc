//! Which core it is: MIDR_EL1, and the names of those that Partita knows something about.

use core::fmt::{self, Display, Formatter};

/// A value of MIDR_EL1 (DDI 0487, D24.2): implementer, variant, architecture, part number, revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Midr(pub u64);

/// A kind of core: implementer and part number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    implementer: u8,
    part: u16,
}

const fn arm(part: u16) -> Kind {
    Kind { implementer: 0x41, part }
}

macro_rules! kinds {
    ($($name:ident, $kind:expr, $words:literal;)*) => {
        $(#[doc = $words] pub const $name: Kind = $kind;)*
        /// All that have a name.
        static NAMES: &[(Kind, &str)] = &[$(($name, $words)),*];
    };
}

kinds! {
    CORTEX_A34, arm(0xd02), "Cortex-A34";
    CORTEX_A53, arm(0xd03), "Cortex-A53";
    CORTEX_A35, arm(0xd04), "Cortex-A35";
    CORTEX_A55, arm(0xd05), "Cortex-A55";
    CORTEX_A57, arm(0xd07), "Cortex-A57";
    CORTEX_A72, arm(0xd08), "Cortex-A72";
    CORTEX_A73, arm(0xd09), "Cortex-A73";
    CORTEX_A75, arm(0xd0a), "Cortex-A75";
    CORTEX_A76, arm(0xd0b), "Cortex-A76";
    NEOVERSE_N1, arm(0xd0c), "Neoverse-N1";
    CORTEX_A77, arm(0xd0d), "Cortex-A77";
    CORTEX_A76AE, arm(0xd0e), "Cortex-A76AE";
    NEOVERSE_V1, arm(0xd40), "Neoverse-V1";
    CORTEX_A78, arm(0xd41), "Cortex-A78";
    CORTEX_A78AE, arm(0xd42), "Cortex-A78AE";
    CORTEX_X1, arm(0xd44), "Cortex-X1";
    CORTEX_A510, arm(0xd46), "Cortex-A510";
    CORTEX_A710, arm(0xd47), "Cortex-A710";
    CORTEX_X2, arm(0xd48), "Cortex-X2";
    NEOVERSE_N2, arm(0xd49), "Neoverse-N2";
    CORTEX_A78C, arm(0xd4b), "Cortex-A78C";
    CORTEX_X1C, arm(0xd4c), "Cortex-X1C";
    CORTEX_A715, arm(0xd4d), "Cortex-A715";
    CORTEX_X3, arm(0xd4e), "Cortex-X3";
    NEOVERSE_V2, arm(0xd4f), "Neoverse-V2";
    CORTEX_A520, arm(0xd80), "Cortex-A520";
    CORTEX_A720, arm(0xd81), "Cortex-A720";
    CORTEX_X4, arm(0xd82), "Cortex-X4";
    NEOVERSE_V3, arm(0xd84), "Neoverse-V3";
    CORTEX_X925, arm(0xd85), "Cortex-X925";
    CORTEX_A725, arm(0xd87), "Cortex-A725";
    NEOVERSE_N3, arm(0xd8e), "Neoverse-N3";
    BRAHMA_B53, Kind { implementer: 0x42, part: 0x100 }, "Brahma-B53";
    THUNDERX, Kind { implementer: 0x43, part: 0x0a1 }, "ThunderX";
    THUNDERX_81XX, Kind { implementer: 0x43, part: 0x0a2 }, "ThunderX-81xx";
    THUNDERX_83XX, Kind { implementer: 0x43, part: 0x0a3 }, "ThunderX-83xx";
    CARMEL, Kind { implementer: 0x4e, part: 0x004 }, "Carmel";
    FALKOR, Kind { implementer: 0x51, part: 0xc00 }, "Falkor";
    AMPERE1, Kind { implementer: 0xc0, part: 0xac3 }, "AmpereOne";
    AMPERE1A, Kind { implementer: 0xc0, part: 0xac4 }, "AmpereOne-A";
}

impl Midr {
    /// The kind of core.
    #[must_use]
    pub const fn kind(self) -> Kind {
        Kind { implementer: (self.0 >> 24) as u8, part: (self.0 >> 4 & 0xfff) as u16 }
    }

    /// Variant and revision, `r1p2` as 0x12: later ones compare greater.
    #[must_use]
    pub const fn release(self) -> u8 {
        (self.0 >> 16 & 0xf0 | self.0 & 0xf) as u8
    }

    /// Whether it is one of these.
    #[must_use]
    pub fn is_one_of(self, kinds: &[Kind]) -> bool {
        kinds.contains(&self.kind())
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(kind, _)| kind == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "core {:#x} of implementer {:#x}", self.part, self.implementer),
        }
    }
}

/// `Cortex-A72 r0p3`.
impl Display for Midr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), Release(self.release()))
    }
}

/// Variant and revision in words: `r0p3`.
#[derive(Clone, Copy, Debug)]
pub struct Release(pub u8);

impl Display for Release {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "r{}p{}", self.0 >> 4, self.0 & 0xf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words() {
        let a72 = Midr(0x410f_d083);
        assert_eq!((a72.kind(), a72.release()), (CORTEX_A72, 0x03));
        assert_eq!(a72.to_string(), "Cortex-A72 r0p3");
        assert_eq!(Midr(0x413f_d0c1).to_string(), "Neoverse-N1 r3p1");
        assert_eq!(Midr(0x000f_0510).to_string(), "core 0x51 of implementer 0x0 r0p0");
        assert!(a72.is_one_of(&[CORTEX_A53, CORTEX_A72]) && !a72.is_one_of(&[CORTEX_A53]));
    }

    #[test]
    fn no_kind_has_two_names() {
        for (place, (kind, name)) in NAMES.iter().enumerate() {
            let again = NAMES.iter().skip(place + 1).find(|(other, words)| other == kind || words == name);
            assert!(again.is_none(), "{name}: {again:?}");
        }
    }
}
