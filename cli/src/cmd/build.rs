//! `partita build`: the two files that any boot loader which boots Linux can boot, and their checksums.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{folder, print, write};
use crate::args::BuildCommand;
use crate::bare;
use crate::failure::Outcome;
use crate::machine::{Options, hex};
use crate::session::Session;
use crate::ui::Ui;

/// The hypervisor's file: an arm64 Image, to be loaded as the kernel.
pub const IMAGE: &str = "partita-image";
/// The bundle's file: a newc cpio archive, to be loaded as the initrd.
pub const BUNDLE: &str = "bundle.cpio";

/// Writes image, bundle and SHA256SUMS, and prints the checksums.
pub fn build(args: &BuildCommand, ui: Ui) -> Outcome<()> {
    let image = bare::hypervisor(ui)?;
    let session = Session::open(&args.plan, &Options::default(), Some(&image), ui)?;
    let bundle = session.bundle()?;
    folder(&args.output)?;
    let mut sums = String::new();
    for (name, bytes) in [(IMAGE, &image), (BUNDLE, &bundle)] {
        write(&args.output.join(name), bytes)?;
        // Writing to a String cannot fail.
        let _ = writeln!(sums, "{}  {name}", hex(&Sha256::digest(bytes)));
    }
    write(&args.output.join("SHA256SUMS"), sums.as_bytes())?;
    if ui.quiet() { Ok(()) } else { print(sums.as_bytes()) }
}
