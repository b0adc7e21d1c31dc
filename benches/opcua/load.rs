//! 10,000 variables at 10 Hz, to no, one and five subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opcua::client::{DataChangeCallback, Session};
use opcua::types::{
    AttributeId, DataValue, ExtensionObject, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, ReadValueId,
    TimestampsToReturn, Variant,
};

use crate::client::{connect, node};
use crate::gateway::{Gateway, machine, source};
use crate::process::{Process, load_average};

const MACHINES: usize = 100;
const SIGNALS: usize = 100;
const SOURCES: usize = 10;
const SECONDS: u64 = 20;

fn config(port: &str, machines: usize) -> String {
    let mut text = "[store]\nframe_rows = 1000\nfeature_rows = 2000\n".to_string();
    (0..SOURCES).for_each(|s| text += &source(&format!("P{s}"), port, 100));
    // Monitors have no reference to hold the values against: what is measured is the way from the PLC to the clients.
    for m in 0..machines {
        text += &machine(&format!("M{m:03}"), &format!("P{}", m % SOURCES), SIGNALS, m * SIGNALS, "[machines.data_drift]\nenabled = false");
    }
    text
}

/// From the PLC to the clients.
pub fn of_gateway(_: &tokio::runtime::Runtime) {
    let mut plc = Process::start(&["plc"]);
    let port = plc.line();
    run("gateway", &port);
}

/// From values that are there to the clients.
pub fn of_server(_: &tokio::runtime::Runtime) {
    run("server", "502");
}

/// What the address space of so many machines costs; all their signals change.
pub fn memory_of_server(_: &tokio::runtime::Runtime) {
    println!("{:>8} {:>8} {:>7} {:>10}", "machines", "signals", "RSS MB", "start (s)");
    for machines in [1, 3, 10, MACHINES] {
        let dir = tempfile::tempdir().expect("a directory");
        let begun = Instant::now();
        let gateway = Gateway::start_as("server", &config("502", machines), dir.path());
        let start = begun.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs(5));
        println!("{machines:>8} {:>8} {:>7.0} {start:>10.1}", machines * SIGNALS, gateway.process.memory());
    }
}

fn run(part: &str, port: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let gateway = Gateway::start_as(part, &config(port, MACHINES), dir.path());
    println!("{} variables at 10 Hz; start {:.1} s", MACHINES * SIGNALS, begun.elapsed().as_secs_f64());
    println!(
        "{:>11} {:>8} {:>10} {:>7} {:>13} {:>9} {:>8} {:>6}",
        "subscribers", "security", "CPU % core", "RSS MB", "clients CPU %", "values/s", "skipped", "load"
    );
    for (sessions, security) in [(0, "none"), (1, "none"), (5, "none"), (1, "encrypt")] {
        measure(&gateway, sessions, security);
    }
}

fn measure(gateway: &Gateway, sessions: usize, security: &str) {
    let mut clients = (sessions > 0).then(|| {
        let mut clients = Process::start(&["subscribe", &gateway.endpoint, &sessions.to_string(), &SECONDS.to_string(), security]);
        assert_eq!(clients.line(), "subscribed");
        clients
    });
    let cpu = |clients: Option<&Process>| (gateway.process.cpu(), clients.map_or(0.0, Process::cpu));
    let (begun, before) = (Instant::now(), cpu(clients.as_ref()));
    std::thread::sleep(Duration::from_secs(SECONDS));
    let (seconds, after) = (begun.elapsed().as_secs_f64(), cpu(clients.as_ref()));
    let (load, theirs) = (100.0 * (after.0 - before.0) / seconds, 100.0 * (after.1 - before.1) / seconds);
    let figures = clients.as_mut().map_or("0 0".into(), Process::line);
    let (rate, skipped) = figures.split_once(' ').expect("two figures");
    let memory = gateway.process.memory();
    // Its sessions end in order.
    if let Some(clients) = clients {
        clients.wait();
    }
    println!("{sessions:>11} {security:>8} {load:>10.0} {memory:>7.0} {theirs:>13.0} {rate:>9} {skipped:>8} {:>6}", load_average());
}

/// What all subscribers have seen.
#[derive(Default)]
struct Seen {
    values: AtomicU64,
    /// Numbers that did not come.
    skipped: AtomicU64,
}

/// Prints when it has subscribed to everything, and then figures after so many seconds.
pub async fn subscribe(endpoint: &str, sessions: usize, seconds: u64, security: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let seen = Arc::new(Seen::default());
    let mut open = Vec::new();
    for k in 0..sessions {
        let session = connect(endpoint, &dir.path().join(k.to_string()), security == "encrypt").await;
        subscribe_to_all(&session, &seen).await;
        open.push(session);
    }
    // The first notifications are of everything at once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("subscribed");
    let (values, skipped) = (seen.values.load(Ordering::Relaxed), seen.skipped.load(Ordering::Relaxed));
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let rate = (seen.values.load(Ordering::Relaxed) - values) as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} {}", seen.skipped.load(Ordering::Relaxed) - skipped);
    for session in open {
        // The gateway may be gone.
        let _ = session.disconnect().await;
    }
}

async fn subscribe_to_all(session: &Session, seen: &Arc<Seen>) {
    let paths: Vec<String> = (0..MACHINES).flat_map(|m| (0..SIGNALS).map(move |s| format!("M{m:03}.Signals.S{s:03}"))).collect();
    let last: Vec<AtomicU64> = paths.iter().map(|_| AtomicU64::new(u64::MAX)).collect();
    let seen = Arc::clone(seen);
    let callback = DataChangeCallback::new(move |value: DataValue, item: &opcua::client::MonitoredItem| {
        let Some(Variant::Double(number)) = value.value else { return };
        let number = number as u64;
        seen.values.fetch_add(1, Ordering::Relaxed);
        let before = last[item.client_handle() as usize - 1].swap(number, Ordering::Relaxed);
        if before != u64::MAX {
            // Registers have 16 bits.
            seen.skipped.fetch_add((number + 0x1_0000 - before - 1) % 0x1_0000, Ordering::Relaxed);
        }
    });
    let subscription =
        session.create_subscription(Duration::from_millis(100), 100, 10, 0, 0, true, callback).await.expect("a subscription");
    for (block, paths) in paths.chunks(1_000).enumerate() {
        let items = paths.iter().zip(block as u32 * 1_000 + 1..).map(|(path, handle)| MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId { node_id: node(path), attribute_id: AttributeId::Value as u32, ..ReadValueId::default() },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: handle,
                sampling_interval: 50.0,
                filter: ExtensionObject::null(),
                queue_size: 10,
                discard_oldest: true,
            },
        });
        let created = session.create_monitored_items(subscription, TimestampsToReturn::Both, items.collect()).await.expect("items");
        let bad = created.iter().find(|item| !item.result.status_code.is_good());
        assert!(bad.is_none(), "an item: {:?}", bad.map(|item| item.result.status_code));
    }
}
