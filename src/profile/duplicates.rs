//! Rows and columns that are there twice.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

use super::column::{ColumnProfile, Role};
use super::data::Data;

/// What is there twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Duplicates {
    /// Rows that equal an earlier one in all columns.
    pub rows: usize,
    /// Rows in which all signals have the value of the row before: nothing new was read. `None` with fewer than two signals.
    pub frozen_rows: Option<usize>,
    /// Columns that equal an earlier one in all rows: the earlier, the later.
    pub columns: Vec<(String, String)>,
}

pub(super) fn duplicates(data: &Data<'_>, columns: &[ColumnProfile], series: &[Vec<usize>]) -> Duplicates {
    let mut hashes = vec![0u64; data.rows];
    let mut by_column: HashMap<u64, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for (c, values) in data.columns.iter().enumerate() {
        let mut all = DefaultHasher::new();
        for (row, hash) in hashes.iter_mut().enumerate() {
            // a text by itself: its number depends on the order of the column
            let mut one = DefaultHasher::new();
            (values.text(row), values.key(row).filter(|k| !k.0)).hash(&mut one);
            let cell = one.finish();
            *hash = hash.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ cell;
            all.write_u64(cell);
        }
        if !matches!(columns[c].role, Role::Constant | Role::Empty) {
            let first = *by_column.entry(all.finish()).or_insert(c);
            if first != c {
                pairs.push((data.columns[first].name.to_string(), values.name.to_string()));
            }
        }
    }
    let distinct: HashSet<u64> = hashes.into_iter().collect();
    Duplicates { rows: data.rows - distinct.len(), frozen_rows: frozen(data, columns, series), columns: pairs }
}

fn frozen(data: &Data<'_>, columns: &[ColumnProfile], series: &[Vec<usize>]) -> Option<usize> {
    let signals: Vec<usize> = (0..columns.len()).filter(|c| columns[*c].role == Role::Signal).collect();
    if signals.len() < 2 {
        return None;
    }
    let same = |w: &&[usize]| {
        let equal = |c: &usize| {
            let values = &data.columns[*c];
            values.key(w[0]).is_some() && values.key(w[0]) == values.key(w[1])
        };
        signals.iter().all(equal)
    };
    Some(series.iter().flat_map(|rows| rows.windows(2)).filter(same).count())
}
