//! The simulated motor behind an OPC UA server that looks like a Beckhoff TF6100: namespace 4 is
//! `urn:BeckhoffAutomation:Ua:PLC1`, node ids are symbol paths.
//!
//! | node (ns=4) | type | unit |
//! |---|---|---|
//! | `MAIN.fbMotor.aFlux` | Float\[256\] at 2,560 Hz | mWb |
//! | `MAIN.fbMotor.aVibration` | Float\[256\] at 2,560 Hz | mm/s |
//! | `MAIN.fbMotor.rCurrent1` .. `rCurrent3` | Float | A rms |
//! | `MAIN.fbMotor.rTempWinding` | Float | degC |
//! | `MAIN.fbMotor.rSpeed` | Float | 1/min |
//! | `MAIN.fbMotor.xRunning` | Boolean | |
//! | `GVL_Settings.rVoltage` | Float | V |
//! | `GVL_Settings.rLoad` | Float | % |
//!
//! All values of a cycle carry one source timestamp, the wall clock of the cycle. Every cycle reaches every subscriber whatever
//! sampling interval it asks for (but -1, "with the publishing interval", gives the last value only); a monitored item's queue
//! holds up to 10,000. No security, anonymous, meant for loopback.

use std::sync::Arc;

use async_trait::async_trait;
use opcua::core::sync::RwLock;
use opcua::nodes::{AccessLevel, VariableBuilder};
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{InMemoryNodeManager, InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl};
use opcua::server::node_manager::{RequestContext, ServerContext};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, CreateMonitoredItem, Limits, ServerBuilder, ServerEndpoint, ServerHandle};
use opcua::types::{DataTypeId, DataValue, NodeId, ObjectId, QualifiedName, StatusCode, TimestampsToReturn, VariableTypeId, Variant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::motor::{BLOCK_LENGTH, Cycle};
use super::plc::{Machine, PlcError, PlcOptions, RunningPlc};
use crate::types::Timestamp;
use crate::wire::opcua::to_date_time;

/// The namespace of the PLC's symbols; its index is 4.
pub const NAMESPACE: &str = "urn:BeckhoffAutomation:Ua:PLC1";
/// Namespaces before it, as on the real server.
const DI_NAMESPACE: &str = "http://opcfoundation.org/UA/DI/";
const IEC_NAMESPACE: &str = "http://PLCopen.org/OpcUa/IEC61131-3/";

const WAVEFORMS: [&str; 2] = ["MAIN.fbMotor.aFlux", "MAIN.fbMotor.aVibration"];
/// In the order of [`Cycle::scalars`].
const SCALARS: [&str; 7] = [
    "MAIN.fbMotor.rCurrent1",
    "MAIN.fbMotor.rCurrent2",
    "MAIN.fbMotor.rCurrent3",
    "MAIN.fbMotor.rTempWinding",
    "MAIN.fbMotor.rSpeed",
    "GVL_Settings.rVoltage",
    "GVL_Settings.rLoad",
];
const RUNNING: &str = "MAIN.fbMotor.xRunning";

type PlcManager = InMemoryNodeManager<PlcNodes>;

/// Starts the PLC on a listener (loopback). It runs until `stop` is cancelled.
pub async fn start_opcua_plc(options: PlcOptions, listener: TcpListener, stop: CancellationToken) -> Result<RunningPlc, PlcError> {
    let address = listener.local_addr()?;
    let (server, handle) = ServerBuilder::new()
        .application_name("TcOpcUaServer@SIMULATED")
        .application_uri("urn:SIMULATED:BeckhoffAutomation:TcOpcUaServer:1")
        .product_uri("urn:BeckhoffAutomation:TcOpcUaServer")
        .host(address.ip().to_string())
        .port(address.port())
        .discovery_urls(vec!["/".into()])
        .pki_dir(options.work_dir.join("pki"))
        .add_endpoint("none", ServerEndpoint::new_none("/", &[ANONYMOUS_USER_TOKEN_ID.to_string()]))
        .subscription_poll_interval_ms(20)
        .limits(limits())
        .token(stop.clone())
        .with_node_manager(InMemoryNodeManagerBuilder::new(PlcNodes::build))
        .build()
        .map_err(PlcError::OpcUa)?;
    let symbols = Symbols::new(&handle)?;
    let (machine, story) = Machine::new(&options);

    let mut tasks = JoinSet::new();
    tasks.spawn(async move { server.run_with(listener).await.map_err(PlcError::OpcUa) });
    tasks.spawn(machine.run(stop, move |cycle, time| symbols.write(&handle, &cycle, time)));
    Ok(RunningPlc { endpoint: format!("opc.tcp://{address}"), address, story, tasks })
}

fn limits() -> Limits {
    let mut limits = Limits { max_array_length: 100_000, max_message_size: 16 << 20, max_chunk_count: 300, ..Limits::default() };
    limits.subscriptions.min_sampling_interval_ms = 0.0;
    limits.subscriptions.min_publishing_interval_ms = 20.0;
    limits.subscriptions.max_monitored_item_queue_size = 10_000;
    limits.subscriptions.max_queued_notifications = 200;
    limits.subscriptions.max_publish_requests_per_subscription = 10;
    limits
}

/// The nodes that a cycle is written to.
struct Symbols {
    manager: Arc<PlcManager>,
    waveforms: [NodeId; 2],
    scalars: [NodeId; 7],
    running: NodeId,
}

impl Symbols {
    fn new(handle: &ServerHandle) -> Result<Self, PlcError> {
        let missing = || PlcError::OpcUa("its node manager is missing".into());
        let manager = handle.node_managers().get_of_type::<PlcManager>().ok_or_else(missing)?;
        let index = handle.get_namespace_index(NAMESPACE).ok_or_else(missing)?;
        let id = |symbol: &str| NodeId::new(index, symbol);
        Ok(Self { manager, waveforms: WAVEFORMS.map(id), scalars: SCALARS.map(id), running: id(RUNNING) })
    }

    /// Scalars and settings first, waveforms last: who waits for a waveform has the rest.
    fn write(&self, handle: &ServerHandle, cycle: &Cycle, time: Timestamp) -> Result<(), PlcError> {
        let time = to_date_time(time);
        let running = (&self.running, Variant::from(cycle.running));
        let scalars = self.scalars.iter().zip(cycle.scalars().map(|value| Variant::from(value as f32)));
        let waveforms = self.waveforms.iter().rev().zip([&cycle.vibration, &cycle.flux].map(|block| Variant::from(to_floats(block))));
        let values = std::iter::once(running).chain(scalars).chain(waveforms);
        self.manager
            .set_values(handle.subscriptions(), values.map(|(id, value)| (id, None, DataValue::new_at(value, time))))
            .map_err(|status| PlcError::OpcUa(format!("a value was refused: {status}")))
    }
}

/// REAL has the precision that a PLC's analogue inputs have.
fn to_floats(block: &[f64]) -> Vec<f32> {
    block.iter().map(|x| *x as f32).collect()
}

/// The PLC's part of the address space.
struct PlcNodes {
    namespaces: Vec<NamespaceMetadata>,
}

impl PlcNodes {
    fn build(context: ServerContext, space: &mut AddressSpace) -> Self {
        let mut types = context.type_tree.write();
        let namespaces: Vec<_> = [DI_NAMESPACE, IEC_NAMESPACE, NAMESPACE]
            .into_iter()
            .map(|uri| {
                let index = types.namespaces_mut().add_namespace(uri);
                space.add_namespace(uri, index);
                NamespaceMetadata { namespace_uri: uri.to_string(), namespace_index: index, ..Default::default() }
            })
            .collect();
        populate(space, namespaces[0].namespace_index, namespaces[2].namespace_index);
        Self { namespaces }
    }
}

/// `Objects/DeviceSet/PLC1/MAIN/fbMotor` and `.../GVL_Settings` with their variables.
fn populate(space: &mut AddressSpace, di: u16, plc: u16) {
    let id = |symbol: &str| NodeId::new(plc, symbol);
    let devices = NodeId::new(di, 5001u32);
    let folders = [
        (devices.clone(), QualifiedName::new(di, "DeviceSet"), ObjectId::ObjectsFolder.into()),
        (id("PLC1"), QualifiedName::new(plc, "PLC1"), devices),
        (id("MAIN"), QualifiedName::new(plc, "MAIN"), id("PLC1")),
        (id("MAIN.fbMotor"), QualifiedName::new(plc, "fbMotor"), id("MAIN")),
        (id("GVL_Settings"), QualifiedName::new(plc, "GVL_Settings"), id("PLC1")),
    ];
    for (node, name, parent) in folders {
        let display = name.name.to_string();
        space.add_folder(&node, name, display, &parent);
    }
    for symbol in WAVEFORMS {
        let length = BLOCK_LENGTH as u32;
        let variable = variable(plc, symbol, Variant::from(vec![0f32; BLOCK_LENGTH]), DataTypeId::Float);
        variable.value_rank(1).array_dimensions(&[length]).insert(space);
    }
    for symbol in SCALARS {
        variable(plc, symbol, Variant::from(0f32), DataTypeId::Float).insert(space);
    }
    variable(plc, RUNNING, Variant::from(false), DataTypeId::Boolean).insert(space);
}

/// A read-only variable below the symbol it is a member of.
fn variable(plc: u16, symbol: &str, value: Variant, data_type: DataTypeId) -> VariableBuilder {
    let (parent, name) = symbol.rsplit_once('.').unwrap_or(("PLC1", symbol));
    VariableBuilder::new(&NodeId::new(plc, symbol), QualifiedName::new(plc, name), name)
        .value(value)
        .data_type(data_type)
        .access_level(AccessLevel::CURRENT_READ)
        .user_access_level(AccessLevel::CURRENT_READ)
        .component_of(NodeId::new(plc, parent))
        .has_type_definition(VariableTypeId::BaseDataVariableType)
}

#[async_trait]
impl InMemoryNodeManagerImpl for PlcNodes {
    async fn init(&self, _space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        "simulated PLC"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.namespaces.clone()
    }

    /// The library thins values out to the sampling interval, which at the story's speed would lose cycles: the interval is
    /// revised to the shortest that is not "unset".
    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        let wanted: Vec<_> = items.iter().map(|item| item.item_to_monitor()).collect();
        let values = self.read_values(context, space, &wanted, 0.0, TimestampsToReturn::Both).await;
        for (value, item) in values.into_iter().zip(items.iter_mut()) {
            if value.status() == StatusCode::BadAttributeIdInvalid {
                item.set_status(StatusCode::BadAttributeIdInvalid);
                continue;
            }
            item.revise_sampling_interval(1e-9);
            item.set_initial_value(value);
            item.set_status(StatusCode::Good);
        }
    }
}

#[cfg(test)]
#[path = "plc_opcua_tests.rs"]
mod tests;
