use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use super::{Outcome, load_config, print_json};
use crate::config::Config;

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Try each source too: connection, certificates, clocks, and each address with its type, value, quality and rate.
    #[cfg(feature = "gateway")]
    #[arg(long)]
    connect: bool,
    /// How long each source is tried; all at the same time.
    #[cfg(feature = "gateway")]
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "connect", value_parser = super::demo::parse_duration)]
    time: std::time::Duration,
    /// Data directory of the gateway: its certificates are used.
    #[cfg(feature = "gateway")]
    #[arg(long, value_name = "DIR", requires = "connect", default_value = super::run::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
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
    #[cfg(feature = "gateway")]
    if args.connect {
        return connect::run(args, &config);
    }
    if args.json {
        print_json(&summary(&config, true))?;
        return Ok(Outcome::Done);
    }
    say!("{}: fine", args.config.display())?;
    text(&config)?;
    Ok(Outcome::Done)
}

fn summary(config: &Config, ok: bool) -> Json {
    let machines: Vec<_> = config.machines.iter().map(|m| {
        json!({ "name": &*m.name, "signals": m.signals.len(), "settings": m.settings.len(), "features": m.features.len(), "models": m.models.len() })
    }).collect();
    json!({ "ok": ok, "sources": config.sources.len(), "machines": machines })
}

fn text(config: &Config) -> anyhow::Result<()> {
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
    Ok(())
}

/// `--connect`.
#[cfg(feature = "gateway")]
mod connect {
    use std::fmt::Write as _;

    use serde_json::{Value as Json, json};

    use super::{CheckArgs, summary, text};
    use crate::cli::{Outcome, print_json, run};
    use crate::config::Config;
    use crate::source;
    use crate::source::{SourceTrial, TagTrial, WriteTrial, try_source};
    use crate::types::{SourceState, Value};

    pub(super) fn run(args: &CheckArgs, config: &Config) -> anyhow::Result<Outcome> {
        let trials = run::runtime()?.block_on(try_all(args, config));
        let ok = trials.iter().all(SourceTrial::is_fine);
        if args.json {
            let mut result = summary(config, ok);
            result["connections"] = config.sources.iter().zip(&trials).map(|(source, trial)| object(&source.name, trial)).collect();
            print_json(&result)?;
        } else {
            say!("{}: can be read", args.config.display())?;
            text(config)?;
            for (source, trial) in config.sources.iter().zip(&trials) {
                show(&source.name, trial)?;
            }
            say!("{}", if ok { "fine" } else { "not fine: see above" })?;
        }
        Ok(if ok { Outcome::Done } else { Outcome::Failed })
    }

    async fn try_all(args: &CheckArgs, config: &Config) -> Vec<SourceTrial> {
        let pki = args.data_dir.join("pki").join("sources");
        let trials =
            config.sources.iter().enumerate().map(|(s, source)| {
                try_source(source.clone(), (source::tags(config, s), source::writes(config, s)), pki.clone(), args.time)
            });
        futures::future::join_all(trials).await
    }

    fn show(name: &str, trial: &SourceTrial) -> anyhow::Result<()> {
        say!("\n{name}: {}, {}", trial.status.state, trial.status.text)?;
        if trial.status.state != SourceState::Connected && trial.tags.iter().all(|tag| tag.samples == 0) {
            say!("  none of its {} addresses could be tried", trial.tags.len())?;
            return Ok(());
        }
        let width = |text: fn(&TagTrial) -> &str| trial.tags.iter().map(|tag| text(tag).chars().count()).max().unwrap_or(0);
        let (names, addresses) = (width(|tag| &tag.name), width(|tag| &tag.address));
        for tag in &trial.tags {
            let mut line = format!("  {:<names$}  {:<addresses$}  ", tag.name, tag.address);
            let _ = match &tag.value {
                Some(value) if tag.quality.is_usable() => write!(line, "{:<10}  {}", kind(value), value.short()),
                _ => write!(line, "{}", tag.quality),
            };
            if let Some(period) = tag.period.filter(|p| *p > 0.0) {
                let _ = write!(line, ", {:.1}/s", 1.0 / period);
            }
            say!("{line}")?;
        }
        show_writes(trial)
    }

    fn show_writes(trial: &SourceTrial) -> anyhow::Result<()> {
        for (tag, seen) in &trial.writes {
            say!("  writes {} into {}: {}", tag.name, tag.config.address, seen.as_ref().map_or("could not be looked at".into(), words))?;
        }
        Ok(())
    }

    fn words(seen: &WriteTrial) -> String {
        let access = match (&seen.fault, seen.writable) {
            (Some(fault), _) if seen.data_type.is_empty() => return fault.clone(),
            (Some(fault), _) => fault,
            (None, Some(true)) => "writable",
            (None, Some(false)) => {
                "not writable for this user: allow it in the PLC (TwinCAT: OPC.UA.DA.Access := 3; TIA: writable from HMI/OPC UA)"
            }
            (None, None) => "there; only writing will tell whether it is writable",
        };
        format!("{}, {access}", seen.data_type)
    }

    fn object(name: &str, trial: &SourceTrial) -> Json {
        let tags: Vec<Json> = trial
            .tags
            .iter()
            .map(|tag| {
                json!({
                    "name": tag.name, "address": tag.address, "type": tag.value.as_ref().map(kind), "value": tag.value.as_ref().map(Value::short),
                    "quality": tag.quality.to_string(), "samples": tag.samples, "period_s": tag.period,
                })
            })
            .collect();
        let written = |(tag, seen): &(source::WriteTag, Option<WriteTrial>)| {
            let seen = seen.clone().unwrap_or_else(|| WriteTrial { fault: Some("could not be looked at".into()), ..WriteTrial::default() });
            json!({
                "name": tag.name, "address": tag.config.address, "type": seen.data_type, "writable": seen.writable, "fault": seen.fault,
            })
        };
        let writes: Vec<Json> = trial.writes.iter().map(written).collect();
        json!({ "source": name, "ok": trial.is_fine(), "state": trial.status.state.to_string(), "text": trial.status.text, "addresses": tags, "writes": writes })
    }

    fn kind(value: &Value) -> String {
        match value {
            Value::Bool(_) => "flag".into(),
            Value::Integer(_) => "integer".into(),
            Value::Real(_) => "real".into(),
            Value::Text(_) => "text".into(),
            Value::Block(values) => format!("block[{}]", values.len()),
        }
    }
}
