//! The composition root of the live gateway: the only place that builds channels and spawns tasks.
//!
//! ```text
//! build: store ─▶ machines (bundle, state, tuned parameters) ─▶ server        everything that can fail, fails here
//! run:   sources ─samples─▶ drivers ─updates─▶ server, ─records─▶ store writer
//! stop:  token ─▶ sources close their sessions, drivers save, server closes, writer flushes; then joined, with a deadline
//! ```
//! Channels (all bounded): samples 8,192 a machine (full: counted, the next sample says Overflow); records 8,192 (full: lost and
//! counted); updates 16 batches and 2 a machine (full: latched in the driver); commands and alarm requests 16 (full: the client waits); audit 256
//! (full: not listed); events 1,024 (slow listeners lose the oldest); notices of alarms and events 256 (full: the alarm desk waits).

mod diagnostics;
mod kept;
mod offline;
mod vitals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::offline::{Stored, stored};

use self::diagnostics::GatewayWatch;
use self::kept::KeptBundles;
use self::vitals::Disk;
#[cfg(feature = "announce")]
use crate::announce::{Announcer, Pace};
use crate::bundle::{self, Bundle, ContractError, DecodeError};
use crate::config::{Config, MachineConfig, tunable};
use crate::dataset::Exporter;
use crate::pipeline::alarm_desk::{self, AlarmDesk};
use crate::pipeline::core::MachineCore;
use crate::pipeline::cycle::Cycles;
use crate::pipeline::driver::{self, Driver, Tuned, keys, wall_clock};
use crate::pipeline::inbox::{self, Inbox};
use crate::pipeline::outputs::{OutputDesk, Outputs};
use crate::pipeline::reports::{self, KeptReports};
use crate::reload::Reloader;
use crate::server::alarms::{AlarmLink, AlarmSender};
use crate::server::{self, Access, CommandRequest, CommandSender, OfferSenders, ParameterSpec, ServerError, ServerInput};
use crate::source::{self, Outbox, SampleSender, SourceStatus, SourceTask};
use crate::store::{MachineLayout, Record, SledStore, Store, StoreError, StoreHealth, StoreMessage, StoreWriter};
use crate::switches::{self, SourceSwitch, Switches};
use crate::types::{Answer, Command, Event, EventKind, GATEWAY, Refusal, Timestamp, Verdict};
use crate::users::UserList;

const SAMPLES: usize = 8_192;
const RECORDS: usize = 8_192;
const UPDATES: usize = 16;
const COMMANDS: usize = 16;
const EVENTS: usize = 1_024;
const AUDIT: usize = 256;
const NOTICES: usize = 256;
/// After the stop everything has so long to end.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// What the gateway is started with.
pub struct AppInput {
    /// What exists: sources, machines, server.
    pub config: Arc<Config>,
    /// Store, bundles and certificates are kept here.
    pub data_dir: PathBuf,
    /// Who may connect.
    pub access: Access,
    /// The file that the configuration came from, to be read again; `None` where it came from none.
    pub config_file: Option<PathBuf>,
    /// Users of the OPC UA server.
    pub users: Arc<UserList>,
    /// Bound by the caller.
    pub listener: TcpListener,
    /// Listen there instead as soon as there are users.
    pub open_on: Option<SocketAddr>,
    /// Bundles to install before the start, by machine.
    pub bundles: Vec<(Arc<str>, Arc<Bundle>)>,
}

/// A running gateway.
pub struct App {
    /// `opc.tcp://127.0.0.1:4840/`
    pub endpoint: String,
    /// Everything that happens, from all machines; subscribe to it.
    pub events: broadcast::Sender<Event>,
    /// One a machine.
    pub verdicts: Vec<watch::Receiver<Arc<Verdict>>>,
    /// One a source.
    pub sources: Vec<watch::Receiver<SourceStatus>>,
    /// Whether the store keeps what it is given.
    pub store_health: watch::Receiver<StoreHealth>,
    /// The same commands that OPC UA clients give.
    pub commands: CommandSender,
    tasks: JoinSet<()>,
    server: server::RunningServer,
    writer: StoreWriter,
    stop: CancellationToken,
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("machine `{machine}`: the kept bundle cannot be read: {cause}; give one with --bundle")]
    Bundle { machine: Arc<str>, cause: DecodeError },
    #[error("machine `{machine}`: which bundle is active cannot be read: {cause}; give one with --bundle")]
    Life { machine: Arc<str>, cause: serde_json::Error },
    #[error("machine `{machine}`: {cause}")]
    Contract { machine: Arc<str>, cause: ContractError },
    #[error("the configuration has no machine `{0}`, for which a bundle was given")]
    NoMachine(Arc<str>),
    #[error("a bundle cannot be written: {0}")]
    Encode(serde_json::Error),
    #[error("opening the store panicked: {0}")]
    Panic(tokio::task::JoinError),
}

/// A machine ready to be driven.
struct Machine {
    core: MachineCore,
    from_file: Arc<MachineConfig>,
    bundle_hash: Option<Arc<str>>,
    bundles: KeptBundles,
    reports: KeptReports,
    notes: Vec<String>,
}

/// Builds everything, then starts it. What can fail, fails before anything runs.
pub async fn start(input: AppInput) -> Result<App, AppError> {
    let config = input.config.clone();
    let data_dir = input.data_dir.clone();
    let (layouts, limits) = (config.machines.iter().map(|m| MachineLayout::of(m)).collect::<Vec<_>>(), config.store.clone());
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&data_dir.join("store"), &limits, &layouts));
    let (store, report) = opened.await.map_err(AppError::Panic)??;
    tracing::info!("store opened: {report}");
    let mut notes = report.problems();
    let store: Arc<dyn Store> = Arc::new(store);
    install(&config, store.as_ref(), &input.bundles)?;
    let mut machines = Vec::new();
    for (k, machine) in config.machines.iter().enumerate() {
        let mut prepared = prepare(k as u16, machine, &config.hash, store.as_ref())?;
        notes.append(&mut prepared.notes);
        machines.push(prepared);
    }

    let switches = switches::restored(&config, store.as_ref(), &mut notes)?;
    let alarm_specs = alarm_desk::specs(&config);
    let alarms = alarm_desk::restored(&alarm_specs, store.get_blob(alarm_desk::KEY)?.as_deref(), &mut notes);

    let stop = CancellationToken::new();
    let (notices, notices_rx) = mpsc::channel(NOTICES);
    let (alarm_requests, alarm_requests_rx) = mpsc::channel(COMMANDS);
    // All machines may have something to say at once.
    let (updates, updates_rx) = mpsc::channel(UPDATES + 2 * config.machines.len());
    let (commands, commands_rx) = mpsc::channel(COMMANDS);
    let (audit, audit_rx) = mpsc::channel(AUDIT);
    let writer = StoreWriter::spawn(store.clone(), RECORDS);
    let exporter = Arc::new(Exporter::new(store.clone(), &input.data_dir, &config));
    let cycles = Cycles::default();
    let (offers, offered): (Vec<_>, Vec<_>) = machines.iter().map(|_| mpsc::channel(1)).unzip();
    let offers: OfferSenders = offers.into();
    let server = server::start(ServerInput {
        config: config.clone(),
        parameters: {
            let of_machines = machines.iter().flat_map(|m| parameters(m.core.config(), &m.from_file));
            of_machines.chain(switches.iter().map(SourceSwitch::spec)).collect()
        },
        access: input.access,
        users: input.users,
        audit,
        data_dir: input.data_dir.clone(),
        pki_dir: input.data_dir.join("pki"),
        listener: input.listener,
        open_on: input.open_on,
        updates: updates_rx,
        commands: commands.clone(),
        offers: offers.clone(),
        store,
        records: writer.sender.clone(),
        alarms: AlarmLink { specs: alarm_specs, notices: notices_rx, requests: AlarmSender(alarm_requests.clone()) },
        stop: stop.child_token(),
    })
    .await?;
    let (events, _) = broadcast::channel(EVENTS);
    for text in notes {
        tracing::warn!("{text}");
        let event = Event { unit: config.gateway.name.as_str().into(), row: 0, time: wall_clock(), kind: EventKind::Note { text } };
        let _ = writer.sender.try_send(StoreMessage::Record(Record::Event(event.clone())));
    }

    let mut tasks = JoinSet::new();
    let sources = start_sources((&config, &switches), &input.data_dir, &stop, &mut tasks, machines.len());
    let mut app = App {
        endpoint: server.endpoint.clone(),
        events: events.clone(),
        verdicts: Vec::new(),
        sources: sources.status.clone(),
        store_health: writer.health.clone(),
        commands,
        tasks,
        server,
        writer,
        stop,
    };
    let heard = events.subscribe();
    let (mut routes, mut newer_files, mut model_links) = (Vec::new(), Vec::new(), Vec::new());
    for (k, ((machine, samples), offers)) in machines.into_iter().zip(sources.samples).zip(offered).enumerate() {
        let (route, commands) = mpsc::channel(COMMANDS);
        let (newer, files) = mpsc::channel(1);
        newer_files.push(newer);
        routes.push((machine.from_file.name.clone(), route));
        let (models, link) = machine.bundles.keeper(offers);
        model_links.push(link);
        let (verdict, verdict_rx) = watch::channel(Arc::new(machine.core.verdict().clone()));
        app.verdicts.push(verdict_rx);
        let driver = Driver {
            machine: k as u16,
            sources: machine.from_file.sources().into_iter().filter_map(|s| app.sources.get(s).cloned()).collect(),
            core: machine.core,
            from_file: machine.from_file,
            samples,
            commands,
            files,
            store: app.writer.sender.clone(),
            updates: updates.clone(),
            events: events.clone(),
            verdict,
            bundle_hash: machine.bundle_hash,
            models,
            reports: machine.reports,
            exporter: exporter.clone(),
            alarms: AlarmSender(alarm_requests.clone()),
            cycles: cycles.clone(),
            stop: app.stop.child_token(),
        };
        app.tasks.spawn(driver.run());
    }
    app.tasks.spawn(keep_audit(
        audit_rx,
        config.gateway.name.as_str().into(),
        app.writer.sender.clone(),
        events.clone(),
        app.stop.child_token(),
    ));
    let (folder, stop) = (input.data_dir.join(inbox::FOLDER), app.stop.child_token());
    app.tasks.spawn(Inbox { config: config.clone(), folder, offers, commands: app.commands.clone(), stop }.run());
    #[cfg(feature = "announce")]
    app.tasks.spawn(Announcer::new(&config.announce, &input.data_dir, Pace::default()).run(app.stop.child_token()));
    let (route, requests) = mpsc::channel(COMMANDS);
    routes.push((GATEWAY.into(), route));
    let reloader = Reloader {
        file: input.config_file,
        running: config.clone(),
        machines: newer_files,
        store: app.writer.sender.clone(),
        events: events.clone(),
        updates: updates.clone(),
        alarms: AlarmSender(alarm_requests.clone()),
        switches: Switches { switches, store: app.writer.sender.clone(), updates: updates.clone() },
    };
    app.tasks.spawn(reloader.run(requests, app.stop.child_token()));
    app.tasks.spawn(route_commands(commands_rx, routes, app.stop.child_token()));
    let (bits, alarm_bits) = watch::channel(Vec::new());
    let desk = AlarmDesk {
        config: config.clone(),
        alarms,
        heard,
        events: events.clone(),
        verdicts: app.verdicts.clone(),
        models: model_links,
        sources: app.sources.clone(),
        store_health: app.store_health.clone(),
        store: app.writer.sender.clone(),
        updates: updates.clone(),
        notices,
        requests: alarm_requests_rx,
        bits,
        stop: app.stop.child_token(),
    };
    app.tasks.spawn(desk.run());
    let outputs = OutputDesk {
        config: config.clone(),
        verdicts: app.verdicts.clone(),
        alarms: alarm_bits,
        sinks: sources.sinks,
        stop: app.stop.child_token(),
    };
    app.tasks.spawn(outputs.run());
    let watch = GatewayWatch {
        config: config.clone(),
        sources: app.sources.clone(),
        verdicts: app.verdicts.clone(),
        store: app.store_health.clone(),
        disk: Disk::new(input.data_dir.join("store")),
        cycles,
        last: Vec::new(),
    };
    app.tasks.spawn(watch.run(updates, app.stop.child_token()));
    Ok(app)
}

impl App {
    /// Ends everything in order: sources close their sessions, drivers save, the server closes, the store flushes.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!("a task ended badly: {error}");
                }
            }
            match self.server.task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("{error}"),
                Err(error) => tracing::error!("the server's task ended badly: {error}"),
            }
            drop(self.writer.sender);
            if let Err(error) = self.writer.task.await {
                tracing::error!("the store's writer ended badly: {error}");
            }
        };
        if tokio::time::timeout(STOP_DEADLINE, all).await.is_err() {
            tracing::warn!("not everything has ended within {STOP_DEADLINE:?}; what is left is abandoned");
        }
    }

    /// Waits until a task that must not end has ended (server or store), and says which.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            ended = &mut self.server.task => match ended {
                Ok(Err(error)) => error.to_string(),
                _ => "the OPC UA server has ended".into(),
            },
            _ = &mut self.writer.task => "the store's writer has ended".into(),
        }
    }
}

/// Puts given bundles into the store; a machine's old state does not go with a new bundle.
fn install(config: &Config, store: &dyn Store, bundles: &[(Arc<str>, Arc<Bundle>)]) -> Result<(), AppError> {
    for (name, bundle) in bundles {
        let machine = config.machines.iter().find(|m| m.name == *name).ok_or_else(|| AppError::NoMachine(name.clone()))?;
        bundle.check(machine).map_err(|cause| AppError::Contract { machine: name.clone(), cause })?;
        let (bytes, hash) = bundle::encode(bundle).map_err(AppError::Encode)?;
        // Also one whose references were changed at the machine since: it is not overwritten by what it came from.
        let installed = store.get(&keys::installed(name))?;
        let present = match kept::life(name, store) {
            Ok(life) => {
                let place = life.as_ref().and_then(|life| life.active.as_ref()).map_or(0, |kept| kept.place);
                store.get_blob(&keys::bundle(name, place))?
            }
            // What is given takes its place.
            Err(AppError::Life { .. }) => None,
            Err(other) => return Err(other),
        };
        if present.is_some() && (installed.as_deref() == Some(hash.as_bytes()) || present.as_deref() == Some(bytes.as_slice())) {
            continue;
        }
        store.apply(Record::PutBlob { key: keys::bundle(name, 0), value: bytes.into() })?;
        store.apply(Record::Remove { key: keys::life(name) })?;
        store.apply(Record::Remove { key: keys::state(name, 0) })?;
        store.apply(Record::Put { key: keys::installed(name), value: hash.clone().into_bytes() })?;
        store.flush()?;
        tracing::info!(machine = %name, "bundle {} installed", &hash[..12.min(hash.len())]);
    }
    Ok(())
}

/// A machine as it was left: tuned parameters, bundle, state, windows.
fn prepare(index: u16, machine: &Arc<MachineConfig>, hash: &str, store: &dyn Store) -> Result<Machine, AppError> {
    let name = machine.name.clone();
    let mut notes = Vec::new();
    let config = tuned(machine, store, &mut notes)?;
    let (mut bundles, bundle, bundle_hash) = KeptBundles::open(&name, store, &mut notes)?;
    let (bundle, bundle_hash) = match bundle {
        // Learned here with other signals or settings: learned again. One that was brought must be replaced by hand.
        Some(b) if b.check(machine).is_err() && machine.learn_rows > 0 => {
            notes.push(format!("machine `{name}`: the learned bundle does not fit the configuration any more; learning again"));
            bundles.life.active = None;
            (None, None)
        }
        other => (other, bundle_hash),
    };
    let new = MachineCore::new(config, hash.into(), name.clone(), bundle.clone());
    let mut core = new.map_err(|cause| AppError::Contract { machine: name.clone(), cause })?;
    if bundle.is_some()
        && let Some(state) = store.get_blob(&keys::state(&name, bundles.life.generation))?
    {
        let rows = store.features(index, Timestamp::MIN..Timestamp::from_nanos(i64::MAX), core.window_rows())?;
        match driver::resume(&mut core, &state, &rows) {
            Ok(()) => tracing::info!(machine = %name, rows = rows.len(), "goes on where it stopped"),
            Err(error) => notes.push(format!("machine `{name}`: the kept state cannot be read ({error}); windows start empty")),
        }
    }
    let reports = kept_reports(&name, store, &mut notes)?;
    Ok(Machine { core, from_file: machine.clone(), bundle_hash, bundles, reports, notes })
}

/// The full reports of a machine; a newest one that cannot be read is left out, with a note.
fn kept_reports(machine: &str, store: &dyn Store, notes: &mut Vec<String>) -> Result<KeptReports, AppError> {
    // Their times sort as texts.
    let keys = store.keys(&reports::prefix(machine))?;
    let Some(newest) = keys.last() else { return Ok(KeptReports::default()) };
    let last = store.get_blob(newest)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if last.is_none() {
        notes.push(format!("machine `{machine}`: the last full report cannot be read; it is left out"));
    }
    Ok(KeptReports { keys, last })
}

/// The configuration with what people have tuned. A written value lapses when the file's value under it has changed.
fn tuned(machine: &Arc<MachineConfig>, store: &dyn Store, notes: &mut Vec<String>) -> Result<Arc<MachineConfig>, AppError> {
    let (config, lapsed) = written_over(machine, store)?;
    for (key, note) in lapsed {
        notes.push(note);
        store.apply(Record::Remove { key })?;
    }
    Ok(Arc::new(config))
}

/// The same; which keys lapse, and why. Changes nothing.
fn written_over(machine: &MachineConfig, store: &dyn Store) -> Result<(MachineConfig, Vec<(String, String)>), StoreError> {
    let (mut written, mut lapsed) = (Vec::new(), Vec::new());
    let mut lapse = |key: String, path: &str, why: &str| lapsed.push((key, format!("the tuned value of `{path}` lapses: {why}")));
    for key in store.keys(&keys::parameter(&format!("{}.", machine.name)))? {
        let path: Arc<str> = key.trim_start_matches("param|").into();
        let Some(bytes) = store.get(&key)? else { continue };
        let Ok(kept) = serde_json::from_slice::<Tuned>(&bytes) else {
            lapse(key, &path, "it cannot be read");
            continue;
        };
        match tunable::read(machine, &path) {
            None => lapse(key, &path, "there is no such parameter any more"),
            Some(file) if file != kept.file => {
                lapse(key, &path, &format!("the configuration file now says {file} instead of {}", kept.file));
            }
            Some(_) => written.push((path, kept.value)),
        }
    }
    let (config, refused) = tunable::restore(machine, written);
    for (path, error) in refused {
        lapse(keys::parameter(&path), &path, &error.to_string());
    }
    Ok((config, lapsed))
}

/// The writable variables of all machines and sources, with the file's values.
pub fn parameters_of(config: &Config) -> Vec<ParameterSpec> {
    let of_machines = config.machines.iter().flat_map(|machine| parameters(machine, machine));
    of_machines.chain(switches::from_file(config).iter().map(SourceSwitch::spec)).collect()
}

/// The writable variables of a machine.
fn parameters(config: &MachineConfig, from_file: &MachineConfig) -> Vec<ParameterSpec> {
    let of = |t: tunable::Tunable| ParameterSpec {
        value: t.get(config),
        default: t.default_in(config, from_file),
        path: t.path,
        kind: t.kind,
        min: t.min,
        max: t.max,
        unit: t.unit,
        allowed: t.allowed,
        description: t.description,
    };
    tunable::tunables(config).into_iter().map(of).collect()
}

struct Sources {
    status: Vec<watch::Receiver<SourceStatus>>,
    samples: Vec<mpsc::Receiver<crate::types::Sample>>,
    /// Where the values to be written go.
    sinks: Vec<watch::Sender<Outputs>>,
}

fn start_sources(
    (config, switches): (&Config, &[SourceSwitch]),
    data_dir: &std::path::Path,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
    machines: usize,
) -> Sources {
    let (senders, samples) = (0..machines).map(|_| mpsc::channel(SAMPLES)).unzip();
    let sender = SampleSender::new(senders);
    let (mut status, mut sinks) = (Vec::new(), Vec::new());
    let lines = source::Lines::default();
    for (k, (source, switch)) in config.sources.iter().zip(switches).enumerate() {
        let (tx, rx) = watch::channel(SourceStatus::default());
        status.push(rx);
        let (outbox, sink) = Outbox::new(source::writes(config, k));
        sinks.push(sink);
        let task = SourceTask {
            config: source.clone(),
            tags: source::tags(config, k),
            samples: sender.clone(),
            status: tx,
            pki_dir: data_dir.join("pki").join("sources"),
            stop: stop.child_token(),
            outbox,
            lines: lines.clone(),
        };
        tasks.spawn(source::run_switched(task, switch.watch()));
    }
    Sources { status, samples, sinks }
}

/// Keeps who came in and what was refused as events of the gateway.
async fn keep_audit(
    mut audit: mpsc::Receiver<EventKind>,
    gateway: Arc<str>,
    store: mpsc::Sender<StoreMessage>,
    events: broadcast::Sender<Event>,
    stop: CancellationToken,
) {
    while let Some(Some(kind)) = stop.run_until_cancelled(audit.recv()).await {
        let event = Event { unit: gateway.clone(), row: 0, time: wall_clock(), kind };
        let _ = store.try_send(StoreMessage::Record(Record::Event(event.clone())));
        let _ = events.send(event);
    }
}

/// Hands each command to the machine it is for.
async fn route_commands(
    mut commands: mpsc::Receiver<CommandRequest>,
    routes: Vec<(Arc<str>, mpsc::Sender<CommandRequest>)>,
    stop: CancellationToken,
) {
    while let Some(Some(request)) = stop.run_until_cancelled(commands.recv()).await {
        // A parameter's path says whose it is; the method that resets it is the gateway's.
        let target = match &request.command {
            Command::SetParameter { path, .. } | Command::ResetParameter { path, .. } => path.split('.').next().unwrap_or_default(),
            _ => &request.target,
        };
        let route = routes.iter().find(|(name, _)| **name == *target);
        match route {
            Some((_, route)) => {
                if let Err(error) = route.send(request).await {
                    refuse(error.0.reply, "the machine's task has ended");
                }
            }
            None => refuse(request.reply, "no machine has this parameter or command"),
        }
    }
}

fn refuse(reply: oneshot::Sender<Result<Answer, Refusal>>, why: &str) {
    let _ = reply.send(Err(Refusal::Unknown(why.into())));
}
