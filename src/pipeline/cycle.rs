//! How long rows take, from frame to verdict: the longest of the last one to two minutes, over all machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Shared by all drivers and whoever shows it.
#[derive(Clone, Debug, Default)]
pub struct Cycles {
    inner: Arc<Inner>,
}

/// Nanoseconds; 0: no row.
#[derive(Debug, Default)]
struct Inner {
    present: AtomicU64,
    before: AtomicU64,
}

impl Cycles {
    /// Between two calls of [`Self::turn`].
    pub const SPAN: Duration = Duration::from_secs(60);

    /// One row was judged.
    pub fn add(&self, took: Duration) {
        self.inner.present.fetch_max(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A span is over: the one before it is forgotten.
    pub fn turn(&self) {
        self.inner.before.store(self.inner.present.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// ms; NaN without a row.
    pub fn longest(&self) -> f64 {
        let nanos = self.inner.present.load(Ordering::Relaxed).max(self.inner.before.load(Ordering::Relaxed));
        if nanos == 0 { f64::NAN } else { nanos as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_shown_for_one_span_more() {
        let cycles = Cycles::default();
        assert!(cycles.longest().is_nan());
        cycles.add(Duration::from_millis(3));
        cycles.add(Duration::from_millis(1));
        cycles.turn();
        cycles.add(Duration::from_millis(2));
        assert_eq!(cycles.longest(), 3.0);
        cycles.turn();
        assert_eq!(cycles.longest(), 2.0);
        cycles.turn();
        assert!(cycles.longest().is_nan());
    }
}
