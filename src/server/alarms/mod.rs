//! Alarms & Conditions (OPC 10000-9), alarm words and the gateway's own events, all from the one state that the alarm desk owns.
//!
//! ```text
//! desk ─Notice─▶ deliver ─▶ mirror, nodes of the conditions, events (Hub)
//!  ▲                           │ ConditionRefresh
//!  └─AlarmRequest─ Acknowledge, AddComment, Enable, Disable, AckWord ◀── clients
//! ```

mod condition;
mod deliver;
mod happened;
mod methods;
mod nodes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opcua::server::node_manager::{MonitoredItemRef, RequestContext};
use opcua::server::{CreateMonitoredItem, SubscriptionCache};
use opcua::sync::Mutex;
use opcua::types::{AttributeId, NodeId, ObjectId, StatusCode};
use tokio::sync::{mpsc, oneshot};

pub(super) use deliver::Deliverer;
pub(super) use methods::method_name;
pub(super) use nodes::{AlarmNodes, add};

use super::INSTANCES;
use super::access::{Gatekeeper, user_name};
use super::events::{Hub, Notifier};
use super::node_manager::instance_path;
use super::roles::{Action, granted};
use crate::alarm::{Alarm, AlarmError, AlarmSpec, EventId, Scope};
use crate::config::{Config, SourceKind};
use crate::types::{Answer, Event, Refusal, Verdict};

/// Longest time that the desk may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server hears of alarms and events.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An alarm as it stands; `news`: it has changed, which is an event.
    Alarm { alarm: Box<Alarm>, news: bool },
    /// Something has happened; `verdict` is the machine's at that time.
    Happened { event: Box<Event>, id: EventId, verdict: Option<Arc<Verdict>> },
}

/// What somebody wants to do with alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmAction {
    /// Of one alarm: the state that this event told of was seen.
    Acknowledge {
        alarm: Arc<str>,
        event: EventId,
    },
    /// All alarms with these bits in the alarm words that wait for it.
    AcknowledgeAll {
        scope: Scope,
        bits: u16,
    },
    Comment {
        alarm: Arc<str>,
        event: EventId,
    },
    Enable {
        alarm: Arc<str>,
        enabled: bool,
    },
}

/// An action with who wants it and where the answer goes.
#[derive(Debug)]
pub struct AlarmRequest {
    pub action: AlarmAction,
    /// Comment and its locale; both may be empty.
    pub comment: String,
    pub locale: String,
    pub user: Arc<str>,
    /// How many alarms were changed.
    pub reply: oneshot::Sender<Result<usize, AlarmError>>,
}

/// The way to the alarm desk. Bounded; full = the sender waits.
#[derive(Clone, Debug)]
pub struct AlarmSender(pub mpsc::Sender<AlarmRequest>);

impl AlarmSender {
    /// Acknowledges what has these bits in the alarm words of a scope; 0: everything. What the command AcknowledgeAlarms, the alarm
    /// words and the alarms themselves do is one thing. Returns how many alarms were acknowledged.
    pub async fn acknowledge_all(&self, scope: Scope, bits: u16, comment: &str, user: &str) -> Result<usize, AlarmError> {
        let bits = if bits == 0 { u16::MAX } else { bits };
        self.ask(AlarmAction::AcknowledgeAll { scope, bits }, comment, "", user).await
    }

    /// The same, as the command AcknowledgeAlarms answers.
    pub async fn command(&self, scope: Scope, bits: u16, comment: &str, user: &str) -> Result<Answer, Refusal> {
        match self.acknowledge_all(scope, bits, comment, user).await {
            Ok(count) => Ok(Answer::said(format!("{count} alarms acknowledged"))),
            Err(error) => Err(Refusal::InvalidState(error.to_string())),
        }
    }

    /// Waits for the answer, at most 5 s.
    pub(super) async fn ask(&self, action: AlarmAction, comment: &str, locale: &str, user: &str) -> Result<usize, AlarmError> {
        let (reply, answer) = oneshot::channel();
        let request = AlarmRequest { action, comment: comment.into(), locale: locale.into(), user: user.into(), reply };
        let asked = async {
            self.0.send(request).await.map_err(|_| AlarmError::NoAnswer)?;
            answer.await.map_err(|_| AlarmError::NoAnswer)?
        };
        tokio::time::timeout(ANSWER_TIMEOUT, asked).await.unwrap_or(Err(AlarmError::NoAnswer))
    }
}

/// The server's ends of the alarm desk.
pub struct AlarmLink {
    /// All alarms that exist.
    pub specs: Vec<Arc<AlarmSpec>>,
    pub notices: mpsc::Receiver<Notice>,
    pub requests: AlarmSender,
}

/// What handlers of clients' requests and the deliverer share.
pub(super) struct AlarmServer {
    pub(super) hub: Hub,
    pub(super) nodes: AlarmNodes,
    requests: AlarmSender,
    gatekeeper: Arc<Gatekeeper>,
    /// Names of the machines, by index.
    machines: Vec<Arc<str>>,
    /// Endpoints of the sources, by the path of the source's node.
    endpoints: HashMap<String, String>,
    /// The alarms as last heard of, by path.
    mirror: Mutex<HashMap<Arc<str>, Alarm>>,
}

impl AlarmServer {
    pub(super) fn new(config: &Config, nodes: AlarmNodes, requests: AlarmSender, gatekeeper: Arc<Gatekeeper>) -> Self {
        let endpoint = |kind: &SourceKind| match kind {
            SourceKind::OpcUa(c) => c.endpoint.clone(),
            SourceKind::Modbus(c) => c.place.to_string(),
        };
        Self {
            hub: Hub::default(),
            nodes,
            requests,
            gatekeeper,
            machines: config.machines.iter().map(|m| m.name.clone()).collect(),
            endpoints: config.sources.iter().map(|s| (format!("Gateway.Sources.{}", s.name), endpoint(&s.kind))).collect(),
            mirror: Mutex::default(),
        }
    }

    /// Items for events of a node that lets clients subscribe to its events.
    pub(super) fn create_event_items(&self, context: &RequestContext, items: &mut [&mut &mut CreateMonitoredItem]) {
        for item in items {
            // The Server object is everybody's, what happens here is not.
            if self.denied(context, "Gateway", Action::Events) {
                item.set_status(StatusCode::BadUserAccessDenied);
                continue;
            }
            if let Some(notifier) = notifier(&item.item_to_monitor().node_id) {
                self.hub.add(context.session_id, item.handle(), notifier);
            }
        }
    }

    pub(super) fn delete_items(&self, items: &[&MonitoredItemRef]) {
        items.iter().filter(|i| i.attribute() == AttributeId::EventNotifier).for_each(|item| self.hub.remove(&item.handle()));
    }

    /// Whether the session may not do that; a refusal is written down. For what comes by standard nodes: our own are guarded.
    fn denied(&self, context: &RequestContext, path: &str, action: Action) -> bool {
        let needed = granted(path, action);
        let denied = !needed.intersects(self.gatekeeper.roles(context));
        if denied {
            let (user, address) = (user_name(&context.token), self.gatekeeper.address_of(context));
            let reason = if needed.is_empty() { "nobody may".to_string() } else { format!("needs one of {needed}") };
            self.gatekeeper.audit.refused(user, &address, action.name(), path, &reason);
        }
        denied
    }

    /// Whether a subscription belongs to the session that asks.
    fn owns(subscriptions: &SubscriptionCache, session: u32, subscription: u32) -> bool {
        subscriptions.get_session_subscriptions(session).is_some_and(|s| s.lock().contains(subscription))
    }
}

/// Whose events a node gives.
fn notifier(node: &NodeId) -> Option<Notifier> {
    match instance_path(node) {
        Some("Gateway") => Some(Notifier::Gateway),
        Some(machine) => Some(Notifier::Machine(machine.into())),
        None if *node == ObjectId::Server => Some(Notifier::Server),
        None => None,
    }
}

/// `ns=2;s=<path>`
fn instance(path: &str) -> NodeId {
    NodeId::new(INSTANCES, path)
}
