//! Aligned text. Columns are as wide as their widest cell; the last one is never padded.

/// Rows under a heading.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads.
    pub fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|&head| head.to_owned()).collect()] }
    }

    /// Adds a row; it may be shorter than the heads.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing under the heads.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The text, each line indented by `indent` blanks.
    pub fn text(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (cell, width) in row.iter().zip(&widths) {
                let padding = width - cell.chars().count();
                line.extend([cell.as_str(), &" ".repeat(padding + 2)]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["a", "long head", "c"]);
        table.row(["wide cell", "x"].map(str::to_owned));
        table.row(["é", "y", "z"].map(str::to_owned));
        assert_eq!(table.text(1), " a          long head  c\n wide cell  x\n é          y          z\n");
    }
}
