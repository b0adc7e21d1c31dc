//! `driftgate cert`: which certificates the gateway trusts.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Outcome, Usage, print_json};
use crate::server::trust::{self, Known, TrustError};

/// Arguments of `cert`.
#[derive(Args, Debug)]
pub struct CertArgs {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Subcommand, Debug)]
enum CertCommand {
    /// List the certificates of clients and PLCs that the gateway has met.
    List(Common),
    /// Trust a certificate. A running gateway takes it at the next connection.
    Trust(Change),
    /// Trust a certificate no more. Sessions that are open stay.
    Reject(Change),
}

#[derive(Args, Debug)]
struct Change {
    /// The thumbprint, or its beginning. Compare it with what the other side shows.
    thumbprint: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// Data directory of the gateway.
    #[arg(long, value_name = "DIR", default_value = super::run::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

/// Lists, trusts or rejects.
pub fn run(args: &CertArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        CertCommand::List(common) => list(common),
        CertCommand::Trust(args) => change(args, true),
        CertCommand::Reject(args) => change(args, false),
    }
}

fn list(common: &Common) -> anyhow::Result<Outcome> {
    let found = trust::list(&common.data_dir)?;
    if common.json {
        print_json(&json!({ "certificates": found.iter().map(object).collect::<Vec<_>>() }))?;
        return Ok(Outcome::Done);
    }
    if found.is_empty() {
        say!("no certificates in `{}`: no client or PLC has shown one yet", common.data_dir.display())?;
    }
    for known in &found {
        let expired = if known.expired { ", EXPIRED" } else { "" };
        say!("{} {:<6} {:<8} {}", known.thumbprint, known.party.name(), word(known.trusted), known.subject)?;
        say!(
            "    {}, valid until {}{expired}",
            known.application_uri.as_deref().unwrap_or("no application URI"),
            known.not_after.as_deref().unwrap_or("?")
        )?;
    }
    Ok(Outcome::Done)
}

fn change(args: &Change, trusted: bool) -> anyhow::Result<Outcome> {
    let known = match trust::set_trusted(&args.common.data_dir, &args.thumbprint, trusted) {
        Ok(known) => known,
        Err(error @ (TrustError::Prefix(_) | TrustError::Ambiguous(_))) => bail!(Usage(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    if args.common.json {
        print_json(&object(&known))?;
    } else {
        say!("{} {}: {}", known.thumbprint, word(trusted), known.subject)?;
    }
    Ok(Outcome::Done)
}

fn word(trusted: bool) -> &'static str {
    if trusted { "trusted" } else { "rejected" }
}

fn object(known: &Known) -> Value {
    json!({
        "thumbprint": known.thumbprint, "of": known.party.name(), "trusted": known.trusted, "subject": known.subject,
        "application_uri": known.application_uri, "not_after": known.not_after, "expired": known.expired,
    })
}
