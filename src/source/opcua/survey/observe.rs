//! How often variables come and whether they change: a subscription for a while, as the gateway would have it.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::{MonitoredItem, OnSubscriptionNotification, Session};
use opcua::types::{DataValue, Error, ExtensionObject, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId};
use parking_lot::Mutex;

use super::super::request;
use crate::profile::Activity;
use crate::source::emit::now;
use crate::types::{Timestamp, Value};
use crate::wire::opcua as wire;

/// Variables that are watched at most: what the smallest servers take.
const MOST: usize = 1_000;
const PUBLISHING: Duration = Duration::from_millis(250);
const QUEUE: u32 = 100;
/// Asked for; the server raises it to what it can.
const SAMPLING_MS: f64 = 50.0;

#[derive(Clone, Default)]
struct Seen {
    updates: u32,
    changes: u32,
    fell: bool,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    value: Option<Value>,
}

struct Watcher(Arc<Mutex<Vec<Seen>>>);

impl OnSubscriptionNotification for Watcher {
    fn on_data_value(&mut self, data: DataValue, item: &MonitoredItem) {
        let mut all = self.0.lock();
        if let Some(seen) = (item.client_handle() as usize).checked_sub(1).and_then(|k| all.get_mut(k)) {
            seen.take(data);
        }
    }
}

impl Seen {
    fn take(&mut self, data: DataValue) {
        let Some(value) = data.value.as_ref().and_then(wire::to_value) else { return };
        let time = data.source_timestamp.or(data.server_timestamp).map_or_else(now, |t| wire::from_date_time(&t));
        self.updates += 1;
        self.first.get_or_insert(time);
        self.last = Some(time);
        if let Some(before) = self.value.as_ref().filter(|before| **before != value) {
            self.changes += 1;
            self.fell |= matches!((before.number(), value.number()), (Some(before), Some(now)) if now < before);
        }
        self.value = Some(value);
    }

    fn activity(&self) -> Activity {
        let span = self.first.zip(self.last).map(|(first, last)| last.since(first).as_secs_f64()).filter(|s| *s > 0.0);
        Activity {
            updates: self.updates,
            changes: self.changes,
            rising: self.changes > 0 && !self.fell,
            period: span.filter(|_| self.updates > 1).map(|s| s / f64::from(self.updates - 1)),
        }
    }
}

/// Watches the first thousand; those that the server does not take are not in the answer.
pub(super) async fn observe(
    session: &Session,
    wanted: &[(usize, NodeId)],
    time: Duration,
    limit: &mut usize,
) -> Result<Vec<(usize, Activity)>, Error> {
    let wanted = &wanted[..wanted.len().min(MOST)];
    let seen = Arc::new(Mutex::new(vec![Seen::default(); wanted.len()]));
    let subscription = session.create_subscription(PUBLISHING, 1_000, 4, 0, 0, true, Watcher(seen.clone())).await?;
    let items: Vec<_> = wanted.iter().enumerate().map(|(k, (_, node))| item(k, node)).collect();
    let results = request::create_items(session, subscription, &items, limit).await?;
    tokio::time::sleep(time).await;
    let _ = session.delete_subscription(subscription).await;
    let seen = seen.lock();
    let taken = wanted.iter().zip(results).zip(seen.iter()).filter(|((_, result), _)| result.status_code.is_good());
    Ok(taken.map(|(((k, _), _), seen)| (*k, seen.activity())).collect())
}

fn item(number: usize, node: &NodeId) -> MonitoredItemCreateRequest {
    MonitoredItemCreateRequest {
        item_to_monitor: request::value_of(node.clone()),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: u32::try_from(number + 1).unwrap_or(u32::MAX),
            sampling_interval: SAMPLING_MS,
            filter: ExtensionObject::null(),
            queue_size: QUEUE,
            discard_oldest: true,
        },
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{DateTime, Variant};

    use super::*;

    fn data(ms: i64, x: f64) -> DataValue {
        let time = wire::to_date_time(Timestamp::from_nanos(ms * 1_000_000));
        DataValue { value: Some(Variant::Double(x)), source_timestamp: Some(time), ..DataValue::null() }
    }

    #[test]
    fn updates_changes_and_periods_are_counted() {
        let mut seen = Seen::default();
        for (ms, x) in [(0, 1.0), (100, 1.0), (200, 2.0), (300, 3.0)] {
            seen.take(data(ms, x));
        }
        seen.take(DataValue { value: None, source_timestamp: Some(DateTime::null()), ..DataValue::null() });
        let activity = seen.activity();
        assert_eq!((activity.updates, activity.changes, activity.rising), (4, 2, true));
        assert!((activity.period.unwrap() - 0.1).abs() < 1e-9, "{activity:?}");
        seen.take(data(400, 0.0));
        assert!(!seen.activity().rising);
        assert_eq!(Seen::default().activity().period, None);
    }
}
