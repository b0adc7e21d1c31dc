//! What the PLC has queued while the connection was lost.
//!
//! A subscription lives on for a while without its connection, and its queues fill. They are fetched before it is given up:
//!
//! ```text
//! loss ─▶ the same session, or TransferSubscriptions into the new one ─▶ Republish of what was lost on its way
//!      ─▶ a new subscription beside the old one ─▶ the old one tells what it has, into a list ─▶ it is deleted, the list fills the gap
//! ```
//! The new subscription comes first, so that nothing is lost between the two. Asked once for each loss: a PLC that refuses any of it, or
//! does not answer, is served as if it had no queue. After a restart of the PLC nothing is asked for: its numbers may be somebody else's
//! subscriptions then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use opcua::client::{MonitoredItemMap, OnSubscriptionNotificationCore, Session, Subscription as Known, UARequest, services};
use opcua::types::{DataChangeNotification, DataValue, NotificationMessage, StatusChangeNotification, StatusCode};
use parking_lot::Mutex;

use super::gap::Filled;
use super::receive::Receiver;
use crate::types::Timestamp;
use crate::wire::opcua as wire;

/// Values that are kept for the filling of a gap, all tags together.
const MOST_QUEUED: usize = 50_000;
/// Messages that are asked for again.
const MOST_REPUBLISHED: u32 = 100;
/// The old subscription is done when it has told values so many publishing intervals younger than the new one.
const OVERLAP: u32 = 2;
/// Or when it has told nothing for so many publishing intervals, and for [`QUIET`].
const QUIET_INTERVALS: u32 = 3;
const QUIET: Duration = Duration::from_millis(300);
/// Or when so much time has gone, however it is: the news wait meanwhile.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Where the notifications of one subscription go: to the receiver, or into a list once it is an old one.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// Number of the last message that came; 0 before the first.
    sequence: AtomicU32,
    queued: Mutex<Option<Queued>>,
}

#[derive(Debug)]
struct Queued {
    values: Vec<(usize, DataValue)>,
    heard: Instant,
    /// Source time of the youngest value.
    newest: Timestamp,
}

impl Post {
    fn is_old(&self) -> bool {
        self.queued.lock().is_some()
    }

    fn begin(&self) {
        *self.queued.lock() = Some(Queued { values: Vec::new(), heard: Instant::now(), newest: Timestamp::MIN });
    }

    /// Gives the values back where they are news.
    fn take(&self, values: Vec<(usize, DataValue)>) -> Vec<(usize, DataValue)> {
        let mut queued = self.queued.lock();
        let Some(queued) = queued.as_mut() else { return values };
        queued.heard = Instant::now();
        let times = values.iter().filter_map(|(_, data)| data.source_timestamp.as_ref()).map(wire::from_date_time);
        queued.newest = times.max().map_or(queued.newest, |time| queued.newest.max(time));
        let room = MOST_QUEUED.saturating_sub(queued.values.len());
        queued.values.extend(values.into_iter().take(room));
        Vec::new()
    }

    /// Whether there is nothing more to come. `made`: when the new subscription was made, by the PLC's clock.
    fn is_drained(&self, made: Timestamp, interval: Duration) -> bool {
        let queued = self.queued.lock();
        let Some(queued) = queued.as_ref() else { return true };
        queued.newest >= made.plus(interval * OVERLAP) || queued.heard.elapsed() >= QUIET.max(interval * QUIET_INTERVALS)
    }
}

/// What a subscription calls with each message.
pub(super) struct Callback {
    pub receiver: Arc<Receiver>,
    pub post: Arc<Post>,
}

impl OnSubscriptionNotificationCore for Callback {
    fn on_subscription_notification(&mut self, message: NotificationMessage, _: MonitoredItemMap<'_>) {
        self.receive(message);
    }
}

impl Callback {
    fn receive(&self, message: NotificationMessage) {
        let notifications = message.notification_data.unwrap_or_default();
        if !notifications.is_empty() {
            self.post.sequence.store(message.sequence_number, Ordering::Relaxed);
        }
        for notification in notifications {
            if let Some(ended) = notification.inner_as::<StatusChangeNotification>() {
                if !self.post.is_old() {
                    tracing::warn!(status = %ended.status, "the PLC has ended the subscription");
                    self.receiver.end();
                }
            } else if let Some(changes) = notification.into_inner_as::<DataChangeNotification>() {
                let items = changes.monitored_items.into_iter().flatten();
                // Handles are tag numbers from 1: 0 would be replaced by the library.
                let values = items.filter_map(|item| Some(((item.client_handle as usize).checked_sub(1)?, item.value)));
                for (tag, data) in self.post.take(values.collect()) {
                    self.receiver.notified(tag, data);
                }
            }
        }
    }
}

/// A subscription that may outlive its connection.
#[derive(Clone)]
pub(super) struct Kept {
    pub id: u32,
    pub post: Arc<Post>,
    pub publishing_interval: Duration,
    pub keep_alive_count: u32,
    pub lifetime_count: u32,
}

impl Kept {
    /// Makes it one of this session's, beside what comes. `resumed`: it is the same session still. `None` where it cannot be had.
    pub async fn resume(self, session: &Session, receiver: &Arc<Receiver>, resumed: bool) -> Option<Old> {
        self.post.begin();
        let callback = || Callback { receiver: receiver.clone(), post: self.post.clone() };
        if !resumed {
            // Not by the session's own function, which would publish at once, also where there is nothing to publish.
            let request = services::TransferSubscriptions::new(session).subscription_ids(vec![self.id]).send_initial_values(false);
            let status = match request.send(session.channel()).await {
                Ok(answer) => answer.results.unwrap_or_default().first().map_or(StatusCode::BadUnknownResponse, |r| r.status_code),
                Err(e) => e.status(),
            };
            if !status.is_good() {
                tracing::debug!(%status, "the PLC does not hand over the subscription of the lost session");
                return None;
            }
            let (interval, lifetime) = (self.publishing_interval, self.lifetime_count);
            let known = Known::new(self.id, interval, lifetime, self.keep_alive_count, 0, 0, true, Box::new(callback()));
            session.subscription_state.lock().add_subscription(known);
        }
        let callback = callback();
        for _ in 0..MOST_REPUBLISHED {
            let next = self.post.sequence.load(Ordering::Relaxed).checked_add(1).unwrap_or(1);
            match session.republish(self.id, next).await {
                Ok(message) if message.sequence_number == next => callback.receive(message),
                Ok(_) => break,
                Err(e) => {
                    tracing::debug!(status = %e.status(), "no more messages to have again");
                    break;
                }
            }
        }
        Some(Old { kept: self, resumed: Instant::now() })
    }
}

/// The subscription of before the loss, which still tells what it has.
pub(super) struct Old {
    kept: Kept,
    resumed: Instant,
}

impl Old {
    pub fn id(&self) -> u32 {
        self.kept.id
    }

    /// Waits until it has told all; `made`: when the new subscription was made, by the PLC's clock. Gives what it has told.
    pub async fn drain(&self, made: Timestamp) -> Vec<Filled> {
        while !self.kept.post.is_drained(made, self.kept.publishing_interval) && self.resumed.elapsed() < DRAIN_TIME {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let values = self.kept.post.queued.lock().as_mut().map(|queued| std::mem::take(&mut queued.values)).unwrap_or_default();
        values.into_iter().map(|(tag, data)| (tag, vec![data])).collect()
    }
}
