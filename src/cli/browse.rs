//! `driftgate browse`: what a PLC has.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde_json::json;

use super::{Outcome, Usage, print_json};
use crate::config::{OpcUaConfig, PasswordFrom, Security, UserConfig};
use crate::profile::{PlcConnection, plc_config, plc_text};
use crate::source::{Survey, SurveyOptions, survey};

/// Arguments of `browse`.
#[derive(Args, Debug)]
pub struct BrowseArgs {
    /// The PLC's OPC UA server: `opc.tcp://192.168.0.10:4840`.
    url: String,
    /// Only variables whose path or address contains this, in any case.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// How long values are watched, for their rates; 0s: not at all.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = super::demo::parse_duration)]
    watch: Duration,
    /// Variables at most.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    most: u32,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
    /// Print a configuration to start from: what looks like settings and signals.
    #[arg(long, conflicts_with = "json")]
    emit_config: bool,
}

/// How to connect.
#[derive(Args, Debug)]
struct ConnectionArgs {
    /// User on the PLC; anonymous without it.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Environment variable that holds the password.
    #[arg(long, value_name = "NAME", requires = "user", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<String>,
    /// Security of the connection.
    #[arg(long, value_enum, default_value_t = SecurityArg::Auto)]
    security: SecurityArg,
    /// Accept the PLC's certificate unseen. For a first look only.
    #[arg(long)]
    trust_any_certificate: bool,
    /// Data directory of the gateway: its certificates are used.
    #[arg(long, value_name = "DIR", default_value = super::run::DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum SecurityArg {
    /// The strongest that the server offers.
    Auto,
    None,
    Basic256Sha256,
    Aes128Sha256RsaOaep,
    Aes256Sha256RsaPss,
}

impl SecurityArg {
    fn of_config(self) -> Security {
        match self {
            Self::Auto => Security::Auto,
            Self::None => Security::None,
            Self::Basic256Sha256 => Security::Basic256Sha256,
            Self::Aes128Sha256RsaOaep => Security::Aes128Sha256RsaOaep,
            Self::Aes256Sha256RsaPss => Security::Aes256Sha256RsaPss,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Basic256Sha256 => "basic256-sha256",
            Self::Aes128Sha256RsaOaep => "aes128-sha256-rsa-oaep",
            Self::Aes256Sha256RsaPss => "aes256-sha256-rsa-pss",
        }
    }
}

/// Connects, browses, prints.
pub fn run(args: &BrowseArgs) -> anyhow::Result<Outcome> {
    if args.url.starts_with("tcp://") || args.url.starts_with("modbus") {
        bail!(Usage(
            "Modbus has registers, but no names to browse: take the addresses from the PLC's program, then `driftgate check --connect`"
                .into()
        ));
    }
    if !args.url.starts_with("opc.tcp://") {
        bail!(Usage(format!("`{}` is no address of an OPC UA server; write opc.tcp://HOST:4840", args.url)));
    }
    let config = opcua_config(args)?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    let progress = |what: &str, count: usize| {
        bar.set_message(format!("{what}: {count} variables"));
        bar.tick();
    };
    let options = SurveyOptions { most: args.most as usize, watch: args.watch, filter: args.filter.clone() };
    let pki = args.connection.data_dir.join("pki").join("sources");
    let found = super::run::runtime()?.block_on(survey(&config, &pki, &options, &progress));
    bar.finish_and_clear();
    print(args, &found.with_context(|| format!("`{}` cannot be browsed", args.url))?)
}

fn print(args: &BrowseArgs, found: &Survey) -> anyhow::Result<Outcome> {
    let notes = [found.remark.clone(), found.cut.then(|| format!("there are more than {} variables: use --filter, or --most", args.most))];
    for note in notes.into_iter().flatten() {
        eprintln!("note: {note}");
    }
    if args.emit_config {
        let Some(text) = plc_config(&connection(args), &found.variables) else {
            bail!("no variable looks like a signal, so there is nothing to configure; without --emit-config it is said what there is");
        };
        say!("{}", text.trim_end())?;
        return Ok(Outcome::Done);
    }
    if args.json {
        let variables: Vec<_> = found
            .variables
            .iter()
            .map(|v| {
                let mut object = json!(v);
                object["role"] = json!(v.role());
                object
            })
            .collect();
        print_json(&json!({ "url": args.url, "namespaces": found.namespaces, "complete": !found.cut, "variables": variables }))?;
        return Ok(Outcome::Done);
    }
    if found.variables.is_empty() {
        say!("no variables{}", if args.filter.is_some() { " that fit --filter" } else { ": may this user browse? Try --user" })?;
        return Ok(Outcome::Done);
    }
    say!("{}", plc_text(&found.variables).trim_end())?;
    say!("{} variables; `--emit-config` prints a configuration to start from", found.variables.len())?;
    Ok(Outcome::Done)
}

fn opcua_config(args: &BrowseArgs) -> anyhow::Result<OpcUaConfig> {
    let c = &args.connection;
    let user = match (&c.user, &c.password_env, &c.password_file) {
        (None, ..) => None,
        (Some(name), Some(variable), _) => Some(UserConfig { name: name.clone(), password: PasswordFrom::Env(variable.clone()) }),
        (Some(name), None, Some(file)) => Some(UserConfig { name: name.clone(), password: PasswordFrom::File(file.clone()) }),
        (Some(_), None, None) => {
            bail!(Usage("--user needs --password-env or --password-file: a password on the command line is seen by all".into()))
        }
    };
    Ok(OpcUaConfig {
        endpoint: args.url.clone(),
        security: c.security.of_config(),
        user,
        namespace: None,
        publishing_interval: Duration::from_millis(250),
        polling: None,
        silence: Duration::from_secs(10),
        trust_any_certificate: c.trust_any_certificate,
    })
}

fn connection(args: &BrowseArgs) -> PlcConnection {
    let c = &args.connection;
    let place = match (&c.password_env, &c.password_file) {
        (Some(variable), _) => Some(("password_env", variable.clone())),
        (None, Some(file)) => Some(("password_file", file.clone())),
        (None, None) => None,
    };
    PlcConnection {
        endpoint: args.url.clone(),
        security: c.security.name().into(),
        user: c.user.clone().zip(place).map(|(name, (key, place))| (name, key, place)),
        trust_any_certificate: c.trust_any_certificate,
    }
}
