//! What people have said was true, by row.

use std::collections::HashMap;

use crate::types::{Event, EventKind, Timestamp};

/// One label.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub(super) class: u16,
    /// NaN where none was given.
    pub(super) value: f64,
    /// The larger, the later it was said.
    order: usize,
}

/// Labels of one machine. Of two for the same row the later one counts.
#[derive(Debug, Default)]
pub(super) struct Labels {
    rows: HashMap<u64, Label>,
    spans: Vec<(Timestamp, Timestamp, Label)>,
}

impl Labels {
    /// From the events in the order in which they happened.
    pub(super) fn of(machine: &str, events: &[Event]) -> Self {
        let mut labels = Self::default();
        for (order, event) in events.iter().enumerate().filter(|(_, e)| *e.unit == *machine) {
            let EventKind::Label { prediction, from, to, class, value, .. } = &event.kind else { continue };
            let label = Label { class: *class, value: *value, order };
            if prediction.is_empty() {
                labels.spans.push((*from, *to, label));
            } else if let Some(row) = prediction.rsplit('-').next().and_then(|row| row.parse().ok()) {
                labels.rows.insert(row, label);
            }
        }
        labels
    }

    /// The same, of spans only those that touch the given one.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> Between<'_> {
        let spans = self.spans.iter().filter(|(first, last, _)| *first <= to && *last >= from);
        Between { rows: &self.rows, spans: spans.collect() }
    }
}

/// Labels of some consecutive rows.
pub(super) struct Between<'a> {
    rows: &'a HashMap<u64, Label>,
    spans: Vec<&'a (Timestamp, Timestamp, Label)>,
}

impl<'a> Between<'a> {
    pub(super) fn get(&self, row: u64, time: Timestamp) -> Option<&'a Label> {
        let of_span = self.spans.iter().rev().find(|(from, to, _)| (*from..=*to).contains(&time)).map(|(_, _, label)| label);
        of_span.into_iter().chain(self.rows.get(&row)).max_by_key(|label| label.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    fn label(unit: &str, prediction: &str, span: (i64, i64), class: u16) -> Event {
        let kind = EventKind::Label {
            prediction: prediction.into(),
            from: at(span.0),
            to: at(span.1),
            class,
            value: f64::NAN,
            comment: String::new(),
            user: "eva".into(),
            operator: "".into(),
        };
        Event { unit: unit.into(), row: 0, time: at(99), kind }
    }

    #[test]
    fn the_last_word_counts() {
        let events = [
            label("M", "M-5", (0, 0), 1),
            label("M", "", (4, 6), 2),
            label("M", "M-6", (0, 0), 3),
            label("N", "N-6", (0, 0), 9),
            label("M", "M-nonsense", (0, 0), 9),
        ];
        let labels = Labels::of("M", &events);
        let between = labels.between(at(0), at(10));
        let class = |row: u64| between.get(row, at(row as i64)).map(|l| l.class);
        assert_eq!((class(3), class(4), class(5), class(6), class(7)), (None, Some(2), Some(2), Some(3), None));
        assert!(labels.between(at(7), at(10)).get(4, at(4)).is_none(), "spans elsewhere are left out");
    }
}
