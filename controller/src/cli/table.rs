//! Aligned columns.

use super::Style;

/// One cell: its text, and how it is painted.
#[derive(Clone, Debug)]
struct Cell {
    text: String,
    paint: fn(Style, &str) -> String,
}

/// A table. Columns whose heading begins with `>` are aligned to the right.
#[derive(Clone, Debug)]
pub struct Table {
    style: Style,
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

fn as_is(_: Style, text: &str) -> String {
    text.to_owned()
}

impl Table {
    /// An empty table.
    pub fn new(style: Style, headings: &[&'static str]) -> Self {
        Self {
            style,
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }
    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.painted(as_is, cells);
    }
    /// Adds a row, painted.
    pub fn painted(&mut self, paint: fn(Style, &str) -> String, cells: impl IntoIterator<Item = String>) {
        self.rows
            .push(cells.into_iter().map(|text| Cell { text, paint }).collect());
    }
    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|heading| length(title(heading))).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(&cell.text));
            }
        }
        widths
    }
}

fn title(heading: &str) -> &str {
    heading.strip_prefix('>').unwrap_or(heading)
}

/// Width in columns: names are ASCII, and `µ`, `→`, `·` are one column wide.
fn length(text: &str) -> usize {
    text.chars().count()
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths();
        let headings = self.headings.iter().map(|heading| Cell {
            text: title(heading).to_owned(),
            paint: Style::bold,
        });
        let first = headings.collect();
        for row in std::iter::once(&first).chain(&self.rows) {
            let mut line = String::new();
            let mut owed = 0;
            for ((cell, width), heading) in row.iter().zip(&widths).zip(&self.headings) {
                let pad = width.saturating_sub(length(&cell.text));
                let (before, after) = if heading.starts_with('>') { (pad, 0) } else { (0, pad) };
                if !cell.text.is_empty() {
                    line.push_str(&" ".repeat(owed + before));
                    line.push_str(&(cell.paint)(self.style, &cell.text));
                    owed = after + 2;
                } else {
                    owed += before + after + 2;
                }
            }
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_blanks() {
        let mut table = Table::new(Style::plain(), &["NAME", ">P50", "WHY"]);
        table.row(["a".to_owned(), "850 µs".to_owned(), String::new()]);
        table.row(["long-name".to_owned(), "2 ms".to_owned(), "far".to_owned()]);
        table.row([String::new(), "1 s".to_owned(), "near".to_owned()]);
        insta::assert_snapshot!(table.to_string(), @r"
        NAME          P50  WHY
        a          850 µs
        long-name    2 ms  far
                      1 s  near
        ");
    }
}
