//! Which monitored items want events, and what waits for each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use opcua::nodes::TypeTree;
use opcua::server::{MonitoredItemHandle, ServerInfo, Subscription, SubscriptionCache};
use opcua::sync::Mutex;
use opcua::types::{EventFilter, NodeId, ObjectId, ObjectTypeId, Variant};

use super::filter::{self, Filters, Probe, Row};
use super::occurrence::{Audience, Base, Occurrence};
use super::where_clause;
use crate::alarm::EventId;
use crate::server::publish::now;

/// Rows that wait for one item at most; then the oldest are dropped, and an event says so.
const PENDING: usize = 1_000;
/// The server registers an item after it was announced here: so long it may be missing.
const REGISTRATION: Duration = Duration::from_secs(10);
/// A transferred subscription is looked for in sessions up to that many after the newest that was seen, and so many in all.
const SESSIONS_AHEAD: u32 = 64;
const SESSIONS: usize = 10_000;

/// The node whose events an item gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notifier {
    /// All events.
    Server,
    /// All but audits.
    Gateway,
    Machine(Arc<str>),
}

impl Notifier {
    fn hears(&self, audience: &Audience) -> bool {
        match (self, audience) {
            (Self::Server, _) | (Self::Gateway, Audience::Machines(_)) => true,
            (Self::Machine(machine), Audience::Machines(machines)) => machines.contains(machine),
            (_, Audience::Server) => false,
        }
    }
}

/// Who is told: all, or those who asked for a refresh.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    All,
    Subscription(u32),
    Item(MonitoredItemHandle),
}

impl Target {
    fn contains(self, handle: &MonitoredItemHandle) -> bool {
        match self {
            Self::All => true,
            Self::Subscription(id) => handle.subscription_id == id,
            Self::Item(item) => *handle == item,
        }
    }
}

struct Item {
    session: u32,
    notifier: Notifier,
    since: Instant,
    registered: bool,
    filter: u64,
    waiting: VecDeque<Vec<Variant>>,
    /// Rows given to the stack since its queue was last seen empty.
    given: usize,
    overflow: bool,
}

/// The items, and the stack's end of them.
#[derive(Default)]
pub(crate) struct Hub {
    filters: Arc<Filters>,
    items: Mutex<HashMap<MonitoredItemHandle, Item>>,
    newest_session: AtomicU32,
}

impl Hub {
    /// Before the server accepts connections: see the filters that clients send.
    pub(crate) fn install(&self, info: &ServerInfo) {
        filter::install(&self.filters, info);
    }

    /// A session has asked for something.
    pub(crate) fn saw(&self, session: u32) {
        self.newest_session.fetch_max(session, Ordering::Relaxed);
    }

    /// An item for events is about to be created.
    pub(crate) fn add(&self, session: u32, handle: MonitoredItemHandle, notifier: Notifier) {
        self.saw(session);
        let (since, waiting) = (Instant::now(), VecDeque::new());
        let item = Item { session, notifier, since, registered: false, filter: 0, waiting, given: 0, overflow: false };
        self.items.lock().insert(handle, item);
    }

    pub(crate) fn remove(&self, handle: &MonitoredItemHandle) {
        self.items.lock().remove(handle);
    }

    pub(crate) fn contains(&self, target: Target) -> bool {
        self.items.lock().keys().any(|handle| target.contains(handle))
    }

    /// Gives the event to every item that wants it.
    pub(crate) fn emit(&self, subscriptions: &SubscriptionCache, types: &dyn TypeTree, event: &Occurrence, target: Target) {
        let newest = self.newest_session.load(Ordering::Relaxed);
        self.items.lock().retain(|handle, item| {
            if !target.contains(handle) || !item.notifier.hears(&event.audience) {
                return true;
            }
            let probe = Probe::default();
            let found = item.with(subscriptions, handle, newest, |s| s.notify_event(&handle.monitored_item_id, &probe, types));
            if found.is_none() {
                return !item.registered && item.since.elapsed() < REGISTRATION;
            }
            (item.registered, item.filter) = (true, probe.filter());
            if let Some(raw) = self.filters.get(item.filter) {
                item.take(event, &raw.filter, types);
            }
            item.give(subscriptions, handle, newest, types);
            true
        });
    }

    /// Hands on what waits. Called on a timer: the stack takes more when a client has fetched what it had.
    pub(crate) fn pump(&self, subscriptions: &SubscriptionCache, types: &dyn TypeTree) {
        let newest = self.newest_session.load(Ordering::Relaxed);
        for (handle, item) in self.items.lock().iter_mut().filter(|(_, item)| !item.waiting.is_empty()) {
            item.give(subscriptions, handle, newest, types);
        }
    }
}

impl Item {
    fn take(&mut self, event: &Occurrence, filter: &EventFilter, types: &dyn TypeTree) {
        let elements = filter.where_clause.elements.as_deref().unwrap_or_default();
        if !event.unfiltered && !where_clause::passes(elements, event, types) {
            return;
        }
        if self.waiting.len() >= PENDING {
            self.waiting.pop_front();
            if !std::mem::replace(&mut self.overflow, true) {
                self.waiting.pop_front();
                self.waiting.push_front(row(&overflow(), filter));
            }
        }
        self.waiting.push_back(row(event, filter));
    }

    /// Gives the stack what its queue can hold, which drops what is too much.
    fn give(&mut self, subscriptions: &SubscriptionCache, handle: &MonitoredItemHandle, newest: u32, types: &dyn TypeTree) {
        let (mut waiting, mut given, filter) = (std::mem::take(&mut self.waiting), self.given, self.filter);
        self.with(subscriptions, handle, newest, |subscription| {
            let Some(item) = subscription.get(&handle.monitored_item_id) else { return };
            let room = item.queue_size();
            if !item.has_notifications() {
                given = 0;
            }
            while given < room {
                let Some(values) = waiting.pop_front() else { break };
                given += 1;
                subscription.notify_event(&handle.monitored_item_id, &Row::new(filter, values), types);
            }
        });
        self.overflow &= !waiting.is_empty();
        (self.waiting, self.given) = (waiting, given);
    }

    /// Does something with the stack's subscription, in whatever session it is by now; `None` where the item is gone.
    fn with<R>(
        &mut self,
        subscriptions: &SubscriptionCache,
        handle: &MonitoredItemHandle,
        newest: u32,
        act: impl FnOnce(&mut Subscription) -> R,
    ) -> Option<R> {
        let here =
            |session: u32| subscriptions.get_session_subscriptions(session).is_some_and(|s| s.lock().contains(handle.subscription_id));
        if !here(self.session) {
            self.session = (1..=newest.saturating_add(SESSIONS_AHEAD)).rev().take(SESSIONS).find(|session| here(*session))?;
        }
        let session = subscriptions.get_session_subscriptions(self.session)?;
        let mut session = session.lock();
        let subscription = session.get_mut(handle.subscription_id)?;
        subscription.contains_key(&handle.monitored_item_id).then(|| act(subscription))
    }
}

fn row(event: &Occurrence, filter: &EventFilter) -> Vec<Variant> {
    filter.select_clauses.iter().flatten().map(|clause| event.field(clause)).collect()
}

/// Tells a client that it was too slow, and has lost events.
fn overflow() -> Occurrence {
    let base = Base {
        id: EventId::new(now(), 0),
        type_id: ObjectTypeId::EventQueueOverflowEventType.into(),
        source: NodeId::from(ObjectId::Server),
        source_name: "Server",
        time: now(),
        message: "events were lost: they were not fetched in time",
        severity: 200,
    };
    Occurrence::new(base, Audience::Server)
}
