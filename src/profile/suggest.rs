//! Numbers to start a configuration with.

use serde::Serialize;

use super::column::{ColumnProfile, Role};
use super::combinations::Combinations;
use super::order::Stationarity;
use super::settings::{MOST_REGIMES, REGIME_ROWS};

/// Independent values that a window should hold.
const INDEPENDENT: f64 = 30.0;
/// Default and highest number of rows of a window.
const WINDOW_ROWS: (usize, usize) = (200, 10_000);
/// Rows to learn from, where there are so many.
const LEARN_ROWS: usize = 1_000;
/// Slots for regimes beyond those that were seen.
const SPARE_SLOTS: usize = 2;
/// Default number of slots.
const SLOTS: usize = 8;

/// Where to start from.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Suggested {
    /// Rows of a window in which three quarters of the signals have at least 30 independent values, at most a fifth of the longest series;
    /// `None` where no signal has a level.
    pub window_rows: Option<usize>,
    /// Rows that a signal remembers, of which three quarters of the signals remember less; `None` likewise.
    pub memory_rows: Option<f64>,
    pub regime_slots: usize,
    /// Rows of the longest series in which each of its combinations can be learned; `None` where it is too short.
    pub learn_rows: Option<usize>,
}

pub(super) fn suggest(columns: &[ColumnProfile], combinations: &Combinations, series: &[Vec<usize>]) -> Suggested {
    let orders = columns.iter().filter(|c| c.role == Role::Signal).filter_map(|c| c.order.as_ref());
    let mut memories: Vec<f64> = orders.filter(|o| o.stationarity != Stationarity::Wanders).map(|o| o.memory).collect();
    memories.sort_by(f64::total_cmp);
    let memory_rows = (!memories.is_empty()).then(|| memories[(memories.len() * 3 / 4).min(memories.len() - 1)]);
    let enough = combinations.list.iter().filter(|c| c.enough).count();
    // a window of most of the recording has nothing to be compared with
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    let most = (longest / 5 / 50 * 50).clamp(WINDOW_ROWS.0, WINDOW_ROWS.1);
    Suggested {
        window_rows: memory_rows.map(|m| ((m * INDEPENDENT / 50.0).ceil() as usize * 50).clamp(WINDOW_ROWS.0, most)),
        memory_rows,
        regime_slots: (enough + SPARE_SLOTS).clamp(SLOTS, MOST_REGIMES),
        learn_rows: learn_rows(combinations, series),
    }
}

/// Up to the row at which the combinations of the longest series have enough rows; a fifth of it is left to be judged.
fn learn_rows(combinations: &Combinations, series: &[Vec<usize>]) -> Option<usize> {
    let rows = series.iter().max_by_key(|rows| rows.len())?;
    let most = rows.len() * 4 / 5;
    if most < REGIME_ROWS {
        return None;
    }
    if combinations.list.is_empty() {
        return Some(LEARN_ROWS.clamp(REGIME_ROWS, most));
    }
    let mut counts = vec![0; combinations.list.len()];
    let mut last = None;
    for (i, row) in rows.iter().enumerate() {
        if let Some(count) = counts.get_mut(combinations.of_row[*row] as usize) {
            *count += 1;
            // a combination that comes late is learned in operation, or with `train`
            if *count == REGIME_ROWS && i < most {
                last = Some(i + 1);
            }
        }
    }
    last.map(|last| last.max(LEARN_ROWS).min(most)).filter(|rows| *rows >= REGIME_ROWS)
}
