//! The demo: a simulated motor with its PLC, and the gateway on it through its normal path.

use std::io::{IsTerminal, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::run::{bind, runtime, stop_signal};
use super::{Outcome, Usage};
use crate::app::{self, App, AppInput};
use crate::config::{Config, MachineConfig, ModbusPlace, SourceKind};
use crate::pipeline::driver::wall_clock;
use crate::pipeline::recorded::TimeBase;
use crate::pipeline::replay::line;
use crate::server::view::sentence;
use crate::server::{Access, CommandRequest, demo_users};
use crate::sim::{self, PlcOptions, RunningPlc, Story, StoryPoint};
use crate::types::{BufferState, Command, DriftStatus, Event, SourceState, Verdict, Via};

const DEMO: &str = include_str!("../../configs/demo.toml");
const DEMO_MODBUS: &str = include_str!("../../configs/demo-modbus.toml");
/// Between two pictures of the table, or two states as JSON.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// Between two state lines where no terminal is.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Port of the gateway's OPC UA server; 0 takes a free one.
    #[arg(long, default_value_t = 4840)]
    port: u16,
    /// Keep and continue the data here; without it a fresh directory is made, and removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Story time over real time, 0.1 to 100.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// End after this time (wall clock): `90s`, `5m`; without it, at Ctrl-C.
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// What the simulated PLC speaks.
    #[arg(long, value_enum, default_value_t = Protocol::Opcua)]
    source: Protocol,
    /// Seed of everything random in the simulation.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object a line on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Opcua,
    Modbus,
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let error = || format!("`{text}` is no duration; write 90s, 5m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| error())?;
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(error()),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| error())
}

/// Runs the demo until its duration is over or somebody stops it.
pub fn run(args: DemoArgs) -> anyhow::Result<Outcome> {
    if !(0.1..=100.0).contains(&args.speed) {
        bail!(Usage(format!("--speed {} is not between 0.1 and 100", args.speed)));
    }
    let dir = DataDir::new(args.data_dir.clone())?;
    runtime()?.block_on(demo(&args, &dir.path))
}

/// Removed at the end, unless the user has named it.
struct DataDir {
    path: PathBuf,
    own: bool,
}

impl DataDir {
    fn new(named: Option<PathBuf>) -> anyhow::Result<Self> {
        let own = named.is_none();
        let name = format!("driftgate-demo-{}-{}", std::process::id(), wall_clock().as_nanos());
        let path = named.unwrap_or_else(|| std::env::temp_dir().join(name));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the data directory `{}`", path.display()))?;
        Ok(Self { path, own })
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.own {
            // It is in the temporary directory: what can't be removed is swept there.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

async fn demo(args: &DemoArgs, dir: &Path) -> anyhow::Result<Outcome> {
    let plc_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the simulated PLC")?;
    let config = Arc::new(configure(args, plc_listener.local_addr()?.port())?);
    let listener = bind((Ipv4Addr::LOCALHOST, args.port).into()).await?;
    let users = Arc::new(demo_users().context("the demo's users")?);
    let (shared, data_dir, bundles) = (config.clone(), dir.into(), Vec::new());
    let input = AppInput { config: shared, config_file: None, data_dir, access: Access::Demo, users, listener, open_on: None, bundles };
    let mut app = app::start(input).await?;
    let learned = app.verdicts[0].borrow().regimes.iter().any(|r| r.in_envelope);
    let story_start = if learned { Story::default().normal_from() } else { 0.0 };
    let options = PlcOptions { speed: args.speed, seed: args.seed, story_start, work_dir: dir.join("plc") };
    let plc_stop = CancellationToken::new();
    let plc = match args.source {
        Protocol::Opcua => sim::start_opcua_plc(options, plc_listener, plc_stop.child_token()).await?,
        Protocol::Modbus => sim::start_modbus_plc(options, plc_listener, plc_stop.child_token()).await?,
    };
    let mut screen = Screen::new(args, &config.machines[0]);
    screen.start(&app, &plc);
    let why = watch_story(args, &mut app, &plc, &mut screen).await;
    // The gateway first: it closes its session with a PLC that is still there.
    app.stop().await;
    plc_stop.cancel();
    if let Err(error) = plc.join().await {
        tracing::error!("{error}");
    }
    screen.end(&why);
    Ok(if matches!(why, End::Failed(_)) { Outcome::Failed } else { Outcome::Done })
}

/// The shipped configuration with the simulated PLC's port; times of the story go with its speed.
fn configure(args: &DemoArgs, plc_port: u16) -> anyhow::Result<Config> {
    let text = match args.source {
        Protocol::Opcua => DEMO,
        Protocol::Modbus => DEMO_MODBUS,
    };
    let mut config = Config::parse(text)?;
    config.server.port = args.port;
    for source in &mut config.sources {
        match &mut source.kind {
            SourceKind::OpcUa(opcua) => opcua.endpoint = format!("opc.tcp://127.0.0.1:{plc_port}"),
            SourceKind::Modbus(modbus) => {
                modbus.place = ModbusPlace::Tcp { host: "127.0.0.1".into(), port: plc_port };
                modbus.poll_interval = modbus.poll_interval.div_f64(args.speed.max(1.0));
            }
        }
    }
    for machine in &mut config.machines {
        Arc::make_mut(machine).settle = machine.settle.div_f64(args.speed);
    }
    Ok(config)
}

enum End {
    Duration,
    Signal(&'static str),
    Failed(String),
}

async fn watch_story(args: &DemoArgs, app: &mut App, plc: &RunningPlc, screen: &mut Screen) -> End {
    let mut events = app.events.subscribe();
    let mut story = plc.story.clone();
    let mut show = tokio::time::interval(SHOW_EVERY);
    let end = tokio::time::sleep(args.duration.unwrap_or(Duration::from_secs(u32::MAX.into())));
    tokio::pin!(end);
    let signal = stop_signal();
    tokio::pin!(signal);
    screen.phase(&story.borrow_and_update());
    let mut repaired = false;
    loop {
        tokio::select! {
            () = &mut end => return End::Duration,
            name = &mut signal => return End::Signal(name),
            why = app.failed() => return End::Failed(why),
            Ok(()) = story.changed() => {
                let point = *story.borrow_and_update();
                screen.phase(&point);
                repaired |= point.name.starts_with("Repaired");
            }
            event = events.recv() => match event {
                Ok(event) => screen.event(&event),
                Err(broadcast::error::RecvError::Lagged(n)) => screen.say(&format!("({n} events not shown)")),
                Err(broadcast::error::RecvError::Closed) => return End::Failed("the machine's task has ended".into()),
            },
            _ = show.tick() => {
                let verdict = app.verdicts[0].borrow().clone();
                // Not before the drift is gone: until then the buffer would be filled anew.
                if repaired && verdict.status == DriftStatus::OK {
                    repaired = false;
                    release_buffers(app, screen).await;
                }
                let source = app.sources[0].borrow().state;
                let health = app.store_health.borrow().failing.clone();
                screen.show(&verdict, source, health.as_deref(), &plc.story);
            }
        }
    }
}

/// The demo's operator: after a repair the collected data counts as fetched.
async fn release_buffers(app: &App, screen: &mut Screen) {
    let verdict = app.verdicts[0].borrow().clone();
    let full = |state| matches!(state, BufferState::Ready | BufferState::Exported | BufferState::Acknowledged);
    for (slot, _) in verdict.buffers.iter().enumerate().filter(|(_, b)| full(b.state)) {
        let (reply, answer) = oneshot::channel();
        let command = Command::ReleaseBuffer { slot: Some(slot as u16), dataset: "".into(), comment: "".into() };
        let (target, user, operator) = (screen.machine.name.clone(), "demo".into(), "".into());
        if app.commands.send(CommandRequest { target, command, user, operator, via: Via::Program, reply }).await.is_err() {
            return;
        }
        match answer.await {
            Ok(Ok(_)) => screen.say(&format!("the operator has fetched the data of buffer B{:02} and releases it", slot + 1)),
            Ok(Err(why)) => screen.say(&format!("buffer B{:02} is not released: {why}", slot + 1)),
            Err(_) => return,
        }
    }
}

/// What the terminal, a log file or a program sees.
struct Screen {
    form: Form,
    machine: Arc<MachineConfig>,
    /// Lines of the table on the terminal now.
    drawn: usize,
    last_line: Option<Instant>,
    endpoint: String,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Form {
    Table,
    Lines,
    Json,
}

impl Screen {
    fn new(args: &DemoArgs, machine: &Arc<MachineConfig>) -> Self {
        let form = match (args.json, std::io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Table,
            (false, false) => Form::Lines,
        };
        Self { form, machine: machine.clone(), drawn: 0, last_line: None, endpoint: String::new() }
    }

    fn start(&mut self, app: &App, plc: &RunningPlc) {
        self.endpoint.clone_from(&app.endpoint);
        if self.form == Form::Json {
            self.json(json!({ "type": "start", "endpoint": app.endpoint, "plc": plc.endpoint, "machine": &*self.machine.name }));
            return;
        }
        self.print(&format!("driftgate demo: OPC UA server at {} (this computer only)", app.endpoint));
        self.print("  security None: anonymous clients have all rights. Encrypted: users operator, engineer, admin, password `demo`;");
        self.print("  any client certificate is trusted. Do not run a machine like this.");
        self.print(&format!("  the simulated PLC is at {}", plc.endpoint));
        self.print("");
    }

    fn phase(&mut self, point: &StoryPoint) {
        if self.form == Form::Json {
            self.json(json!({
                "type": "story", "phase": point.name, "text": point.text, "seconds": point.seconds,
                "actual": format!("{:?}", point.actual),
            }));
        } else {
            self.print(&format!("{} == {}: {}", clock(), point.name, point.text));
        }
    }

    fn event(&mut self, event: &Event) {
        if self.form == Form::Json {
            let mut value = line(event, "", TimeBase::Clock);
            if let Json::Object(object) = &mut value {
                object.remove("file");
                object.insert("type".into(), json!("event"));
            }
            self.json(value);
        } else if let Some(text) = sentence(event) {
            self.print(&format!("{}    {text}", clock()));
        }
    }

    fn say(&mut self, text: &str) {
        if self.form == Form::Json {
            self.json(json!({ "type": "note", "text": text }));
        } else {
            self.print(&format!("{}    {text}", clock()));
        }
    }

    fn show(&mut self, verdict: &Verdict, source: SourceState, trouble: Option<&str>, story: &watch::Receiver<StoryPoint>) {
        let nodes = ten_nodes(&self.machine, verdict, source, trouble);
        match self.form {
            Form::Json => {
                let point = *story.borrow();
                let values: serde_json::Map<String, Json> = nodes.into_iter().map(|(id, value)| (id, json!(value))).collect();
                self.json(json!({
                    "type": "state", "phase": point.name, "seconds": point.seconds, "row": verdict.row, "nodes": values,
                    "status": verdict.status.name(), "regime": verdict.regime.state.name(),
                    "trusted": verdict.models.iter().all(|m| m.trust.is_trusted()),
                }));
            }
            Form::Table => {
                let point = *story.borrow();
                let table = table(&self.machine, verdict, &nodes, &point, &self.endpoint);
                self.draw(&table);
            }
            Form::Lines => {
                if self.last_line.is_none_or(|t| t.elapsed() >= LINE_EVERY) {
                    self.last_line = Some(Instant::now());
                    let index = shown(verdict.drift_index);
                    let score = verdict.models.first().map_or_else(|| "-".into(), |m| shown(m.score));
                    let text = format!(
                        "{} row {:>6}  {:<14} {:<24} drift {:<12} index {index:<6} score {score:<6}",
                        clock(),
                        verdict.row,
                        verdict.regime.state,
                        verdict.regime.key,
                        verdict.status
                    );
                    self.print(text.trim_end());
                }
            }
        }
    }

    fn end(&mut self, why: &End) {
        let text = match why {
            End::Duration => "the time is up".to_string(),
            End::Signal(name) => (*name).to_string(),
            End::Failed(why) => why.clone(),
        };
        if self.form == Form::Json {
            self.json(json!({ "type": "end", "why": text }));
        } else {
            self.print(&format!("{} stopped: {text}", clock()));
        }
    }

    /// A line above the table.
    fn print(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            // Up to the table's first line, and clear it.
            let _ = write!(out, "\x1b[{}F\x1b[J", self.drawn);
            self.drawn = 0;
        }
        // A closed pipe ends the demo soon enough.
        let _ = writeln!(out, "{text}");
    }

    fn json(&mut self, value: Json) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{value}").and_then(|()| out.flush());
    }

    fn draw(&mut self, table: &[String]) {
        let mut out = std::io::stdout().lock();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}F\x1b[J", self.drawn);
        }
        for line in table {
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
        self.drawn = table.len();
    }
}

/// The ten nodes that a screen needs first, with their values.
fn ten_nodes(machine: &MachineConfig, verdict: &Verdict, source: SourceState, trouble: Option<&str>) -> Vec<(String, String)> {
    let m = &machine.name;
    let top = verdict.top_feature.and_then(|k| machine.features.get(usize::from(k))).map_or("", |f| &f.name);
    let buffer = verdict.buffers.iter().map(|b| b.state).max_by_key(|s| s.code()).unwrap_or(BufferState::Idle);
    let coded = |code: u16, name: &str| format!("{code} {name}");
    let health = match (source, trouble) {
        (SourceState::Connected, None) => coded(1, "OK"),
        (SourceState::Connecting, None) => coded(4, "Starting"),
        _ => coded(2, "Degraded"),
    };
    vec![
        (format!("{m}.Health"), health),
        (format!("{m}.Source.State"), coded(source.code(), source.name())),
        (format!("{m}.Regimes.ActiveState"), coded(verdict.regime.state.code(), verdict.regime.state.name())),
        (format!("{m}.Regimes.ActiveKey"), verdict.regime.key.to_string()),
        (format!("{m}.Fault.Detected"), verdict.models.iter().any(|m| m.fault).to_string()),
        (format!("{m}.Drift.Status"), coded(verdict.status.code(), verdict.status.name())),
        (format!("{m}.Drift.DriftIndex"), shown(verdict.drift_index)),
        (format!("{m}.Drift.TopFeature"), top.to_string()),
        (format!("{m}.Buffer.State"), coded(buffer.code(), buffer.name())),
        (format!("{m}.Alarms.AnyUnacked"), "-".into()),
    ]
}

fn table(machine: &MachineConfig, verdict: &Verdict, nodes: &[(String, String)], point: &StoryPoint, endpoint: &str) -> Vec<String> {
    let rule = "-".repeat(78);
    let mut out = vec![rule.clone()];
    out.push(format!("{} | row {} | story {:.0} s: {}", machine.name, verdict.row, point.seconds, point.name));
    let said = match verdict.not_evaluated {
        Some(reason) => format!("not judged: {}", reason.text()),
        None => format!("judged at {}", verdict.regime.key),
    };
    out.push(format!("says: {said}"));
    for (config, model) in machine.models.iter().zip(&verdict.models) {
        let flag = if model.fault {
            "FAULT"
        } else if model.anomaly {
            "anomaly"
        } else {
            "normal"
        };
        out.push(format!(
            "model {}: {flag}, score {} of {}, {}",
            config.name,
            shown(model.score),
            shown(model.threshold),
            model.trust.text()
        ));
    }
    for monitor in &verdict.monitors {
        let tests = monitor.tests.iter().map(|t| format!("{} {}{}", t.name, shown(t.index), if t.exceeded { "!" } else { "" }));
        out.push(format!("{}: {} [{}]", monitor.name, monitor.status, tests.collect::<Vec<_>>().join(", ")));
    }
    out.push(rule.clone());
    out.push(format!("{:<40} value   (bind these; server {endpoint})", "node"));
    out.extend(nodes.iter().map(|(id, value)| format!("ns=2;s={id:<33} {value}")));
    out.push(rule);
    // A line longer than the terminal would break the redrawing.
    out.iter().map(|l| l.chars().take(110).collect()).collect()
}

fn shown(x: f64) -> String {
    if x.is_finite() { format!("{x:.2}") } else { "-".into() }
}

/// Local sense of time is not needed: UTC, to the second.
fn clock() -> String {
    wall_clock().to_string().get(11..19).unwrap_or_default().to_string()
}
