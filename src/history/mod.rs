//! What a variable was: which values of the past answer a question (raw), and what they come to (aggregates of OPC 10000-13).
//!
//! Pure: the past comes in through [`Past`], time as data.
//!
//! ```text
//! store ─values─▶ Gapped (what is missing is Bad) ─▶ raw ─▶ pages
//!                                                 └▶ aggregate ─▶ one value an interval
//! ```

mod aggregate;
mod gaps;
mod raw;

use std::ops::Range;

pub use aggregate::{Aggregate, Extent, Grade, Interval, Intervals, Processed, Rules, process};
pub use gaps::Gapped;
pub use raw::{Cursor, Invalid, Page, RawRequest};

use crate::types::{End, Historic, Timestamp};

/// The resolution of time in OPC UA, in nanoseconds: within it two times are the same.
pub const TICK: i64 = 100;
/// After all that can be kept.
pub const FOREVER: Timestamp = Timestamp::from_nanos(i64::MAX);

/// Where the values of one variable come from.
pub trait Past {
    /// Why it cannot be read.
    type Error;

    /// The `limit` values at one end of a range, oldest first, their times cut to whole ticks; the same in each call.
    fn values(&self, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, Self::Error>;
}

/// The time cut to whole ticks.
pub fn tick(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.as_nanos().div_euclid(TICK).saturating_mul(TICK))
}

/// The first time that is later to OPC UA.
fn after(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(tick(time).as_nanos().saturating_add(TICK))
}

/// A past in memory.
#[cfg(test)]
struct Memory(Vec<Historic>);

#[cfg(test)]
impl Past for Memory {
    type Error = std::convert::Infallible;

    fn values(&self, time: Range<Timestamp>, limit: usize, end: End) -> Result<Vec<Historic>, Self::Error> {
        let mut found: Vec<_> = self.0.iter().filter(|v| time.contains(&v.time)).cloned().collect();
        match end {
            End::Oldest => found.truncate(limit),
            End::Newest => drop(found.drain(..found.len().saturating_sub(limit))),
        }
        Ok(found)
    }
}
