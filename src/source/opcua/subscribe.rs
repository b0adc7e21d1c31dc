//! What a source has subscribed: one subscription for all tags, and further ones where the PLC allows fewer items in one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opcua::client::Session;
use opcua::types::{
    DataChangeFilter, DataChangeTrigger, DeadbandType, Error, ExtensionObject, MonitoredItemCreateRequest, MonitoredItemCreateResult,
    MonitoringMode, MonitoringParameters, NodeId, StatusCode,
};

use super::address::{self, Namespaces};
use super::members::{self, Members};
use super::queue::{Callback, Kept, Post};
use super::receive::Receiver;
use super::request::{self, Limits};
use crate::config::{OpcUaConfig, Shape};
use crate::source::Tag;
use crate::types::{Cause, Quality};
use crate::wire::opcua as wire;

/// Values kept by the server between two publishing intervals; it may revise that.
const BLOCK_QUEUE: u32 = 1_000;
const SCALAR_QUEUE: (f64, f64) = (100.0, 1_000.0);
/// Subscriptions of one source at most.
const MOST_SUBSCRIPTIONS: usize = 50;
/// Where another subscription gave no room, none is tried for so long.
const FULL_TIME: Duration = Duration::from_secs(60);
/// Nodes come back when a program has been loaded.
const RETRY_AFTER: Duration = Duration::from_secs(3);

/// A live subscription and the tags that it could not take.
pub(super) struct Subscription<'a> {
    /// What of it outlives a lost connection; one at least, the last one may have room.
    kept: Vec<Kept>,
    wanted: Wanted,
    tags: &'a [Tag],
    receiver: Arc<Receiver>,
    /// As revised by the server.
    pub publishing_interval: Duration,
    /// The server sends something at least so often.
    pub keep_alive: Duration,
    pub limits: Limits,
    /// The node of each tag that has a monitored item, the subscription and the item's id.
    items: Vec<Option<(NodeId, u32, u32)>>,
    failed: Vec<Failed>,
    /// The server had no room for an item.
    full: bool,
    /// Another subscription did not help: not before then is another one tried.
    full_until: Option<Instant>,
    members: Members,
    retry_at: Instant,
}

/// A tag without a monitored item, and why.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub tag: usize,
    pub cause: Cause,
    pub reason: String,
}

impl<'a> Subscription<'a> {
    /// Creates a subscription without items.
    pub async fn create(
        session: &Session,
        config: &OpcUaConfig,
        tags: &'a [Tag],
        receiver: &Arc<Receiver>,
        limits: Limits,
    ) -> Result<Self, Error> {
        receiver.begin();
        let interval = config.publishing_interval.max(Duration::from_millis(1));
        let keep_alive = (config.silence.as_secs_f64() / 3.0 / interval.as_secs_f64()).clamp(1.0, 10_000.0);
        // Kept without a request for publishing for a minute or ten keep-alives.
        let lifetime = (60.0 / interval.as_secs_f64()).max(keep_alive * 10.0);
        let wanted = Wanted { interval, lifetime: lifetime as u32, keep_alive: keep_alive as u32 };
        let first = open(session, wanted, receiver).await?;
        Ok(Self {
            publishing_interval: first.publishing_interval,
            keep_alive: first.publishing_interval * first.keep_alive_count.max(1),
            kept: vec![first],
            wanted,
            tags,
            receiver: receiver.clone(),
            limits,
            items: vec![None; tags.len()],
            failed: Vec::new(),
            full: false,
            full_until: None,
            members: Members::default(),
            retry_at: Instant::now() + RETRY_AFTER,
        })
    }

    /// Adds these tags, or all; those that fail are sent as Bad and kept for [`Self::take_due`].
    pub async fn add(&mut self, session: &Session, place: &Addresses<'_>, wanted: Option<Vec<usize>>) -> Result<(), Error> {
        let (mut items, mut asked, mut of_structures) = (Vec::new(), Vec::new(), Vec::new());
        for tag in wanted.unwrap_or_else(|| (0..self.tags.len()).collect()) {
            let (address, member) = members::split(&self.tags[tag].address);
            match address::resolve(address, place.namespace, place.namespaces) {
                Ok(node) => {
                    of_structures.extend(member.map(|member| (tag, node.clone(), member)));
                    items.push(item(tag, &self.tags[tag], node.clone(), self.publishing_interval));
                    asked.push((tag, node));
                }
                Err(e) => self.fail(tag, Cause::UnknownAddress, e.to_string()),
            }
        }
        for (tag, reason) in self.members.faults(session, &of_structures, &mut self.limits.read).await {
            items.retain(|item| item.requested_parameters.client_handle != handle_of(tag));
            asked.retain(|(asked, _)| *asked != tag);
            self.fail(tag, Cause::WrongType, reason);
        }
        let mut results = self.create_items(session, &items).await?;
        self.add_unfiltered(session, &mut items, &mut results).await?;
        for ((tag, node), (subscription, result)) in asked.into_iter().zip(results) {
            self.full |= result.status_code == StatusCode::BadTooManyMonitoredItems;
            match wire::to_quality(result.status_code) {
                Quality::Bad(cause) => self.fail(tag, cause, format!("`{}`: {}", self.tags[tag].address, result.status_code)),
                Quality::Good | Quality::Uncertain(_) => {
                    self.items[tag] = Some((node, subscription, result.monitored_item_id));
                    self.receiver.set_active(tag, true);
                }
            }
        }
        Ok(())
    }

    /// Creates items in the last subscription, and in further ones where that has no room; with the subscription of each.
    async fn create_items(&mut self, session: &Session, items: &[MonitoredItemCreateRequest]) -> Result<Vec<Created>, Error> {
        let Some(mut id) = self.kept.last().map(|k| k.id) else { return Ok(Vec::new()) };
        let results = request::create_items(session, id, items, &mut self.limits.items).await?;
        let mut results: Vec<Created> = results.into_iter().map(|result| (id, result)).collect();
        loop {
            let unroomed = |(_, result): &Created| result.status_code == StatusCode::BadTooManyMonitoredItems;
            let places: Vec<usize> = (0..results.len()).filter(|&i| unroomed(&results[i])).collect();
            let hopeless = self.full_until.is_some_and(|until| Instant::now() < until);
            if places.is_empty() || hopeless || self.kept.len() >= MOST_SUBSCRIPTIONS {
                return Ok(results);
            }
            let again: Vec<_> = places.iter().map(|&i| items[i].clone()).collect();
            let opened = match open(session, self.wanted, &self.receiver).await {
                Ok(opened) => opened,
                Err(e) => {
                    tracing::info!("the PLC has no room for all values in a subscription, and refuses another one: {}", e.status());
                    self.full_until = Some(Instant::now() + FULL_TIME);
                    return Ok(results);
                }
            };
            id = opened.id;
            let answers = request::create_items(session, id, &again, &mut self.limits.items).await?;
            if answers.iter().all(|answer| answer.status_code == StatusCode::BadTooManyMonitoredItems) {
                tracing::info!("the PLC has no room for {} values, in another subscription neither", places.len());
                self.full_until = Some(Instant::now() + FULL_TIME);
                // One that the server keeps all the same ends with its lifetime.
                let _ = session.delete_subscription(id).await;
                return Ok(results);
            }
            self.kept.push(opened);
            places.into_iter().zip(answers).for_each(|(i, answer)| results[i] = (id, answer));
        }
    }

    /// Creates those items again, without a deadband, whose deadband the server does not take: too much news is no fault.
    async fn add_unfiltered(
        &mut self,
        session: &Session,
        items: &mut [MonitoredItemCreateRequest],
        results: &mut [Created],
    ) -> Result<(), Error> {
        let filtered = |item: &MonitoredItemCreateRequest| !item.requested_parameters.filter.is_null();
        let places: Vec<usize> = (0..items.len()).filter(|&i| filtered(&items[i]) && refuses_filter(results[i].1.status_code)).collect();
        if places.is_empty() {
            return Ok(());
        }
        tracing::info!("the PLC takes no deadband for {} values: every change is announced", places.len());
        places.iter().for_each(|&i| items[i].requested_parameters.filter = ExtensionObject::null());
        let again: Vec<_> = places.iter().map(|&i| items[i].clone()).collect();
        let answers = self.create_items(session, &again).await?;
        places.into_iter().zip(answers).for_each(|(i, answer)| results[i] = answer);
        Ok(())
    }

    /// Makes the monitored items of these tags anew: the old ones may have died with a node that has come back.
    pub async fn renew(&mut self, session: &Session, place: &Addresses<'_>, tags: Vec<usize>) -> Result<(), Error> {
        let mut old: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (_, subscription, item) in tags.iter().filter_map(|&tag| self.items[tag].take()) {
            old.entry(subscription).or_default().push(item);
        }
        tags.iter().for_each(|&tag| self.receiver.set_active(tag, false));
        // The server may have forgotten them: that is no fault.
        for (subscription, items) in old {
            let gone = session.delete_monitored_items(subscription, &items).await;
            tracing::debug!(?tags, ?gone, "monitored items are made anew");
        }
        self.add(session, place, Some(tags)).await
    }

    fn fail(&mut self, tag: usize, cause: Cause, reason: String) {
        self.receiver.failed(tag, cause);
        self.failed.push(Failed { tag, cause, reason });
    }

    /// Says again that they have no value, and why: else they would only be stale.
    pub fn repeat_failed(&self) {
        self.failed.iter().for_each(|f| self.receiver.still_failed(f.tag, f.cause));
    }

    /// What of it outlives a lost connection.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// The nodes of those tags that have one.
    pub fn nodes_of(&self, tags: &[usize]) -> Vec<(usize, NodeId)> {
        tags.iter().filter_map(|&tag| self.items[tag].clone().map(|(node, ..)| (tag, node))).collect()
    }

    /// The failed tags, where the server had no room for all.
    pub fn take_unroomed(&mut self) -> Option<Vec<usize>> {
        std::mem::take(&mut self.full).then(|| self.failed.drain(..).map(|f| f.tag).collect())
    }

    /// The failed tags, where it is time to try them again.
    pub fn take_due(&mut self) -> Option<Vec<usize>> {
        if self.failed.is_empty() || Instant::now() < self.retry_at {
            return None;
        }
        self.retry_at = Instant::now() + RETRY_AFTER;
        Some(self.failed.drain(..).map(|f| f.tag).collect())
    }
}

/// What is asked of a subscription.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    interval: Duration,
    lifetime: u32,
    keep_alive: u32,
}

/// The subscription of an item, and what came of it.
type Created = (u32, MonitoredItemCreateResult);

async fn open(session: &Session, wanted: Wanted, receiver: &Arc<Receiver>) -> Result<Kept, Error> {
    let Wanted { interval, lifetime, keep_alive } = wanted;
    let post = Arc::new(Post::default());
    let callback = Callback { receiver: receiver.clone(), post: post.clone() };
    let id = session.create_subscription(interval, lifetime, keep_alive, 0, 0, true, callback).await?;
    let state = session.subscription_state.lock();
    let revised = state.get(id).map(|s| (s.publishing_interval(), s.max_keep_alive_count(), s.lifetime_count()));
    drop(state);
    let (publishing_interval, keep_alive_count, lifetime_count) = revised.unwrap_or((interval, keep_alive, lifetime));
    Ok(Kept { id, post, publishing_interval: publishing_interval.max(Duration::from_millis(1)), keep_alive_count, lifetime_count })
}

/// What addresses are resolved with.
pub(super) struct Addresses<'a> {
    pub namespace: Option<&'a str>,
    pub namespaces: &'a Namespaces,
}

/// Tag numbers from 1: 0 would be replaced by the library.
fn handle_of(tag: usize) -> u32 {
    u32::try_from(tag + 1).unwrap_or(u32::MAX)
}

/// Told of a difference of value or status only where it is larger.
fn deadband(value: f64) -> ExtensionObject {
    ExtensionObject::from_message(DataChangeFilter {
        trigger: DataChangeTrigger::StatusValue,
        deadband_type: DeadbandType::Absolute as u32,
        deadband_value: value,
    })
}

/// Whether the server knows no deadband, or none for this node.
fn refuses_filter(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadMonitoredItemFilterUnsupported
            | StatusCode::BadFilterNotAllowed
            | StatusCode::BadMonitoredItemFilterInvalid
            | StatusCode::BadDeadbandFilterInvalid
    )
}

fn item(number: usize, tag: &Tag, node: NodeId, publishing_interval: Duration) -> MonitoredItemCreateRequest {
    let sampling = tag.sampling.unwrap_or(publishing_interval).as_secs_f64();
    let queue_size = match tag.shape {
        Shape::Block { .. } => BLOCK_QUEUE,
        Shape::Scalar => (20.0 * publishing_interval.as_secs_f64() / sampling.max(1e-3)).clamp(SCALAR_QUEUE.0, SCALAR_QUEUE.1) as u32,
    };
    MonitoredItemCreateRequest {
        item_to_monitor: request::value_of(node),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: handle_of(number),
            sampling_interval: sampling * 1e3,
            filter: tag.deadband.map_or_else(ExtensionObject::null, deadband),
            queue_size,
            discard_oldest: true,
        },
    }
}
