//! `store`: looks into the store of a stopped gateway, checks it, saves and brings it back, and writes datasets from it.

mod export;

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;

use super::{Outcome, Usage, load_config, now, print_json};
use crate::store::{self, ArchiveError, Backup, MachineLayout, Ring, SledStore, Store, Verified};

/// Arguments of `store`.
#[derive(Args, Debug)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand, Debug)]
enum StoreCommand {
    /// Rings with their rows, span and size.
    Info {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Data directory of the gateway.
        #[arg(long, value_name = "DIR", default_value = super::run::DEFAULT_DATA_DIR)]
        data_dir: PathBuf,
        /// Machine-readable result on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Writes rows of a machine as a dataset (Parquet or CSV) with its manifest.
    Export(export::ExportArgs),
    /// Reads every entry and checks it; changes nothing. Exit code 1 where something is damaged or lost.
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Writes the store into one file, and checks it on the way. Exit code 1 where something in it is damaged or lost.
    ///
    /// The configuration, users and certificates are not in it: they are files of the data directory.
    Backup {
        /// The file; it must not be there.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Makes the store of a file that `backup` has written, where there is none.
    Restore {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
}

/// What verify, backup and restore share.
#[derive(Args, Debug)]
struct Place {
    /// Data directory of the gateway, which must not run.
    #[arg(long, value_name = "DIR", default_value = super::run::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

/// Works on the store of a stopped gateway.
pub fn run(args: &StoreArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        StoreCommand::Info { config, data_dir, json } => info(config, data_dir, *json),
        StoreCommand::Export(args) => export::run(args),
        StoreCommand::Verify { place } => verify(place),
        StoreCommand::Backup { file, place } => backup(file, place),
        StoreCommand::Restore { file, place } => restore(file, place),
    }
}

fn verify(place: &Place) -> anyhow::Result<Outcome> {
    let dir = place.data_dir.join("store");
    let bar = entries_progress("checking");
    let found = store::verify(&dir, &mut |entries| bar.set_position(entries)).map_err(usage)?;
    bar.finish_and_clear();
    if place.json {
        print_json(&verified_json(&found))?;
    } else {
        say!("{}: {}", dir.display(), told(&found))?;
    }
    Ok(outcome(&found))
}

fn backup(file: &Path, place: &Place) -> anyhow::Result<Outcome> {
    let dir = place.data_dir.join("store");
    let bar = entries_progress("saving");
    let (backup, found) = store::backup(&dir, file, now(), &mut |entries| bar.set_position(entries)).map_err(usage)?;
    bar.finish_and_clear();
    if place.json {
        let mut all = backup_json(&backup);
        all["store"] = verified_json(&found);
        print_json(&all)?;
    } else {
        say!("{}: {:.1} MB, {} entries", file.display(), backup.bytes as f64 / 1e6, backup.entries)?;
        say!("{}: {}", dir.display(), told(&found))?;
    }
    Ok(outcome(&found))
}

fn restore(file: &Path, place: &Place) -> anyhow::Result<Outcome> {
    let dir = place.data_dir.join("store");
    let bar = entries_progress("restoring");
    let backup = store::restore(file, &dir, &mut |entries| bar.set_position(entries)).map_err(usage)?;
    bar.finish_and_clear();
    if place.json {
        print_json(&backup_json(&backup))?;
    } else {
        say!("{}: {} entries of the backup of {}", dir.display(), backup.entries, backup.made)?;
    }
    Ok(Outcome::Done)
}

/// Names that are wrong are wrong usage.
fn usage(error: ArchiveError) -> anyhow::Error {
    match error {
        ArchiveError::NoStore(_) | ArchiveError::InTheWay(_) | ArchiveError::Exists(_) | ArchiveError::NoBackup(_) => {
            Usage(error.to_string()).into()
        }
        error => error.into(),
    }
}

const fn outcome(found: &Verified) -> Outcome {
    if found.is_whole() { Outcome::Done } else { Outcome::Failed }
}

fn told(found: &Verified) -> String {
    let Verified { entries, blocks, rows, large_values, values, damaged, faults, lost_flushes, lost_entries } = found;
    let mut text = format!("{entries} entries, {rows} rows in {blocks} blocks, {values} values, {large_values} large values");
    // Writing into a text does not fail.
    if found.is_whole() {
        text.push_str(": all of it is whole");
    }
    if *damaged > 0 {
        let _ = write!(text, "\n  {damaged} damaged:");
        faults.iter().for_each(|fault| text.extend(["\n    ", fault.as_str()]));
        text.push_str("\n  the gateway leaves them out at its start; check the disk, and restore a backup where they matter");
    }
    if *lost_flushes > 0 {
        let _ = write!(text, "\n  the disk has forgotten {lost_flushes} flushes (about 0.3 s each); check the disk and its cache");
    }
    if *lost_entries > 0 {
        let _ = write!(text, "\n  the disk has lost {lost_entries} entries (blocks of about 100 rows, or values); check the disk");
    }
    text
}

fn verified_json(found: &Verified) -> serde_json::Value {
    json!({
        "whole": found.is_whole(), "entries": found.entries, "blocks": found.blocks, "rows": found.rows, "values": found.values,
        "large_values": found.large_values, "damaged": found.damaged, "faults": found.faults, "lost_flushes": found.lost_flushes,
        "lost_entries": found.lost_entries,
    })
}

fn backup_json(backup: &Backup) -> serde_json::Value {
    let sha256: String = backup.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "entries": backup.entries, "bytes": backup.bytes, "made": backup.made.to_string(), "sha256": sha256 })
}

/// A counter of entries, on a terminal only.
fn entries_progress(what: &'static str) -> ProgressBar {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_message(what);
    bar
}

/// Opens the store and looks into it.
fn info(config: &Path, data_dir: &Path, as_json: bool) -> anyhow::Result<Outcome> {
    let config = load_config(config)?;
    let dir = data_dir.join("store");
    if !dir.is_dir() {
        bail!(Usage(format!("`{}` holds no store; name the gateway's data directory with --data-dir", data_dir.display())));
    }
    let layouts: Vec<_> = config.machines.iter().map(|m| MachineLayout::of(m)).collect();
    let (store, report) = SledStore::open(&dir, &config.store, &layouts)?;
    let name = |ring: &Ring| {
        let machine = |m: &u16| config.machines.get(usize::from(*m)).map_or("?", |m| &*m.name).to_string();
        match ring {
            Ring::Frames(m) => format!("{} frames", machine(m)),
            Ring::Features(m) => format!("{} features", machine(m)),
            Ring::History(m) => format!("{} drift history", machine(m)),
            Ring::Samples(m) => format!("{} samples", machine(m)),
            Ring::Events => "events".to_string(),
            Ring::Values => "values".to_string(),
        }
    };
    let rings = store.info()?;
    let size = store.size_on_disk()?;
    let parameters = store.keys("param|")?;
    if as_json {
        let rings: Vec<_> = rings
            .iter()
            .map(|r| {
                json!({
                    "ring": name(&r.ring), "rows": r.rows, "capacity": r.capacity, "bytes": r.bytes,
                    "oldest": r.oldest.map(|t| t.to_string()), "newest": r.newest.map(|t| t.to_string()),
                })
            })
            .collect();
        let tuned: Vec<_> = parameters.iter().map(|k| k.trim_start_matches("param|")).collect();
        print_json(&json!({ "rings": rings, "size_on_disk": size, "tuned_parameters": tuned, "problems": report.problems() }))?;
        return Ok(Outcome::Done);
    }
    say!("{}: {:.1} MB on disk", dir.display(), size as f64 / 1e6)?;
    for ring in &rings {
        let span = match (ring.oldest, ring.newest) {
            (Some(oldest), Some(newest)) => format!("{oldest} .. {newest}"),
            _ => "empty".into(),
        };
        say!("  {:<28} {:>7} of {:>7} rows {:>9.1} kB  {span}", name(&ring.ring), ring.rows, ring.capacity, ring.bytes as f64 / 1e3)?;
    }
    say!("  {} tuned parameter(s)", parameters.len())?;
    for parameter in &parameters {
        say!("    {}", parameter.trim_start_matches("param|"))?;
    }
    for problem in report.problems() {
        say!("  problem: {problem}")?;
    }
    Ok(Outcome::Done)
}
