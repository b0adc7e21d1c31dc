use std::collections::VecDeque;

/// Holds each row back until its label is due: gives the item of `delay` rows ago.
///
/// ```
/// use driftgate::drift::performance::DelayLine;
///
/// let mut line = DelayLine::new(2);
/// assert_eq!([1, 2, 3, 4].map(|row| line.push(row)), [None, None, Some(1), Some(2)]);
/// ```
#[derive(Clone, Debug)]
pub struct DelayLine<T> {
    delay: usize,
    waiting: VecDeque<T>,
}

impl<T> DelayLine<T> {
    /// `delay` rows; with 0 each row comes back at once.
    pub fn new(delay: usize) -> Self {
        Self { delay, waiting: VecDeque::with_capacity(delay + 1) }
    }

    /// The present row in, the row of `delay` rows ago out.
    pub fn push(&mut self, item: T) -> Option<T> {
        self.waiting.push_back(item);
        if self.waiting.len() > self.delay { self.waiting.pop_front() } else { None }
    }
}
