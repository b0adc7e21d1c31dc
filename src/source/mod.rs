//! Connections to PLCs: OPC UA client and Modbus TCP. Each runs as one task, sends [`Sample`]s and says how it is.

mod backoff;
mod emit;
mod modbus;
mod opcua;
mod report;
mod switch;
mod trial;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Origin, RegisterType, Shape, SourceConfig, SourceKind};
use crate::types::{Sample, SampleId, SourceState, Timestamp};

pub use self::modbus::Lines;
pub use self::opcua::{Survey, SurveyError, SurveyOptions, survey};
pub use self::switch::{Wanted, run_switched};
pub use self::trial::{SourceTrial, TagTrial, try_source};
pub use self::write::{Outbox, WriteCounts, WriteTag, WriteTrial, writes};

use self::emit::Emitter;
use self::report::Reporter;

/// One value to read: what a source is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    pub id: SampleId,
    /// In the PLC's own notation.
    pub address: String,
    pub register_type: RegisterType,
    pub shape: Shape,
    pub sampling: Option<std::time::Duration>,
    pub scale: f64,
    pub offset: f64,
    /// Modbus: register that changes with each new block.
    pub counter: Option<String>,
    /// OPC UA: smaller differences are not announced; before `scale`.
    pub deadband: Option<f64>,
    /// For messages: `Motor1.Flux`.
    pub name: String,
}

/// How a source is. Sent at every change.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatus {
    pub state: SourceState,
    /// ASCII; what is wrong and what to do.
    pub text: String,
    pub last_good: Timestamp,
    /// How old the last usable value was when it came, by the clocks of both sides, in steps of 100 us; `None` before the first, and where
    /// the PLC gives no times (Modbus).
    pub latency: Option<Duration>,
    pub read_errors: u64,
    pub reconnects: u64,
    /// Attempts to write a value that failed.
    pub write_errors: u64,
    /// Samples that found the channel full.
    pub dropped: u64,
}

impl Default for SourceStatus {
    fn default() -> Self {
        Self {
            state: SourceState::Connecting,
            text: "connecting".into(),
            last_good: Timestamp::EPOCH,
            latency: None,
            read_errors: 0,
            reconnects: 0,
            write_errors: 0,
            dropped: 0,
        }
    }
}

/// What a source task is given. When `stop` is cancelled it closes its session and returns.
pub struct SourceTask {
    pub config: SourceConfig,
    pub tags: Vec<Tag>,
    /// Bounded; see [`SampleSender`] for what happens when it is full.
    pub samples: SampleSender,
    pub status: watch::Sender<SourceStatus>,
    /// Where the client's certificate and the trusted server certificates lie.
    pub pki_dir: std::path::PathBuf,
    pub stop: CancellationToken,
    /// What is written into the PLC.
    pub outbox: Outbox,
    /// Connections that Modbus sources share.
    pub lines: Lines,
}

/// Sends samples to one machine's driver each, never waits: a full channel is counted, and the next sample of that
/// channel says `Uncertain (Overflow)`.
#[derive(Clone)]
pub struct SampleSender {
    machines: Arc<[mpsc::Sender<Sample>]>,
    dropped: Arc<AtomicU64>,
}

impl SampleSender {
    /// One sender a machine, by its index in the configuration.
    pub fn new(machines: Vec<mpsc::Sender<Sample>>) -> Self {
        Self { machines: machines.into(), dropped: Arc::default() }
    }

    /// False where the sample was dropped.
    pub fn send(&self, sample: Sample) -> bool {
        let sent = self.machines.get(usize::from(sample.id.machine)).is_some_and(|tx| tx.try_send(sample).is_ok());
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Reads the source until `stop` is cancelled, then closes its connection (within 3 s) and returns.
///
/// Never fails: what goes wrong is in the status, in the quality of the samples, and tried again.
pub async fn run(task: SourceTask) {
    let SourceTask { config, tags, samples, status, pki_dir, stop, outbox, lines } = task;
    let emitter = Arc::new(Emitter::new(tags.into(), samples));
    let reporter = Reporter::new(config.name, status, emitter.clone(), outbox.counts.clone());
    connect(config.kind, (pki_dir, lines), emitter, reporter, outbox, stop).await;
}

/// One connection with all its attempts.
async fn connect(
    kind: SourceKind,
    (pki_dir, lines): (PathBuf, Lines),
    emitter: Arc<Emitter>,
    reporter: Reporter,
    outbox: Outbox,
    stop: CancellationToken,
) {
    match kind {
        SourceKind::OpcUa(config) => opcua::OpcUaSource { config, pki_dir, emitter, reporter, outbox, stop }.run().await,
        SourceKind::Modbus(config) => modbus::ModbusSource { config, emitter, reporter, outbox, lines, stop }.run().await,
    }
}

/// What a source is asked for, over all machines.
pub fn tags(config: &Config, source: usize) -> Vec<Tag> {
    let mut tags = Vec::new();
    for (m, machine) in config.machines.iter().enumerate() {
        let signals = machine.signals.iter().map(|s| (&s.name, &s.origin, s.shape));
        let settings = machine.settings.iter().map(|s| (&s.name, &s.origin, Shape::Scalar));
        let labels = machine.labels().map(|l| (&l.name, &l.origin, Shape::Scalar));
        for (channel, (name, origin, shape)) in signals.chain(settings).chain(labels).enumerate() {
            let Some(origin) = origin.as_ref().filter(|o| o.source == source) else { continue };
            let Origin { address, register_type, sampling, scale, offset, counter, deadband, .. } = origin.clone();
            let id = SampleId { machine: m as u16, channel: channel as u16 };
            let name = format!("{}.{name}", machine.name);
            tags.push(Tag { id, address, register_type, shape, sampling, scale, offset, counter, deadband, name });
        }
    }
    tags
}

/// A scalar of machine 0, channel 0.
#[cfg(test)]
fn test_tag(name: &str, address: &str) -> Tag {
    Tag {
        id: SampleId { machine: 0, channel: 0 },
        address: address.into(),
        register_type: RegisterType::F32,
        shape: Shape::Scalar,
        sampling: None,
        scale: 1.0,
        offset: 0.0,
        counter: None,
        deadband: None,
        name: name.into(),
    }
}
