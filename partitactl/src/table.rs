//! Aligned text. Columns are as wide as their widest cell; those of numbers are aligned to the right.

/// Rows under a heading.
#[derive(Debug)]
pub struct Table {
    /// Where numbers begin: this column and those behind it.
    numbers: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads; from column `numbers` on there are numbers.
    pub fn new(heads: &[&str], numbers: usize) -> Self {
        Self { numbers, rows: vec![heads.iter().map(|&head| head.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<_> =
            (0..columns).map(|column| cells(column).map(|cell| width(cell)).max().unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, wide)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(wide - width(cell));
                let (before, after) =
                    if column >= self.numbers { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line.extend([before, cell, after, "  "]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns that a cell takes: its letters, without the codes of its colour.
fn width(cell: &str) -> usize {
    let mut in_code = false;
    let shown = cell.chars().filter(|letter| {
        let code = in_code || *letter == '\x1b';
        in_code = code && *letter != 'm';
        !code
    });
    shown.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_colour() {
        let mut table = Table::new(&["name", "n", "rate"], 1);
        table.row(["\x1b[32mé\x1b[m", "1", "10.5"].map(str::to_owned).to_vec());
        table.row(["longer", "100", "1"].map(str::to_owned).to_vec());
        assert_eq!(table.text(), "name      n  rate\n\x1b[32mé\x1b[m         1  10.5\nlonger  100     1\n");
    }
}
