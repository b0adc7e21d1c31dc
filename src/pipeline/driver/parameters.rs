//! What people tune of one machine: checked, stored, put in force, told, shown.

use std::sync::Arc;

use super::commands::{not_stored, refusal};
use super::{Running, Tuned, keys, wall_clock};
use crate::config::{MachineConfig, tunable};
use crate::server::NodeUpdate;
use crate::store::Record;
use crate::types::{Answer, EventKind, Quality, Refusal, Scalar};

impl Running {
    /// Writes a parameter: checked, on disk, then effective. A refused write is told as well.
    pub(super) async fn set_parameter(&mut self, path: &Arc<str>, value: &Scalar, user: &Arc<str>) -> Result<(), Refusal> {
        let config = self.d.core.config().clone();
        let Some(old) = tunable::read(&config, path) else { return Err(Refusal::Unknown(format!("`{path}` is no parameter"))) };
        let old = self.in_use(path, old);
        let result = self.try_set(&config, path, value).await;
        let refused = result.as_ref().err().map(ToString::to_string);
        self.tell(EventKind::Parameter { path: path.clone(), old: old.to_string(), new: value.to_string(), user: user.clone(), refused });
        let along = result?;
        if let Some(along) = along {
            self.tell_along(&config, &along, user);
            self.show(&[along], user).await;
        }
        Ok(())
    }

    /// The parameter that has changed along with it.
    async fn try_set(&mut self, config: &MachineConfig, path: &str, value: &Scalar) -> Result<Option<Arc<str>>, Refusal> {
        let changed = tunable::check(config, path, value).map_err(refusal)?;
        let file = tunable::read(&self.d.from_file, path).ok_or_else(|| Refusal::Unknown(format!("`{path}` is no parameter")))?;
        let tunables = tunable::tunables(config);
        let this = tunables.iter().find(|t| &*t.path == path);
        let kept_as = this.map_or_else(|| path.into(), |t| t.kept_as.clone());
        let same = tunable::read(config, path).as_ref() == Some(value);
        let along: Option<Arc<str>> = this.and_then(|t| t.takes_along()).filter(|_| !same).map(Into::into);
        let tuned = Tuned { value: value.clone(), file };
        let record =
            Record::Put { key: keys::parameter(&kept_as), value: serde_json::to_vec(&tuned).map_err(|e| not_stored(&e.to_string()))? };
        if let Some(along) = &along {
            self.durable(Record::Remove { key: keys::parameter(along) }).await.map_err(|why| not_stored(&why))?;
        }
        self.durable(record).await.map_err(|why| not_stored(&why))?;
        let changed = Arc::new(changed);
        self.tune(changed.clone());
        self.publish_twins(path, &kept_as, &tunables, &changed).await;
        Ok(along)
    }

    pub(super) fn tune(&mut self, config: Arc<MachineConfig>) {
        self.d.core.set_config(config.clone());
        self.view.set_config(config.clone());
        self.reports.set_interval(config.report.interval);
    }

    /// A threshold that has changed because its test is another one.
    fn tell_along(&mut self, before: &MachineConfig, path: &Arc<str>, user: &Arc<str>) {
        let (Some(old), Some(new)) = (tunable::read(before, path), tunable::read(self.d.core.config(), path)) else { return };
        let new = self.in_use(path, new).to_string();
        self.tell(EventKind::Parameter { path: path.clone(), old: old.to_string(), new, user: user.clone(), refused: None });
    }

    /// Nodes that show the same value under another path.
    async fn publish_twins(&self, path: &str, kept_as: &str, tunables: &[tunable::Tunable], config: &MachineConfig) {
        let twins = tunables.iter().filter(|t| &*t.kept_as == kept_as && &*t.path != path);
        let (quality, time) = (Quality::Good, wall_clock());
        let updates: Vec<_> = twins.map(|t| NodeUpdate { path: t.path.clone(), value: Some(t.get(config)), quality, time }).collect();
        // The server may have ended.
        let _ = self.d.updates.send(updates).await;
    }

    /// One parameter, or all below a path that ends with a dot, back to the values of the file: all of them or none.
    pub(super) async fn reset_parameters(&mut self, path: &Arc<str>, user: &Arc<str>) -> Result<Answer, Refusal> {
        let config = self.d.core.config().clone();
        let (file, tunables) = (self.d.from_file.clone(), tunable::tunables(&config));
        let all = path.ends_with('.');
        let meant = |t: &&tunable::Tunable| match all {
            true => t.path.starts_with(&**path) && t.get(&config) != t.default_in(&config, &file),
            false => *t.path == **path,
        };
        let meant: Vec<&tunable::Tunable> = tunables.iter().filter(meant).collect();
        if meant.is_empty() && !all {
            return Err(Refusal::Unknown(format!("no such parameter: `{path}`")));
        }
        let paths: Vec<Arc<str>> = meant.iter().map(|t| t.path.clone()).collect();
        let changed = tunable::reset(&config, &file, &paths).map_err(refusal)?;
        for tunable in &meant {
            let along = tunable.takes_along();
            for kept in std::iter::once(&*tunable.kept_as).chain(along.as_deref()) {
                self.durable(Record::Remove { key: keys::parameter(kept) }).await.map_err(|why| not_stored(&why))?;
            }
        }
        let old: Vec<String> = meant.iter().map(|t| self.in_use(&t.path, t.get(&config)).to_string()).collect();
        self.tune(Arc::new(changed));
        let mut shown = Vec::new();
        for (tunable, old) in meant.iter().zip(old) {
            let value = tunable.get(self.d.core.config());
            let new = self.in_use(&tunable.path, value).to_string();
            self.tell(EventKind::Parameter { path: tunable.path.clone(), old, new, user: user.clone(), refused: None });
            let along: Option<Arc<str>> = tunable.takes_along().map(Into::into);
            // All nodes that show it.
            shown.extend(tunables.iter().filter(|t| t.kept_as == tunable.kept_as).map(|t| t.path.clone()).chain(along));
        }
        self.show(&shown, user).await;
        Ok(Answer::said(if all {
            format!("{} parameters below {path} are as in the file", paths.len())
        } else {
            format!("{path} is as in the file")
        }))
    }

    /// Shows parameters that were changed in another way than by a write, which the server sees itself.
    pub(super) async fn show(&self, paths: &[Arc<str>], user: &Arc<str>) {
        let (quality, time) = (Quality::Good, wall_clock());
        let config = self.d.core.config();
        let tunables = tunable::tunables(config);
        let mut updates = Vec::new();
        for tunable in tunables.iter().filter(|t| paths.contains(&t.path)) {
            let path = &tunable.path;
            let mut put = |path: Arc<str>, value: Scalar| updates.push(NodeUpdate { path, value: Some(value), quality, time });
            put(path.clone(), self.in_use(path, tunable.get(config)));
            put(format!("{path}.DefaultValue").into(), tunable.default_in(config, &self.d.from_file));
            for (name, limit) in [("MinValue", tunable.min), ("MaxValue", tunable.max)] {
                if let Some(limit) = limit {
                    put(format!("{path}.{name}").into(), Scalar::F64(limit));
                }
            }
            put(format!("{path}.LastChangedTime").into(), Scalar::Time(time));
            put(format!("{path}.LastChangedBy").into(), Scalar::Text(user.clone()));
            put(format!("{path}.LastErrorText").into(), "".into());
        }
        // The server may have ended.
        let _ = self.d.updates.send(updates).await;
    }

    /// The value in use: of a threshold that nobody has set it is the bundle's.
    pub(super) fn in_use(&self, path: &str, configured: Scalar) -> Scalar {
        let machine = &self.d.from_file.name;
        let threshold = self.d.core.verdict().monitors.iter().find_map(|monitor| {
            let part = if monitor.name.contains('.') { "Models" } else { "Drift" };
            let test = path.strip_prefix(&format!("{machine}.{part}.{}.T", monitor.name))?.strip_suffix(".Threshold")?;
            monitor.tests.get(test.parse::<usize>().ok()?.checked_sub(1)?).map(|t| t.threshold)
        });
        threshold.filter(|t| t.is_finite()).map_or(configured, Scalar::F64)
    }
}
