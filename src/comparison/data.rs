//! Tables in memory: columns of numbers and texts with gaps.

use std::collections::HashMap;

/// One value of a column.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// Nothing, or a number that is not finite.
    Missing,
    Number(f64),
    Text(&'a str),
}

/// The values of one column, one a row.
#[derive(Clone, Debug, Default)]
pub struct Column {
    pub name: String,
    /// NaN where there is no number.
    numbers: Vec<f64>,
    /// Which text stands in which row, by row; most columns have none.
    texts: HashMap<usize, usize>,
    labels: Vec<String>,
    by_label: HashMap<String, usize>,
    infinite: usize,
}

impl Column {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Appends the value of the next row.
    pub fn push(&mut self, entry: Entry<'_>) {
        let row = self.numbers.len();
        self.infinite += usize::from(matches!(entry, Entry::Number(x) if x.is_infinite()));
        self.numbers.push(match entry {
            Entry::Number(x) if x.is_finite() => x,
            _ => f64::NAN,
        });
        if let Entry::Text(text) = entry {
            let label = self.by_label.get(text).copied().unwrap_or_else(|| {
                self.labels.push(text.to_string());
                self.by_label.insert(text.to_string(), self.labels.len() - 1);
                self.labels.len() - 1
            });
            self.texts.insert(row, label);
        }
    }

    /// Rows, with or without a value.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Infinite numbers that were appended, as gaps.
    pub fn infinite(&self) -> usize {
        self.infinite
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The value of a row; [`Entry::Missing`] beyond the end.
    pub fn get(&self, row: usize) -> Entry<'_> {
        match (self.numbers.get(row), self.texts.get(&row)) {
            (_, Some(label)) => Entry::Text(&self.labels[*label]),
            (Some(x), None) if x.is_finite() => Entry::Number(*x),
            _ => Entry::Missing,
        }
    }
}

/// Columns of the same number of rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub columns: Vec<Column>,
}

impl Table {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    /// The names of the columns in backticks, for messages.
    pub fn names(&self) -> String {
        self.columns.iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ")
    }
}

/// A value that can be sorted and compared: numbers by value (-0 is 0), then texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key<'a> {
    Number(u64),
    Text(&'a str),
}

impl<'a> Key<'a> {
    pub(super) fn of(entry: Entry<'a>) -> Option<Self> {
        match entry {
            Entry::Missing => None,
            Entry::Number(x) => {
                let bits = (x + 0.0).to_bits();
                // ascending like the numbers themselves
                Some(Self::Number(if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }))
            }
            Entry::Text(text) => Some(Self::Text(text)),
        }
    }

    /// The value as text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(bits) => f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits }).to_string(),
            Self::Text(text) => (*text).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_numbers() {
        let numbers = [-1e9, -2.0, -1e-9, 0.0, 1e-9, 3.0, 1e9];
        let keys: Vec<_> = numbers.iter().map(|x| Key::of(Entry::Number(*x)).unwrap()).collect();
        assert!(keys.is_sorted());
        assert_eq!(Key::of(Entry::Number(-0.0)), Key::of(Entry::Number(0.0)));
        keys.iter().zip(numbers).for_each(|(key, x)| assert_eq!(key.text(), x.to_string()));
        assert!(Key::of(Entry::Text("a")) > Key::of(Entry::Number(1e300)));
    }

    #[test]
    fn a_column_keeps_numbers_texts_and_gaps() {
        let mut column = Column::new("a");
        let entries = [Entry::Number(1.5), Entry::Text("x"), Entry::Missing, Entry::Text("x")];
        entries.iter().for_each(|e| column.push(*e));
        column.push(Entry::Number(f64::INFINITY));
        assert_eq!((0..4).map(|r| column.get(r)).collect::<Vec<_>>(), entries);
        assert_eq!((column.get(4), column.get(9), column.len()), (Entry::Missing, Entry::Missing, 5));
    }
}
