//! The whole server, seen by a client over the wire.

mod commands;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opcua::client::services::Republish;
use opcua::client::{Client, ClientBuilder, DataChangeCallback, IdentityToken, Session, UARequest};
use opcua::crypto::SecurityPolicy;
use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMask, DataValue, LocalizedText, MessageSecurityMode,
    MonitoredItemCreateRequest, NodeClassMask, NodeId, ObjectId, ReadValueId, StatusCode, TimestampsToReturn, UserTokenPolicy, VariableId,
    Variant, WriteValue,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::alarms::{AlarmRequest, AlarmSender, Notice};
use super::fixture;
use super::instantiate::node_id;
use super::view::{Beside, MachineView};
use super::*;
use crate::config::tunable::{Tunable, tunables};
use crate::pipeline::core::MachineCore;
use crate::store::MemoryStore;
use crate::types::{Cause, EventKind};
use crate::wire::opcua::to_date_time;

/// Makes the key pairs once for all tests: each takes a good part of a second.
fn lay_keys(dir: &Path) {
    static KEYS: LazyLock<Vec<(&str, &str, Vec<u8>)>> = LazyLock::new(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = Vec::new();
        for (owner, uri) in [("pki", "urn:driftgate:test"), ("client", "urn:test")] {
            certificate::ensure(&dir.path().join(owner), uri).unwrap();
            for file in [certificate::CERTIFICATE, certificate::PRIVATE_KEY] {
                keys.push((owner, file, std::fs::read(dir.path().join(owner).join(file)).unwrap()));
            }
        }
        keys
    });
    for (owner, file, content) in KEYS.iter() {
        let path = dir.join(owner).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A running server with the ends that the rest of the gateway would hold.
pub(super) struct Bench {
    pub(super) endpoint: String,
    updates: UpdateSender,
    pub(super) commands: mpsc::Receiver<CommandRequest>,
    pub(super) audit: mpsc::Receiver<EventKind>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) alarm_requests: mpsc::Receiver<AlarmRequest>,
    pub(super) stop: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Arc<dyn Store>,
    pub(super) records: mpsc::Receiver<StoreMessage>,
}

impl Bench {
    pub(super) async fn start(access: Access) -> Self {
        let dir = tempfile::tempdir().unwrap();
        lay_keys(dir.path());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let (updates, receiver) = mpsc::channel(16);
        let (sender, commands) = mpsc::channel(16);
        let (audit_sender, audit) = mpsc::channel(1_000);
        let (notices, notices_rx) = mpsc::channel(256);
        let (requests, alarm_requests) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let config = fixture::config();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&config.store, config.machines.len()));
        let (record_sender, records) = mpsc::channel(10_000);
        let input = ServerInput {
            config: Arc::new(config),
            parameters: fixture::parameters(),
            access,
            audit: audit_sender,
            users: Arc::new(demo_users().unwrap()),
            data_dir: dir.path().into(),
            pki_dir: dir.path().join("pki"),
            listener,
            open_on: None,
            updates: receiver,
            commands: sender,
            // Nobody takes them.
            offers: [mpsc::channel(1).0].into(),
            alarms: AlarmLink { specs: fixture::alarms(), notices: notices_rx, requests: AlarmSender(requests) },
            store: store.clone(),
            records: record_sender,
            stop: stop.clone(),
        };
        let RunningServer { endpoint, task } = start(input).await.unwrap();
        Self { endpoint, updates, commands, audit, notices, alarm_requests, stop, task, dir, store, records }
    }

    fn client(&self) -> Client {
        self.client_of("urn:test")
    }

    pub(super) fn client_of(&self, application_uri: &str) -> Client {
        ClientBuilder::new()
            .application_name("test")
            .application_uri(application_uri)
            .product_uri("urn:test")
            .certificate_path(certificate::CERTIFICATE)
            .private_key_path(certificate::PRIVATE_KEY)
            .trust_server_certs(true)
            .pki_dir(self.dir.path().join("client"))
            .session_retry_limit(0)
            .max_array_length(100_000)
            .client()
            .unwrap()
    }

    pub(super) async fn connect(&self) -> Arc<Session> {
        self.connect_as(SecurityPolicy::None, IdentityToken::Anonymous).await.unwrap()
    }

    pub(super) async fn connect_as(&self, policy: SecurityPolicy, identity: IdentityToken) -> Result<Arc<Session>, StatusCode> {
        self.connect_with(self.client(), policy, identity).await
    }

    pub(super) async fn connect_with(
        &self,
        mut client: Client,
        policy: SecurityPolicy,
        identity: IdentityToken,
    ) -> Result<Arc<Session>, StatusCode> {
        let mode = if policy == SecurityPolicy::None { MessageSecurityMode::None } else { MessageSecurityMode::SignAndEncrypt };
        let endpoint = (self.endpoint.as_str(), policy.to_str(), mode, UserTokenPolicy::anonymous());
        let (session, event_loop) = client.connect_to_matching_endpoint(endpoint, identity).await.map_err(|e| e.status())?;
        let running = event_loop.spawn();
        tokio::select! {
            connected = session.wait_for_connection() => if connected { Ok(session) } else { Err(StatusCode::BadNotConnected) },
            ended = running => Err(ended.unwrap()),
        }
    }

    pub(super) async fn publish(&self, update: NodeUpdate) {
        self.updates.send(vec![update]).await.unwrap();
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(4), self.task).await.expect("stops in time").unwrap().unwrap();
    }
}

fn update(path: &str, value: impl Into<Scalar>, quality: Quality, secs: i64) -> NodeUpdate {
    NodeUpdate { path: path.into(), value: Some(value.into()), quality, time: Timestamp::from_nanos(secs * 1_000_000_000) }
}

pub(super) async fn read(session: &Session, node: impl Into<NodeId>) -> DataValue {
    let nodes = [ReadValueId::from(node.into())];
    session.read(&nodes, TimestampsToReturn::Both, 0.0).await.unwrap().remove(0)
}

pub(super) async fn read_path(session: &Session, path: &str) -> DataValue {
    read(session, node_id(path)).await
}

pub(super) async fn value_of(session: &Session, path: &str) -> Variant {
    let value = read_path(session, path).await;
    assert!(value.status().is_good(), "{path}: {}", value.status());
    value.value.unwrap_or_default()
}

/// Reads until the node has the value; a test that never gets there runs into its own time limit.
pub(super) async fn wait_for(session: &Session, path: &str, wanted: impl Fn(&DataValue) -> bool) -> DataValue {
    tokio::time::timeout(Duration::from_secs(5), async {
        loop {
            let value = read_path(session, path).await;
            if wanted(&value) {
                return value;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{path} never got the value"))
}

pub(super) async fn write(session: &Session, path: &str, value: impl Into<Variant>) -> StatusCode {
    let write = WriteValue {
        node_id: node_id(path),
        attribute_id: AttributeId::Value as u32,
        value: DataValue::value_only(value.into()),
        ..Default::default()
    };
    session.write(&[write]).await.unwrap()[0]
}

pub(super) async fn subscribe(session: &Session, path: &str, sampling: f64) -> mpsc::Receiver<DataValue> {
    let (sender, receiver) = mpsc::channel(1_000);
    // A callback cannot wait: a full channel is more than any test asks for.
    let callback = DataChangeCallback::new(move |value, _| sender.try_send(value).expect("room for a notification"));
    let subscription = session.create_subscription(Duration::from_millis(50), 100, 20, 0, 0, true, callback).await.unwrap();
    let mut item: MonitoredItemCreateRequest = node_id(path).into();
    item.requested_parameters.sampling_interval = sampling;
    item.requested_parameters.queue_size = 100;
    let created = session.create_monitored_items(subscription, TimestampsToReturn::Both, vec![item]).await.unwrap();
    assert_eq!(created[0].result.status_code, StatusCode::Good);
    receiver
}

async fn next(values: &mut mpsc::Receiver<DataValue>) -> DataValue {
    tokio::time::timeout(Duration::from_secs(5), values.recv()).await.expect("a notification").unwrap()
}

/// All nodes below `root` that hierarchical references reach, with their BrowseNames.
pub(super) async fn browse(session: &Session, root: NodeId) -> Vec<(NodeId, String)> {
    let (mut found, mut seen, mut todo) = (Vec::new(), HashSet::new(), vec![root]);
    while let Some(node) = todo.pop() {
        let description = BrowseDescription {
            node_id: node,
            browse_direction: BrowseDirection::Forward,
            reference_type_id: opcua::types::ReferenceTypeId::HierarchicalReferences.into(),
            include_subtypes: true,
            node_class_mask: NodeClassMask::all().bits(),
            result_mask: BrowseResultMask::All as u32,
        };
        let results = session.browse(&[description], 0, None).await.unwrap();
        for reference in results.into_iter().flat_map(|r| r.references.unwrap_or_default()) {
            if seen.insert(reference.node_id.node_id.clone()) {
                found.push((reference.node_id.node_id.clone(), reference.browse_name.name.to_string()));
                todo.push(reference.node_id.node_id);
            }
        }
    }
    found
}

/// BrowseNames of the children, fetched `at_once` by `at_once`; 0: all in one answer.
async fn names(session: &Session, path: &str, at_once: u32) -> Vec<String> {
    let description = BrowseDescription {
        node_id: NodeId::new(INSTANCES, path),
        browse_direction: BrowseDirection::Forward,
        reference_type_id: opcua::types::ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: NodeClassMask::all().bits(),
        result_mask: BrowseResultMask::BrowseName as u32,
    };
    let (mut names, mut answer) = (Vec::new(), session.browse(&[description], at_once, None).await.unwrap());
    loop {
        let result = answer.remove(0);
        names.extend(result.references.unwrap_or_default().into_iter().map(|r| r.browse_name.name.to_string()));
        if result.continuation_point.is_null() {
            return names;
        }
        answer = session.browse_next(false, &[result.continuation_point]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_come_in_the_order_of_their_names() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    for path in ["Motor1", "Motor1.Log", "Motor1.Regimes.R01", "Motor1.Summary"] {
        let all = names(&session, path, 0).await;
        assert!(all.len() >= 10, "{all:?}");
        assert!(all.is_sorted(), "{all:?}");
        // What does not fit into an answer goes on where it ended.
        assert_eq!(names(&session, path, 3).await, all);
    }
    session.disconnect().await.unwrap();
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_and_tree_are_what_bindings_rely_on() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let Some(Variant::Array(uris)) = read(&session, VariableId::Server_NamespaceArray).await.value else { panic!("no array") };
    let uris: Vec<_> = uris.values.iter().map(|v| v.to_string()).collect();
    assert_eq!(uris, ["http://opcfoundation.org/UA/", "urn:driftgate:test", INSTANCES_URI, TYPES_URI]);

    let tree = browse(&session, ObjectId::ObjectsFolder.into()).await;
    let ids: HashSet<_> = tree.iter().map(|(id, _)| id.clone()).collect();
    for path in [
        "Gateway.Sources.PLC1.State",
        "Gateway.Diagnostics.Uptime",
        "Motor1.Signals.Flux.SourceAddress",
        "Motor1.Signals.Temperature.EURange",
        "Motor1.Settings.Voltage.EngineeringUnits",
        "Motor1.Regimes.R08.DriftStatus.EnumValues",
        "Motor1.Models.Stator.PredictionDrift.T4.InUse",
        "Motor1.Drift.DataDrift.T1.Threshold.LastErrorText",
        "Motor1.Drift.Features.Flux_rms.CurrentMean",
        "Motor1.Buffers.B04.State",
        "Motor1.Command.Request",
        "Gateway.Configuration.Patience.MaxValue",
    ] {
        assert!(ids.contains(&node_id(path)), "{path} cannot be found by browsing");
    }
    assert!(!ids.contains(&node_id("Motor1.Regimes.R09")), "more slots than configured");
    let summary = browse(&session, node_id("Motor1.Summary")).await;
    assert!(summary.iter().any(|(id, _)| *id == node_id("Motor1.Drift.Status")));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_known_is_bad_and_what_is_known_is_there() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let status = read_path(&session, "Motor1.Drift.Status").await;
    assert_eq!((status.status(), status.value.unwrap_or_default()), (StatusCode::BadWaitingForInitialData, Variant::Empty));
    for (path, value) in [
        ("Gateway.InstanceName", Variant::from("Line1")),
        ("Motor1.Drift.DataDrift.T2.InUse", true.into()),
        ("Motor1.Drift.DataDrift.T3.InUse", false.into()),
        ("Motor1.Drift.DataDrift.T1.Name", "kolmogorov_smirnov".into()),
        ("Motor1.Drift.DataDrift.Kind", 1u16.into()),
        ("Motor1.Signals.Flux.IsModelInput", true.into()),
        ("Motor1.Signals.Temperature.IsModelInput", false.into()),
        ("Motor1.Signals.Flux.SourceName", "PLC1".into()),
        ("Motor1.Drift.DataDrift.T1.Threshold.EffectiveValue", 0.05.into()),
        ("Motor1.Drift.DataDrift.WindowRows.MaxValue", 10_000.0.into()),
        ("Motor1.Models.Stator.Inference.ScoreThreshold.MaxValue", 1.0.into()),
        ("Gateway.Sources.PLC1.Endpoint", "opc.tcp://127.0.0.1:4841/".into()),
    ] {
        assert_eq!(value_of(&session, path).await, value, "{path}");
    }
    let untrained = read_path(&session, "Motor1.Models.Stator.Inference.ScoreThreshold").await;
    assert_eq!(untrained.status(), StatusCode::BadWaitingForInitialData);
    let first = value_of(&session, "Gateway.Heartbeat").await;
    wait_for(&session, "Gateway.Heartbeat", |v| v.value.as_ref() != Some(&first)).await;
    assert_eq!(value_of(&session, "Gateway.Diagnostics.ActiveSessions").await, Variant::UInt16(1));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_keep_value_quality_and_time() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let time = 1_700_000_000;
    bench.publish(update("Motor1.Signals.Temperature", Scalar::F64(42.5), Quality::Uncertain(Cause::LastUsable), time)).await;
    let value = wait_for(&session, "Motor1.Signals.Temperature", |v| v.value == Some(42.5.into())).await;
    assert_eq!(value.status(), StatusCode::UncertainLastUsableValue);
    assert_eq!(value.source_timestamp, Some(to_date_time(Timestamp::from_nanos(time * 1_000_000_000))));

    // A wrong path and a wrong type disturb nothing that comes with them.
    let batch = vec![
        update("Motor1.Nonsense", Scalar::F64(1.0), Quality::Good, time),
        update("Motor1.Drift.Status", Scalar::U32(4), Quality::Good, time),
        update("Motor1.Drift.Status", Scalar::U16(3), Quality::Good, time),
    ];
    bench.updates.send(batch).await.unwrap();
    wait_for(&session, "Motor1.Drift.Status", |v| v.value == Some(3u16.into())).await;
    assert_eq!(value_of(&session, "Motor1.Drift.Status.ValueAsText").await, Variant::from(LocalizedText::from("Warning")));

    bench.publish(update("Motor1.Drift.Status", Scalar::U16(3), Quality::Bad(Cause::ConnectionLost), time)).await;
    let lost = wait_for(&session, "Motor1.Drift.Status", |v| v.status() == StatusCode::BadCommunicationError).await;
    assert_eq!(lost.value.unwrap_or_default(), Variant::Empty);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_get_every_change_with_its_time() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let path = "Motor1.Signals.Temperature";
    let mut slow = subscribe(&session, path, 10_000.0).await;
    let mut publishing = subscribe(&session, path, -1.0).await;
    assert_eq!(next(&mut slow).await.status(), StatusCode::BadWaitingForInitialData);
    assert_eq!(next(&mut publishing).await.status(), StatusCode::BadWaitingForInitialData);

    let nanos = |n: i64| Timestamp::from_nanos(1_700_000_000_000_000_000 + n * 1_000_000);
    let batch = (0..20).map(|n| NodeUpdate { time: nanos(n), ..update(path, Scalar::F64(n as f64), Quality::Good, 0) }).collect();
    bench.updates.send(batch).await.unwrap();
    for n in 0..20 {
        let value = next(&mut slow).await;
        assert_eq!((value.value, value.source_timestamp), (Some((n as f64).into()), Some(to_date_time(nanos(n)))));
        let value = next(&mut publishing).await;
        assert_eq!((value.value, value.server_timestamp), (Some((n as f64).into()), Some(to_date_time(nanos(n)))));
    }

    // Statuses alone are news as well, and a clock that is set back holds nothing up.
    for cause in [Cause::ConnectionLost, Cause::Stale, Cause::ConnectionLost] {
        bench.publish(update(path, Scalar::F64(1.0), Quality::Bad(cause), 1_700_000_100)).await;
        let wanted = crate::wire::opcua::from_quality(Quality::Bad(cause));
        assert_eq!(next(&mut slow).await.status(), wanted);
        assert_eq!(next(&mut publishing).await.status(), wanted);
    }
    bench.publish(update(path, Scalar::F64(7.0), Quality::Good, 1_600_000_000)).await;
    assert_eq!(next(&mut slow).await.value, Some(7.0.into()));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_write_shows_everywhere() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let path = "Motor1.Drift.DataDrift.T1.Threshold";
    let mut seen = subscribe(&session, path, 0.0).await;
    assert_eq!(next(&mut seen).await.value, Some(0.05.into()));

    let owner = async {
        let request = bench.commands.recv().await.unwrap();
        assert_eq!(request.command, Command::SetParameter { path: path.into(), value: Scalar::F64(0.01) });
        assert_eq!(&*request.user, "anonymous");
        request.reply.send(Ok(Answer::default())).unwrap();
    };
    let (status, ()) = tokio::join!(write(&session, path, 0.01), owner);
    assert_eq!(status, StatusCode::Good);
    assert_eq!(next(&mut seen).await.value, Some(0.01.into()));
    assert_eq!(value_of(&session, &format!("{path}.EffectiveValue")).await, 0.01.into());
    assert_eq!(value_of(&session, &format!("{path}.DefaultValue")).await, 0.05.into());
    assert_eq!(value_of(&session, &format!("{path}.LastChangedBy")).await, "anonymous".into());
    assert!(matches!(value_of(&session, &format!("{path}.LastChangedTime")).await, Variant::DateTime(_)));
    assert_eq!(value_of(&session, "Gateway.Configuration.Revision").await, 1u32.into());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_write_changes_nothing_but_the_error_text() {
    let mut bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let path = "Gateway.Configuration.Patience";
    for (value, status) in [
        (Variant::from(61.0), StatusCode::BadOutOfRange),
        (f64::NAN.into(), StatusCode::BadOutOfRange),
        (1i32.into(), StatusCode::BadTypeMismatch),
        ("0.1".into(), StatusCode::BadTypeMismatch),
    ] {
        assert_eq!(write(&session, path, value).await, status);
        assert_ne!(value_of(&session, &format!("{path}.LastErrorText")).await, "".into());
    }
    assert!(bench.commands.try_recv().is_err(), "what fails the checks never reaches the owner");

    let path = "Motor1.Drift.DataDrift.T1.Threshold";
    let owner = async {
        let request = bench.commands.recv().await.unwrap();
        request.reply.send(Err(Refusal::InvalidState("learning".into()))).unwrap();
    };
    let (status, ()) = tokio::join!(write(&session, path, 0.01), owner);
    assert_eq!(status, StatusCode::BadInvalidState);
    assert_eq!(value_of(&session, &format!("{path}.LastErrorText")).await, "learning".into());
    assert_eq!(value_of(&session, path).await, 0.05.into());
    assert_eq!(value_of(&session, "Gateway.Configuration.Revision").await, 0u32.into());

    for read_only in ["Motor1.Drift.Status", "Motor1.Drift.DataDrift.T1", "Motor1.Regimes.MinReferenceRows", "Motor1.Command.State"] {
        assert_eq!(write(&session, read_only, 1u16).await, StatusCode::BadNotWritable, "{read_only}");
    }
    assert_eq!(write(&session, "Motor1.Nonsense", 1u16).await, StatusCode::BadNodeIdUnknown);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_answers_while_a_write_waits() {
    let mut bench = Bench::start(Access::Demo).await;
    let (writer, reader) = (bench.connect().await, bench.connect().await);
    let pending = tokio::spawn(async move { write(&writer, "Motor1.Drift.DataDrift.Enabled", false).await });
    let request = bench.commands.recv().await.unwrap();
    bench.publish(update("Motor1.Drift.DriftIndex", Scalar::F64(0.5), Quality::Good, 1_700_000_000)).await;
    wait_for(&reader, "Motor1.Drift.DriftIndex", |v| v.value == Some(0.5.into())).await;
    request.reply.send(Ok(Answer::default())).unwrap();
    assert_eq!(pending.await.unwrap(), StatusCode::Good);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_users_come_in_encrypted_and_strangers_do_not() {
    let bench = Bench::start(Access::Demo).await;
    let user = |password: &str| IdentityToken::UserName("engineer".into(), password.into());
    for policy in [SecurityPolicy::Basic256Sha256, SecurityPolicy::Aes128Sha256RsaOaep, SecurityPolicy::Aes256Sha256RsaPss] {
        let session = bench.connect_as(policy, user("demo")).await.unwrap();
        assert_eq!(value_of(&session, "Gateway.InstanceName").await, "Line1".into());
    }
    assert!(bench.connect_as(SecurityPolicy::Basic256Sha256, user("wrong")).await.is_err());
    assert!(bench.connect_as(SecurityPolicy::None, user("demo")).await.is_err(), "no passwords without encryption");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_client_certificate_waits_in_rejected() {
    let bench = Bench::start(Access::Users).await;
    assert!(bench.connect_as(SecurityPolicy::Basic256Sha256, IdentityToken::Anonymous).await.is_err());
    let rejected = std::fs::read_dir(bench.dir.path().join("pki/rejected")).unwrap().count();
    assert_eq!(rejected, 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_republish_is_an_error() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let republish = |id| Republish::new(id, 99_999, &session).send(session.channel());
    assert_eq!(republish(12_345).await.unwrap_err().status(), StatusCode::BadNoSubscription);
    let mut values = subscribe(&session, "Gateway.Heartbeat", 0.0).await;
    next(&mut values).await;
    assert_eq!(republish(12_345).await.unwrap_err().status(), StatusCode::BadSubscriptionIdInvalid);
    let known = session.subscription_state().lock().subscription_ids().unwrap()[0];
    assert_eq!(republish(known).await.unwrap_err().status(), StatusCode::BadMessageNotAvailable);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_hello_stays_within_what_it_offers() {
    let bench = Bench::start(Access::Demo).await;
    let address = bench.endpoint.trim_start_matches("opc.tcp://").trim_end_matches('/');
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // HEL of an S7-1500: version, receive and send buffer, message size, chunks, url.
    let url = bench.endpoint.as_bytes();
    let mut hello = b"HELF".to_vec();
    let words = [32 + url.len() as u32, 0, 8_192, 8_192, 0, 0, url.len() as u32];
    hello.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    hello.extend(url);
    stream.write_all(&hello).await.unwrap();
    let mut answer = [0u8; 28];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[..4], b"ACKF");
    let word = |at: usize| u32::from_le_bytes(answer[at..at + 4].try_into().unwrap());
    assert_eq!((word(12), word(16)), (8_192, 8_192));
    bench.stop().await;
}

/// The contract between the rooms: what the view publishes and what can be tuned has its node, of the right type.
#[test]
fn all_that_is_published_or_tuned_has_a_node() {
    let config = Config::parse(include_str!("../../configs/demo.toml")).unwrap();
    let machine = Arc::clone(&config.machines[0]);
    let specify = |t: Tunable| ParameterSpec {
        value: t.get(&machine),
        default: t.get(&machine),
        path: t.path,
        kind: t.kind,
        min: t.min,
        max: t.max,
        unit: t.unit,
        allowed: t.allowed,
        description: t.description,
    };
    let parameters: Vec<_> = tunables(&machine).into_iter().map(specify).collect();
    let prepared = address_space::build(&config, &parameters, &fixture::alarms()).unwrap();

    let core = MachineCore::new(Arc::clone(&machine), config.hash.as_str().into(), "Motor1".into(), None).unwrap();
    let mut view = MachineView::new(machine);
    view.update(core.verdict(), &Beside::default());
    let updates = view.take();
    assert!(updates.len() > 200, "only {} nodes", updates.len());
    for update in &updates {
        assert_eq!(publish::expand(&prepared.variables, update, &mut Vec::new()), Ok(()), "{}", update.path);
    }
}

#[test]
fn a_parameter_without_a_place_or_of_another_type_is_refused_at_start() {
    let mut parameters = fixture::parameters();
    parameters[0].path = "Motor2.Drift.DataDrift.T1.Threshold".into();
    assert!(matches!(address_space::build(&fixture::config(), &parameters, &fixture::alarms()), Err(ServerError::MissingNode(_))));
    let mut parameters = fixture::parameters();
    parameters[2].kind = ScalarKind::U32;
    assert!(matches!(address_space::build(&fixture::config(), &parameters, &fixture::alarms()), Err(ServerError::ParameterType { .. })));
}
