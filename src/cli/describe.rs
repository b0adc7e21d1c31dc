use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{KindArgs, Outcome, Usage, print_json, rows_progress};
use crate::comparison::Setting;
use crate::pipeline::compared;
use crate::pipeline::recorded::Input;
use crate::profile::{self, Options, Part, Profile, ProfileError};
use crate::report;

/// Characters a line where the terminal does not say how wide it is.
const WIDTH: usize = 100;

/// Arguments of `describe`.
#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// Recorded data: CSV, CSV.gz or Parquet; `FILE[@COLUMN=VALUE...][@rows=FROM-TO]`. Several files are profiled together.
    #[arg(required = true, value_name = "DATA")]
    data: Vec<Input>,
    /// Columns that are settings; numbers by groups of values, or within a tolerance. Without it, they are detected.
    #[arg(long, value_delimiter = ',', value_name = "COLUMN[~TOLERANCE]")]
    settings: Vec<Setting>,
    /// No column is a setting.
    #[arg(long, conflicts_with = "settings")]
    no_settings: bool,
    #[command(flatten)]
    kinds: KindArgs,
    /// Each value of this column is a machine of its own. Without it, it is detected.
    #[arg(long, value_name = "COLUMN")]
    unit_column: Option<String>,
    /// The time of the rows. Without it, it is detected.
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Machine-readable profile on stdout.
    #[arg(long)]
    json: bool,
    /// Write a page to read in a browser.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print a configuration to start from, for check, train, replay.
    #[arg(long, conflicts_with = "json")]
    emit_config: bool,
    /// Characters a line; default: the variable COLUMNS, or 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=1000))]
    width: Option<u16>,
}

/// Reads the data, profiles them, prints.
pub fn run(args: &DescribeArgs) -> anyhow::Result<Outcome> {
    let bar = rows_progress("reading");
    let mut parts = Vec::new();
    let mut rows = 0;
    for input in &args.data {
        let table = compared::read(input, &mut |row| bar.set_position(rows + row))?;
        rows += table.rows() as u64;
        let name = input.path.file_name().map_or_else(|| input.path.display().to_string(), |n| n.to_string_lossy().into_owned());
        parts.push(Part { name, table });
    }
    bar.set_message("profiling");
    bar.tick();
    let profile = profile::profile(&parts, &options(args)).map_err(wrong)?;
    bar.finish_and_clear();
    drop(parts);
    if let Some(path) = &args.report {
        let page = report::profile::html(&profile, &subject(&profile), &made());
        std::fs::write(path, page).with_context(|| format!("cannot write the report `{}`", path.display()))?;
    }
    let text = if args.emit_config {
        profile.config()?
    } else if args.json {
        print_json(&profile)?;
        return Ok(Outcome::Done);
    } else {
        profile.text(width(args))
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("the profile cannot be written")?;
    Ok(Outcome::Done)
}

fn options(args: &DescribeArgs) -> Options {
    Options {
        settings: (args.no_settings || !args.settings.is_empty()).then(|| args.settings.clone()),
        kinds: args.kinds.options(),
        unit_column: args.unit_column.clone(),
        time_column: args.time_column.clone(),
    }
}

fn subject(profile: &Profile) -> String {
    match profile.files.as_slice() {
        [file] => file.name.clone(),
        [first, rest @ ..] => format!("{} and {} more files", first.name, rest.len()),
        [] => String::new(),
    }
}

/// Now, to the second.
fn made() -> String {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    now.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn width(args: &DescribeArgs) -> usize {
    let columns = || std::env::var("COLUMNS").ok().and_then(|c| c.parse::<usize>().ok()).filter(|c| (40..=1000).contains(c));
    args.width.map(usize::from).or_else(columns).unwrap_or(WIDTH)
}

/// Empty data are a failure, the rest is wrong usage.
fn wrong(error: ProfileError) -> anyhow::Error {
    if matches!(error, ProfileError::Empty) { error.into() } else { Usage(error.to_string()).into() }
}
