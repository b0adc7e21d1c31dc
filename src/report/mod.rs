//! Reports that people read: one HTML page, whole in itself, without scripts. Pure: no clock, no files; the time of making comes in as data.
//!
//! ```text
//!              ┌─ html: escaping, numbers, tables, the page and its style
//! comparison ──┤
//!              └─ svg: distributions, histories, strips, bars, heat maps ◀── bins: shared bins of two samples
//! ```

pub mod bins;
pub mod html;
pub mod profile;
pub mod svg;

#[cfg(test)]
mod check;
