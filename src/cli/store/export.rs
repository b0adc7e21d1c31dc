//! `store export`: the rows of a machine's rings as a dataset.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::app;
use crate::cli::{Outcome, Usage, load_config, now, pick_machine, print_json, rows_progress};
use crate::dataset::{ExportError, Exporter, Format, Order, Progress, Rows};
use crate::store::{MachineLayout, Ring, SledStore, Store};
use crate::types::{BufferReason, Timestamp};

/// The store's ranges end behind their last time.
const LAST: Timestamp = Timestamp::from_nanos(i64::MAX - 1);
/// Between two looks at how far it is.
const POLL: Duration = Duration::from_millis(50);

/// Arguments of `store export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Data directory of the gateway, which must not run.
    #[arg(long, value_name = "DIR", default_value = crate::cli::run::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// The machine of the configuration; not needed where it has one.
    #[arg(long)]
    machine: Option<String>,
    /// First time, such as 2026-03-01 or 2026-03-01T06:00:00Z; the oldest row unless given.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Last time; the newest row unless given.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Also rows that were not judged: outside the envelope, in a transient, not producing, while learning.
    #[arg(long)]
    unjudged: bool,
    /// `parquet` or `csv`; what the configuration says unless given.
    #[arg(long)]
    format: Option<String>,
    /// Folder for the file and its manifest; made where it is missing.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

/// Writes the dataset.
pub fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let config = load_config(&args.config)?;
    let machine = pick_machine(&config, args.machine.as_deref())?;
    let index = config.machines.iter().position(|m| m.name == machine.name).unwrap_or_default() as u16;
    let (from, to) = (time("--from", args.from.as_deref())?, time("--to", args.to.as_deref())?);
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        bail!(Usage(format!("--to {to} is before --from {from}")));
    }
    let format = args.format.as_deref().unwrap_or(machine.buffers.export_format.name());
    let Some(format) = Format::of(format) else { bail!(Usage(format!("no format `{format}` in this build; there are parquet and csv"))) };
    let store = open(args, &config)?;
    let stored = app::stored(&machine, &*store)?;
    let ring = store.info()?.into_iter().find(|info| info.ring == Ring::Features(index));
    let order = Order {
        machine: index,
        dataset: format!("{}-Store", machine.name).into(),
        config: Arc::new(stored.config),
        reason: BufferReason::OperatorRequest,
        rows: Rows::All { keys: stored.regimes, unjudged: args.unjudged },
        time: from.unwrap_or(Timestamp::MIN)..=to.unwrap_or(LAST),
        expected: ring.map_or(0, |ring| u32::try_from(ring.rows).unwrap_or(u32::MAX)),
        whole: false,
        format,
        thresholds: stored.thresholds,
        bundle: stored.bundle,
        trained: stored.trained,
        reference: String::new(),
        user: "driftgate store export".into(),
        asked: now(),
    };
    let exporter = Exporter::into_folder(store, args.output.clone(), &config);
    let export = match with_progress(&exporter, &order) {
        Err(ExportError::Empty { .. }) => bail!(
            "no row of machine `{}` is stored for this span; give another one, or take rows that were not judged, too, with --unjudged",
            machine.name
        ),
        other => other?,
    };
    let path = args.output.join(&*export.path);
    if args.json {
        let (file, manifest) = (path.display().to_string(), args.output.join(format!("{}.json", export.file)).display().to_string());
        print_json(
            &json!({ "file": file, "manifest": manifest, "rows": export.rows, "labelled": export.labelled, "sha256": &*export.hash }),
        )?;
    } else {
        say!("{}: {} rows, {} with a label; manifest in the folder", path.display(), export.rows, export.labelled)?;
    }
    Ok(Outcome::Done)
}

fn time(option: &str, text: Option<&str>) -> anyhow::Result<Option<Timestamp>> {
    let time = text.map(Timestamp::parse).transpose();
    time.map_err(|error| Usage(format!("{option}: {error}")).into())
}

fn open(args: &ExportArgs, config: &crate::config::Config) -> anyhow::Result<Arc<SledStore>> {
    let dir = args.data_dir.join("store");
    if !dir.is_dir() {
        bail!(Usage(format!("`{}` holds no store; name the gateway's data directory with --data-dir", args.data_dir.display())));
    }
    let layouts: Vec<_> = config.machines.iter().map(|m| MachineLayout::of(m)).collect();
    let (store, report) = SledStore::open(&dir, &config.store, &layouts)?;
    for problem in report.problems() {
        eprintln!("{problem}");
    }
    Ok(Arc::new(store))
}

/// Shows how far it is, on a terminal.
fn with_progress(exporter: &Exporter, order: &Order) -> Result<crate::dataset::Export, ExportError> {
    let progress = Progress::default();
    let bar = rows_progress("exporting");
    thread::scope(|scope| {
        let export = scope.spawn(|| exporter.run(order, &progress));
        while !export.is_finished() {
            bar.set_position((progress.percent() / 100.0 * f64::from(order.expected)) as u64);
            thread::sleep(POLL);
        }
        bar.finish_and_clear();
        export.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
