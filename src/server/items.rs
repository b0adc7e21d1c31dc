//! Monitored items that need care, because of how the stack filters what it is given:
//!
//! - It drops a notification whose value equals the last one, also when the status differs. Two Bad statuses in a row both have
//!   no value, so they alternate between "no value" and "a null value": clients see the same, the stack sees a change. Where only
//!   Good and Uncertain change places, an item gets the next Double (a part in 10^16 off), and the exact one at the change after
//!   it; of a value that is no Double it gets a null value in between.
//! - An item with a sampling interval gets its values decimated and their source timestamps rewritten. At creation the interval is
//!   revised to (nearly) zero. Where that is not possible (-1 at creation, any interval set later) values go without a source
//!   timestamp, which the stack passes on as they are; the server timestamp says the same time.
//! - Between the first read of an item and its registration a change can be missed, and an item that was disabled has missed
//!   some: such items get the present value once more, which the stack drops unless it is news.

use std::collections::HashSet;

use opcua::server::{CreateMonitoredItem, MonitoredItemHandle};
use opcua::types::{DataValue, NodeId, StatusCode, Variant};

/// Positive, so that it replaces a larger interval; below the stack's resolution of a microsecond, so that it acts as zero.
const EVERY_CHANGE_MS: f64 = 1e-9;

#[derive(Default)]
pub(super) struct Items {
    without_source_time: HashSet<MonitoredItemHandle>,
    /// Items whose last value was the next Double.
    nudged: HashSet<MonitoredItemHandle>,
    /// Nodes whose last Bad status went out as "no value" instead of "a null value".
    odd: HashSet<NodeId>,
    /// Items to be given the present value again: the ones of the last beat, and of the one before.
    recheck: [Vec<(MonitoredItemHandle, NodeId)>; 2],
}

impl Items {
    /// An item is about to be created with `value` as its first.
    pub(super) fn created(&mut self, item: &mut CreateMonitoredItem, mut value: DataValue) {
        let (handle, node) = (item.handle(), item.item_to_monitor().node_id.clone());
        if item.sampling_interval() < 0.0 {
            self.without_source_time.insert(handle);
        } else if item.sampling_interval() > 0.0 {
            item.revise_sampling_interval(EVERY_CHANGE_MS);
        }
        if is_null(&value) && self.odd.contains(&node) {
            value.value = None;
        }
        self.recheck[0].push((handle, node));
        item.set_initial_value(value);
        item.set_status(StatusCode::Good);
    }

    /// The client has changed the sampling interval (ms; 0: every change).
    pub(super) fn modified(&mut self, handle: MonitoredItemHandle, sampling_interval: f64) {
        if sampling_interval == 0.0 {
            self.without_source_time.remove(&handle);
        } else {
            self.without_source_time.insert(handle);
        }
    }

    /// The item reports again after it was disabled.
    pub(super) fn enabled(&mut self, handle: MonitoredItemHandle, node: &NodeId) {
        self.recheck[0].push((handle, node.clone()));
    }

    pub(super) fn deleted(&mut self, handle: MonitoredItemHandle) {
        self.without_source_time.remove(&handle);
        self.nudged.remove(&handle);
    }

    /// What an item is given of a new value of its node; `status_only`: the value is the old one.
    pub(super) fn forms(&mut self, handle: &MonitoredItemHandle, value: &DataValue, status_only: bool) -> (Option<DataValue>, DataValue) {
        let mut given = self.adapt(handle, value);
        let was_nudged = self.nudged.remove(handle);
        if !status_only || was_nudged {
            return (None, given);
        }
        if let Some(Variant::Double(x)) = given.value {
            given.value = Some(Variant::Double(x.next_up()));
            self.nudged.insert(*handle);
            return (None, given);
        }
        let between = DataValue { value: Some(Variant::Empty), status: Some(StatusCode::Uncertain), ..given.clone() };
        (Some(between), given)
    }

    /// `value` in the form that the items of `node` will not take for the `last` one.
    pub(super) fn distinct(&mut self, node: &NodeId, last: &DataValue, mut value: DataValue) -> DataValue {
        if !is_null(&value) {
            return value;
        }
        let odd = match (self.odd.contains(node), is_null(last) && last.status != value.status) {
            (true, true) => {
                self.odd.remove(node);
                false
            }
            (false, true) => {
                self.odd.insert(node.clone());
                true
            }
            (odd, false) => odd,
        };
        value.value = if odd { None } else { Some(Variant::Empty) };
        value
    }

    /// `value` as the item can be given it.
    pub(super) fn adapt(&self, handle: &MonitoredItemHandle, value: &DataValue) -> DataValue {
        let mut value = value.clone();
        if self.without_source_time.contains(handle) {
            value.source_timestamp = None;
        }
        value
    }

    /// Items that wait for the present value, and were registered at least one beat ago or never will be.
    pub(super) fn due(&mut self) -> Vec<(MonitoredItemHandle, NodeId)> {
        let due = std::mem::take(&mut self.recheck[1]);
        self.recheck.swap(0, 1);
        due
    }

    /// The form in which a present value without value is known to the items of `node`.
    pub(super) fn present(&self, node: &NodeId, mut value: DataValue) -> DataValue {
        if is_null(&value) && self.odd.contains(node) {
            value.value = None;
        }
        value
    }
}

pub(super) fn is_null(value: &DataValue) -> bool {
    matches!(value.value, None | Some(Variant::Empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(status: StatusCode) -> DataValue {
        DataValue { value: Some(Variant::Empty), status: Some(status), ..DataValue::default() }
    }

    #[test]
    fn changes_of_a_bad_status_differ_in_form_and_repetitions_do_not() {
        let (mut items, node) = (Items::default(), NodeId::new(2, "a"));
        let (waiting, lost) = (bad(StatusCode::BadWaitingForInitialData), bad(StatusCode::BadCommunicationError));
        let first = items.distinct(&node, &waiting, lost.clone());
        assert_eq!(first.value, None);
        let repeated = items.distinct(&node, &lost, lost.clone());
        assert_eq!(repeated.value, None);
        let second = items.distinct(&node, &lost, waiting.clone());
        assert_eq!(second.value, Some(Variant::Empty));
        // From a value to none the form does not matter, and it is left as it is.
        let good = DataValue::new_now(1.0);
        assert_eq!(items.distinct(&node, &good, lost).value, Some(Variant::Empty));
        assert_eq!(items.distinct(&node, &waiting, good.clone()).value, good.value);
    }

    #[test]
    fn a_status_alone_is_a_change_to_the_stack() {
        let mut items = Items::default();
        let one = MonitoredItemHandle { subscription_id: 1, monitored_item_id: 2 };
        let index = DataValue::new_now(0.5);
        let exact = Some(Variant::Double(0.5));
        let (between, first) = items.forms(&one, &index, true);
        assert!(between.is_none() && first.value != exact, "another Double");
        assert!(matches!(first.value, Some(Variant::Double(x)) if (x - 0.5).abs() < 1e-15));
        assert_eq!(items.forms(&one, &index, true).1.value, exact, "and back");
        assert_ne!(items.forms(&one, &index, true).1.value, exact);
        assert_eq!(items.forms(&one, &index, false).1.value, exact, "a new value is exact");
        let flag = DataValue::new_now(true);
        let (between, given) = items.forms(&one, &flag, true);
        assert!(between.is_some_and(|b| is_null(&b)) && given == flag);
        assert_eq!(items.forms(&one, &flag, false), (None, flag));
    }

    #[test]
    fn an_interval_that_decimates_costs_the_source_time() {
        let mut items = Items::default();
        let handle = MonitoredItemHandle { subscription_id: 1, monitored_item_id: 2 };
        let value = DataValue::new_now(1.0);
        items.modified(handle, 1000.0);
        assert_eq!(items.adapt(&handle, &value).source_timestamp, None);
        items.modified(handle, 0.0);
        assert_eq!(items.adapt(&handle, &value), value);
    }

    #[test]
    fn items_are_due_after_a_full_beat() {
        let mut items = Items::default();
        let handle = MonitoredItemHandle { subscription_id: 1, monitored_item_id: 2 };
        items.enabled(handle, &NodeId::new(2, "a"));
        assert!(items.due().is_empty());
        assert_eq!(items.due().len(), 1);
        assert!(items.due().is_empty());
    }
}
