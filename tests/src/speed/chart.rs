//! The figures as a bar chart: one SVG file that needs nothing else. Each row has a scale of its own, as figures lie far apart.

use std::fmt::Write;

use super::report::{Column, Report};
use super::rows::Unit;

/// What is drawn: rows that are added up, what they are together, and how a figure is shown.
const DRAWN: [(&[&str], &str, Unit); 10] = [
    (&["timer-latency"], "timer interrupt, latency", Unit::Instructions),
    (&["psci-version-hvc"], "PSCI_VERSION", Unit::Instructions),
    (&["smccc-unknown-hvc"], "a call that nobody offers", Unit::Instructions),
    (&["gicd-read"], "load of GICD_TYPER", Unit::Instructions),
    (&["isenabler-write-again"], "store to ISENABLER0, set already", Unit::Instructions),
    (&["isenabler-write"], "store to ISENABLER0 that enables", Unit::Instructions),
    (&["sgi-self"], "SGI to oneself, round trip", Unit::Instructions),
    (&["sgi-other-sender", "sgi-other-receiver"], "SGI to another core, both at EL2", Unit::Instructions),
    (&["reset-to-entry", "reset-to-entry-digests"], "reset to the guest's entry", Unit::Instructions),
    (&["linux-share"], "Linux at work: share of EL2", Unit::Share),
];

/// A colour for each column, told apart by most colour-blind readers: native, paths in their order, others.
const NATIVE: &str = "#9a9a9a";
const PATHS: [&str; 2] = ["#2b6f9e", "#3f9e8f"];
const OTHER: &str = "#d9822b";

const WIDTH: u32 = 980;
const MARGIN: u32 = 28;
const PANEL: u32 = (WIDTH - 3 * MARGIN) / 2;
/// Room for the figure behind a bar.
const FIGURE: u32 = 92;
const BAR: u32 = 11;
const STEP: u32 = BAR + 3;

/// Draws a report: the columns of unguarded cores, a panel for each GIC.
pub fn chart(report: &Report) -> String {
    let panels: Vec<(u64, Vec<&Column>)> = [3, 2].map(|gic| (gic, drawn(report, gic))).into();
    let bars = panels.iter().map(|(_, columns)| columns.len()).max().unwrap_or(0) as u32;
    let group = 20 + bars * STEP + 10;
    let height = 96 + DRAWN.len() as u32 * group + 12;
    let mut body = String::new();
    text(&mut body, (MARGIN, 34), "17\" font-weight=\"bold", "#222222", "What it costs, in instructions");
    let mut x = MARGIN;
    for column in panels.iter().max_by_key(|(_, columns)| columns.len()).map_or(&[][..], |(_, all)| all) {
        let head = column.head();
        rect(&mut body, (x, 47), (11, 11), colour(report, column), "");
        text(&mut body, (x + 17, 57), "12", "#222222", &head);
        x += 17 + 8 * head.chars().count() as u32 + 22;
    }
    for (index, (gic, columns)) in panels.iter().enumerate() {
        let left = MARGIN + index as u32 * (PANEL + MARGIN);
        text(&mut body, (left, 84), "14\" font-weight=\"bold", "#222222", &format!("GICv{gic}"));
        for (place, what) in DRAWN.iter().enumerate() {
            draw(&mut body, report, columns, (left, 96 + place as u32 * group), *what);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fcfcfa\"/>\n{body}</svg>\n"
    )
}

fn drawn(report: &Report, gic: u64) -> Vec<&Column> {
    report.of(gic).into_iter().filter(|column| !column.name.ends_with("+guard")).collect()
}

fn colour(report: &Report, column: &Column) -> &'static str {
    match column.name.as_str() {
        "native" => NATIVE,
        "xen" => OTHER,
        name => {
            let mut paths =
                drawn(report, column.gic).into_iter().filter(|c| !["native", "xen"].contains(&&*c.name));
            PATHS[paths.position(|path| path.name == name).unwrap_or(0) % PATHS.len()]
        }
    }
}

/// A row: its words, and a bar for each column that has a figure.
fn draw(
    body: &mut String,
    report: &Report,
    columns: &[&Column],
    (x, y): (u32, u32),
    (rows, label, unit): (&[&str], &str, Unit),
) {
    text(body, (x, y + 14), "12", "#222222", label);
    // What has no figure in the first row has none at all; the others add what they have.
    let figure = |column: &Column| {
        let figure = |row: &&str| column.figures.get(*row).copied();
        figure(&rows[0]).map(|first| first + rows[1..].iter().filter_map(figure).sum::<u64>())
    };
    let most = columns.iter().filter_map(|column| figure(column)).max().unwrap_or(0).max(1);
    for (index, column) in columns.iter().enumerate() {
        let top = y + 20 + index as u32 * STEP;
        let Some(figure) = figure(column) else {
            text(body, (x + 6, top + 10), "11", "#888888", "-");
            continue;
        };
        let width = (u64::from(PANEL - FIGURE) * figure / most).max(1) as u32;
        rect(body, (x, top), (width, BAR), colour(report, column), &column.head());
        text(body, (x + width + 6, top + 10), "11", "#444444", &unit.show(figure));
    }
}

fn rect(body: &mut String, (x, y): (u32, u32), (width, height): (u32, u32), fill: &str, hint: &str) {
    // Writing to a String cannot fail, here and below. No text has a character that XML writes otherwise.
    let _ = write!(body, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"");
    let _ =
        if hint.is_empty() { writeln!(body, "/>") } else { writeln!(body, "><title>{hint}</title></rect>") };
}

fn text(body: &mut String, (x, y): (u32, u32), size: &str, colour: &str, text: &str) {
    let _ = writeln!(body, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{colour}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    fn committed(name: &str) -> String {
        let path = root().join("docs").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// `bench --from docs/benchmarks.json --docs` makes them so.
    #[test]
    fn the_documentation_shows_its_own_figures() {
        let report = Report::read(&committed("benchmarks.json")).expect("benchmarks.json is a report");
        assert!(chart(&report) == committed("benchmarks.svg"), "benchmarks.svg is of other figures");
        let page = committed("benchmarks.md");
        assert!(
            page.contains(&report.markdown()),
            "benchmarks.md has other tables than:\n{}",
            report.markdown()
        );
    }

    /// The account of each path: its steps are all of it, and what the benchmark reads is a figure of a partition's.
    #[test]
    fn the_account_adds_up() {
        let report = Report::read(&committed("benchmarks.json")).expect("benchmarks.json is a report");
        let is_read = |reads| {
            let mut columns = report.columns.iter().filter(|column| column.name == "mediated");
            columns.any(|column| column.figures.values().any(|figure| *figure == reads))
        };
        let mut rows = 0;
        for line in committed("benchmarks.md").lines() {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [_, steps @ .., el2, last] = &cells[..] else { continue };
            let number = |cell: &&str| cell.parse::<u64>().ok();
            let (Some(steps), Some(el2), 6) =
                (steps.iter().map(number).collect::<Option<Vec<_>>>(), number(el2), steps.len())
            else {
                continue;
            };
            let own =
                last.split_once(": ").map_or(Some(0), |(own, _)| own.trim_start_matches('+').parse().ok());
            let reads = last.rsplit(' ').next().and_then(|reads| reads.parse().ok());
            assert_eq!(steps.iter().sum::<u64>(), el2, "{line}");
            assert_eq!(own.map(|own| el2 + own), reads, "{line}");
            assert!(reads.is_some_and(is_read), "nothing reads so: {line}");
            rows += 1;
        }
        assert!(rows >= 8, "{rows} rows of the account");
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let column = |name: &str, figure| Column {
            gic: 3,
            name: name.to_owned(),
            figures: [("gicd-read".to_owned(), figure)].into(),
        };
        let columns = vec![column("mediated", 60), column("mediated+guard", 999), column("xen", 600)];
        let svg = chart(&Report { columns, skipped: Vec::new() });
        let full = PANEL - FIGURE;
        assert!(svg.contains(&format!("width=\"{full}\" height=\"{BAR}\" fill=\"{OTHER}\"")), "{svg}");
        assert!(
            svg.contains(&format!("width=\"{}\" height=\"{BAR}\" fill=\"{}\"", full / 10, PATHS[0])),
            "{svg}"
        );
        assert!(!svg.contains("999"), "{svg}");
    }
}
