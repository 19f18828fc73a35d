//! Columns for people: as wide as their widest cell, numbers to the right.

use std::fmt;

/// A table with a head.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|name| name.to_uppercase()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        // What others named may hold line ends and escape sequences: a terminal must not run them.
        let clean = |cell: String| {
            cell.chars()
                .map(|c| if c.is_control() { '\u{fffd}' } else { c })
                .collect()
        };
        self.rows.push(cells.into_iter().map(clean).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |i: usize| self.rows.iter().filter_map(move |row| row.get(i));
        let widths: Vec<usize> = (0..self.head.len())
            .map(|i| {
                let cells = column(i).chain(self.head.get(i));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let is_number =
            |cell: &String| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
        let numeric: Vec<bool> = (0..self.head.len())
            .map(|i| {
                column(i).any(is_number) && column(i).all(|cell| cell.is_empty() || is_number(cell))
            })
            .collect();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), numeric) in row.iter().zip(&widths).zip(&numeric) {
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                if *numeric {
                    line.extend([&padding, cell.as_str(), "  "]);
                } else {
                    line.extend([cell, padding.as_str(), "  "]);
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_and_disarms() {
        let mut table = Table::new(&["name", "ready"]);
        table.row(vec!["a\u{1b}[2J".into(), "7".into()]);
        table.row(vec!["größe".into(), "1234".into()]);
        assert_eq!(
            table.to_string(),
            "NAME   READY\na\u{fffd}[2J      7\ngröße   1234\n"
        );
    }
}
