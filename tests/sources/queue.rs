//! A lost connection to a PLC that keeps what it has not delivered: nothing is missing, in order.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use opcua::nodes::VariableBuilder;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{ServerBuilder, ServerEndpoint, ServerHandle, ServerUserToken};
use opcua::types::{DataTypeId, DataValue, DateTime, NodeId, VariableTypeId, Variant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const NAMESPACE: &str = "urn:driftgate:test:plc";
const PERIOD: Duration = Duration::from_millis(100);
const NUMBERS: [&str; 3] = ["a", "b", "c"];

/// A PLC whose numbers count up together.
struct Plc {
    address: SocketAddr,
    server: ServerHandle,
    dir: tempfile::TempDir,
}

impl Plc {
    /// With so many items in a subscription at most.
    async fn start(most_items: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let metadata = NamespaceMetadata { namespace_uri: NAMESPACE.into(), ..NamespaceMetadata::default() };
        let mut builder = ServerBuilder::new()
            .application_name("PLC")
            .application_uri("urn:driftgate:test:plc:server")
            .product_uri("urn:driftgate:test")
            .host(address.ip().to_string())
            .port(address.port())
            .discovery_urls(vec!["/".into()])
            .pki_dir(dir.path().join("pki"))
            .add_endpoint("none", ServerEndpoint::new_none("/", &["user".to_string()]))
            .add_user_token("user", ServerUserToken::user_pass("gate", "secret"))
            .subscription_poll_interval_ms(20)
            .with_node_manager(simple_node_manager(metadata, "plc"));
        let limits = &mut builder.limits_mut().subscriptions;
        (limits.min_sampling_interval_ms, limits.max_monitored_item_queue_size, limits.max_queued_notifications) = (1.0, 1_000, 1_000);
        limits.max_monitored_items_per_sub = most_items;
        let (server, handle) = builder.build().unwrap();
        let manager: Arc<SimpleNodeManager> = handle.node_managers().get_of_type().unwrap();
        let index = handle.get_namespace_index(NAMESPACE).unwrap();
        let ids = NUMBERS.map(|name| NodeId::new(index, name));
        for id in &ids {
            let variable = VariableBuilder::new(id, id.to_string(), id.to_string()).data_type(DataTypeId::Double).value(0.0);
            let variable = variable.component_of(NodeId::objects_folder_id());
            variable.has_type_definition(VariableTypeId::BaseDataVariableType).insert(&mut *manager.address_space().write());
        }
        let subscriptions = handle.subscriptions().clone();
        tokio::spawn(async move {
            for number in 1u32.. {
                tokio::time::sleep(PERIOD).await;
                let time = DateTime::now();
                let values = ids.iter().map(|id| (id, None, DataValue::new_at(Variant::from(f64::from(number)), time)));
                manager.set_values(&subscriptions, values).unwrap();
            }
        });
        tokio::spawn(server.run_with(listener));
        Self { address, server: handle, dir }
    }
}

impl Drop for Plc {
    fn drop(&mut self) {
        self.server.cancel();
    }
}

/// What happens to the bytes between a client and the PLC.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Whole,
    /// What the PLC sends is lost.
    Deaf,
    /// All connections are broken, and new ones too.
    Cut,
}

/// Forwards to `to`; gives its own address.
async fn line(to: SocketAddr, state: watch::Receiver<Line>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            if *state.borrow() != Line::Cut {
                tokio::spawn(forward(client, to, state.clone()));
            }
        }
    });
    address
}

async fn forward(client: TcpStream, to: SocketAddr, mut state: watch::Receiver<Line>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let now = state.clone();
    let back = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if *now.borrow() == Line::Whole && to_client.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = back => {}
        _ = state.wait_for(|line| *line == Line::Cut) => {}
    }
}

impl Rig {
    /// The numbers of each channel that come until all have come to `last`; asserts that they are in order.
    async fn numbers_until(&mut self, last: f64, seen: &mut [Vec<(u32, Quality)>; 3]) {
        let all_there = |seen: &[Vec<(u32, Quality)>; 3]| seen.iter().all(|s| s.last().is_some_and(|(n, _)| f64::from(*n) >= last));
        let collecting = async {
            while !all_there(seen) {
                let sample = self.samples.recv().await.expect("the source has ended");
                if let (Some(Value::Real(number)), false) = (sample.value, sample.repeated) {
                    seen[sample.id.channel as usize].push((number as u32, sample.quality));
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, collecting).await.is_ok();
        assert!(in_time, "not all came to {last}: {:?}", *self.status.borrow());
    }
}

/// Cuts the line for this time, `deaf` before that, and gives what came, from before to well after.
async fn through_a_cut(most_items: usize, deaf: Duration, cut: Duration) -> [Vec<(u32, Quality)>; 3] {
    let plc = Plc::start(most_items).await;
    let (state, watched) = watch::channel(Line::Whole);
    let address = line(plc.address, watched).await;
    let password = plc.dir.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    // A server hands nothing over to somebody without a name.
    let user = UserConfig { name: "gate".into(), password: PasswordFrom::File(password.display().to_string()) };
    let config = OpcUaConfig {
        security: Security::None,
        user: Some(user),
        namespace: Some(NAMESPACE.into()),
        ..opcua_config(&format!("opc.tcp://{address}"))
    };
    let mut rig = Rig::start(SourceKind::OpcUa(config), NUMBERS.map(|name| scalar(&format!("s={name}"))).to_vec());
    let mut seen = Default::default();
    // A connection that breaks at once is given more time before the next.
    rig.numbers_until(30.0, &mut seen).await;
    for (line, time) in [(Line::Deaf, deaf), (Line::Cut, cut), (Line::Whole, Duration::ZERO)] {
        state.send(line).unwrap();
        tokio::time::sleep(time).await;
    }
    let status = rig.state(SourceState::Connected).await;
    assert_eq!(status.text.contains("in 2 subscriptions"), most_items < NUMBERS.len(), "{}", status.text);
    let now = seen[0].last().unwrap().0 as f64 + (deaf + cut).as_secs_f64() / PERIOD.as_secs_f64();
    rig.numbers_until(now + 40.0, &mut seen).await;
    rig.stop().await;
    seen
}

/// Each number once, in order, none missing; those from the cut are not told as if they had come in time.
fn assert_whole(seen: &[Vec<(u32, Quality)>; 3], late: usize) {
    for (channel, seen) in seen.iter().enumerate() {
        let numbers: Vec<u32> = seen.iter().map(|(number, _)| *number).collect();
        let missing: BTreeSet<u32> = (numbers[0]..*numbers.last().unwrap()).filter(|n| !numbers.contains(n)).collect();
        assert!(missing.is_empty(), "channel {channel}: {missing:?} missing in {seen:?}");
        assert!(numbers.is_sorted_by(|a, b| a < b), "channel {channel}: {numbers:?}");
        let from_queue = seen.iter().filter(|(_, quality)| *quality == Quality::Uncertain(Cause::FromHistory)).count();
        assert!(from_queue >= late, "channel {channel}: {from_queue} of {late}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_a_resumed_session_fills_the_gap() {
    assert_whole(&through_a_cut(100, Duration::ZERO, Duration::from_secs(1)).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_were_lost_on_their_way_are_had_again() {
    assert_whole(&through_a_cut(100, Duration::from_millis(700), Duration::from_millis(500)).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_taken_over_from_a_lost_session() {
    assert_whole(&through_a_cut(100, Duration::ZERO, Duration::from_secs(6)).await, 40);
}

/// Three values, two in a subscription: both subscriptions are drained.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_one_subscription_is_in_the_next() {
    assert_whole(&through_a_cut(2, Duration::ZERO, Duration::from_secs(1)).await, 5);
}
