//! From raw to checked. Pure; goes on after a fault with a stand-in, so that one pass finds them all.

mod announce;
mod channel;
mod checks;
mod feature;
mod machine;
mod monitor;
mod source;
mod writes;

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::bounds::{self, Bound};
use super::fault::ConfigErrors;
use super::raw::{RawConfig, RawGateway, RawMachine, RawReplay, RawServer, RawStore};
use super::read::{Notes, Span, join};
use super::{Config, GatewayConfig, MachineConfig, ReplayConfig, ServerConfig, SourceConfig, StoreConfig};

pub(super) use machine::learn_fault;
pub(super) use monitor::{NUMBERS, OUTCOMES, Watched, hop_fault, threshold_range};
pub(super) use source::{MODBUS_KEYS, OPCUA_KEYS};
pub(super) use writes::number_type;

impl Config {
    /// Reads and checks a configuration. All faults are reported, not only the first one.
    pub fn parse(text: &str) -> Result<Self, ConfigErrors> {
        let mut notes = Notes::new(text);
        let Some(raw) = notes.document() else {
            return Err(notes.into_errors());
        };
        let config = config(raw, text, &mut notes);
        notes.finish(config)
    }
}

fn config(raw: RawConfig, text: &str, notes: &mut Notes<'_>) -> Config {
    let gateway = gateway(raw.gateway.unwrap_or_default(), notes);
    let server = server(raw.server.unwrap_or_default(), &gateway, notes);
    let store = store(raw.store.unwrap_or_default(), notes);
    let replay = replay(raw.replay.unwrap_or_default(), notes);
    let announce = announce::announce(raw.announce.unwrap_or_default(), &gateway.name, notes);
    let sources = source::sources(raw.sources.unwrap_or_default(), notes);
    let machines = machines(notes.has("machines"), raw.machines.unwrap_or_default(), &sources, &store, notes);
    let hash = Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
    Config { gateway, server, store, replay, announce, sources, machines, hash, text: text.into() }
}

fn gateway(raw: RawGateway, notes: &mut Notes<'_>) -> GatewayConfig {
    let name = raw.name.unwrap_or_else(|| "driftgate".to_string());
    notes.check_name("gateway.name", &name);
    GatewayConfig { name }
}

fn server(raw: RawServer, gateway: &GatewayConfig, notes: &mut Notes<'_>) -> ServerConfig {
    let given = raw.application_uri.is_some();
    let application_uri = raw.application_uri.unwrap_or_else(|| format!("urn:driftgate:{}", gateway.name));
    if given && (!application_uri.contains(':') || application_uri.contains(char::is_whitespace)) {
        notes.fault(
            "server.application_uri",
            format!("not a URI: `{application_uri}`"),
            Some(r#"write one like "urn:driftgate:line1""#.to_string()),
        );
    }
    ServerConfig {
        port: raw.port.unwrap_or(bounds::PORT),
        address: listen_address(raw.address, notes),
        host: host(raw.host, notes),
        max_sessions: notes.within("server.max_sessions", raw.max_sessions, bounds::MAX_SESSIONS),
        max_connections: notes.within("server.max_connections", raw.max_connections, bounds::MAX_CONNECTIONS),
        max_connections_per_address: notes.within(
            "server.max_connections_per_address",
            raw.max_connections_per_address,
            bounds::MAX_CONNECTIONS_PER_ADDRESS,
        ),
        application_uri,
    }
}

fn listen_address(raw: Option<String>, notes: &mut Notes<'_>) -> IpAddr {
    let every = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let Some(text) = raw else { return every };
    text.parse().unwrap_or_else(|_| {
        let hint = r#"write one of this computer's, like "192.168.0.5", or "0.0.0.0" for all"#;
        notes.fault("server.address", format!("not an IP address: `{text}`"), hint.to_string());
        every
    })
}

fn host(raw: Option<String>, notes: &mut Notes<'_>) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if let Some(host) = raw.as_ref().filter(|h| h.is_empty() || h.len() > 253 || !h.chars().all(good)) {
        notes.fault("server.host", format!("not a host name: `{host}`"), r#"write one like "gateway1.plant.local""#.to_string());
    }
    raw
}

fn store(raw: RawStore, notes: &mut Notes<'_>) -> StoreConfig {
    let reserve = notes.within("store.disk_reserve_mb", raw.disk_reserve_mb, bounds::DISK_RESERVE_MB);
    StoreConfig {
        frame_rows: notes.within("store.frame_rows", raw.frame_rows, bounds::STORE_ROWS),
        feature_rows: notes.within("store.feature_rows", raw.feature_rows, bounds::FEATURE_ROWS),
        history_rows: notes.within("store.history_rows", raw.history_rows, bounds::STORE_ROWS),
        event_rows: notes.within("store.event_rows", raw.event_rows, bounds::STORE_ROWS),
        value_rows: notes.within("store.value_rows", raw.value_rows, bounds::VALUE_ROWS),
        disk_reserve: u64::from(reserve) * 1_000_000,
        max_age: raw.max_age.map(|_| notes.span_within("store.max_age", raw.max_age, bounds::STORE_AGE)),
        machine_bytes: raw.machine_mb.map(|_| u64::from(notes.within("store.machine_mb", raw.machine_mb, bounds::MACHINE_MB)) * 1_000_000),
    }
}

fn replay(raw: RawReplay, notes: &mut Notes<'_>) -> ReplayConfig {
    for (key, column) in [("time_column", &raw.time_column), ("unit_column", &raw.unit_column)] {
        if column.as_ref().is_some_and(|c| c.trim().is_empty()) {
            notes.fault(&join("replay", key), "empty: ``", Some("name a column, or leave the key out".to_string()));
        }
    }
    if raw.time_column.is_some() && raw.time_column == raw.unit_column {
        let column = raw.unit_column.as_deref().unwrap_or_default();
        notes.fault("replay.unit_column", format!("the same column as time_column: `{column}`"), None);
    }
    ReplayConfig { time_column: raw.time_column, unit_column: raw.unit_column }
}

fn machines(
    present: bool,
    raw: Vec<RawMachine>,
    sources: &[SourceConfig],
    store: &StoreConfig,
    notes: &mut Notes<'_>,
) -> Vec<Arc<MachineConfig>> {
    if raw.is_empty() && !(present && notes.faulty_within("machines")) {
        notes.fault("machines", "no machine", Some("add a table [[machines]]".to_string()));
    }
    if raw.len() > bounds::MAX_MACHINES {
        notes.fault("machines", format!("too many machines: `{}`", raw.len()), Some(format!("at most {}", bounds::MAX_MACHINES)));
    }
    let mut names = Names::default();
    let check = |(i, raw)| {
        let path = format!("machines[{i}]");
        let machine = machine::machine(raw, &path, sources, store, notes);
        names.claim(&machine.name, join(&path, "name"), "machine", notes);
        Arc::new(machine)
    };
    let machines: Vec<_> = raw.into_iter().enumerate().map(check).collect();
    writes::check_places(&machines, sources, notes);
    machines
}

/// Names in use, each with the path of its first use.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// Notes a fault where the name is taken.
    fn claim(&mut self, name: &str, path: String, what: &str, notes: &mut Notes<'_>) {
        if name.is_empty() {
            return;
        }
        if let Some(first) = self.0.get(name) {
            let hint = format!("the first is {first}; names must differ");
            notes.fault(&path, format!("second {what} of this name: `{name}`"), hint);
        } else {
            self.0.insert(name.to_string(), path);
        }
    }
}

impl Notes<'_> {
    /// The value, or its default; a fault where it is out of range.
    fn within<T: PartialOrd + Display + Copy>(&mut self, path: &str, value: Option<T>, bound: Bound<T>) -> T {
        let value = value.unwrap_or(bound.default);
        if !(bound.min..=bound.max).contains(&value) {
            self.fault(path, format!("out of range: `{value}`"), format!("from {} to {}", bound.min, bound.max));
        }
        value
    }

    /// [`Self::within`] for time spans.
    fn span_within(&mut self, path: &str, value: Option<Span>, bound: Bound<Duration>) -> Duration {
        let bound = Bound { default: Span(bound.default), min: Span(bound.min), max: Span(bound.max) };
        self.within(path, value, bound).0
    }

    /// Notes a fault where a name cannot be part of a node id.
    fn check_name(&mut self, path: &str, name: &str) {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !(starts && rest && name.len() <= bounds::MAX_NAME) {
            let hint = format!("a letter, then letters, digits and `_`, {} at most", bounds::MAX_NAME);
            self.fault(path, format!("not a name: `{name}`"), hint);
        }
    }

    /// A name that must be there; empty after a fault.
    fn name(&mut self, name: Option<String>, table: &str) -> Arc<str> {
        let hint = r#"add a name, like name = "Motor1""#;
        let Some(name) = self.required(name, table, "name", hint) else {
            return "".into();
        };
        self.check_name(&join(table, "name"), &name);
        name.into()
    }
}
