//! The OPC UA server: address space from the nodeset, values from the pipeline, writes as commands to the owner of the state.
//!
//! ```text
//!  nodeset ─types─▶ instantiate ◀─ address_space ◀─ Config, parameters
//!                        │
//!  updates ─▶ publish ─▶ address space ─▶ subscriptions ─▶ clients
//!                        ▲                                    │ write
//!  owner of the state ◀──┴──── commands ◀──── parameter ◀─────┘
//! ```
//! Invariants: namespace indices never change; the lock of the address space is never held while anybody is waited for; a value
//! that is not known is Bad, never a default.

mod access;
mod address_space;
pub mod alarms;
mod audit;
mod browse;
mod certificate;
mod commands;
mod core_nodes;
mod events;
mod export;
mod files;
#[cfg(test)]
mod fixture;
mod guard;
mod history;
mod instantiate;
mod items;
mod limits;
mod login;
mod node_manager;
mod nodeset;
mod offer;
mod parameter;
mod publish;
mod relay;
mod roles;
mod run;
#[cfg(test)]
mod security_tests;
#[cfg(test)]
mod tests;
pub mod trust;
mod units;
pub mod view;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opcua::crypto::X509Data;
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::DiagnosticsNodeManagerBuilder;
use opcua::server::node_manager::ServerContext;
use opcua::server::node_manager::memory::InMemoryNodeManagerBuilder;
use opcua::server::{Server, ServerBuilder, ServerHandle};
use opcua::types::{BuildInfo, DateTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::access::demo_users;
pub use self::audit::AuditSender;
pub use self::export::nodeset_xml;
pub use self::offer::{Offer, OfferSenders, Offered, offer};

use self::access::Gatekeeper;
use self::address_space::Prepared;
use self::alarms::{AlarmLink, AlarmServer, Deliverer};
use self::audit::Audit;
use self::commands::Interfaces;
use self::core_nodes::CoreNodesBuilder;
use self::files::Files;
use self::guard::{Guarded, GuardedBuilder};
use self::history::{Histories, Recorder};
use self::node_manager::GatewayNodes;
use self::publish::Shared;
use self::relay::{Bounds, Opening, Peers, Relay};
use self::run::Publisher;
use crate::config::{Config, ServerConfig};
use crate::store::{Store, StoreMessage};
use crate::types::{Answer, Command, Quality, Refusal, Scalar, ScalarKind, Timestamp, Via};
use crate::users::UserList;

/// Namespace index of the instances: HMI projects store it as a number, so it is fixed for ever.
const INSTANCES: u16 = 2;
const INSTANCES_URI: &str = "urn:driftgate:ua:instances";
/// Namespace index of the types.
const TYPES: u16 = 3;
const TYPES_URI: &str = "urn:driftgate:ua:types";
const PRODUCT_URI: &str = "urn:driftgate";

/// Who may connect.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Also an endpoint without encryption, on which everybody has all rights, so the listener must be bound to loopback; any client
    /// certificate is trusted.
    Demo,
    /// Encrypted endpoints only, and rights by role; a client certificate that nobody has trusted is put into `rejected/`.
    Users,
}

/// What the server is given.
pub struct ServerInput {
    pub config: Arc<Config>,
    /// The variables that can be written.
    pub parameters: Vec<ParameterSpec>,
    pub access: Access,
    pub users: Arc<UserList>,
    /// Who came in, and what was refused.
    pub audit: AuditSender,
    /// Exported datasets and uploaded bundles lie below it.
    pub data_dir: PathBuf,
    /// Own key pair (made at the first start), `trusted/` and `rejected/` client certificates.
    pub pki_dir: PathBuf,
    /// Already bound.
    pub listener: TcpListener,
    /// Listen there instead as soon as there are users.
    pub open_on: Option<SocketAddr>,
    /// New values; see [`UpdateSender`].
    pub updates: mpsc::Receiver<Vec<NodeUpdate>>,
    /// Where writes and commands go to be decided.
    pub commands: CommandSender,
    /// Where uploaded bundles go.
    pub offers: OfferSenders,
    /// The past of variables.
    pub store: Arc<dyn Store>,
    /// Where changes of variables with a history go; full: the change is lost.
    pub records: mpsc::Sender<StoreMessage>,
    /// Alarms and events, from and to the one who owns their state.
    pub alarms: AlarmLink,
    pub stop: CancellationToken,
}

/// A server that accepts connections.
#[derive(Debug)]
pub struct RunningServer {
    /// `opc.tcp://127.0.0.1:4840/`
    pub endpoint: String,
    /// Ends after `stop`, when all its connections have ended or 5 s have passed.
    pub task: JoinHandle<Result<(), ServerError>>,
}

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("the embedded nodeset is damaged: {0}; reinstall driftgate")]
    Nodeset(String),
    #[error("the embedded nodeset has no type `{0}`; reinstall driftgate")]
    MissingType(&'static str),
    #[error("the address space has no node `{0}`")]
    MissingNode(String),
    #[error("the parameter `{path}` is specified as {expected:?}, but its node or value is {found:?}")]
    ParameterType { path: String, expected: ScalarKind, found: Option<ScalarKind> },
    #[error("namespaces are not where they have to be: check that `server.application_uri` is none of driftgate's own namespaces")]
    Namespaces,
    #[error("the server's certificate `{path}` cannot be made: {cause}; check the rights of the directory")]
    Certificate { path: String, cause: String },
    #[error("the listener has no address: {0}")]
    Listener(std::io::Error),
    #[error("the OPC UA server cannot be built: {0}")]
    Build(String),
    #[error("the OPC UA server has failed: {0}")]
    Run(String),
}

/// Builds the address space and starts to accept connections. Returns when clients can connect; what can go wrong (certificate,
/// nodeset, parameters that fit no node) goes wrong here.
pub async fn start(input: ServerInput) -> Result<RunningServer, ServerError> {
    let address = input.listener.local_addr().map_err(ServerError::Listener)?;
    // The stack itself is reached through the relay only.
    let inner = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(ServerError::Listener)?;
    let inner_address = inner.local_addr().map_err(ServerError::Listener)?;
    let token = input.stop.child_token();
    let bounds = relay_bounds(&input.config.server);
    let gatekeeper = Arc::new(Gatekeeper::new(input.access, Arc::clone(&input.users), Audit::new(input.audit.clone()), Peers::new(bounds)));
    let relay = Relay {
        peers: Arc::clone(&gatekeeper.peers),
        audit: Arc::clone(&gatekeeper.audit),
        inner: inner_address,
        open: input.access == Access::Demo,
    };
    let opening = input.open_on.map(|wanted| Opening { wanted, users: input.users });
    let settings = Settings {
        config: input.config,
        parameters: input.parameters,
        access: input.access,
        gatekeeper,
        data_dir: input.data_dir,
        pki_dir: input.pki_dir,
        address: input.open_on.map_or(address, |open| SocketAddr::new(open.ip(), address.port())),
        commands: input.commands,
        offers: input.offers,
        store: input.store,
        records: input.records,
        alarms: input.alarms,
        token: token.clone(),
    };
    let endpoint = settings.endpoint_url();
    // Making a key and some thousand nodes takes a while: not on a thread that serves others.
    let (server, publisher, deliverer) =
        tokio::task::spawn_blocking(move || settings.build()).await.map_err(|e| ServerError::Build(e.to_string()))??;
    let outside = run::Outside { relay, listener: input.listener, opening };
    let task = tokio::spawn(run::serve(server, inner, outside, (publisher, deliverer), input.updates, token));
    Ok(RunningServer { endpoint, task })
}

/// What the vendor's server is built from.
struct Settings {
    config: Arc<Config>,
    parameters: Vec<ParameterSpec>,
    access: Access,
    gatekeeper: Arc<Gatekeeper>,
    data_dir: PathBuf,
    pki_dir: PathBuf,
    address: SocketAddr,
    commands: CommandSender,
    offers: OfferSenders,
    store: Arc<dyn Store>,
    records: mpsc::Sender<StoreMessage>,
    alarms: AlarmLink,
    token: CancellationToken,
}

impl Settings {
    fn build(self) -> Result<(Server, Publisher, Deliverer), ServerError> {
        let uri = &self.config.server.application_uri;
        certificate::ensure(&self.pki_dir, uri)?;
        let prepared = address_space::build(&self.config, &self.parameters, &self.alarms.specs)?;
        let Prepared { space, variables, parameters, kept, methods, requests, files, alarms } = prepared;
        let alarms = Arc::new(AlarmServer::new(&self.config, alarms, self.alarms.requests.clone(), Arc::clone(&self.gatekeeper)));
        let recorder = Recorder::new(self.store.as_ref(), self.records.clone());
        let files = Arc::new(Files::new(files, Arc::clone(&self.config), self.data_dir.clone(), Arc::clone(&self.offers)));
        let (interfaces, late) = Interfaces::new(requests);
        let shared = Arc::new(Shared { variables, parameters, methods, interfaces, items: Default::default(), recorder, files });
        let histories = Histories::new(Arc::clone(&self.store), kept);
        let for_nodes = Arc::clone(&alarms);
        let (commands, audit) = (self.commands.clone(), Arc::clone(&self.gatekeeper.audit));
        let nodes = GatewayNodes { shared: Arc::clone(&shared), commands, audit, histories, alarms: for_nodes };
        let adopt = move |context: ServerContext, own: &mut AddressSpace| {
            // In this order: the indices depend on it.
            let mut tree = context.type_tree.write();
            for uri in [INSTANCES_URI, TYPES_URI] {
                tree.namespaces_mut().add_namespace(uri);
            }
            *own = space;
            nodes
        };
        let core = InMemoryNodeManagerBuilder::new(CoreNodesBuilder { alarms: Arc::clone(&alarms) });
        let guarded = GuardedBuilder { builder: InMemoryNodeManagerBuilder::new(adopt), gatekeeper: Arc::clone(&self.gatekeeper) };
        let builder = self.vendor_settings().without_node_managers();
        let builder = builder.with_node_manager(core).with_node_manager(DiagnosticsNodeManagerBuilder).with_node_manager(guarded);
        let (server, handle) = builder.build().map_err(ServerError::Build)?;
        let publisher = publisher(&handle, shared, self.gatekeeper, self.pki_dir, late)?;
        alarms.hub.install(handle.info());
        let (space, shared) = (Arc::clone(&publisher.space), Arc::clone(&publisher.shared));
        let deliverer = Deliverer { alarms, handle, space, shared, notices: self.alarms.notices };
        Ok((server, publisher, deliverer))
    }

    /// The name by which clients reach the server: the configured one, or that of the address.
    fn host(&self) -> String {
        self.config.server.host.clone().unwrap_or_else(|| host(self.address.ip()))
    }

    fn endpoint_url(&self) -> String {
        format!("opc.tcp://{}:{}/", self.host(), self.address.port())
    }

    fn vendor_settings(&self) -> ServerBuilder {
        let url = self.endpoint_url();
        let config = &self.config;
        let mut builder = ServerBuilder::new()
            .application_name(format!("driftgate {}", config.gateway.name))
            .application_uri(&config.server.application_uri)
            .product_uri(PRODUCT_URI)
            .build_info(build_info())
            .pki_dir(&self.pki_dir)
            .certificate_path(Path::new(certificate::CERTIFICATE))
            .private_key_path(Path::new(certificate::PRIVATE_KEY))
            .trust_client_certs(self.access == Access::Demo)
            .with_authenticator(self.gatekeeper.clone())
            .host(self.host())
            .port(self.address.port())
            .discovery_urls(vec![url])
            .limits(limits::limits(&config.server))
            .subscription_poll_interval_ms(limits::POLL_INTERVAL_MS)
            .max_session_timeout_ms(limits::SESSION_TIMEOUT_MS)
            .diagnostics_enabled(true)
            .token(self.token.clone());
        for (name, endpoint) in access::endpoints(self.access) {
            builder = builder.add_endpoint(name, endpoint);
        }
        builder
    }
}

/// The publisher into the address space that the vendor's server has taken over.
fn publisher(
    handle: &ServerHandle,
    shared: Arc<Shared>,
    gatekeeper: Arc<Gatekeeper>,
    pki_dir: PathBuf,
    late: mpsc::Receiver<Vec<NodeUpdate>>,
) -> Result<Publisher, ServerError> {
    let indices = [INSTANCES_URI, TYPES_URI].map(|uri| handle.get_namespace_index(uri));
    let manager = handle.node_managers().get_of_type::<Guarded>();
    match (indices, manager) {
        ([Some(INSTANCES), Some(TYPES)], Some(manager)) => Ok(Publisher {
            space: Arc::clone(manager.inner.address_space()),
            gatekeeper,
            pki_dir,
            subscriptions: Arc::clone(handle.subscriptions()),
            shared,
            late,
            info: Arc::clone(handle.info()),
        }),
        _ => Err(ServerError::Namespaces),
    }
}

fn build_info() -> BuildInfo {
    BuildInfo {
        product_uri: PRODUCT_URI.into(),
        manufacturer_name: "driftgate".into(),
        product_name: "driftgate".into(),
        software_version: env!("CARGO_PKG_VERSION").into(),
        build_number: env!("CARGO_PKG_VERSION").into(),
        build_date: DateTime::null(),
    }
}

fn relay_bounds(config: &ServerConfig) -> Bounds {
    Bounds {
        connections: config.max_connections.into(),
        of_one_address: config.max_connections_per_address.into(),
        sessions: config.max_sessions.into(),
    }
}

/// The name by which clients reach the listener: its address, or this computer's name where it listens on all.
fn host(ip: IpAddr) -> String {
    match ip {
        ip if ip.is_unspecified() => X509Data::computer_hostnames().into_iter().next().unwrap_or_else(|| "127.0.0.1".into()),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// A new value of one own variable: `Motor1.Drift.Status` is `ns=2;s=Motor1.Drift.Status`.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeUpdate {
    pub path: Arc<str>,
    /// `None`: no value (Bad).
    pub value: Option<Scalar>,
    pub quality: Quality,
    /// Source timestamp.
    pub time: Timestamp,
}

/// A writable variable: a ConfigParameterType instance in the address space.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// `Motor1.Drift.DataDrift.WindowRows`
    pub path: Arc<str>,
    pub kind: ScalarKind,
    /// In use at start (tuned or from the file).
    pub value: Scalar,
    /// From the file.
    pub default: Scalar,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub unit: &'static str,
    /// Of a text: the only ones; empty where any will do, or another rule decides.
    pub allowed: &'static [&'static str],
    pub description: &'static str,
}

/// A command with who asked and where the answer goes.
#[derive(Debug)]
pub struct CommandRequest {
    /// Name of the machine, or [`GATEWAY`](crate::types::GATEWAY).
    pub target: Arc<str>,
    pub command: Command,
    /// Of the session.
    pub user: Arc<str>,
    /// The name that a shared screen claims; empty for none.
    pub operator: Arc<str>,
    pub via: Via,
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Bounded; full = the sender waits (commands are rare).
pub type CommandSender = mpsc::Sender<CommandRequest>;
/// Bounded; the driver merges into its latched delta while it is full.
pub type UpdateSender = mpsc::Sender<Vec<NodeUpdate>>;
