//! Writing into a PLC: what is due, what was refused, when it is tried again. The protocols' own parts are `opcua::write` and
//! `modbus::write`.
//!
//! Reading comes first: a write that is refused is told once, counted, and tried again later and later; nothing of it reaches the reads.
//! In a new connection everything is written anew. At the stop of a source each value that was written is written once more, as not known.

mod ledger;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

pub(super) use self::ledger::{Due, Ledger};
use crate::config::{Config, WriteConfig};
use crate::types::Output;

/// One value to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteTag {
    /// For messages: `Motor1.drift_status`.
    pub name: String,
    pub config: WriteConfig,
}

/// What a source is to write.
#[derive(Clone, Debug)]
pub struct Outbox {
    pub writes: Arc<[WriteTag]>,
    /// In the order of `writes`; the latest wins.
    pub values: watch::Receiver<Arc<[Output]>>,
    pub counts: Arc<WriteCounts>,
    /// Where given, nothing is written: it is looked whether it could be.
    pub trial: Option<Arc<Mutex<Vec<Option<WriteTrial>>>>>,
}

/// What writing has come to.
#[derive(Debug, Default)]
pub struct WriteCounts {
    written: AtomicU64,
    refused: AtomicU64,
}

impl WriteCounts {
    /// Values that the PLC took.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// What is known of a place that is to be written, without having written it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteTrial {
    /// The PLC's type; empty where there is no such place.
    pub data_type: String,
    /// By the access level; `None` where only writing would tell (Modbus).
    pub writable: Option<bool>,
    /// Why it cannot be written, and what to do.
    pub fault: Option<String>,
}

impl WriteTrial {
    /// As far as can be seen.
    pub fn is_fine(&self) -> bool {
        self.fault.is_none() && self.writable != Some(false)
    }
}

impl Outbox {
    /// One that has nothing to write.
    pub fn empty() -> Self {
        Self::new(Vec::new()).0
    }

    /// With the end where the values come from.
    pub fn new(writes: Vec<WriteTag>) -> (Self, watch::Sender<Arc<[Output]>>) {
        let (sender, values) = watch::channel(vec![Output::Unknown; writes.len()].into());
        (Self { writes: writes.into(), values, counts: Arc::default(), trial: None }, sender)
    }

    /// One that writes nothing and looks whether it could.
    pub fn on_trial(writes: Vec<WriteTag>) -> Self {
        let trial = Some(Arc::new(Mutex::new(vec![None; writes.len()])));
        Self { trial, ..Self::new(writes).0 }
    }

    /// Keeps what was seen of a place.
    pub(super) fn seen(&self, write: usize, seen: WriteTrial) {
        let Some(trial) = &self.trial else { return };
        if let Some(place) = trial.lock().get_mut(write) {
            *place = Some(seen);
        }
    }
}

/// What a source is asked to write, over all machines.
pub fn writes(config: &Config, source: usize) -> Vec<WriteTag> {
    let tag = |(machine, write): (usize, &WriteConfig)| WriteTag {
        name: format!("{}.{}", config.machines[machine].name, write.value.name()),
        config: write.clone(),
    };
    crate::config::writes_of(config, source).into_iter().map(tag).collect()
}
