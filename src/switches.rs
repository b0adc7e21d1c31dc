//! Sources that people switch off and on: the parameters `Gateway.Sources.<Source>.Enabled`.
//!
//! As with all parameters: from the file, changed by a write, kept durably, then effective, then answered; a written value lapses when
//! the file's value under it changes.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::config::{Config, SourceConfig};
use crate::pipeline::driver::{Tuned, durable, keys, wall_clock};
use crate::server::{NodeUpdate, ParameterSpec, UpdateSender};
use crate::source::{Wanted, tags};
use crate::store::{Record, Store, StoreError, StoreMessage};
use crate::types::{Answer, EventKind, GATEWAY, Quality, Refusal, Scalar, ScalarKind};

/// The switch of one source.
#[derive(Debug)]
pub struct SourceSwitch {
    path: Arc<str>,
    /// As the file has it.
    file: bool,
    wanted: watch::Sender<Wanted>,
}

/// The switches of all sources, as the file has them.
pub fn from_file(config: &Config) -> Vec<SourceSwitch> {
    config.sources.iter().enumerate().map(|(k, source)| SourceSwitch::new(config, k, source.enabled)).collect()
}

/// The switches of all sources, as they were left.
///
/// # Errors
/// The store cannot be read.
pub fn restored(config: &Config, store: &dyn Store, notes: &mut Vec<String>) -> Result<Vec<SourceSwitch>, StoreError> {
    let mut switches = Vec::new();
    for (k, source) in config.sources.iter().enumerate() {
        let path = path_of(source);
        let key = keys::parameter(&path);
        let kept = store.get(&key)?.map(|bytes| serde_json::from_slice::<Tuned>(&bytes));
        let on = match kept {
            Some(Ok(Tuned { value: Scalar::Bool(on), file: Scalar::Bool(file) })) if file == source.enabled => on,
            None => source.enabled,
            Some(_) => {
                notes.push(format!("the tuned value of `{path}` lapses: the configuration file says {}", source.enabled));
                store.apply(Record::Remove { key })?;
                source.enabled
            }
        };
        switches.push(SourceSwitch::new(config, k, on));
    }
    Ok(switches)
}

fn wanted(config: &Config, k: usize, on: bool) -> Wanted {
    Wanted { on, kind: config.sources[k].kind.clone(), tags: tags(config, k).into() }
}

fn path_of(source: &SourceConfig) -> Arc<str> {
    format!("{GATEWAY}.Sources.{}.Enabled", source.name).into()
}

impl SourceSwitch {
    fn new(config: &Config, k: usize, on: bool) -> Self {
        let source = &config.sources[k];
        Self { path: path_of(source), file: source.enabled, wanted: watch::Sender::new(wanted(config, k, on)) }
    }

    /// What is to be read from the source, now and at every change.
    pub fn watch(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    fn is_on(&self) -> bool {
        self.wanted.borrow().on
    }

    /// The writable variable.
    pub fn spec(&self) -> ParameterSpec {
        ParameterSpec {
            path: self.path.clone(),
            kind: ScalarKind::Bool,
            value: Scalar::Bool(self.is_on()),
            default: Scalar::Bool(self.file),
            min: None,
            max: None,
            unit: "",
            allowed: &[],
            description: "Whether the source is read from; off: its connection is closed and its values are Bad_OutOfService",
        }
    }
}

/// Owner of the switches while the gateway runs.
pub struct Switches {
    pub switches: Vec<SourceSwitch>,
    pub store: mpsc::Sender<StoreMessage>,
    pub updates: UpdateSender,
}

/// What has happened, for the record.
pub type Told = Vec<EventKind>;

impl Switches {
    /// Writes a switch.
    pub async fn set(&self, path: &str, value: &Scalar, user: &Arc<str>) -> (Result<(), Refusal>, Told) {
        let Some(switch) = self.switches.iter().find(|s| *s.path == *path) else { return (Err(unknown(path)), Vec::new()) };
        self.change(switch, value, true, user).await
    }

    /// One switch, or all below a path that ends with a dot, as the file has them.
    pub async fn reset(&self, path: &str, user: &Arc<str>) -> (Result<Answer, Refusal>, Told) {
        let all = path.ends_with('.');
        let meant: Vec<&SourceSwitch> =
            self.switches.iter().filter(|s| if all { s.path.starts_with(path) } else { *s.path == *path }).collect();
        if meant.is_empty() && !all {
            return (Err(unknown(path)), Vec::new());
        }
        let mut told = Vec::new();
        let mut changed = 0;
        for switch in meant.into_iter().filter(|s| !all || s.is_on() != s.file) {
            let (result, events) = self.change(switch, &Scalar::Bool(switch.file), false, user).await;
            told.extend(events);
            if let Err(refusal) = result {
                return (Err(refusal), told);
            }
            changed += 1;
            self.show(switch, user).await;
        }
        let text = if all { format!("{changed} parameters below {path} are as in the file") } else { format!("{path} is as in the file") };
        (Ok(Answer::said(text)), told)
    }

    /// Takes a newer file over: where it has changed, what was written lapses. Gives back the paths that have changed.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn adopt(&mut self, sources: &[SourceConfig], user: &Arc<str>) -> (Result<Vec<Arc<str>>, Refusal>, Told) {
        let (mut paths, mut told) = (Vec::new(), Vec::new());
        for (k, source) in sources.iter().enumerate() {
            let Some(switch) = self.switches.get_mut(k).filter(|s| s.file != source.enabled) else { continue };
            switch.file = source.enabled;
            let switch = &self.switches[k];
            let (result, events) = self.change(switch, &Scalar::Bool(switch.file), false, user).await;
            told.extend(events);
            if let Err(refusal) = result {
                return (Err(refusal), told);
            }
            paths.push(switch.path.clone());
            self.show(switch, user).await;
        }
        (Ok(paths), told)
    }

    /// Goes over to what a newer file says of the connections themselves: endpoints, addresses. Gives back the names of those that have changed.
    /// The list of sources must be the same.
    pub async fn reconnect(&self, config: &Config) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        for (k, (switch, source)) in self.switches.iter().zip(&config.sources).enumerate() {
            let goes_over = |now: &mut Wanted| {
                let next = wanted(config, k, now.on);
                let differs = *now != next;
                *now = next;
                differs
            };
            if switch.wanted.send_if_modified(goes_over) {
                changed.push(source.name.clone());
                self.show_endpoint(source).await;
            }
        }
        changed
    }

    async fn show_endpoint(&self, source: &SourceConfig) {
        let (endpoint, quality, time) = (Scalar::Text(source.endpoint().into()), Quality::Good, wall_clock());
        let update = |name: &&str| {
            let path = format!("{GATEWAY}.Sources.{}.Endpoint{name}", source.name).into();
            NodeUpdate { path, value: Some(endpoint.clone()), quality, time }
        };
        // The server may have ended.
        let _ = self.updates.send(["", ".EffectiveValue"].iter().map(update).collect()).await;
    }

    async fn change(&self, switch: &SourceSwitch, value: &Scalar, keep: bool, user: &Arc<str>) -> (Result<(), Refusal>, Told) {
        let old = Scalar::Bool(switch.is_on()).to_string();
        let result = self.try_change(switch, value, keep).await;
        let refused = result.as_ref().err().map(ToString::to_string);
        (result, vec![EventKind::Parameter { path: switch.path.clone(), old, new: value.to_string(), user: user.clone(), refused }])
    }

    async fn try_change(&self, switch: &SourceSwitch, value: &Scalar, keep: bool) -> Result<(), Refusal> {
        let Scalar::Bool(on) = *value else {
            return Err(Refusal::TypeMismatch(format!("{}: expected Boolean: `{value}`", switch.path)));
        };
        let key = keys::parameter(&switch.path);
        let record = if keep {
            let tuned = Tuned { value: value.clone(), file: Scalar::Bool(switch.file) };
            Record::Put { key, value: serde_json::to_vec(&tuned).map_err(|e| Refusal::InvalidState(e.to_string()))? }
        } else {
            Record::Remove { key }
        };
        let stored = durable(&self.store, record).await;
        stored.map_err(|why| Refusal::InvalidState(format!("not changed: it cannot be stored: {why}")))?;
        switch.wanted.send_if_modified(|now| std::mem::replace(&mut now.on, on) != on);
        Ok(())
    }

    /// Shows what was changed in another way than by a write, which the server sees itself.
    async fn show(&self, switch: &SourceSwitch, user: &Arc<str>) {
        let (path, quality, time) = (&switch.path, Quality::Good, wall_clock());
        let on = Scalar::Bool(switch.is_on());
        let values = [
            (String::new(), on),
            (".DefaultValue".into(), Scalar::Bool(switch.file)),
            (".LastChangedTime".into(), Scalar::Time(time)),
            (".LastChangedBy".into(), Scalar::Text(user.clone())),
            (".LastErrorText".into(), "".into()),
        ];
        let update =
            |(name, value): (String, Scalar)| NodeUpdate { path: format!("{path}{name}").into(), value: Some(value), quality, time };
        // The server may have ended.
        let _ = self.updates.send(values.into_iter().map(update).collect()).await;
    }
}

fn unknown(path: &str) -> Refusal {
    Refusal::Unknown(format!("no such parameter: `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, StoreWriter};

    const FILE: &str = "[[sources]]\nname = \"P\"\nprotocol = \"modbus\"\nendpoint = \"tcp://127.0.0.1:1\"\n[[machines]]\nname = \"M\"\nperiod = \"1s\"\n[[machines.signals]]\nname = \"a\"\naddress = \"holding:1\"\nregister_type = \"f32\"\n";
    const PATH: &str = "Gateway.Sources.P.Enabled";

    fn config(enabled: bool) -> Config {
        Config::parse(&FILE.replace("name = \"P\"", &format!("name = \"P\"\nenabled = {enabled}"))).unwrap()
    }

    fn switches(config: &Config, store: &Arc<dyn Store>, notes: &mut Vec<String>) -> (Switches, mpsc::Receiver<Vec<NodeUpdate>>) {
        let (updates, shown) = mpsc::channel(16);
        let writer = StoreWriter::spawn(store.clone(), 16);
        (Switches { switches: restored(config, store.as_ref(), notes).unwrap(), store: writer.sender, updates }, shown)
    }

    #[tokio::test]
    async fn a_switch_is_kept_until_the_file_says_otherwise() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&config(true).store, 1));
        let (user, mut notes) = ("anna".into(), Vec::new());
        let (owner, _shown) = switches(&config(true), &store, &mut notes);
        let seen = owner.switches[0].watch();
        assert!(seen.borrow().on);
        let (result, told) = owner.set(PATH, &Scalar::Bool(false), &user).await;
        assert_eq!(result, Ok(()));
        assert!(matches!(&told[..], [EventKind::Parameter { old, new, refused: None, .. }] if old == "true" && new == "false"));
        assert!(!seen.borrow().on);

        // After a restart, and with another file.
        let (mut owner, _shown) = switches(&config(true), &store, &mut notes);
        assert_eq!(owner.switches[0].spec().value, Scalar::Bool(false));
        assert_eq!((owner.switches[0].spec().default, notes.len()), (Scalar::Bool(true), 0));
        let (paths, _) = owner.adopt(&config(false).sources, &user).await;
        assert_eq!(paths, Ok(vec![PATH.into()]));
        assert_eq!(store.get(&keys::parameter(PATH)).unwrap(), None, "what was written lapses");
        owner.set(PATH, &Scalar::Bool(true), &user).await.0.unwrap();
        let (owner, _shown) = switches(&config(true), &store, &mut notes);
        assert!(owner.switches[0].watch().borrow().on);
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[tokio::test]
    async fn a_reset_goes_back_to_the_file_and_shows_it() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&config(true).store, 1));
        let user = "anna".into();
        let (owner, mut shown) = switches(&config(true), &store, &mut Vec::new());
        for path in [PATH, "Gateway."] {
            owner.set(PATH, &Scalar::Bool(false), &user).await.0.unwrap();
            owner.reset(path, &user).await.0.unwrap();
            assert!(owner.switches[0].watch().borrow().on);
            let updates = shown.recv().await.unwrap();
            assert_eq!((&*updates[0].path, &updates[0].value), (PATH, &Some(Scalar::Bool(true))));
        }
        assert_eq!(owner.reset("Gateway.", &user).await.0.unwrap().text, "0 parameters below Gateway. are as in the file");
        assert!(matches!(owner.reset("Gateway.Sources.Q.Enabled", &user).await.0, Err(Refusal::Unknown(_))));
    }

    #[tokio::test]
    async fn another_type_is_refused_and_told() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&config(true).store, 1));
        let (owner, _shown) = switches(&config(true), &store, &mut Vec::new());
        let (result, told) = owner.set(PATH, &Scalar::U16(0), &"anna".into()).await;
        assert!(matches!(result, Err(Refusal::TypeMismatch(_))));
        assert!(matches!(&told[..], [EventKind::Parameter { refused: Some(_), .. }]));
        assert!(owner.switches[0].watch().borrow().on);
    }
}
