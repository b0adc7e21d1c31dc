use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Outcome, Usage, load_config};
use crate::app::{self, AppInput};
use crate::bundle;
use crate::config::Config;
use crate::server::{Access, CommandRequest, CommandSender};
use crate::types::{Command, GATEWAY, Scalar, Via};
use crate::users::{UserFile, UserList};

/// The data directory where none is named, below the working directory.
pub const DEFAULT_DATA_DIR: &str = "driftgate-data";

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where store, bundles and certificates are kept.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Install a bundle before the start; `MACHINE=` is not needed where there is one machine.
    #[arg(long = "bundle", value_name = "[MACHINE=]FILE")]
    bundles: Vec<String>,
}

/// Runs the gateway until a signal stops it or something essential fails.
pub fn run(args: RunArgs) -> anyhow::Result<Outcome> {
    let config = Arc::new(load_config(&args.config)?);
    let bundles = args.bundles.iter().map(|text| read_bundle(&config, text)).collect::<anyhow::Result<Vec<_>>>()?;
    runtime()?.block_on(async {
        let users = Arc::new(UserList::of_file(UserFile::of(&args.data_dir))?);
        let wanted = SocketAddr::new(config.server.address, config.server.port);
        let closed = users.is_empty() && !wanted.ip().is_loopback();
        let address = if closed { (Ipv4Addr::LOCALHOST, wanted.port()).into() } else { wanted };
        let listener = bind(address).await?;
        let (data_dir, open_on) = (args.data_dir, closed.then_some(wanted));
        let mut app = app::start(AppInput { config, config_file: Some(args.config.clone()), data_dir, access: Access::Users, users, listener, open_on, bundles }).await?;
        tracing::info!("OPC UA endpoint {}", app.endpoint);
        if closed {
            tracing::warn!(
                "there are no users: listening on this computer only; add one with `driftgate user add NAME --role ROLE`, then {wanted} is opened"
            );
        }
        let commands = app.commands.clone();
        let outcome = tokio::select! {
            signal = stop_signal() => {
                tracing::info!("{signal}: stopping");
                Outcome::Done
            }
            why = app.failed() => {
                tracing::error!("{why}; stopping");
                Outcome::Failed
            }
            never = reload_at_hangup(commands) => match never {},
        };
        app.stop().await;
        Ok(outcome)
    })
}

fn read_bundle(config: &Config, text: &str) -> anyhow::Result<(Arc<str>, Arc<bundle::Bundle>)> {
    let (machine, path) = match (text.split_once('='), config.machines.as_slice()) {
        (Some((machine, path)), _) => (machine.into(), path),
        (None, [machine]) => (machine.name.clone(), text),
        (None, _) => anyhow::bail!(Usage(format!("--bundle {text}: there are several machines; write MACHINE=FILE"))),
    };
    let (bundle, _) = bundle::load(path.as_ref())?;
    Ok((machine, Arc::new(bundle)))
}

/// Two worker threads: the gateway leaves the computer to others.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("the runtime cannot be started")
}

/// Binds the server's listener.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        let port = address.port();
        format!(
            "cannot listen on port {port} of {}; is another driftgate or OPC UA server running? Choose another port, or 0 for a free one",
            address.ip()
        )
    })
}

/// Reads the configuration file again at each SIGHUP, as the method ReloadConfig does; what it says is logged.
async fn reload_at_hangup(commands: CommandSender) -> Infallible {
    #[cfg(unix)]
    if let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while hangup.recv().await.is_some() {
            let (reply, answer) = oneshot::channel();
            let command = Command::ReloadConfig { dry_run: false };
            let request =
                CommandRequest { target: GATEWAY.into(), command, user: "SIGHUP".into(), operator: "".into(), via: Via::Program, reply };
            let sent = commands.send(request).await.is_ok();
            match answer.await {
                Ok(Ok(answer)) if answer.outputs.first() == Some(&Scalar::Bool(true)) => tracing::info!("SIGHUP: {}", answer.text),
                Ok(Ok(answer)) => tracing::warn!("SIGHUP: the configuration is not taken as a whole: {}", answer.text),
                Ok(Err(refusal)) => tracing::warn!("SIGHUP: {refusal}"),
                Err(_) => tracing::warn!(sent, "SIGHUP: nobody answers"),
            }
        }
    }
    std::future::pending().await
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn stop_signal() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => "interrupted",
                _ = term.recv() => "SIGTERM",
            };
        }
    }
    let _ = tokio::signal::ctrl_c().await;
    "interrupted"
}
