//! Alarms and events, seen by a client over the wire.

use std::time::Duration;

use opcua::client::{EventCallback, Session};
use opcua::types::{
    AttributeId, ByteString, CallMethodRequest, ContentFilter, ContentFilterElement, EventFilter, ExtensionObject, FilterOperator,
    LiteralOperand, LocalizedText, MethodId, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, NumericRange,
    ObjectId, ObjectTypeId, ReadValueId, SimpleAttributeOperand, StatusCode, TimestampsToReturn, Variant,
};
use tokio::sync::mpsc;

use super::*;
use crate::alarm::{Alarms, Comment, Detail, drift};
use crate::server::Access;
use crate::server::fixture;
use crate::server::instantiate::node_id;
use crate::server::relay::{Bounds, Peers};
use crate::server::tests::{Bench, value_of, wait_for, write};
use crate::types::{DriftStatus, EventKind, RegimeState, Timestamp};

const DRIFT: &str = "Motor1.Drift.DataDrift.DriftAlarm";

/// The desk's part of the bench: answers requests as the real one does.
struct Desk {
    alarms: Alarms,
    notices: mpsc::Sender<Notice>,
    second: i64,
}

impl Desk {
    fn new(bench: &Bench) -> Self {
        Self { alarms: Alarms::new(&fixture::alarms(), Timestamp::EPOCH), notices: bench.notices.clone(), second: 0 }
    }

    async fn tell(&self, path: &str) {
        let alarm = Box::new(self.alarms.find(path).unwrap().clone());
        self.notices.send(Notice::Alarm { alarm, news: true }).await.unwrap();
    }

    async fn drift(&mut self, status: DriftStatus) {
        self.second += 1;
        let detail = Detail { regime: "Voltage=164".into(), value: 0.01, threshold: 0.05, ..Detail::default() };
        let time = Timestamp::from_nanos(self.second * 1_000_000_000);
        self.alarms.observe(0, drift("Motor1 DataDrift", status, None, detail), time).unwrap();
        self.tell(DRIFT).await;
    }

    /// Answers one request.
    async fn answer(&mut self, requests: &mut mpsc::Receiver<AlarmRequest>) {
        let AlarmRequest { action, comment, locale, user, reply } = requests.recv().await.unwrap();
        let comment = Comment { text: comment, locale, user: user.to_string(), time: Timestamp::EPOCH };
        let result = match action {
            AlarmAction::Acknowledge { alarm, event } => self.alarms.acknowledge(&alarm, &event, comment).map(|_| 1),
            AlarmAction::AcknowledgeAll { scope, bits } => Ok(self.alarms.acknowledge_all(scope, bits, &comment).len()),
            AlarmAction::Comment { alarm, event } => self.alarms.comment(&alarm, &event, comment).map(|_| 1),
            AlarmAction::Enable { alarm, enabled } => self.alarms.enable(&alarm, enabled, Timestamp::EPOCH).map(|_| 1),
        };
        if result.is_ok() {
            self.tell(DRIFT).await;
        }
        let _ = reply.send(result);
    }
}

fn clause(path: &str) -> SimpleAttributeOperand {
    let attribute = if path.is_empty() { AttributeId::NodeId } else { AttributeId::Value };
    SimpleAttributeOperand {
        type_definition_id: if path.is_empty() { ObjectTypeId::ConditionType } else { ObjectTypeId::BaseEventType }.into(),
        browse_path: Some(path.split('/').filter(|p| !p.is_empty()).map(Into::into).collect()),
        attribute_id: attribute as u32,
        index_range: NumericRange::None,
    }
}

fn of_type(id: impl Into<NodeId>) -> ContentFilter {
    let literal = ExtensionObject::from_message(LiteralOperand { value: id.into().into() });
    let element = ContentFilterElement { filter_operator: FilterOperator::OfType, filter_operands: Some(vec![literal]) };
    ContentFilter { elements: Some(vec![element]) }
}

/// A subscription of events: fields in the order of `paths`.
struct Heard {
    events: mpsc::Receiver<Vec<Variant>>,
    subscription: u32,
    item: u32,
}

impl Heard {
    async fn at(session: &Session, node: NodeId, paths: &[&str], where_clause: ContentFilter) -> Self {
        let (sender, events) = mpsc::channel(1_000);
        let callback = EventCallback::new(move |fields: Option<Vec<Variant>>, _| {
            // A callback cannot wait: a full channel is more than any test asks for.
            sender.try_send(fields.unwrap_or_default()).expect("room for an event");
        });
        let subscription = session.create_subscription(Duration::from_millis(50), 100, 20, 0, 0, true, callback).await.unwrap();
        let filter = EventFilter { select_clauses: Some(paths.iter().map(|p| clause(p)).collect()), where_clause };
        let create = MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: node,
                attribute_id: AttributeId::EventNotifier as u32,
                index_range: NumericRange::None,
                data_encoding: Default::default(),
            },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: 1,
                sampling_interval: 0.0,
                filter: ExtensionObject::from_message(filter),
                queue_size: 100,
                discard_oldest: true,
            },
        };
        let created = session.create_monitored_items(subscription, TimestampsToReturn::Both, vec![create]).await.unwrap();
        assert_eq!(created[0].result.status_code, StatusCode::Good);
        Self { events, subscription, item: created[0].result.monitored_item_id }
    }

    async fn next(&mut self) -> Vec<Variant> {
        tokio::time::timeout(Duration::from_secs(5), self.events.recv()).await.expect("an event in time").unwrap()
    }
}

async fn call(session: &Session, object: impl Into<NodeId>, method: impl Into<NodeId>, arguments: Vec<Variant>) -> StatusCode {
    let request = CallMethodRequest { object_id: object.into(), method_id: method.into(), input_arguments: Some(arguments) };
    session.call_one(request).await.unwrap().status_code
}

const PATHS: [&str; 8] = ["", "EventType", "Severity", "Message", "AckedState/Id", "Retain", "EventId", "Comment"];

fn server() -> NodeId {
    ObjectId::Server.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_told_shown_and_acknowledged() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let mut desk = Desk::new(&bench);
    let alarms = || of_type(ObjectTypeId::AlarmConditionType);
    let mut server_item = Heard::at(&session, server(), &PATHS, alarms()).await;
    let mut machine_item = Heard::at(&session, node_id("Motor1"), &PATHS, alarms()).await;
    let mut others = Heard::at(&session, server(), &PATHS, of_type(ObjectTypeId::AuditEventType)).await;

    desk.drift(DriftStatus::Warning).await;
    for heard in [&mut server_item, &mut machine_item] {
        let event = heard.next().await;
        assert_eq!(event[0], Variant::from(node_id(DRIFT)));
        assert_eq!(event[2], Variant::from(400u16));
        assert_eq!((&event[4], &event[5]), (&Variant::from(false), &Variant::from(true)));
        assert!(matches!(&event[3], Variant::LocalizedText(t) if t.text.as_ref() == "Motor1 DataDrift: Warning at Voltage=164"));
    }
    desk.drift(DriftStatus::Drift).await;
    let event = server_item.next().await;
    machine_item.next().await;
    assert_eq!(event[2], Variant::from(600u16));
    assert_eq!(value_of(&session, &format!("{DRIFT}.Severity")).await, Variant::from(600u16));
    assert_eq!(value_of(&session, &format!("{DRIFT}.AckedState.Id")).await, Variant::from(false));
    assert_eq!(value_of(&session, &format!("{DRIFT}.EventId")).await, event[6]);
    assert_eq!(value_of(&session, &format!("{DRIFT}.RegimeKey")).await, Variant::from("Voltage=164"));

    let acknowledge = MethodId::AcknowledgeableConditionType_Acknowledge;
    let comment = Variant::from(LocalizedText::new("en", "looked at"));
    let stale = Variant::from(ByteString::from(vec![1u8; 16]));
    let answers = async {
        let on = node_id(DRIFT);
        assert_eq!(call(&session, on.clone(), acknowledge, vec![]).await, StatusCode::BadArgumentsMissing);
        assert_eq!(call(&session, on.clone(), acknowledge, vec![1u16.into(), comment.clone()]).await, StatusCode::BadInvalidArgument);
        assert_eq!(call(&session, on.clone(), acknowledge, vec![stale, comment.clone()]).await, StatusCode::BadEventIdUnknown);
        assert_eq!(call(&session, on.clone(), acknowledge, vec![event[6].clone(), comment.clone()]).await, StatusCode::Good);
        // The same by the alarm's own method.
        let own = node_id(&format!("{DRIFT}.Acknowledge"));
        assert_eq!(call(&session, on, own, vec![event[6].clone(), comment]).await, StatusCode::BadConditionBranchAlreadyAcked);
    };
    let desk_answers = async {
        for _ in 0..3 {
            desk.answer(&mut bench.alarm_requests).await;
        }
    };
    tokio::join!(answers, desk_answers);
    let event = server_item.next().await;
    assert_eq!((&event[4], &event[5]), (&Variant::from(true), &Variant::from(true)), "seen, and still active");
    assert!(matches!(&event[7], Variant::LocalizedText(t) if t.text.as_ref() == "looked at"));
    assert_eq!(value_of(&session, &format!("{DRIFT}.ClientUserId")).await, Variant::from("anonymous"));
    assert!(others.events.try_recv().is_err(), "an alarm is no audit event");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_tells_what_is_retained_to_who_asked() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let mut desk = Desk::new(&bench);
    desk.drift(DriftStatus::Drift).await;
    wait_for(&session, &format!("{DRIFT}.Severity"), |v| v.value == Some(600u16.into())).await;
    wait_for(&session, &format!("{DRIFT}.Retain"), |v| v.value == Some(true.into())).await;

    let mut heard = Heard::at(&session, server(), &PATHS, of_type(ObjectTypeId::AlarmConditionType)).await;
    let mut silent = Heard::at(&session, server(), &PATHS, ContentFilter::default()).await;
    let refresh = |arguments| call(&session, ObjectTypeId::ConditionType, MethodId::ConditionType_ConditionRefresh, arguments);
    assert_eq!(refresh(vec![heard.subscription.into()]).await, StatusCode::Good);
    let types = |id: ObjectTypeId| Variant::from(NodeId::from(id));
    assert_eq!(heard.next().await[1], types(ObjectTypeId::RefreshStartEventType), "in spite of the where clause");
    assert_eq!(heard.next().await[0], Variant::from(node_id(DRIFT)));
    assert_eq!(heard.next().await[1], types(ObjectTypeId::RefreshEndEventType));
    assert_eq!(refresh(vec![999_999u32.into()]).await, StatusCode::BadSubscriptionIdInvalid);
    assert_eq!(refresh(vec!["1".into()]).await, StatusCode::BadInvalidArgument);

    let one = |arguments| call(&session, ObjectTypeId::ConditionType, MethodId::ConditionType_ConditionRefresh2, arguments);
    assert_eq!(one(vec![heard.subscription.into(), 999_999u32.into()]).await, StatusCode::BadMonitoredItemIdInvalid);
    assert_eq!(one(vec![heard.subscription.into(), heard.item.into()]).await, StatusCode::Good);
    for _ in 0..3 {
        heard.next().await;
    }
    assert!(silent.events.try_recv().is_err(), "others are not told");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_acknowledges_and_reads_zero() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let mut desk = Desk::new(&bench);
    desk.drift(DriftStatus::Drift).await;
    let word = "Motor1.Alarms.AckWord";
    assert_eq!(write(&session, word, 2u32).await, StatusCode::BadTypeMismatch);
    let (status, ()) = tokio::join!(write(&session, word, 2u16), desk.answer(&mut bench.alarm_requests));
    assert_eq!(status, StatusCode::Good);
    assert!(desk.alarms.find(DRIFT).unwrap().state.acked);
    assert_eq!(value_of(&session, word).await, Variant::from(0u16));
    wait_for(&session, &format!("{DRIFT}.AckedState.Id"), |v| v.value == Some(true.into())).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_to_those_it_concerns() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let paths = ["EventType", "SourceNode", "NewRegimeKey", "ClientUserId", "Status", "NewValue"];
    let mut machine = Heard::at(&session, node_id("Motor1"), &paths, ContentFilter::default()).await;
    let mut server_item = Heard::at(&session, server(), &paths, ContentFilter::default()).await;
    let parameter = EventKind::Parameter {
        path: "Motor1.Drift.DataDrift.Hop".into(),
        old: "1".into(),
        new: "-1".into(),
        user: "anna".into(),
        refused: Some("too small".into()),
    };
    let regime = EventKind::Regime { state: RegimeState::Monitoring, regime: None, key: "Voltage=164".into(), distance: None };
    for (n, kind) in [parameter, regime].into_iter().enumerate() {
        let event = Box::new(Event { unit: "Motor1".into(), row: 1, time: Timestamp::EPOCH, kind });
        let id = EventId::new(Timestamp::EPOCH, n as u64);
        bench.notices.send(Notice::Happened { event, id, verdict: None }).await.unwrap();
    }
    let audit = server_item.next().await;
    assert_eq!(audit[0], Variant::from(NodeId::from(ObjectTypeId::AuditWriteUpdateEventType)));
    assert_eq!(audit[1], Variant::from(node_id("Motor1.Drift.DataDrift.Hop")));
    assert_eq!((&audit[3], &audit[4], &audit[5]), (&Variant::from("anna"), &Variant::from(false), &Variant::from("-1")));
    for heard in [&mut server_item, &mut machine] {
        let event = heard.next().await;
        assert_eq!((&event[1], &event[2]), (&Variant::from(node_id("Motor1.Regimes")), &Variant::from("Voltage=164")));
        assert_eq!(event[3], Variant::Empty);
    }
    assert!(machine.events.try_recv().is_err(), "audit events are the server's");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_events_reach_a_small_queue_in_order() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let mut heard = Heard::at(&session, node_id("Gateway"), &["NewRegimeKey"], ContentFilter::default()).await;
    for n in 0..300u64 {
        let kind = EventKind::Regime { state: RegimeState::Monitoring, regime: None, key: format!("{n}").into(), distance: None };
        let event = Box::new(Event { unit: "Motor1".into(), row: n, time: Timestamp::EPOCH, kind });
        bench.notices.send(Notice::Happened { event, id: EventId::new(Timestamp::EPOCH, n), verdict: None }).await.unwrap();
    }
    for n in 0..300 {
        assert_eq!(heard.next().await, [Variant::from(n.to_string().as_str())]);
    }
    bench.stop().await;
}

#[test]
fn every_field_of_an_alarm_has_its_node() {
    let config = fixture::config();
    let specs = fixture::alarms();
    let prepared = crate::server::address_space::build(&config, &[], &specs).unwrap();
    let (sender, _receiver) = mpsc::channel(1);
    let (audit, _audit) = mpsc::channel(1);
    let users = Arc::new(crate::server::demo_users().unwrap());
    let peers = Peers::new(Bounds { connections: 1, of_one_address: 1, sessions: 1 });
    let gatekeeper = Arc::new(Gatekeeper::new(Access::Demo, users, crate::server::audit::Audit::new(audit), peers));
    let server = AlarmServer::new(&config, prepared.alarms, AlarmSender(sender), gatekeeper);
    // Optional in the standard, and not worth a node: they travel with the event.
    let left_out =
        ["EnabledState.TransitionTime", "AckedState.TransitionTime", "ActiveState.TransitionTime", "EnvelopeDistance", "TopFeature"];
    for alarm in Alarms::new(&specs, Timestamp::EPOCH).all() {
        for (path, _) in server.event_of(alarm).fields() {
            let path = path.replace('/', ".");
            let exists = prepared.variables.contains_key(&*format!("{}.{path}", alarm.spec.path));
            assert!(exists || left_out.contains(&&*path), "{} {path}", alarm.spec.path);
        }
    }
}
