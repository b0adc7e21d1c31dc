//! The OPC UA server alone: no sources, drivers or store behind it, but one task that changes every signal ten times a second.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driftgate::app::parameters_of;
use driftgate::config::Config;
use driftgate::pipeline::alarm_desk;
use driftgate::server::alarms::{AlarmLink, AlarmSender};
use driftgate::server::{self, Access, NodeUpdate, ServerInput, UpdateSender, demo_users};
use driftgate::store::MemoryStore;
use driftgate::types::{Quality, Scalar, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Prints its endpoint, then serves for ever.
pub async fn serve(config: &Path, data_dir: &Path) {
    let text = std::fs::read_to_string(config).expect("the configuration");
    let config = Arc::new(Config::parse(&text).unwrap_or_else(|faults| panic!("{faults}")));
    // Nobody writes, and nothing is refused: the other ends are only kept open.
    let (audit, _audit) = mpsc::channel(256);
    let (commands, _commands) = mpsc::channel(16);
    let (records, mut kept) = mpsc::channel(8_192);
    let (_notices, notices) = mpsc::channel(16);
    let (requests, _requests) = mpsc::channel(16);
    let (updates, changes) = mpsc::channel(2 * config.machines.len());
    tokio::spawn(async move { while kept.recv().await.is_some() {} });
    let alarms = AlarmLink { specs: alarm_desk::specs(&config), notices, requests: AlarmSender(requests) };
    let server = server::start(ServerInput {
        config: config.clone(),
        parameters: parameters_of(&config),
        access: Access::Demo,
        users: Arc::new(demo_users().expect("users")),
        audit,
        data_dir: data_dir.into(),
        pki_dir: data_dir.join("pki"),
        listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port"),
        open_on: None,
        updates: changes,
        commands,
        offers: Vec::new().into(),
        store: Arc::new(MemoryStore::new(&config.store, config.machines.len())),
        records,
        alarms,
        stop: CancellationToken::new(),
    });
    let server = server.await.expect("the server starts");
    println!("{}", server.endpoint);
    count(&config, &updates).await;
}

/// Every signal is the number of changes so far; a batch a machine, as drivers send them.
async fn count(config: &Config, updates: &UpdateSender) {
    let paths = |m: &Arc<driftgate::config::MachineConfig>| {
        m.signals.iter().map(|s| Arc::from(format!("{}.Signals.{}", m.name, s.name))).collect::<Vec<Arc<str>>>()
    };
    let machines: Vec<_> = config.machines.iter().map(paths).collect();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0u64.. {
        tick.tick().await;
        let time = Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let value = Some(Scalar::F64((number % 0x1_0000) as f64));
        for paths in &machines {
            let change = |path: &Arc<str>| NodeUpdate { path: path.clone(), value: value.clone(), quality: Quality::Good, time };
            if updates.send(paths.iter().map(change).collect()).await.is_err() {
                return;
            }
        }
    }
}
