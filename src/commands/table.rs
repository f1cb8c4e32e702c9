//! Tables for people: a head, then rows, columns as wide as their widest cell.
//!
//! ```text
//!   TOPIC      PARTITIONS  REPLICAS
//!   greetings           3         1
//! ```

use std::io::{self, Write};

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table being filled.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has not as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().map(|cell| printable(&cell)).collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for every column");
        self.rows.push(cells);
    }

    /// Writes it; a table without rows as its head alone.
    ///
    /// # Errors
    /// What the sink says.
    pub fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        let head: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let widest = |column: usize| lines.iter().map(|line| width(&line[column])).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        for line in lines {
            writeln!(sink, "{}", self.line(line, &widths).trim_end())?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width_max), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let padding = " ".repeat(width_max - width(cell));
            match align {
                Align::Left => line.extend([cell, padding.as_str(), "  "]),
                Align::Right => line.extend([padding.as_str(), cell, "  "]),
            }
        }
        line
    }
}

/// Characters, which for what Kafka names are columns of the terminal.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// What comes from a broker cannot steer the terminal or break the table.
pub fn printable(text: &str) -> String {
    text.chars().map(|symbol| if symbol.is_control() { '\u{fffd}' } else { symbol }).collect()
}

/// What is not there.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Numbers as `1,2,3`.
pub fn joined(numbers: &[i32]) -> String {
    let texts: Vec<String> = numbers.iter().map(i32::to_string).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("NOTE", Align::Left)]);
        table.row(["greetings".to_owned(), "3".to_owned(), "x".to_owned()]);
        table.row(["ü".to_owned(), "1024".to_owned(), String::new()]);
        let mut text = Vec::new();
        table.write(&mut text).unwrap();
        let expected = "NAME          N  NOTE\ngreetings     3  x\nü          1024\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_name_with_control_characters_stays_on_its_line() {
        assert_eq!(printable("a\nb\x1b[2J"), "a\u{fffd}b\u{fffd}[2J");
    }
}
