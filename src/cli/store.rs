use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, Usage, load_config, print_json};
use crate::store::{MachineLayout, Ring, SledStore, Store};

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
}

/// Opens the store of a stopped gateway and looks into it.
pub fn run(args: &StoreArgs) -> anyhow::Result<Outcome> {
    let StoreCommand::Info { config, data_dir, json: as_json } = &args.command;
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
            Ring::Events => "events".to_string(),
            Ring::Values => "values".to_string(),
        }
    };
    let rings = store.info()?;
    let size = store.size_on_disk()?;
    let parameters = store.keys("param|")?;
    if *as_json {
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
