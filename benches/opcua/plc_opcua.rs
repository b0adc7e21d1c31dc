//! A PLC with an OPC UA server: numbers that count up together, or one waveform of which each block is full of its number.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use opcua::nodes::VariableBuilder;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint};
use opcua::types::{DataTypeId, DataValue, DateTime, NodeId, VariableTypeId, Variant};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

const NAMESPACE: &str = "urn:driftgate:bench:plc";
/// A multiple of what is asked for, so that no value waits for the next sample.
const SAMPLING_MS: f64 = 1.0;

/// Prints its endpoint, then counts `variables` (or the samples of one waveform) every `period_ms`, for ever.
pub async fn serve(variables: usize, block: usize, period_ms: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let metadata = NamespaceMetadata { namespace_uri: NAMESPACE.into(), ..NamespaceMetadata::default() };
    let mut builder = ServerBuilder::new()
        .application_name("PLC")
        .application_uri("urn:driftgate:bench:plc:server")
        .product_uri("urn:driftgate:bench")
        .host(address.ip().to_string())
        .port(address.port())
        .discovery_urls(vec!["/".into()])
        .pki_dir(dir.path().join("pki"))
        .add_endpoint("none", ServerEndpoint::new_none("/", &[ANONYMOUS_USER_TOKEN_ID.to_string()]))
        .subscription_poll_interval_ms(20)
        .with_node_manager(simple_node_manager(metadata, "plc"));
    let limits = builder.limits_mut();
    (limits.max_array_length, limits.max_message_size, limits.max_chunk_count) = (100_000, 16 << 20, 300);
    limits.subscriptions.min_sampling_interval_ms = SAMPLING_MS;
    limits.subscriptions.min_publishing_interval_ms = 20.0;
    limits.subscriptions.max_monitored_item_queue_size = 1_000;
    limits.subscriptions.max_queued_notifications = 200;
    limits.subscriptions.max_monitored_items_per_sub = 20_000;
    let (server, handle) = builder.build().expect("a server");
    let manager: Arc<SimpleNodeManager> = handle.node_managers().get_of_type().expect("its nodes");
    let index = handle.get_namespace_index(NAMESPACE).expect("its namespace");
    let value = move |number: u64| match block {
        0 => Variant::from(number as f64),
        samples => Variant::from(vec![number as f64; samples]),
    };
    let ids: Vec<NodeId> = (0..variables).map(|k| NodeId::new(index, format!("v{k}"))).collect();
    let folder = NodeId::new(index, "values");
    {
        let mut space = manager.address_space().write();
        space.add_folder(&folder, "values", "values", &NodeId::objects_folder_id());
        for id in &ids {
            let variable = VariableBuilder::new(id, id.to_string(), id.to_string()).data_type(DataTypeId::Double);
            let variable = variable.value_rank(if block > 0 { 1 } else { -1 }).value(value(0)).component_of(folder.clone());
            variable.has_type_definition(VariableTypeId::BaseDataVariableType).insert(&mut *space);
        }
    }
    println!("opc.tcp://{address}");
    let subscriptions = handle.subscriptions().clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(period_ms));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for number in 1u64.. {
            tick.tick().await;
            let time = DateTime::now();
            let values = ids.iter().map(|id| (id, None, DataValue::new_at(value(number), time)));
            manager.set_values(&subscriptions, values).expect("values");
        }
    });
    server.run_with(listener).await.expect("the PLC serves");
}
