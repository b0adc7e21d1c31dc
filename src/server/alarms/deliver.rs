//! Brings what the alarm desk says to the nodes of the alarms and to the clients that subscribe to events.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opcua::server::ServerHandle;
use opcua::server::address_space::AddressSpace;
use opcua::sync::RwLock;
use opcua::types::{DataValue, StatusCode, Variant};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{AlarmServer, Notice};
use crate::alarm::Alarm;
use crate::server::events::{Occurrence, Target};
use crate::server::publish::{Shared, Values};
use crate::types::EventKind;
use crate::wire::opcua::to_date_time;

/// Between two looks at what waits for clients.
const PUMP: Duration = Duration::from_millis(50);

pub(in crate::server) struct Deliverer {
    pub(in crate::server) alarms: Arc<AlarmServer>,
    pub(in crate::server) handle: ServerHandle,
    pub(in crate::server) space: Arc<RwLock<AddressSpace>>,
    pub(in crate::server) shared: Arc<Shared>,
    pub(in crate::server) notices: mpsc::Receiver<Notice>,
}

impl Deliverer {
    pub(in crate::server) async fn run(mut self, stop: &CancellationToken) {
        let mut pump = tokio::time::interval(PUMP);
        pump.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut open, mut regimes) = (true, HashMap::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                notice = self.notices.recv(), if open => match notice {
                    Some(notice) => self.deliver(notice, &mut regimes),
                    None => open = false,
                },
                _ = pump.tick() => {
                    let types = self.handle.type_tree().read();
                    self.alarms.hub.pump(self.handle.subscriptions(), &*types);
                }
            }
        }
    }

    /// `regimes`: the last regime of each machine.
    fn deliver(&self, notice: Notice, regimes: &mut HashMap<Arc<str>, Arc<str>>) {
        match notice {
            Notice::Alarm { alarm, news } => {
                let event = self.alarms.event_of(&alarm);
                self.show(&alarm, &event);
                self.alarms.mirror.lock().insert(Arc::clone(&alarm.spec.path), *alarm);
                if news {
                    self.emit(&event);
                }
            }
            Notice::Happened { event, id, verdict } => {
                let before = match &event.kind {
                    EventKind::Regime { key, .. } => regimes.insert(Arc::clone(&event.unit), Arc::clone(key)),
                    _ => None,
                };
                let before = before.as_deref().unwrap_or_default();
                if let Some(event) = self.alarms.event_for(&event, id, verdict.as_deref(), before) {
                    self.emit(&event);
                }
            }
        }
    }

    fn emit(&self, event: &Occurrence) {
        let types = self.handle.type_tree().read();
        self.alarms.hub.emit(self.handle.subscriptions(), &*types, event, Target::All);
    }

    /// The alarm's node shows the same as its event.
    fn show(&self, alarm: &Alarm, event: &Occurrence) {
        let time = to_date_time(alarm.state.time);
        let value = |value: &Variant| {
            let status = if matches!(value, Variant::Empty) { StatusCode::BadWaitingForInitialData } else { StatusCode::Good };
            DataValue { status: Some(status), ..DataValue::new_at(value.clone(), time) }
        };
        let values = event.fields().map(|(path, v)| (format!("{}.{}", alarm.spec.path, path.replace('/', ".")), value(v)));
        let subscriptions = self.handle.subscriptions();
        Values { space: &self.space, subscriptions, shared: &self.shared }.set_as_they_are(values.collect());
    }
}
