//! The device-tree compiler as a child process. Its complaints are turned into messages with a place.

use std::path::Path;
use std::process::{Command, Stdio};

use super::map::Spot;
use crate::failure::{Failure, Outcome};
use crate::tool;

/// Why nothing was compiled.
pub enum Error {
    /// The source is wrong.
    Source {
        /// dtc's words.
        message: String,
        /// Where, if dtc said so.
        spot: Option<Spot>,
    },
    /// dtc could not be run.
    Other(Failure),
}

/// Compiles a source file, or its preprocessed text, to a blob with symbols and fixups.
pub fn compile(path: &Path, expanded: Option<&str>) -> Result<Vec<u8>, Error> {
    let mut command = Command::new("dtc");
    command.args(["-@", "-q", "-I", "dts", "-O", "dtb", "-o", "-"]);
    let output = match expanded {
        Some(text) => tool::output_with(command.arg("-"), "dtc", text.as_bytes()),
        None => tool::output(command.arg(path).stdin(Stdio::null()), "dtc"),
    }
    .map_err(Error::Other)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(complaint(&words))
}

/// The source form of a blob.
pub fn decompile(blob: &[u8]) -> Outcome<String> {
    let mut command = Command::new("dtc");
    let output = tool::output_with(command.args(["-q", "-q", "-I", "dtb", "-O", "dts", "-"]), "dtc", blob)?;
    if !output.status.success() {
        return Err(Failure::input(format!("dtc: {}", String::from_utf8_lossy(&output.stderr).trim_end())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// dtc prints `Error: FILE:LINE.COLUMN[-COLUMN] words`, or `FILE:LINE.COLUMN-LINE.COLUMN: ERROR (check): words`, or
/// only `FATAL ERROR: words`.
fn complaint(words: &str) -> Error {
    let located = words.lines().find_map(|line| match line.strip_prefix("Error: ") {
        Some(rest) => located(rest, " "),
        None => {
            let (place, rest) = line.split_once(": ERROR ")?;
            let (_, message) = rest.split_once(": ")?;
            Some((Spot::parse(place)?, message.to_owned()))
        }
    });
    if let Some((spot, message)) = located {
        return Error::Source { message, spot: Some(spot) };
    }
    let message = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("dtc said nothing");
    let message = message.trim_start_matches("FATAL ERROR: ").trim_start_matches("ERROR: ").to_owned();
    Error::Source { message: format!("dtc: {message}"), spot: None }
}

fn located(line: &str, separator: &str) -> Option<(Spot, String)> {
    let (place, message) = line.split_once(separator)?;
    Some((Spot::parse(place)?, message.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(words: &str) -> (String, Option<(String, u32, u32)>) {
        match complaint(words) {
            Error::Source { message, spot } => {
                (message, spot.map(|s| (s.file.to_string(), s.line, s.column)))
            }
            Error::Other(_) => panic!("not a complaint about the source"),
        }
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let (message, spot) = source("Error: a/b.dtso:12.3-5 syntax error\nFATAL ERROR: Unable to parse\n");
        assert_eq!((message.as_str(), spot), ("syntax error", Some(("a/b.dtso".into(), 12, 3))));
    }

    #[test]
    fn checks_have_a_place() {
        let (message, spot) =
            source("x.dts:4.2-8.4: ERROR (duplicate_node_names): /a/b: Duplicate node name\n");
        assert_eq!((message.as_str(), spot), ("/a/b: Duplicate node name", Some(("x.dts".into(), 4, 2))));
    }

    #[test]
    fn a_fatal_error_alone_is_kept() {
        assert_eq!(source("FATAL ERROR: Couldn't open \"x\"\n").0, "dtc: Couldn't open \"x\"");
    }
}
