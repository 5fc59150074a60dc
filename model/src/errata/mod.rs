//! Errata of cores that a hypervisor has to know of, by MIDR: what each is, and what is done about it or why nothing has
//! to be. docs/errata.md is this table as a page.
//!
//! What is here: errata that the code at EL2, its controls over a guest, or a guest's deliberate doing can meet. What
//! firmware sets once for all (chicken bits in CPUACTLR_EL1, at EL3) and what a guest's kernel does for its own
//! processes is theirs: a guest finds the true MIDR_EL1.

mod table;
#[cfg(test)]
mod tests;

use alloc::string::String;
use core::fmt::{self, Display, Formatter};

use crate::midr::{Kind, Midr, Release};
use table::{ERRATA, SOURCES};

/// What is done about an erratum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What triggers it does not occur, for this reason.
    Avoided(&'static str),
    /// EL2 or its build does this.
    Done(&'static str),
    /// It can do no harm outside the partition, which has to live with it or avoid it.
    Guests(&'static str),
    /// Firmware has to have done this.
    Firmware(&'static str),
    /// A guest can do this harm, and nothing at EL2 prevents it.
    Open(&'static str),
}

impl Answer {
    fn parts(&self) -> (&'static str, &'static str) {
        match self {
            Answer::Avoided(words) => ("avoided", words),
            Answer::Done(words) => ("done", words),
            Answer::Guests(words) => ("the guest's", words),
            Answer::Firmware(words) => ("firmware's", words),
            Answer::Open(words) => ("OPEN", words),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, words) = self.parts();
        write!(f, "{kind}: {words}")
    }
}

/// An erratum of one kind of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erratum {
    /// Arm's number, or whoever's the core is.
    pub number: &'static str,
    /// The core.
    pub kind: Kind,
    /// First and last release that has it ([`Midr::release`]).
    pub releases: (u8, u8),
    /// What happens.
    pub what: &'static str,
    /// What is done.
    pub answer: Answer,
}

impl Erratum {
    /// Whether a core has it, as far as MIDR_EL1 tells.
    #[must_use]
    pub fn is_of(&self, midr: Midr) -> bool {
        let (first, last) = self.releases;
        midr.kind() == self.kind && (first..=last).contains(&midr.release())
    }
}

impl Display for Erratum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.number, self.what, self.answer)
    }
}

/// The errata of a core.
pub fn of(midr: Midr) -> impl Iterator<Item = &'static Erratum> {
    ERRATA.iter().filter(move |erratum| erratum.is_of(midr))
}

/// How many errata of a core there are, in words: `5 errata: 3 avoided or done, 1 the guest's, 1 firmware's`.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub Midr);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (mut all, mut settled, mut guests, mut firmware, mut open) = (0, 0, 0, 0, 0);
        for erratum in of(self.0) {
            all += 1;
            *match erratum.answer {
                Answer::Avoided(_) | Answer::Done(_) => &mut settled,
                Answer::Guests(_) => &mut guests,
                Answer::Firmware(_) => &mut firmware,
                Answer::Open(_) => &mut open,
            } += 1;
        }
        match all {
            0 => return f.write_str("no errata known"),
            1 => f.write_str("1 erratum:")?,
            _ => write!(f, "{all} errata:")?,
        }
        let mut before = " ";
        for (count, words) in
            [(settled, "settled"), (guests, "the guest's"), (firmware, "firmware's"), (open, "OPEN")]
        {
            if count > 0 {
                write!(f, "{before}{count} {words}")?;
                before = ", ";
            }
        }
        Ok(())
    }
}

/// The whole table as a page (docs/errata.md).
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Errata\n\n\
         Made from `model/src/errata/table.rs` by its test (`UPDATE_DOCS=1` writes it).\n\n\
         Not here: what firmware sets once for all at EL3, and what a guest's kernel does for its own processes (it finds\n\
         the true MIDR_EL1). *Avoided*: what triggers it does not occur. *Done*: by EL2 or its build. *The guest's*: no harm\n\
         outside the partition. *OPEN*: a guest can do this harm; give such a core to trusted guests only.\n\n\
         Sources: ",
    );
    page.push_str(SOURCES);
    page.push_str(".\n");
    let mut kind = None;
    for erratum in ERRATA {
        if kind != Some(erratum.kind) {
            kind = Some(erratum.kind);
            page.push_str(&alloc::format!(
                "\n## {}\n\n| erratum | releases | what happens | |\n|---|---|---|---|\n",
                erratum.kind
            ));
        }
        let (first, last) = erratum.releases;
        let releases = match (first, last) {
            (0, 0xff) => String::from("all"),
            (first, last) if first == last => alloc::format!("{}", Release(first)),
            (first, 0xff) => alloc::format!("{} on", Release(first)),
            (first, last) => alloc::format!("{}..{}", Release(first), Release(last)),
        };
        let (answer, words) = erratum.answer.parts();
        page.push_str(&alloc::format!(
            "| {} | {releases} | {} | *{answer}*: {words} |\n",
            erratum.number,
            erratum.what
        ));
    }
    page
}
