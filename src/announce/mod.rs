//! Tells the outside that a dataset is ready: by HTTP (webhook) and by MQTT.
//!
//! ```text
//! dataset: file under its name ─▶ Queue, a folder a channel ─oldest─▶ Announcer ─▶ webhook: answered with 2xx   ─▶ out of the queue
//!          (export's own thread)     (fsync before the export ends)       ▲ again ◀─ mqtt: PUBACK of QoS 1
//!                                                                         └ after 1 s, doubling to 5 min
//! ```
//! At least once and in order: what was delivered and not yet taken off at a crash comes again, with the same `id`.

#[cfg(feature = "announce")]
mod announcer;
#[cfg(feature = "announce")]
mod mqtt;
mod queue;
#[cfg(all(test, feature = "announce"))]
mod tests;
#[cfg(feature = "announce")]
mod tls;
#[cfg(feature = "announce")]
mod webhook;

use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

#[cfg(feature = "announce")]
pub use announcer::{Announcer, Pace};
pub use queue::Queue;

use crate::config::{AnnounceConfig, PasswordFrom};

/// Where announcements wait, below the data directory: a folder a channel.
pub const FOLDER: &str = "announcements";

/// The queues of the channels that are configured.
#[derive(Debug, Default)]
pub struct Announcements {
    queues: Vec<Queue>,
}

impl Announcements {
    pub fn new(config: &AnnounceConfig, data_dir: &Path) -> Self {
        let webhook = config.webhook.as_ref().map(|_| Queue::new(data_dir, "webhook"));
        let mqtt = config.mqtt.as_ref().map(|_| Queue::new(data_dir, "mqtt"));
        Self { queues: webhook.into_iter().chain(mqtt).collect() }
    }

    /// Puts a dataset's manifest into all queues, without what makes it long; durable when this returns. Blocking. What cannot be
    /// kept is logged: the dataset itself is there.
    pub fn push(&self, manifest: &Map<String, Value>) {
        let content = content(manifest);
        for queue in &self.queues {
            match queue.push(&content) {
                Ok(0) => {}
                Ok(dropped) => {
                    tracing::warn!("{queue} is full: the {dropped} oldest announcements are dropped; see why they are not delivered")
                }
                Err(error) => tracing::error!("{queue}: a dataset is not announced: {error}; look for it in the folder of datasets"),
            }
        }
    }
}

/// One announcement as JSON. Its id is that of this export: the same dataset exported again has another.
fn content(manifest: &Map<String, Value>) -> Vec<u8> {
    let long = ["columns", "gaps", "waveforms_left_out"];
    let facts: Map<String, Value> =
        manifest.iter().filter(|(key, _)| !long.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let id = format!("{:x}", Sha256::digest(Value::Object(facts.clone()).to_string()));
    let mut all = Map::new();
    all.insert("event".into(), json!("dataset_ready"));
    all.insert("id".into(), json!(id.get(..16)));
    all.extend(facts);
    Value::Object(all).to_string().into_bytes()
}

/// A secret, read anew for each try: a new one needs no restart.
#[cfg_attr(not(feature = "announce"), allow(dead_code))]
fn secret(from: &PasswordFrom) -> Result<String, String> {
    let (place, found) = match from {
        PasswordFrom::Env(name) => (format!("the environment variable `{name}`"), std::env::var(name).map_err(|e| e.to_string())),
        PasswordFrom::File(path) => (format!("the file `{path}`"), std::fs::read_to_string(path).map_err(|e| e.to_string())),
    };
    let text = found.map_err(|why| format!("no secret in {place}: {why}"))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() { Err(format!("no secret in {place}: it is empty")) } else { Ok(line.to_string()) }
}
