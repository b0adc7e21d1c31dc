//! Reports that people read: one HTML page, whole in itself, without scripts. Pure: no clock, no files; the time of making comes in as data.
//!
//! ```text
//! comparison ─┐   ┌─ html: escaping, numbers, tables, the page and its style
//!             ├──▶┤
//! run ────────┘   └─ svg: distributions, histories, strips, bars, heat maps ◀── bins: shared bins of two samples
//! ```

pub mod bins;
pub mod comparison;
pub mod html;
pub mod profile;
pub mod run;
pub mod svg;

#[cfg(test)]
mod check;

/// What a report is about, beyond what was computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Heading: what was looked at.
    pub subject: String,
    /// More facts for the head of the page, as name and value; plain text.
    pub facts: Vec<(String, String)>,
    /// When it was made, as text; empty where that is not to be said.
    pub made: String,
}

impl About {
    fn footer(&self) -> String {
        let made = if self.made.is_empty() { String::new() } else { format!(" on {}", html::escape(&self.made)) };
        format!(
            "Made{made} by driftgate {}. This page is whole in itself: it fetches nothing and runs no script.",
            env!("CARGO_PKG_VERSION")
        )
    }
}
