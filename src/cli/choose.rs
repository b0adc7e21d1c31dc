use clap::Args;

use super::{KindArgs, Outcome, print_json, rows_progress};
use crate::comparison::{self, ChooseOptions, MetricChoice};
use crate::pipeline::compared;
use crate::pipeline::recorded::Input;

#[derive(Args, Debug)]
pub struct ChooseArgs {
    /// Data to compare with: CSV, CSV.gz or Parquet; `FILE[@COLUMN=VALUE...][@rows=FROM-TO]`.
    #[arg(long, value_name = "FILE")]
    reference: Input,
    /// Other data without drift.
    #[arg(long, value_name = "FILE")]
    normal: Input,
    /// Data that have drifted, from their first row on.
    #[arg(long, value_name = "FILE")]
    drifted: Input,
    /// Rows that are compared at a time.
    #[arg(long, default_value_t = 200, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(2..))]
    window: u32,
    #[command(flatten)]
    kinds: KindArgs,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ChooseArgs) -> anyhow::Result<Outcome> {
    let options = ChooseOptions { window: args.window as usize, kinds: args.kinds.options() };
    let bar = rows_progress("reading");
    let read = |input| compared::read(input, &mut |rows| bar.set_position(rows));
    let (reference, normal, drifted) = (read(&args.reference)?, read(&args.normal)?, read(&args.drifted)?);
    bar.finish_and_clear();
    let choice = comparison::choose(&reference, &normal, &drifted, &options).map_err(super::compare::wrong)?;
    if args.json {
        print_json(&choice)?;
        return Ok(Outcome::Done);
    }
    say!("{} normal and {} drifted windows of {} rows", choice.windows_normal, choice.windows_drifted, choice.window)?;
    for column in &choice.columns {
        table(&column.name, &column.metrics)?;
    }
    table("over all columns", &choice.overall)?;
    say!("\n{}", choice.recommendation)?;
    Ok(Outcome::Done)
}

fn table(head: &str, metrics: &[MetricChoice]) -> std::io::Result<()> {
    say!("\n{head}")?;
    say!("  {:<18}  {:>10}  {:>11}  {:>12}  {:>8}  {:>10}", "metric", "separation", "threshold", "false alarms", "detected", "delay/rows")?;
    for m in metrics {
        if let Some(why) = &m.not_applicable {
            say!("  {:<18}  not applicable: {why}", m.name)?;
            continue;
        }
        let share = |x: Option<f64>| x.map_or_else(|| "-".into(), |x| format!("{:.1} %", x * 100.0));
        say!(
            "  {:<18}  {:>10.3}  {:>11.3e}  {:>12}  {:>8}  {:>10}",
            m.name,
            m.separation.unwrap_or_default(),
            m.threshold.unwrap_or_default(),
            share(m.false_alarms),
            share(m.detected),
            m.delay_rows.map_or_else(|| "never".into(), |rows| rows.to_string())
        )?;
    }
    Ok(())
}
