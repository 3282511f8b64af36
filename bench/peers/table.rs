//! Owns a Markdown table: a row for each measure, a column for each contender.

use std::fmt;

use crate::contender::Kind;

/// The columns are in the order of their first cells.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(String, Vec<(Kind, String)>)>,
}

impl Table {
    pub fn put(&mut self, row: &str, kind: Kind, cell: impl Into<String>) {
        let cell = (kind, cell.into());
        match self.rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, cells)) => cells.push(cell),
            None => self.rows.push((row.to_owned(), vec![cell])),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The cells of one row.
    pub fn row(&self, name: &str) -> Option<&[(Kind, String)]> {
        self.rows.iter().find(|(of, _)| of == name).map(|(_, cells)| cells.as_slice())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| self.rows.iter().any(|(_, cells)| cells.iter().any(|(of, _)| of == kind)))
            .collect();
        let names: Vec<&str> = columns.iter().map(|kind| kind.name()).collect();
        writeln!(f, "| | {} |", names.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(columns.len()))?;
        for (name, cells) in &self.rows {
            write!(f, "| {name} |")?;
            for column in &columns {
                let cell = cells.iter().find(|(of, _)| of == column).map_or("", |(_, cell)| cell);
                write!(f, " {cell} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
