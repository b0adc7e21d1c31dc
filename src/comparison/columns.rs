//! What a column holds: numbers or classes.

use std::collections::{BTreeMap, BTreeSet};

use super::ComparisonError;
use super::data::{Column, Entry, Key, Table};
use super::regimes::Setting;
use crate::drift::metric::Kind;

/// Numbers with at most so many different values, each seen several times, are codes of classes.
const FEW_VALUES: usize = 5;
/// Rows a different value, at least, for that.
const ROWS_A_VALUE: usize = 4;
/// A column is of numbers where texts are at most one in so many values.
const TEXTS_ONE_IN: usize = 20;

/// Columns whose kind the user says, and columns to leave out.
#[derive(Clone, Debug, Default)]
pub struct KindOptions {
    pub numerical: Vec<String>,
    pub categorical: Vec<String>,
    pub ignore: Vec<String>,
}

/// A column to look at, on both sides; `None` where a side lacks it.
pub(super) struct Pair<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub reference: Option<&'a Column>,
    pub current: Option<&'a Column>,
}

/// The columns of both tables in the order of the reference, without settings and ignored ones.
///
/// `codes`: numbers of few different values are classes.
pub(super) fn pairs<'a>(
    reference: &'a Table,
    current: &'a Table,
    settings: &[Setting],
    kinds: &KindOptions,
    codes: bool,
) -> Result<Vec<Pair<'a>>, ComparisonError> {
    check(reference, current, kinds)?;
    let left_out = |name: &String| kinds.ignore.contains(name) || settings.iter().any(|s| s.name == *name);
    let only_current = current.columns.iter().filter(|c| reference.column(&c.name).is_none());
    let names = reference.columns.iter().chain(only_current).map(|c| &c.name).filter(|n| !left_out(n));
    let pairs: Vec<Pair<'a>> = names
        .map(|name| {
            let (r, c) = (reference.column(name), current.column(name));
            let kind = if kinds.numerical.contains(name) {
                Kind::Numerical
            } else if kinds.categorical.contains(name) {
                Kind::Categorical
            } else {
                detect(r, c, codes)
            };
            Pair { name, kind, reference: r, current: c }
        })
        .collect();
    if pairs.is_empty() { Err(ComparisonError::NoColumns) } else { Ok(pairs) }
}

fn check(reference: &Table, current: &Table, kinds: &KindOptions) -> Result<(), ComparisonError> {
    for (which, table) in [("reference", reference), ("current", current)] {
        if table.rows() == 0 {
            return Err(ComparisonError::Empty { which });
        }
        let named = kinds.numerical.iter().chain(&kinds.categorical).chain(&kinds.ignore);
        if let Some(column) = named.into_iter().find(|n| table.column(n).is_none()) {
            return Err(ComparisonError::NoColumn { which, column: column.clone(), has: table.names() });
        }
    }
    match kinds.numerical.iter().find(|n| kinds.categorical.contains(n)) {
        Some(column) => Err(ComparisonError::KindTwice { column: column.clone() }),
        None => Ok(()),
    }
}

fn detect(reference: Option<&Column>, current: Option<&Column>, codes: bool) -> Kind {
    let (mut numbers, mut texts) = (0, 0);
    let mut distinct = BTreeSet::new();
    for column in [reference, current].into_iter().flatten() {
        for entry in (0..column.len()).map(|row| column.get(row)) {
            match entry {
                Entry::Missing => {}
                Entry::Text(_) => texts += 1,
                Entry::Number(_) => {
                    numbers += 1;
                    if distinct.len() <= FEW_VALUES {
                        distinct.extend(Key::of(entry));
                    }
                }
            }
        }
    }
    let distinct = if codes { distinct.len() } else { 0 };
    kind_of(numbers, texts, distinct)
}

/// What a column holds of which so many rows are numbers (`distinct` different ones) and so many texts.
pub fn kind_of(numbers: usize, texts: usize, distinct: usize) -> Kind {
    let is_text = texts * TEXTS_ONE_IN > numbers + texts;
    // a single value is a signal that does not move, not a class
    let is_code = (2..=FEW_VALUES).contains(&distinct) && numbers >= ROWS_A_VALUE * distinct;
    if is_text || is_code { Kind::Categorical } else { Kind::Numerical }
}

/// The numbers of some rows; texts are left out.
pub(super) fn numbers(column: Option<&Column>, rows: &[usize]) -> Vec<f64> {
    let value = |row: &usize| match column.map(|c| c.get(*row)) {
        Some(Entry::Number(x)) => Some(x),
        _ => None,
    };
    rows.iter().filter_map(value).collect()
}

/// How often each class occurs in some rows of either side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes<'a> {
    /// The union, in order.
    pub keys: Vec<Key<'a>>,
    /// One entry a class.
    pub reference: Vec<u64>,
    pub current: Vec<u64>,
}

pub(super) fn counts<'a>(reference: (Option<&'a Column>, &[usize]), current: (Option<&'a Column>, &[usize])) -> Classes<'a> {
    let mut classes: BTreeMap<Key<'_>, (u64, u64)> = BTreeMap::new();
    for (column, rows, is_reference) in [(reference.0, reference.1, true), (current.0, current.1, false)] {
        let Some(column) = column else { continue };
        for key in rows.iter().filter_map(|row| Key::of(column.get(*row))) {
            let (r, c) = classes.entry(key).or_default();
            *(if is_reference { r } else { c }) += 1;
        }
    }
    let mut counted = Classes::default();
    for (key, (r, c)) in classes {
        counted.keys.push(key);
        counted.reference.push(r);
        counted.current.push(c);
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(entries: &[Entry<'_>]) -> Column {
        let mut column = Column::new("a");
        entries.iter().for_each(|e| column.push(*e));
        column
    }

    #[test]
    fn kinds_do_not_depend_on_the_unit() {
        for unit in [1e-9, 1.0, 1e9] {
            let codes: Vec<_> = (0..40).map(|i| Entry::Number(f64::from(i % 3) * unit)).collect();
            assert_eq!(detect(Some(&column(&codes)), None, true), Kind::Categorical);
            assert_eq!(detect(Some(&column(&codes)), None, false), Kind::Numerical);
            let signal: Vec<_> = (0..40).map(|i| Entry::Number(f64::from(i) * unit)).collect();
            assert_eq!(detect(Some(&column(&signal)), None, true), Kind::Numerical);
            assert_eq!(detect(Some(&column(&[Entry::Number(unit); 40])), None, true), Kind::Numerical);
        }
    }

    #[test]
    fn a_few_texts_among_numbers_do_not_make_classes() {
        let mut entries: Vec<_> = (0..40).map(|i| Entry::Number(f64::from(i))).collect();
        entries.push(Entry::Text("ERR"));
        assert_eq!(detect(Some(&column(&entries)), None, true), Kind::Numerical);
        assert_eq!(detect(Some(&column(&[Entry::Text("a"), Entry::Text("b")])), None, true), Kind::Categorical);
    }

    #[test]
    fn classes_of_both_sides_are_counted_in_order() {
        let r = column(&[Entry::Text("b"), Entry::Text("a"), Entry::Text("b")]);
        let c = column(&[Entry::Text("c"), Entry::Missing, Entry::Text("a")]);
        let counted = counts((Some(&r), &[0, 1, 2]), (Some(&c), &[0, 1, 2]));
        assert_eq!((counted.reference, counted.current), (vec![1, 2, 0], vec![1, 0, 1]));
        assert_eq!(counted.keys.iter().map(Key::text).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
