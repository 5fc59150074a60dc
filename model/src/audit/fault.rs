//! What an audit finds wrong, in words that name the leaf. They are put together without `core::fmt`, which would bring
//! calls through pointers, and panics, to where EL2 has none.

use core::fmt;

use arrayvec::{ArrayString, ArrayVec};

use super::{Leaf, Region, Rule};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Mapped, and not wanted.
    Extra(Leaf),
    /// Wanted, and not mapped.
    Missing(Region),
    /// Mapped to something else, or with other rights.
    Other {
        /// What is mapped.
        leaf: Leaf,
        /// What is wanted there.
        wanted: Region,
    },
    /// A table that takes rights away from what is below it, or one too many.
    Table {
        /// The first address that it translates.
        input: u64,
        /// Its descriptor.
        descriptor: u64,
    },
    /// A descriptor of a reserved form.
    Reserved {
        /// The address that it would translate.
        input: u64,
        /// As it stands in the table.
        descriptor: u64,
    },
    /// The tables are not where tables are.
    Astray(u64),
    /// A register that rules translation.
    Register {
        /// Its name.
        name: &'static str,
        /// What it has to be,
        wanted: u64,
        /// and what it is.
        found: u64,
    },
}

/// The most that [`Words`] hold; what goes beyond is cut.
const MOST: usize = 240;

/// A line of text.
#[derive(Clone, Debug, Default)]
pub struct Words(ArrayString<MOST>);

impl Words {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let _ = self.0.try_push_str(text);
        self
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.digits::<10>(number)
    }

    /// Adds a number in hexadecimal.
    pub fn hex(&mut self, number: u64) -> &mut Self {
        self.text("0x").digits::<16>(number)
    }

    fn digits<const BASE: u64>(&mut self, number: u64) -> &mut Self {
        // 2^64 has 20 decimal digits.
        let mut digits = ArrayVec::<u8, 20>::new();
        let mut left = number;
        loop {
            let digit = (left % BASE) as u8;
            let _ = digits.try_push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
            left /= BASE;
            if left == 0 {
                break;
            }
        }
        for digit in digits.into_iter().rev() {
            let _ = self.0.try_push(char::from(digit));
        }
        self
    }

    /// Adds a range and where it leads.
    fn range(&mut self, input: u64, size: u64, output: u64, attributes: u64) -> &mut Self {
        self.hex(input).text("-").hex(input.wrapping_add(size.wrapping_sub(1))).text(" to ").hex(output);
        self.text(" with ").hex(attributes)
    }

    /// Adds what is wrong.
    pub fn fault(&mut self, fault: &Fault) -> &mut Self {
        match fault {
            Fault::Extra(leaf) => {
                self.text("mapped beyond the plan: ");
                self.range(leaf.input, leaf.size, leaf.output.0, leaf.attributes)
            }
            Fault::Missing(region) => {
                self.text("not mapped: ");
                self.range(region.input, region.size, region.output.0, region.attributes)
            }
            Fault::Other { leaf, wanted } => {
                self.range(leaf.input, leaf.size, leaf.output.0, leaf.attributes);
                self.text(" where the plan has ").hex(wanted.output.0).text(" with ").hex(wanted.attributes)
            }
            Fault::Table { input, descriptor } => {
                self.text("no table of the plan's at ").hex(*input).text(": ").hex(*descriptor)
            }
            Fault::Reserved { input, descriptor } => {
                self.text("a reserved descriptor at ").hex(*input).text(": ").hex(*descriptor)
            }
            Fault::Astray(table) => self.text("a table outside EL2's memory: ").hex(*table),
            Fault::Register { name, wanted, found } => {
                self.text(name).text(" is ").hex(*found).text(", by the plan ").hex(*wanted)
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Words::default().fault(self).as_str())
    }
}

impl core::error::Error for Fault {}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (region, what) = match self {
            Self::Executable(region) => (region, "can be executed, and is no read-only memory"),
            Self::Foreign(region) => (region, "reaches a partition's memory"),
            Self::Guard(region) => (region, "is where nothing may be"),
            Self::Overlap(region) => (region, "has an address in common with another piece"),
        };
        let mut words = Words::default();
        words.range(region.input, region.size, region.output.0, region.attributes);
        write!(f, "{} {what}", words.as_str())
    }
}

impl core::error::Error for Rule {}
