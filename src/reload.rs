//! The gateway's own commands: reading the configuration file again.
//!
//! ```text
//! file ─read, checked whole─▶ faults? ─▶ Valid = false, nothing changes
//!                               │ none
//!                               ├─▶ tunable values that differ ─▶ drivers: effective at once
//!                               ├─▶ endpoints, addresses ─▶ these sources connect anew; sources switched off or on: at once
//!                               └─▶ anything else ─▶ RestartPending
//! ```

mod connections;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::alarm::Scope;
use crate::config::{Config, LoadError, MachineConfig, tunable};
use crate::pipeline::driver::{NewFile, audit, wall_clock};
use crate::server::alarms::AlarmSender;
use crate::server::view::{ascii, sentence};
use crate::server::{CommandRequest, NodeUpdate, UpdateSender};
use crate::store::{Record, StoreMessage};
use crate::switches::{Switches, Told};
use crate::types::{Answer, Command, Event, GATEWAY, Quality, Refusal, Scalar};

/// Longest text of all messages, bytes.
const MAX_MESSAGES: usize = 4_000;

/// Owner of what the gateway was started with.
pub struct Reloader {
    /// `None` where it was not started from a file.
    pub file: Option<PathBuf>,
    /// In force, as far as it is a machine's tunable values; else as of the start.
    pub running: Arc<Config>,
    /// In the order of the configuration.
    pub machines: Vec<mpsc::Sender<NewFile>>,
    pub store: mpsc::Sender<StoreMessage>,
    pub events: broadcast::Sender<Event>,
    pub updates: UpdateSender,
    /// Where alarms are acknowledged.
    pub alarms: AlarmSender,
    /// Of the sources.
    pub switches: Switches,
}

/// What a newer file differs in.
struct Difference {
    /// What is running, with the newer file's connections.
    connected: Config,
    /// Sources that connect anew, by name.
    sources: Vec<Arc<str>>,
    /// Machines whose tunable values differ, by their place.
    machines: Vec<usize>,
    /// Sources that are switched otherwise, by name.
    switches: Vec<Arc<str>>,
    /// What waits for a restart.
    pending: Vec<String>,
}

impl Reloader {
    /// Serves requests until the stop.
    pub async fn run(mut self, mut requests: mpsc::Receiver<CommandRequest>, stop: CancellationToken) {
        while let Some(Some(request)) = stop.run_until_cancelled(requests.recv()).await {
            let CommandRequest { command, user, operator, via, reply, .. } = request;
            let result = match &command {
                Command::SetParameter { path, value } => {
                    let (result, told) = self.switches.set(path, value, &user).await;
                    self.tell_all(told);
                    result.map(|()| Answer::default())
                }
                Command::ResetParameter { path, .. } => {
                    let (result, told) = self.switches.reset(path, &user).await;
                    self.tell_all(told);
                    result
                }
                Command::ReloadConfig { dry_run } => self.reload(*dry_run, &user).await,
                Command::AcknowledgeAlarms { bits, comment } => self.alarms.command(Scope::Gateway, *bits, comment, &user).await,
                other => Err(Refusal::NotSupported(format!("{} is for a machine, not for the gateway", other.name()))),
            };
            // A write of a parameter has its own event.
            if !matches!(command, Command::SetParameter { .. }) {
                self.tell_all(vec![audit(&command, GATEWAY, via, (&user, &operator), &result)]);
            }
            let _ = reply.send(result);
        }
    }

    /// Keeps what has happened.
    fn tell_all(&self, told: Told) {
        for kind in told {
            let event = Event { unit: GATEWAY.into(), row: 0, time: wall_clock(), kind };
            if let Some(text) = sentence(&event) {
                tracing::info!("{text}");
            }
            let _ = self.store.try_send(StoreMessage::Record(Record::Event(event.clone())));
            // Nobody may be listening.
            let _ = self.events.send(event);
        }
    }

    async fn reload(&mut self, dry_run: bool, user: &Arc<str>) -> Result<Answer, Refusal> {
        let Some(file) = self.file.clone() else {
            return Err(Refusal::InvalidState("the gateway was not started from a configuration file".into()));
        };
        let loaded = tokio::task::spawn_blocking(move || Config::load(file)).await;
        let loaded = loaded.map_err(|e| Refusal::InvalidState(format!("the file could not be read: {e}")))?;
        let new = match loaded {
            Ok(new) => new,
            Err(error) => {
                let messages = faults(&error);
                self.show(vec![("LastErrorText", Scalar::Text(messages.as_str().into()))]).await;
                return Ok(answer(false, messages));
            }
        };
        let difference = compare(&self.running, &new);
        let mut messages: Vec<String> = Vec::new();
        if dry_run {
            messages.extend(difference.sources.iter().map(|name| format!("source {name}: would connect anew")));
            messages.extend(difference.machines.iter().map(|k| would_change(&difference.connected.machines[*k], &new.machines[*k])));
            messages.extend(difference.switches.iter().map(|name| format!("would change: {GATEWAY}.Sources.{name}.Enabled")));
            messages.extend(difference.pending.iter().map(|what| format!("{what}: needs a restart")));
            return Ok(answer(true, join(messages, "nothing has changed in the file")));
        }
        let mut running = difference.connected;
        if !difference.sources.is_empty() {
            let connecting = self.switches.reconnect(&running).await;
            messages.extend(connecting.iter().map(|name| format!("source {name}: connects anew")));
        }
        let mut refused = false;
        for k in difference.machines {
            match self.hand_over(k, &new.machines[k], user).await {
                Ok(paths) => {
                    messages.push(format!("changed: {}", paths.join(", ")));
                    running.machines[k] = new.machines[k].clone();
                }
                Err(why) => {
                    refused = true;
                    messages.push(format!("{} is not changed: {why}", new.machines[k].name));
                }
            }
        }
        if !difference.switches.is_empty() {
            let (result, told) = self.switches.adopt(&new.sources, user).await;
            self.tell_all(told);
            match result {
                Ok(paths) => {
                    messages.push(format!("changed: {}", paths.join(", ")));
                    let enabled = running.sources.iter_mut().zip(&new.sources);
                    enabled.for_each(|(running, new)| running.enabled = new.enabled);
                }
                Err(why) => {
                    refused = true;
                    messages.push(why.to_string());
                }
            }
        }
        let pending = !difference.pending.is_empty();
        messages.extend(difference.pending.iter().map(|what| format!("{what}: needs a restart")));
        let mut shown = vec![("RestartPending", Scalar::Bool(pending)), ("LastErrorText", "".into())];
        if !pending && !refused {
            running.hash.clone_from(&new.hash);
            shown.push(("Hash", Scalar::Text(new.hash.as_str().into())));
        }
        self.running = Arc::new(running);
        self.show(shown).await;
        Ok(answer(!refused, join(messages, "nothing has changed in the file")))
    }

    async fn hand_over(&self, machine: usize, file: &Arc<MachineConfig>, user: &Arc<str>) -> Result<Vec<Arc<str>>, String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "its task has ended".to_string();
        let route = self.machines.get(machine).ok_or_else(gone)?;
        route.send(NewFile { machine: file.clone(), user: user.clone(), reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn show(&self, values: Vec<(&str, Scalar)>) {
        let (quality, time) = (Quality::Good, wall_clock());
        let update =
            |(name, value)| NodeUpdate { path: format!("{GATEWAY}.Configuration.{name}").into(), value: Some(value), quality, time };
        // The server may have ended.
        let _ = self.updates.send(values.into_iter().map(update).collect()).await;
    }
}

fn answer(valid: bool, messages: String) -> Answer {
    let text = Scalar::Text(messages.as_str().into());
    Answer { outputs: vec![Scalar::Bool(valid), text], text: messages, ..Answer::default() }
}

/// Messages in one ASCII text.
fn join(messages: Vec<String>, otherwise: &str) -> String {
    if messages.is_empty() { otherwise.into() } else { bounded(&messages.join("; ")) }
}

fn bounded(text: &str) -> String {
    let text = ascii(text);
    text[..text.floor_char_boundary(MAX_MESSAGES)].to_string()
}

/// Every fault of a file, with its place.
fn faults(error: &LoadError) -> String {
    match error {
        LoadError::Read { .. } => bounded(&error.to_string()),
        LoadError::Invalid(errors) => {
            let fault = |f: &crate::config::Fault| {
                let hint = f.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
                format!("line {}: {} {}{hint}", f.line, f.path, f.message)
            };
            bounded(&errors.faults.iter().map(fault).collect::<Vec<_>>().join("; "))
        }
    }
}

fn compare(running: &Config, new: &Config) -> Difference {
    let connected = connections::adopted(running, new);
    let sources = connections::changed(running, &connected);
    let mut difference = Difference { connected, sources, machines: Vec::new(), switches: Vec::new(), pending: Vec::new() };
    let running = difference.connected.clone();
    let mut switched = running.sources.clone();
    switched.iter_mut().zip(&new.sources).for_each(|(running, new)| running.enabled = new.enabled);
    if switched == new.sources {
        let differ = running.sources.iter().zip(&new.sources).filter(|(a, b)| a.enabled != b.enabled);
        difference.switches = differ.map(|(_, new)| new.name.clone()).collect();
    }
    let mut differs = |what: &str, differs: bool| {
        if differs {
            difference.pending.push(what.to_string());
        }
    };
    differs("gateway", running.gateway != new.gateway);
    differs("server", running.server != new.server);
    differs("store", running.store != new.store);
    differs("announce", running.announce != new.announce);
    differs("sources", switched != new.sources);
    let names = |c: &Config| c.machines.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    if names(&running) != names(new) {
        differs("the list of machines", true);
        return difference;
    }
    for (k, (old, new)) in running.machines.iter().zip(&new.machines).enumerate() {
        if old == new {
            continue;
        }
        if tunable::same_but_tunables(old, new) {
            difference.machines.push(k);
        } else {
            difference.pending.push(format!("machine {}", new.name));
        }
    }
    difference
}

fn would_change(old: &MachineConfig, new: &MachineConfig) -> String {
    let paths = tunable::adopt(old, old, new).map(|(_, paths)| paths.join(", "));
    format!("would change: {}", paths.unwrap_or_else(|e| e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[[machines]]\nname = \"M\"\nsignals = [\"a\"]\n[machines.data_drift]\ntests = [\"psi\"]\nhop = 20\n";

    /// A reloader on a file, with a machine that takes what it is handed.
    struct Bench {
        reloader: Reloader,
        files: mpsc::Receiver<NewFile>,
        updates: mpsc::Receiver<Vec<NodeUpdate>>,
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (machine, files) = mpsc::channel(1);
            let (updates, received) = mpsc::channel(16);
            let reloader = Reloader {
                file: Some(dir.path().join("c.toml")),
                running: Arc::new(Config::parse(FILE).unwrap()),
                machines: vec![machine],
                store: mpsc::channel(16).0,
                events: broadcast::channel(16).0,
                updates,
                alarms: AlarmSender(mpsc::channel(1).0),
                switches: Switches { switches: Vec::new(), store: mpsc::channel(1).0, updates: mpsc::channel(1).0 },
            };
            Self { reloader, files, updates: received, dir }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.dir.path().join("c.toml"), text).unwrap();
        }

        /// Valid, and the messages.
        async fn reload(&mut self, dry_run: bool) -> (bool, String) {
            let answer = self.reloader.reload(dry_run, &"eva".into()).await.unwrap();
            (answer.outputs[0] == Scalar::Bool(true), answer.text)
        }

        fn shown(&mut self, name: &str) -> Option<Scalar> {
            let path = format!("Gateway.Configuration.{name}");
            let mut last = None;
            while let Ok(batch) = self.updates.try_recv() {
                last = batch.into_iter().find(|u| *u.path == *path).and_then(|u| u.value).or(last);
            }
            last
        }
    }

    #[tokio::test]
    async fn a_dry_run_says_all_and_changes_nothing() {
        let mut bench = Bench::new();
        bench.write(&FILE.replace("hop = 20", "hop = \"x\"\nwindow_rows = 3\nspeed = 1"));
        let (valid, messages) = bench.reload(true).await;
        assert!(!valid && messages.contains("hop") && messages.contains("window_rows") && messages.contains("speed"), "{messages}");
        bench.write(&FILE.replace("hop = 20", "hop = 10"));
        assert_eq!(bench.reload(true).await, (true, "would change: M.Drift.DataDrift.Hop".into()));
        assert!(bench.files.try_recv().is_err());
        std::fs::remove_file(bench.dir.path().join("c.toml")).unwrap();
        assert!(!bench.reload(false).await.0, "a file that is gone");
    }

    #[tokio::test]
    async fn tunable_values_are_handed_over_and_the_rest_waits() {
        let mut bench = Bench::new();
        bench.write(&FILE.replace("hop = 20", "hop = 10"));
        let owner = async {
            let file = bench.files.recv().await.unwrap();
            assert_eq!((file.machine.data_drift.hop, &*file.user), (10, "eva"));
            file.reply.send(Ok(vec!["M.Drift.DataDrift.Hop".into()])).unwrap();
        };
        let user = "eva".into();
        let (answer, ()) = tokio::join!(bench.reloader.reload(false, &user), owner);
        assert_eq!(answer.unwrap().text, "changed: M.Drift.DataDrift.Hop");
        assert!(matches!(bench.shown("Hash"), Some(Scalar::Text(_))));
        assert_eq!(bench.reload(false).await, (true, "nothing has changed in the file".into()), "it runs already");

        bench.write(&FILE.replace("name = \"M\"", "name = \"M\"\nsettle = \"3s\""));
        assert_eq!(bench.reload(false).await, (true, "machine M: needs a restart".into()));
        assert_eq!(bench.shown("RestartPending"), Some(Scalar::Bool(true)));
    }
}
