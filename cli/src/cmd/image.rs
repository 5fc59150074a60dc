//! `partita image`: a memory card's image, from which a board boots the plan.

use std::fmt::Write;
use std::fs;
use std::io::{self, BufReader, Read, Seek};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::print;
use crate::args::ImageCommand;
use crate::bare;
use crate::card::contents::{self, Contents, Origin};
use crate::card::firmware::{self, Found, Source, Wanted};
use crate::card::{self, Entry, Output};
use crate::failure::{Failure, Outcome};
use crate::machine::{Options, hex};
use crate::session::Session;
use crate::source::Form;
use crate::table::Table;
use crate::ui::Ui;

/// The checksums of what else is on the card, in sha256sum's format: a flashed card can be checked anywhere.
const SUMS: &str = "SHA256SUMS";

/// Writes the image and tells what is on it.
pub fn image(args: &ImageCommand, ui: Ui) -> Outcome<()> {
    let output = Output::new(&args.output)?;
    let hypervisor = bare::hypervisor(ui)?;
    let session = Session::open(&args.plan, &Options::default(), Some(&hypervisor), ui)?;
    let contents = Contents::read(&session.board.platform)?;
    let mut entries = entries(args, &contents, &session, &hypervisor, ui)?;
    entries.push(sums(&entries));

    let least = card::least(&entries);
    if let Some(size) = args.size.filter(|size| *size < least) {
        let message = format!("--size {}M: these files need {}M", size >> 20, least >> 20);
        return Err(Failure::Usage(message));
    }
    let size = args.size.unwrap_or_else(|| card::size(&entries));
    let sum = output.write(|file| {
        card::write(file, size, contents.label(), &entries)?;
        file.rewind()?;
        digest(file)
    })?;
    if args.json {
        return print(format!("{:#}\n", to_json(args, size, &sum, &contents, &entries)).as_bytes());
    }
    if ui.quiet() {
        return Ok(());
    }
    let name = session.board.platform.file_name().unwrap_or_default().display();
    ui.note(&format!("platforms/{name}/README.md tells how to flash it"));
    print(text(args, &sum, &entries).as_bytes())
}

fn entries(
    args: &ImageCommand,
    contents: &Contents,
    session: &Session,
    hypervisor: &[u8],
    ui: Ui,
) -> Outcome<Vec<Entry>> {
    let mut firmware = firmware(args, contents, ui)?.into_iter();
    let folder = contents::folder(&session.board.platform);
    let mut entries = Vec::new();
    for (name, origin) in &contents.files {
        let found = match origin {
            Origin::Image => Some((hypervisor.to_vec(), "the hypervisor".to_owned())),
            Origin::Bundle => Some((session.bundle()?, "the bundle".to_owned())),
            Origin::Overlay => session.source.overlay().map(|blob| (blob.to_vec(), "the plan".to_owned())),
            Origin::Tree => Some((tree(session, name, ui)?, "the board's tree".to_owned())),
            Origin::File => {
                let base = name.rsplit('/').next().unwrap_or(name);
                let path = folder.join(base);
                let bytes = fs::read(&path).map_err(|error| Failure::file(&path, &error))?;
                Some((bytes, "the platform's folder".to_owned()))
            }
            Origin::Firmware(_) | Origin::Licence(_) => firmware.next().flatten(),
        };
        entries.extend(found.map(|(bytes, from)| Entry { name: name.clone(), bytes, from }));
    }
    Ok(entries)
}

/// The tree before any firmware has completed it: the user's, or the platform's by its name on the card.
fn tree(session: &Session, name: &str, ui: Ui) -> Outcome<Vec<u8>> {
    let board = &session.board;
    let path = match (&board.foreign_tree, &board.machine) {
        (Some(path), _) => path.clone(),
        (None, Some(machine)) => machine.image(name, ui)?,
        (None, None) => return Ok(board.tree.clone()),
    };
    if session.source.form == Form::Merged {
        return Ok(board.tree.clone());
    }
    fs::read(&path).map_err(|error| Failure::file(&path, &error))
}

/// The board's own firmware, in the order in which the card's contents name it.
fn firmware(args: &ImageCommand, contents: &Contents, ui: Ui) -> Outcome<Vec<Option<Found>>> {
    let wanted = contents.files.iter().filter_map(|(name, origin)| match origin {
        Origin::Firmware(packaged) => Some(Wanted { name, packaged, optional: false }),
        Origin::Licence(packaged) => Some(Wanted { name, packaged, optional: true }),
        _ => None,
    });
    let wanted: Vec<_> = wanted.collect();
    if args.no_firmware || wanted.is_empty() {
        return Ok(Vec::new());
    }
    let source = args.firmware.as_deref().map_or(Source::Packages, Source::Folder);
    firmware::find(&wanted, source, contents.hint.as_deref(), ui)
}

fn sums(entries: &[Entry]) -> Entry {
    let mut sums = String::new();
    for entry in entries {
        // Writing to a String cannot fail.
        let _ = writeln!(sums, "{}  {}", hex(&Sha256::digest(&entry.bytes)), entry.name);
    }
    Entry { name: SUMS.to_owned(), bytes: sums.into_bytes(), from: "of the above".to_owned() }
}

fn digest(from: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut from = BufReader::with_capacity(1 << 20, from);
    let mut piece = vec![0; 1 << 20];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&piece[..count]),
        }
    }
}

fn text(args: &ImageCommand, sum: &str, entries: &[Entry]) -> String {
    let mut table = Table::new(&["file", "bytes", "from"]);
    for entry in entries {
        table.row([entry.name.clone(), entry.bytes.len().to_string(), entry.from.clone()]);
    }
    format!("{}\n{sum}  {}\n", table.text(0), args.output.display())
}

fn to_json(args: &ImageCommand, size: u64, sum: &str, contents: &Contents, entries: &[Entry]) -> Value {
    let file = |entry: &Entry| {
        json!({
            "name": entry.name,
            "size": entry.bytes.len(),
            "sha256": hex(&Sha256::digest(&entry.bytes)),
            "from": entry.from,
        })
    };
    json!({
        "schema": 1,
        "image": args.output.display().to_string(),
        "size": size,
        "sha256": sum,
        "label": contents.label,
        "volume-id": format!("{:08x}", card::identity(entries)),
        "files": entries.iter().map(file).collect::<Vec<_>>(),
    })
}
