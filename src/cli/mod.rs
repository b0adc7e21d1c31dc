//! The command line: one file a command, no logic of the domain.

/// A line on stdout. An error where nobody reads on (`driftgate ... | head`): [`reader_has_gone`].
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout(), $($arg)*)
    }};
}

#[cfg(feature = "gateway")]
mod browse;
#[cfg(feature = "gateway")]
mod cert;
mod check;
mod choose;
mod compare;
#[cfg(feature = "gateway")]
mod demo;
mod describe;
#[cfg(feature = "gateway")]
mod nodeset;
mod replay;
#[cfg(feature = "gateway")]
mod run;
#[cfg(feature = "gateway")]
mod store;
mod train;
#[cfg(feature = "gateway")]
mod user;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::comparison::KindOptions;
use crate::config::{Config, MachineConfig};
use crate::pipeline::recorded::Input;
use crate::pipeline::replay::Recorded;

/// Watches machines for drift, conditioned on their settings: reads PLCs over OPC UA and Modbus, runs fault-detection models,
/// and gives verdicts back as OPC UA nodes. Start with `driftgate demo`.
#[derive(Parser, Debug)]
#[command(name = "driftgate", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 success, 1 failed, 2 wrong usage or configuration. Logs go to stderr; DRIFTGATE_LOG=debug shows more."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show what it does: a simulated motor with its PLC, learned, watched and told through a story.
    #[cfg(feature = "gateway")]
    Demo(demo::DemoArgs),
    /// Run the gateway.
    #[cfg(feature = "gateway")]
    Run(run::RunArgs),
    /// Check a configuration: all faults in one pass, each with its place.
    Check(check::CheckArgs),
    /// List what a PLC has: variables, types, units, values, rates; write a configuration to start from.
    #[cfg(feature = "gateway")]
    Browse(browse::BrowseArgs),
    /// Print the documented default configuration.
    DefaultConfig,
    /// Learn a bundle (references, envelope, models) from recorded healthy data.
    Train(train::TrainArgs),
    /// Run recorded data through the same engine, faster than real time.
    Replay(replay::ReplayArgs),
    /// Profile recorded data before monitoring: columns, gaps, settings and their combinations, correlations, order in time.
    Describe(describe::DescribeArgs),
    /// Compare two files for drift, column by column; with --settings in each regime by itself.
    Compare(compare::CompareArgs),
    /// Find the metric and threshold that separate drifted from normal data best.
    Choose(choose::ChooseArgs),
    /// Look into a data directory while the gateway is stopped.
    #[cfg(feature = "gateway")]
    Store(store::StoreArgs),
    /// Certificates of clients and PLCs: which are trusted.
    #[cfg(feature = "gateway")]
    Cert(cert::CertArgs),
    /// Write the address space of a configuration as NodeSet2 XML, for import into HMIs and engineering tools.
    #[cfg(feature = "gateway")]
    Nodeset(nodeset::NodesetArgs),
    /// Users of the OPC UA server and their roles; a running gateway takes changes over at once.
    #[cfg(feature = "gateway")]
    User(user::UserArgs),
}

/// How a command ended that had no error of its own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It has said why.
    Failed,
}

/// Wrong usage or configuration: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The output went into a pipe whose reader has seen enough: no failure of ours.
pub fn reader_has_gone(error: &anyhow::Error) -> bool {
    let io = error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>());
    io.into_iter().any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// 2 for wrong usage or configuration, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.chain().any(|e| e.is::<Usage>() || e.is::<crate::config::LoadError>() || e.is::<crate::config::ConfigErrors>());
    if usage { 2 } else { 1 }
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.command {
            #[cfg(feature = "gateway")]
            Command::Demo(args) => demo::run(args),
            #[cfg(feature = "gateway")]
            Command::Run(args) => run::run(args),
            Command::Check(args) => check::run(&args),
            #[cfg(feature = "gateway")]
            Command::Browse(args) => browse::run(&args),
            Command::DefaultConfig => {
                say!("{}", crate::config::documented_default().trim_end())?;
                Ok(Outcome::Done)
            }
            Command::Train(args) => train::run(&args),
            Command::Replay(args) => replay::run(&args),
            Command::Describe(args) => describe::run(&args),
            Command::Compare(args) => compare::run(&args),
            Command::Choose(args) => choose::run(&args),
            #[cfg(feature = "gateway")]
            Command::Store(args) => store::run(&args),
            #[cfg(feature = "gateway")]
            Command::Cert(args) => cert::run(&args),
            #[cfg(feature = "gateway")]
            Command::Nodeset(args) => nodeset::run(&args),
            #[cfg(feature = "gateway")]
            Command::User(args) => user::run(args),
        }
    }

    /// The demo's table is the message: only what is wrong is logged beside it.
    fn default_level(&self) -> &'static str {
        match self.command {
            #[cfg(feature = "gateway")]
            Command::Run(_) => concat!("info,sled=warn,", "opcua_client=off,opcua_core=off,opcua_crypto=error,opcua_server=error"),
            // What the OPC UA library says of a lost connection, the gateway says in its own words.
            _ => "warn,driftgate=error,opcua_client=off,opcua_core=off,opcua_crypto=off,opcua_server=off",
        }
    }
}

/// Logs to stderr; `DRIFTGATE_LOG` overrides the level.
pub fn init_log(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("DRIFTGATE_LOG").unwrap_or_else(|_| EnvFilter::new(cli.default_level()));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

/// What choose, compare and describe share.
#[derive(Args, Debug)]
struct KindArgs {
    /// Columns of numbers; the kind of others is detected.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    numerical: Vec<String>,
    /// Columns of classes; the kind of others is detected.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    categorical: Vec<String>,
    /// Columns to leave out: times, counters, identifiers.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    ignore: Vec<String>,
}

impl KindArgs {
    fn options(&self) -> KindOptions {
        KindOptions { numerical: self.numerical.clone(), categorical: self.categorical.clone(), ignore: self.ignore.clone() }
    }
}

/// What train and replay share.
#[derive(Args, Debug)]
struct RecordedArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The machine of the configuration; not needed where it has one.
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// Recorded data: CSV, CSV.gz or Parquet; `FILE[@COLUMN=VALUE...][@rows=FROM-TO]`.
    #[arg(long, num_args = 1.., required = true, value_name = "FILE")]
    input: Vec<Input>,
    /// Each value of this column is a machine of its own.
    #[arg(long, value_name = "COLUMN")]
    unit_column: Option<String>,
    /// A column that the files lack.
    #[arg(long = "set", value_name = "COLUMN=VALUE")]
    set: Vec<String>,
}

impl RecordedArgs {
    fn load(&self) -> anyhow::Result<Recorded> {
        let config = load_config(&self.config)?;
        let machine = pick_machine(&config, self.machine.as_deref())?;
        let mut replay = config.replay.clone();
        replay.unit_column = self.unit_column.clone().or(replay.unit_column);
        let set = self.set.iter().map(|text| match text.split_once('=') {
            Some((name, value)) => Ok((name.to_string(), value.to_string())),
            None => Err(Usage(format!("--set takes COLUMN=VALUE, not `{text}`"))),
        });
        Ok(Recorded { machine, config_hash: config.hash.as_str().into(), replay, set: set.collect::<Result<_, _>>()? })
    }
}

fn load_config(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::load(path)?)
}

fn pick_machine(config: &Config, name: Option<&str>) -> anyhow::Result<Arc<MachineConfig>> {
    let names = || config.machines.iter().map(|m| format!("`{}`", m.name)).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => match config.machines.iter().find(|m| &*m.name == name) {
            Some(machine) => Ok(machine.clone()),
            None => bail!(Usage(format!("the configuration has no machine `{name}`; it has {}", names()))),
        },
        None => match config.machines.as_slice() {
            [machine] => Ok(machine.clone()),
            _ => bail!(Usage(format!("the configuration has {}; choose one with --machine", names()))),
        },
    }
}

/// A counter of rows, on a terminal only.
fn rows_progress(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {human_pos} rows, {per_sec}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    bar
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string(value).context("JSON")?)?;
    Ok(())
}

/// Writes a report whole or not at all: beside, then moved into place.
fn write_report(path: &Path, html: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, html)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("cannot write the report `{}`; does the folder exist?", path.display()))
}

/// When a report is made, for its last line.
fn now() -> crate::types::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    crate::types::Timestamp::EPOCH.plus(since)
}

fn now_text() -> String {
    now().to_utc().format("%Y-%m-%d %H:%M UTC").to_string()
}
