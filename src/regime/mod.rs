//! Settings -> regime: which combination of settings the machine runs at, and whether it was trained.
//!
//! A regime is a point in the space of the conditioning settings with its tolerance around it. Rows between two trained
//! regimes are outside the envelope too: it has gaps where nothing was trained.
//!
//! Continuous settings (`regression`) are no part of that point. Within each regime, [`Support`] knows where they were trained, with
//! gaps of its own, and [`Regression`] what they explain of the features.
//!
//! ```text
//!            setting leaves its tolerance              settle has passed
//!  Known ──────────────────────────────▶ Transient ──────────────────────▶ Known | Outside
//! ```

mod least_squares;
mod regression;
mod support;
mod table;
mod tracker;

pub use regression::Regression;
pub use support::{Point, Support};
pub use table::{Cell, Located, Regime, RegimeTable, SettingRule};
pub use tracker::{Place, RegimeTracker};
