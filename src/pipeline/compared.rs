//! Whole recorded files as tables, for a comparison.

use std::collections::HashSet;

use super::recorded::{Cell, Input, RecordedError, Table as File};
use crate::comparison::{Column, Entry, Table};

/// Texts that stand for no value, beside the empty one.
const GAPS: [&str; 6] = ["NA", "N/A", "#N/A", "null", "NULL", "None"];

/// Reads all columns of a file; those that the input sets come first and hide the file's own. `progress` is told the rows read.
///
/// # Errors
/// A file that cannot be opened or read.
pub fn read(input: &Input, progress: &mut dyn FnMut(u64)) -> Result<Table, RecordedError> {
    let mut file = File::open(&input.path)?;
    let fixed: Vec<(&str, Cell)> = input.set.iter().map(|(name, value)| (name.as_str(), fixed(value))).collect();
    let mut names: HashSet<String> = fixed.iter().map(|(name, _)| (*name).to_string()).collect();
    let mut columns: Vec<Column> = fixed.iter().map(|(name, _)| Column::new(*name)).collect();
    let mut wanted = Vec::new();
    for (index, name) in file.columns().iter().enumerate().filter(|(_, name)| !fixed.iter().any(|(f, _)| f == name)) {
        columns.push(Column::new(unique(name, index, &mut names)));
        wanted.push(index);
    }
    file.want(wanted);
    let (from, to) = input.rows.unwrap_or((1, u64::MAX));
    let mut cells = Vec::new();
    let mut row = 0;
    while row < to {
        row += 1;
        let more = file.next(&mut cells).map_err(|cause| RecordedError::Read { path: input.path.clone(), row, cause })?;
        if !more {
            break;
        }
        if row >= from {
            let values = fixed.iter().map(|(_, cell)| cell).chain(&cells);
            columns.iter_mut().zip(values).for_each(|(column, cell)| column.push(entry(cell)));
            progress(row);
        }
    }
    Ok(Table { columns })
}

fn fixed(value: &str) -> Cell {
    value.parse().map_or_else(|_| Cell::Text(value.to_string()), Cell::Number)
}

/// A column without a name gets its number; one with the name of an earlier column gets a number behind it.
fn unique(name: &str, index: usize, taken: &mut HashSet<String>) -> String {
    let base = if name.is_empty() { format!("column_{}", index + 1) } else { name.to_string() };
    let mut unique = base.clone();
    let mut again = 1;
    while !taken.insert(unique.clone()) {
        unique = format!("{base}.{again}");
        again += 1;
    }
    unique
}

fn entry(cell: &Cell) -> Entry<'_> {
    match cell {
        Cell::Empty => Entry::Missing,
        Cell::Number(x) => Entry::Number(*x),
        Cell::Text(text) if GAPS.contains(&text.as_str()) => Entry::Missing,
        Cell::Text(text) => Entry::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_columns_gaps_ranges_and_double_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "x,x,load\n1,a,9\n2,NA,9\nnan,b,9\n4,,9\n").unwrap();
        let input: Input = format!("{}@load=40@rows=2-3", path.display()).parse().unwrap();
        let table = read(&input, &mut |_| {}).unwrap();
        assert_eq!(table.names(), "`load`, `x`, `x.1`");
        let row = |r: usize| table.columns.iter().map(|c| c.get(r)).collect::<Vec<_>>();
        assert_eq!(table.rows(), 2);
        assert_eq!(row(0), [Entry::Number(40.0), Entry::Number(2.0), Entry::Missing]);
        assert_eq!(row(1), [Entry::Number(40.0), Entry::Missing, Entry::Text("b")]);
    }
}
