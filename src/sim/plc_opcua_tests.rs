use std::time::Duration;

use futures::StreamExt;
use opcua::client::{ClientBuilder, DataChangeCallback, IdentityToken, Session};
use opcua::types::{
    AttributeId, MessageSecurityMode, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, ReadValueId, UserTokenPolicy,
};
use tokio::sync::mpsc;

use super::*;
use crate::sim::Simulation;

struct Bench {
    plc: RunningPlc,
    stop: CancellationToken,
    session: Arc<Session>,
    client: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn start(speed: f64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = PlcOptions { speed, seed: 21, story_start: 160.0, work_dir: dir.path().join("plc") };
        let plc = start_opcua_plc(options, listener, stop.clone()).await.unwrap();
        let mut client = ClientBuilder::new()
            .application_name("test")
            .application_uri("urn:test")
            .pki_dir(dir.path().join("client"))
            .session_retry_limit(0)
            .max_array_length(100_000)
            .max_message_size(16 << 20)
            .max_chunk_count(300)
            .client()
            .unwrap();
        let endpoint = (plc.endpoint.as_str(), "None", MessageSecurityMode::None, UserTokenPolicy::anonymous());
        let (session, event_loop) = client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
        let client = tokio::spawn(async move {
            let events = event_loop.enter();
            tokio::pin!(events);
            while events.next().await.is_some() {}
        });
        assert!(session.wait_for_connection().await);
        Self { plc, stop, session, client, _dir: dir }
    }

    async fn subscribe(&self, symbols: &[&str], sampling: f64) -> mpsc::Receiver<(String, DataValue)> {
        let (tx, rx) = mpsc::channel(100_000);
        let callback = DataChangeCallback::new(move |value, item| {
            tx.try_send((item.item_to_monitor().node_id.identifier.to_string(), value)).unwrap();
        });
        let publishing = Duration::from_millis(100);
        let id = self.session.create_subscription(publishing, 100, 10, 0, 0, true, callback).await.unwrap();
        let items = symbols.iter().map(|symbol| MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId::new_value(NodeId::new(4, *symbol)),
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                sampling_interval: sampling,
                queue_size: 1000,
                discard_oldest: true,
                ..Default::default()
            },
        });
        let results = self.session.create_monitored_items(id, TimestampsToReturn::Both, items.collect()).await.unwrap();
        assert!(results.iter().all(|r| r.result.status_code.is_good()), "{results:?}");
        rx
    }

    async fn end(self) {
        self.session.disconnect().await.unwrap();
        self.client.await.unwrap();
        self.stop.cancel();
        self.plc.join().await.unwrap();
    }
}

fn floats(value: &DataValue) -> Vec<f32> {
    match &value.value {
        Some(Variant::Array(array)) => array
            .values
            .iter()
            .map(|v| match v {
                Variant::Float(x) => *x,
                other => panic!("not a Float: {other:?}"),
            })
            .collect(),
        other => panic!("not an array: {other:?}"),
    }
}

/// At speed 20 a cycle takes 5 ms; a client that asks for 100 ms still gets each one, in order and with one time for all signals.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cycle_arrives_once_with_its_own_time() {
    const CYCLES: usize = 300;
    let bench = Bench::start(20.0).await;
    let mut values = bench.subscribe(&[WAVEFORMS[0], SCALARS[0]], 100.0).await;
    let (mut blocks, mut currents) = (Vec::new(), Vec::new());
    while blocks.len() < CYCLES || currents.len() < CYCLES {
        let (symbol, value) = tokio::time::timeout(Duration::from_secs(30), values.recv()).await.unwrap().unwrap();
        assert!(value.status().is_good() && !value.status().overflow(), "{symbol}: {:?}", value.status);
        let time = value.source_timestamp.unwrap().ticks();
        if symbol.contains("aFlux") { blocks.push((time, floats(&value))) } else { currents.push(time) }
    }
    bench.end().await;

    let sent: Vec<Vec<f32>> = Simulation::new(21, 160.0).take(20_000).map(|(_, c)| to_floats(&c.flux)).collect();
    // The first value may be the one from before the first cycle.
    let blocks: Vec<_> = blocks.into_iter().filter(|(_, b)| b.iter().any(|x| *x != 0.0)).collect();
    let first = sent.iter().position(|b| *b == blocks[0].1).expect("a block of the simulation");
    for (i, (time, block)) in blocks.iter().enumerate() {
        assert_eq!(*block, sent[first + i], "block {i} lost or out of order");
        assert_eq!(*time - blocks[0].0, 50_000 * i as i64, "5 ms apart");
    }
    let missing = blocks[1..CYCLES - 1].iter().filter(|(time, _)| !currents.contains(time)).count();
    assert_eq!(missing, 0, "the signals of a cycle carry one time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_like_a_beckhoff_plc() {
    let bench = Bench::start(1.0).await;
    assert_eq!(bench.session.get_namespace_index(NAMESPACE).await.unwrap(), 4);
    let symbols: Vec<&str> = WAVEFORMS.into_iter().chain(SCALARS).chain([RUNNING]).collect();
    let mut seen = bench.subscribe(&[RUNNING], 0.0).await;
    let wait = async { while seen.recv().await.unwrap().1.value != Some(Variant::Boolean(true)) {} };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    let wanted: Vec<ReadValueId> = symbols.iter().map(|s| ReadValueId::new_value(NodeId::new(4, *s))).collect();
    let values = bench.session.read(&wanted, TimestampsToReturn::Both, 0.0).await.unwrap();
    assert!(values.iter().all(|v| v.status().is_good() && v.source_timestamp == values[0].source_timestamp));
    assert_eq!(floats(&values[0]).len(), BLOCK_LENGTH);
    assert!(matches!(values[6].value, Some(Variant::Float(speed)) if (1300.0..1500.0).contains(&speed)), "{:?}", values[6].value);
    assert!(matches!(values[7].value, Some(Variant::Float(volts)) if (160.0..168.0).contains(&volts)), "{:?}", values[7].value);

    let unknown = ReadValueId { node_id: NodeId::new(4, "MAIN.nope"), attribute_id: AttributeId::Value as u32, ..Default::default() };
    let answer = bench.session.read(&[unknown], TimestampsToReturn::Neither, 0.0).await.unwrap();
    assert_eq!(answer[0].status(), StatusCode::BadNodeIdUnknown);
    assert_eq!(bench.plc.story.borrow().name, "Normal");
    bench.end().await;
}
