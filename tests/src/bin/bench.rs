//! `make bench`: what Partita costs, beside no hypervisor and beside another one, for both GICs. Prints tables; `--json FILE`
//! writes the figures, `--chart FILE` a chart of them, `--docs` both and the tables to where docs/ has them. With `--from FILE`
//! nothing is measured: the figures are those of a file that `--json` wrote.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use partita_tests::root;
use partita_tests::speed::{Report, chart, measure};

const USAGE: &str = "usage: bench [--from FILE] [--json FILE] [--chart FILE] [--docs]";
/// What is around the tables in docs/benchmarks.md.
const MARKS: [&str; 2] = ["<!-- Figures: make bench BENCH=--docs -->\n\n", "<!-- End of figures -->\n"];

/// What is wanted.
#[derive(Default)]
struct Wanted {
    from: Option<PathBuf>,
    json: Option<PathBuf>,
    chart: Option<PathBuf>,
    docs: bool,
}

fn main() -> ExitCode {
    let Some(wanted) = wanted() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn wanted() -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--from" => wanted.from = Some(args.next()?.into()),
            "--json" => wanted.json = Some(args.next()?.into()),
            "--chart" => wanted.chart = Some(args.next()?.into()),
            "--docs" => wanted.docs = true,
            _ => return None,
        }
    }
    Some(wanted)
}

fn run(wanted: &Wanted) -> Result<(), String> {
    let report = match &wanted.from {
        Some(file) => {
            Report::read(&read(file)?).ok_or_else(|| format!("{}: not what --json writes", file.display()))?
        }
        None => measure(&|what| {
            if std::io::stderr().is_terminal() {
                eprintln!("{what}");
            }
        }),
    };
    println!(
        "Instructions, but where the row says something else (docs/benchmarks.md).\n\n{}",
        report.text().trim_end()
    );
    for what in &report.skipped {
        println!("skipped: {what}");
    }
    if let Some(file) = &wanted.json {
        write(file, &report.json())?;
    }
    if let Some(file) = &wanted.chart {
        write(file, &chart(&report))?;
    }
    if wanted.docs {
        let docs = root().join("docs");
        write(&docs.join("benchmarks.json"), &report.json())?;
        write(&docs.join("benchmarks.svg"), &chart(&report))?;
        let page = docs.join("benchmarks.md");
        let text = read(&page)?;
        let parts =
            text.split_once(MARKS[0]).and_then(|(before, rest)| Some((before, rest.split_once(MARKS[1])?.1)));
        let (before, after) = parts.ok_or_else(|| format!("{}: the marks are missing", page.display()))?;
        write(&page, &format!("{before}{}{}{}{after}", MARKS[0], report.markdown(), MARKS[1]))?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
