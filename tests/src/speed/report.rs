//! All figures of a run: as tables for a terminal and for the documentation, and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Figures;
use super::rows::ROWS;

/// One system on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The GIC's version.
    pub gic: u64,
    /// `native`, how interrupts come to a partition (`+guard`: on a guarded core), or another hypervisor.
    pub name: String,
    /// Its figures; not every row applies everywhere.
    pub figures: Figures,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they are printed.
    pub columns: Vec<Column>,
    /// What was not, and why: lines for a person.
    pub skipped: Vec<String>,
}

impl Column {
    /// What a person reads above it.
    pub fn head(&self) -> String {
        match self.name.strip_suffix("+guard") {
            Some(path) => format!("{path}, guarded"),
            None if self.name == "xen" => "Xen 4.17".to_owned(),
            None => self.name.clone(),
        }
    }
}

impl Report {
    /// The columns of one GIC.
    pub fn of(&self, gic: u64) -> Vec<&Column> {
        self.columns.iter().filter(|column| column.gic == gic).collect()
    }

    /// Rows of one GIC that have a figure: label, and a cell for each column.
    fn cells(&self, gic: u64) -> Vec<(&'static str, &'static str, Vec<String>)> {
        let columns = self.of(gic);
        let rows = ROWS.iter().filter_map(|row| {
            let figures: Vec<_> = columns.iter().map(|column| column.figures.get(row.name)).collect();
            let cell = |figure: &Option<&u64>| figure.map_or_else(|| "-".to_owned(), |f| row.unit.show(*f));
            figures
                .iter()
                .any(Option::is_some)
                .then(|| (row.name, row.label, figures.iter().map(cell).collect()))
        });
        rows.collect()
    }

    /// For a terminal: a table for each GIC, with the rows' short names.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for gic in [3, 2] {
            let heads: Vec<String> = self.of(gic).iter().map(|column| column.head()).collect();
            line(&mut text, &format!("GICv{gic}"), &heads);
            for (name, _, cells) in self.cells(gic) {
                line(&mut text, name, &cells);
            }
            text.push('\n');
        }
        text
    }

    /// For the documentation.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for gic in [3, 2] {
            let heads: Vec<String> = self.of(gic).iter().map(|column| column.head()).collect();
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "| GICv{gic} | {} |", heads.join(" | "));
            let _ = writeln!(text, "|---|{}", "---:|".repeat(heads.len()));
            for (_, label, cells) in self.cells(gic) {
                let _ = writeln!(text, "| {label} | {} |", cells.join(" | "));
            }
            text.push('\n');
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let rows =
            ROWS.iter().map(|row| json!({"name": row.name, "label": row.label, "unit": row.unit.name()}));
        let columns = self
            .columns
            .iter()
            .map(|column| json!({"gic": column.gic, "name": column.name, "figures": column.figures}));
        let all = json!({
            "schema": 1,
            "rows": rows.collect::<Vec<_>>(),
            "columns": columns.collect::<Vec<_>>(),
            "skipped": self.skipped,
        });
        format!("{all:#}\n")
    }

    /// What [`Report::json`] wrote; none if it is something else.
    pub fn read(json: &str) -> Option<Report> {
        let all: Value = serde_json::from_str(json).ok()?;
        if all["schema"] != 1 {
            return None;
        }
        let column = |value: &Value| {
            let figures = value["figures"].as_object()?.iter();
            Some(Column {
                gic: value["gic"].as_u64()?,
                name: value["name"].as_str()?.to_owned(),
                figures: figures
                    .map(|(row, figure)| Some((row.clone(), figure.as_u64()?)))
                    .collect::<Option<_>>()?,
            })
        };
        let skipped = all["skipped"].as_array()?.iter().map(|why| why.as_str().map(str::to_owned));
        Some(Report {
            columns: all["columns"].as_array()?.iter().map(column).collect::<Option<_>>()?,
            skipped: skipped.collect::<Option<_>>()?,
        })
    }
}

fn line(text: &mut String, first: &str, cells: &[String]) {
    let _ =
        writeln!(text, "{first:24}{}", cells.iter().map(|cell| format!("{cell:>19}")).collect::<String>());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let column = |gic, name: &str, figures: &[(&str, u64)]| Column {
            gic,
            name: name.to_owned(),
            figures: figures.iter().map(|(row, figure)| ((*row).to_owned(), *figure)).collect(),
        };
        Report {
            columns: vec![
                column(3, "native", &[("timer-latency", 1)]),
                column(3, "mediated+guard", &[("timer-latency", 24), ("linux-share", 444)]),
                column(2, "xen", &[("isenabler-write", 1939)]),
            ],
            skipped: vec!["no time".to_owned()],
        }
    }

    #[test]
    fn json_keeps_everything() {
        assert_eq!(Report::read(&report().json()), Some(report()));
        assert_eq!(Report::read(&report().json().replace("\"schema\": 1", "\"schema\": 2")), None);
        assert_eq!(Report::read("{}"), None);
    }

    #[test]
    fn tables_have_the_rows_that_have_figures() {
        let markdown = report().markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert_eq!(lines[0], "| GICv3 | native | mediated, guarded |");
        assert!(lines[2].ends_with("has read the count | 1 | 24 |"), "{markdown}");
        assert_eq!(lines[3], "| the same as a share | - | 0.444 % |");
        assert!(markdown.contains("| GICv2 | Xen 4.17 |\n|---|---:|\n"), "{markdown}");
        assert!(markdown.trim_end().ends_with("| 1,939 |"), "{markdown}");
        assert!(report().text().contains(&format!("timer-latency{}1{}24\n", " ".repeat(29), " ".repeat(17))));
    }
}
