use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Outcome, load_config, print_json};

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

/// Checks a configuration and says what is wrong with it.
pub fn run(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let config = match load_config(&args.config) {
        Ok(config) => config,
        Err(error) if args.json => {
            print_json(&json!({ "ok": false, "error": format!("{error:#}") }))?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let machines: Vec<_> = config.machines.iter().map(|m| {
        json!({ "name": &*m.name, "signals": m.signals.len(), "settings": m.settings.len(), "features": m.features.len(), "models": m.models.len() })
    }).collect();
    if args.json {
        print_json(&json!({ "ok": true, "sources": config.sources.len(), "machines": machines }))?;
        return Ok(Outcome::Done);
    }
    say!("{}: fine", args.config.display())?;
    say!("  {} source(s), {} machine(s)", config.sources.len(), config.machines.len())?;
    for m in &config.machines {
        say!(
            "  {}: {} signals, {} settings, {} features, {} models",
            m.name,
            m.signals.len(),
            m.settings.len(),
            m.features.len(),
            m.models.len()
        )?;
    }
    Ok(Outcome::Done)
}
