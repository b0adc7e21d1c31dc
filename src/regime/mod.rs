//! Settings -> regime: which combination of settings the machine runs at, and whether it was trained.
//!
//! A regime is a point in the space of the conditioning settings with its tolerance around it. Rows between two trained
//! regimes are outside the envelope too: it has gaps where nothing was trained.
//!
//! ```text
//!            setting leaves its tolerance              settle has passed
//!  Known ──────────────────────────────▶ Transient ──────────────────────▶ Known | Outside
//! ```

mod table;
mod tracker;

pub use table::{Cell, Located, Regime, RegimeTable, SettingRule};
pub use tracker::{Place, RegimeTracker};
