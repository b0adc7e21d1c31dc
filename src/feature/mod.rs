//! Frame -> features: scalars as they are, statistics and spectrum bands of waveforms.
//!
//! A value that is not usable gives a missing feature (NaN), never a guess.

mod extract;
mod plausible;
mod waveform;

pub use extract::{Extracted, Extractor};
pub use plausible::PlausibilityCheck;
pub use waveform::Waveform;
