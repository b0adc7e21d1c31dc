use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{KindArgs, Outcome, Usage, now_text, print_json, rows_progress, write_report};
use crate::comparison::{self, ColumnComparison, Comparison, ComparisonError, MetricAnswer, Metrics, Mode, Options, Samples, Setting};
use crate::drift::Metric;
use crate::drift::metric::Kind;
use crate::pipeline::compared;
use crate::pipeline::recorded::Input;
use crate::report::{self, About};

#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Data that are right: CSV, CSV.gz or Parquet; `FILE[@COLUMN=VALUE...][@rows=FROM-TO]`.
    #[arg(long, value_name = "FILE")]
    reference: Input,
    /// Data to judge.
    #[arg(long, value_name = "FILE")]
    current: Input,
    /// Compare within each combination of these settings; numbers by exact value, or within a tolerance.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN[~TOLERANCE]")]
    settings: Vec<Setting>,
    /// `all`, or names of metrics; without it, by the kind and number of values.
    #[arg(long, value_delimiter = ',', value_name = "all|NAME")]
    metrics: Vec<String>,
    #[command(flatten)]
    kinds: KindArgs,
    /// Whose statistics and thresholds.
    #[arg(long, value_enum, default_value_t = ModeArg::Default)]
    mode: ModeArg,
    /// Write a report to read in a browser: one HTML file, whole in itself, below 300 kB.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum ModeArg {
    Default,
    Evidently,
}

pub fn run(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let options = Options {
        mode: match args.mode {
            ModeArg::Default => Mode::Default,
            ModeArg::Evidently => Mode::Evidently,
        },
        metrics: metrics(&args.metrics)?,
        settings: args.settings.clone(),
        kinds: args.kinds.options(),
    };
    let bar = rows_progress("reading");
    let reference = compared::read(&args.reference, &mut |rows| bar.set_position(rows))?;
    let current = compared::read(&args.current, &mut |rows| bar.set_position(rows))?;
    bar.finish_and_clear();
    let mut pictures = report::comparison::Pictures::default();
    let mut look = |_: &ColumnComparison, samples: &Samples<'_>| {
        if args.report.is_some() {
            pictures.take(samples);
        }
    };
    let comparison = comparison::compare_with(&reference, &current, &options, &mut look).map_err(wrong)?;
    if let Some(path) = &args.report {
        write_report(path, &report::comparison::html(&comparison, &pictures, &about(args)))?;
    }
    if args.json {
        print_json(&comparison)?;
    } else {
        print(&comparison).context("the table cannot be written")?;
    }
    Ok(Outcome::Done)
}

fn about(args: &CompareArgs) -> About {
    let file = |input: &Input| input.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let settings: Vec<String> = args.settings.iter().map(ToString::to_string).collect();
    let mut facts = Vec::new();
    if !settings.is_empty() {
        facts.push(("Conditioned on".into(), settings.join(", ")));
    }
    About { subject: format!("{} against {}", file(&args.current), file(&args.reference)), facts, made: now_text() }
}

fn metrics(names: &[String]) -> anyhow::Result<Metrics> {
    if names.is_empty() {
        return Ok(Metrics::Default);
    }
    if names.iter().any(|n| n == "all") {
        return Ok(Metrics::All);
    }
    let named = names.iter().map(|n| n.parse::<Metric>().map_err(|e| Usage(format!("--metrics: {e}, or all"))));
    Ok(Metrics::Named(named.collect::<Result<_, _>>()?))
}

/// Empty data are a failure, the rest is wrong usage.
pub fn wrong(error: ComparisonError) -> anyhow::Error {
    if matches!(error, ComparisonError::Empty { .. }) { error.into() } else { Usage(error.to_string()).into() }
}

fn print(comparison: &Comparison) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let width = |text: fn(&ColumnComparison) -> &str, least: usize| {
        comparison.columns.iter().map(|c| text(c).chars().count()).max().unwrap_or(0).max(least)
    };
    let name = width(|c| &c.name, 6);
    let regime = width(|c| c.regime.as_deref().unwrap_or_default(), 0);
    let regime = if regime > 0 { regime.max(6) + 2 } else { 0 };
    let head = if regime > 0 { "regime" } else { "" };
    writeln!(
        out,
        "{:<name$}  {head:<regime$}{:<11}  {:>9}  {:>9}  {:<18}  {:>10}  {:>9}  verdict",
        "column", "kind", "reference", "current", "metric", "score", "threshold"
    )?;
    for column in &comparison.columns {
        let kind = if column.kind == Kind::Numerical { "numerical" } else { "categorical" };
        let key = column.regime.as_deref().unwrap_or_default();
        for m in &column.metrics {
            writeln!(
                out,
                "{:<name$}  {key:<regime$}{kind:<11}  {:>9}  {:>9}  {:<18}  {:>10}  {:>9}  {}",
                column.name,
                column.n_reference,
                column.n_current,
                m.name,
                m.score.map_or_else(|| "-".into(), short),
                short(m.threshold),
                verdict(m)
            )?;
        }
    }
    let s = &comparison.summary;
    writeln!(out)?;
    writeln!(out, "{} of {} column(s) have drifted ({:.0} %)", s.drifted_columns.len(), s.columns, s.share_drifted * 100.0)?;
    if s.mode == Mode::Evidently {
        writeln!(out, "the data set has {} (at least half of the columns)", if s.drifted { "drifted" } else { "not drifted" })?;
    }
    for key in &s.outside {
        writeln!(out, "outside: {key} is only in the current data; no verdict is given")?;
    }
    for key in &s.unseen {
        writeln!(out, "unseen: {key} is only in the reference")?;
    }
    writeln!(out, "thresholds are {}", s.thresholds)
}

fn verdict(m: &MetricAnswer) -> String {
    match (m.drifted, &m.not_applicable) {
        (Some(true), _) => "drift".into(),
        (Some(false), _) => "ok".into(),
        (None, why) => format!("not applicable: {}", why.as_deref().unwrap_or_default()),
    }
}

/// Four significant digits.
fn short(x: f64) -> String {
    if x != 0.0 && !(1e-4..1e6).contains(&x.abs()) { format!("{x:.3e}") } else { format!("{x:.4}") }
}
