use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{Outcome, RecordedArgs, Usage, now_text, print_json, rows_progress, write_report};
use crate::bundle;
use crate::pipeline::replay::{self, Summary};
use crate::report::{self, About};

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    recorded: RecordedArgs,
    /// References, envelope and models to judge with.
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// Without a bundle: learn from each unit's first N rows.
    #[arg(long, value_name = "N", conflicts_with = "bundle")]
    learn_rows: Option<u32>,
    /// Write what happens, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write a report to read in a browser: one HTML file, whole in itself, below 300 kB.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Machine-readable summary on stdout.
    #[arg(long)]
    json: bool,
}

/// Replays, writes the events, prints the summary.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    let mut recorded = args.recorded.load()?;
    let bundle = args.bundle.as_deref().map(bundle::load).transpose()?.map(|(bundle, _)| Arc::new(bundle));
    if let Some(rows) = args.learn_rows {
        let mut machine = (*recorded.machine).clone();
        if rows < machine.min_reference_rows {
            anyhow::bail!(Usage(format!(
                "--learn-rows {rows} is less than min_reference_rows ({}); no regime could be learned",
                machine.min_reference_rows
            )));
        }
        machine.learn_rows = rows;
        recorded.machine = Arc::new(machine);
    }
    let mut out = match &args.events {
        Some(path) => Some(BufWriter::new(File::create(path).with_context(|| format!("cannot write the events `{}`", path.display()))?)),
        None => None,
    };
    let bar = rows_progress("replaying");
    let begun = Instant::now();
    let sink = out.as_mut().map(|w| w as &mut dyn Write);
    let mut units = Vec::new();
    let watched = args.report.is_some().then_some(&mut units);
    let progress = &mut |rows| bar.set_position(rows);
    let summary = replay::replay_with(&recorded, bundle.as_ref(), &args.recorded.input, sink, watched, progress)?;
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    if let Some(mut out) = out {
        out.flush().context("cannot write the events")?;
    }
    if let Some(path) = &args.report {
        write_report(path, &report::run::html(&units, &about(args, &recorded.machine.name)))?;
    }
    print(args, &summary, seconds)?;
    Ok(Outcome::Done)
}

fn about(args: &ReplayArgs, machine: &str) -> About {
    let files: Vec<String> =
        args.recorded.input.iter().filter_map(|i| i.path.file_name()).map(|n| n.to_string_lossy().into_owned()).collect();
    let (shown, more) = files.split_at(files.len().min(3));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let mut facts = vec![("Data".into(), shown.join(", ") + &more)];
    if let Some(name) = args.bundle.as_ref().and_then(|b| b.file_name()) {
        facts.push(("Bundle".into(), name.to_string_lossy().into_owned()));
    }
    About { subject: machine.to_string(), facts, made: now_text() }
}

fn print(args: &ReplayArgs, summary: &Summary, seconds: f64) -> anyhow::Result<()> {
    let rate = summary.rows as f64 / seconds.max(1e-9);
    if args.json {
        let mut value = serde_json::to_value(summary)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("seconds".into(), json!(seconds));
            object.insert("rows_per_second".into(), json!(rate.round()));
        }
        return print_json(&value);
    }
    say!("{} rows of {} unit(s) in {seconds:.2} s ({rate:.0} rows/s)", summary.rows, summary.units)?;
    for (key, rows) in &summary.rows_per_regime {
        say!("  regime {key:<40} {rows:>9} rows")?;
    }
    let left_out = [
        ("outside the trained envelope", summary.outside),
        ("transient", summary.transient),
        ("not producing", summary.not_producing),
        ("bad setting", summary.bad_setting),
        ("bad inputs", summary.bad_inputs),
        ("learning", summary.learning),
    ];
    for (what, rows) in left_out.iter().filter(|(_, rows)| *rows > 0) {
        say!("  {what:<47} {rows:>9} rows")?;
    }
    say!(
        "  {} evaluations, {} status changes, {} drift(s), {} fault(s)",
        summary.evaluations,
        summary.status_changes,
        summary.drifts,
        summary.faults
    )?;
    for (name, check) in &summary.checks {
        let verdict = if check.units_failing == 0 { "passes" } else { "FAILS" };
        say!("  check {name:<41} {verdict}, failed {} of {} looks", check.failures, check.looks)?;
    }
    for (model, performance) in &summary.performance {
        say!("  model {model}: {performance}")?;
    }
    if summary.unreadable > 0 {
        say!("  {} cells of signals held no number", summary.unreadable)?;
    }
    Ok(())
}
