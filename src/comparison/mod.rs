//! One drift comparison of two tables, and the choice of a metric from labelled data. Pure: no clock, no I/O.
//!
//! ```text
//! reference ─┐                 ┌─ columns: numerical | categorical ─┐
//!            ├─▶ regimes ──────┤                                    ├─▶ metrics ─▶ Comparison
//! current   ─┘ (settings)      └─ rows of the same regime only ─────┘
//! ```

mod checks;
mod choose;
mod columns;
mod compare;
mod data;
mod regimes;
mod statistics;

pub use checks::CheckAnswer;
pub use choose::{Choice, ChooseOptions, ColumnChoice, MetricChoice, choose};
pub use columns::{KindOptions, kind_of};
pub use compare::{
    ColumnComparison, Comparison, MetricAnswer, Metrics, Mode, Options, RegimeRows, Samples, Summary, compare, compare_with,
};
pub use data::{Column, Entry, Table};
pub use regimes::{ParseSettingError, Setting};
pub use statistics::Statistics;

/// Why two tables cannot be compared at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    #[error("the {which} data have no rows; record some first")]
    Empty { which: &'static str },
    #[error("the {which} data have no column `{column}`; they have {has}")]
    NoColumn { which: &'static str, column: String, has: String },
    #[error("the column `{column}` is named twice, as numerical and as categorical; keep one")]
    KindTwice { column: String },
    #[error("the settings make {regimes} regimes, at most {most} can be compared; give a tolerance, such as --settings NAME~5")]
    ManyRegimes { regimes: usize, most: usize },
    #[error("the {which} data have {rows} rows, fewer than two windows of {window}; give more rows, or a smaller --window")]
    FewRows { which: &'static str, rows: usize, window: usize },
    #[error("no column is left to look at; name other columns, or other settings")]
    NoColumns,
}
