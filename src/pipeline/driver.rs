//! The live shell of one machine: one task owns its core. Samples and commands in; records, node values and events out.
//!
//! ```text
//! samples ──▶ align ─▶ core.step ─▶ records ─▶ store (bounded; full = counted as lost by the store's side)
//! commands ─▶ check ─▶ store, durable ─▶ core.set_config ─▶ answer
//!                                    every tick: changed values ─▶ server (latched while the channel is full)
//! ```

mod commands;
mod export;
mod models;
mod parameters;
mod thresholds;

pub use commands::{NewFile, audit};
pub use models::ModelKeeper;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::align::Aligner;
use super::core::{CoreState, MachineCore};
use super::cycle::Cycles;
use super::exports::Exports;
use super::reports::{KeptReports, Reports};
use crate::bundle::{self, Bundle};
use crate::config::MachineConfig;
use crate::dataset::Exporter;
use crate::drift::calibrate::Calibration;
use crate::feature::PlausibilityCheck;
use crate::server::alarms::AlarmSender;
use crate::server::view::{Beside, MachineView};
use crate::server::{CommandRequest, UpdateSender};
use crate::source::SourceStatus;
use crate::store::{FeatureRow, HistoryRow, Record, RowFlags, StoreMessage};
use crate::types::{Event, Frame, NotEvaluated, Sample, SourceState, Timestamp, Verdict};

/// Between two looks at what is due, and two sendings of changed values.
const TICK: Duration = Duration::from_millis(50);
/// Between two saved states; also saved at each event and at the end.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// A parameter that is not on disk by then is refused.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// Samples taken before the clock is looked at again.
const BATCH: usize = 256;

/// What a driver is given.
pub struct Driver {
    /// Index of the machine in the configuration.
    pub machine: u16,
    /// The machine's state, owned from here on.
    pub core: MachineCore,
    /// The configuration as the file has it: what a reset goes back to.
    pub from_file: Arc<MachineConfig>,
    /// Values of this machine's channels.
    pub samples: mpsc::Receiver<Sample>,
    /// Writes and commands for this machine.
    pub commands: mpsc::Receiver<CommandRequest>,
    /// Newer versions of the configuration file.
    pub files: mpsc::Receiver<NewFile>,
    /// The store's writer.
    pub store: mpsc::Sender<StoreMessage>,
    /// Changed values on their way to the server.
    pub updates: UpdateSender,
    /// Everything that happens; whoever listens too slowly loses the oldest.
    pub events: broadcast::Sender<Event>,
    /// The last verdict, for a table on a terminal.
    pub verdict: watch::Sender<Arc<Verdict>>,
    /// The sources this machine reads from.
    pub sources: Vec<watch::Receiver<SourceStatus>>,
    /// SHA-256 of the active bundle, hex.
    pub bundle_hash: Option<Arc<str>>,
    /// The bundles that are active, waiting and kept.
    pub models: ModelKeeper,
    /// Where alarms are acknowledged.
    pub alarms: AlarmSender,
    /// Full reports from before.
    pub reports: KeptReports,
    /// Writes buffers into files.
    pub exporter: Arc<Exporter>,
    /// How long rows take.
    pub cycles: Cycles,
    /// Ends the task.
    pub stop: CancellationToken,
}

/// Keys under which a machine's things lie in the store.
pub mod keys {
    /// Blob with the bundle of a place; the first one is 0.
    pub fn bundle(machine: &str, place: u32) -> String {
        if place == 0 { format!("bundle|{machine}") } else { format!("{}{place}", bundles(machine)) }
    }

    /// What the keys of all places but the first begin with.
    pub fn bundles(machine: &str) -> String {
        format!("bundle|{machine}|")
    }

    /// Which bundle is active, which one waits, which one is kept: a [`BundleLife`](crate::bundle::BundleLife).
    pub fn life(machine: &str) -> String {
        format!("models|{machine}")
    }

    /// SHA-256 of the bundle that was installed last, hex.
    pub fn installed(machine: &str) -> String {
        format!("installed|{machine}")
    }

    /// Blob with the saved [`CoreState`](super::CoreState) since so many exchanges of bundles.
    pub fn state(machine: &str, generation: u32) -> String {
        if generation == 0 { format!("state|{machine}") } else { format!("{}{generation}", states(machine)) }
    }

    /// What the keys of all states but the first begin with.
    pub fn states(machine: &str) -> String {
        format!("state|{machine}|")
    }

    /// A tuned parameter, by the path of its node; a prefix of paths finds all below it.
    pub fn parameter(path: &str) -> String {
        format!("param|{path}")
    }
}

/// A parameter as it is kept: what was written, and the file's value it replaced.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Tuned {
    /// What was written.
    pub value: crate::types::Scalar,
    /// The file's value at that time: another one later lets the written value lapse.
    pub file: crate::types::Scalar,
}

struct Running {
    d: Driver,
    aligner: Aligner,
    plausibility: PlausibilityCheck,
    view: MachineView,
    beside: Beside,
    latencies: Latencies,
    reports: Reports,
    exports: Exports,
    saved: Instant,
    changed: bool,
}

impl Driver {
    /// Runs until `stop`; then saves its state.
    pub async fn run(mut self) {
        let config = self.core.config().clone();
        let aligner = Aligner::new(config.clone());
        let plausibility = PlausibilityCheck::new(&config);
        let view = MachineView::new(config.clone());
        let beside = Beside { latency: (f64::NAN, f64::NAN), ..Beside::default() };
        self.core.name_bundle(self.bundle_hash.clone().unwrap_or_else(|| "".into()));
        let reports = Reports::new(std::mem::take(&mut self.reports), config.report.interval);
        let (latencies, saved) = (Latencies::default(), Instant::now());
        let exports = Exports::new(self.exporter.clone());
        let mut running = Running { d: self, aligner, plausibility, view, beside, latencies, reports, exports, saved, changed: true };
        running.show_bundles();
        running.run().await;
    }
}

impl Running {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        let stop = self.d.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                count = self.d.samples.recv_many(&mut batch, BATCH) => {
                    batch.drain(..).for_each(|sample| self.aligner.push(sample));
                    self.frames();
                    if count == 0 {
                        break;
                    }
                }
                Some(request) = self.d.commands.recv() => self.command(request).await,
                Some(file) = self.d.files.recv() => self.adopt(file).await,
                Some(offer) = self.d.models.offers.recv() => self.offered(offer).await,
                () = self.d.models.seen.notified() => self.see_failure().await,
                made = self.reports.made() => {
                    let machine = self.d.from_file.name.clone();
                    let keep = self.d.core.config().report.keep;
                    let records = self.reports.take(made, &machine, keep, wall_clock());
                    self.record(records);
                }
                ended = self.exports.ended() => self.exported(ended).await,
                _ = tick.tick() => {
                    self.frames();
                    self.reports.start_if_due(&self.d.core, wall_clock());
                    self.roll_back_if_overdue().await;
                    self.export_by_itself().await;
                    self.publish();
                    self.show_progress();
                    self.save_if_due();
                }
            }
        }
        if let Some(ended) = self.exports.finish().await {
            self.exported(ended).await;
        }
        self.reports.finish().await;
        self.save().await;
    }

    /// All frames that are due.
    fn frames(&mut self) {
        while let Some(mut frame) = self.aligner.next_frame(wall_clock()) {
            self.plausibility.mark(&mut frame);
            self.row(frame);
        }
    }

    fn row(&mut self, frame: Frame) {
        let started = Instant::now();
        let core = &mut self.d.core;
        core.prepare(&frame);
        let begun = Instant::now();
        core.infer();
        let latency = begun.elapsed();
        // The row that ends the learning trains and calibrates: seconds, in which the server and others go on.
        let trains = core.learning().is_some_and(|(rows, wanted)| rows + 1 >= wanted);
        let step = if trains { tokio::task::block_in_place(|| core.judge()) } else { core.judge() };
        if step.verdict.models.iter().any(|m| m.score.is_finite()) {
            self.latencies.add(latency);
            self.beside.inferences = self.beside.inferences.wrapping_add(1);
        }
        let (learned, sampled) = (step.learned.clone(), step.sampled);
        let unscored = step.verdict.models.iter().any(|m| m.trust.is_trusted() && !m.score.is_finite());
        let features = feature_row(step.verdict);
        let sample = sampled.map(|stratum| (stratum, features.clone()));
        let mut records = vec![Record::Features { machine: self.d.machine, row: features }];
        records.extend(history_rows(step.verdict).map(|row| Record::History { machine: self.d.machine, row }));
        let row = step.verdict.row;
        for event in step.events {
            records.push(Record::Event(event.clone()));
            log(event);
            // Nobody may be listening.
            let _ = self.d.events.send(event.clone());
            self.changed = true;
        }
        self.d.models.scoring_fails(unscored);
        self.beside.errors = self.beside.errors.wrapping_add(u32::from(unscored));
        self.beside.channels.clone_from(&frame.channels);
        let frame = Arc::new(frame);
        if let Some((stratum, row)) = sample {
            records.push(Record::Sample { machine: self.d.machine, stratum, row, frame: frame.clone() });
        }
        records.push(Record::Frame { machine: self.d.machine, row, frame });
        if let Some(bundle) = learned {
            self.keep_bundle(&bundle, &mut records);
        }
        self.record(records);
        self.d.cycles.add(started.elapsed());
    }

    fn keep_bundle(&mut self, bundle: &Arc<Bundle>, records: &mut Vec<Record>) {
        match bundle::encode(bundle) {
            Ok((bytes, hash)) => {
                let hash: Arc<str> = hash.into();
                self.d.core.name_bundle(hash.clone());
                self.d.bundle_hash = Some(hash.clone());
                let life = self.d.models.life.learned(&hash, u32::try_from(bytes.len()).unwrap_or(u32::MAX), wall_clock());
                records.push(Record::PutBlob { key: self.active_key(), value: bytes.into() });
                records.extend(self.life_record(&life));
                self.d.models.life = life;
                self.show_bundles();
            }
            Err(error) => tracing::error!(machine = %self.d.from_file.name, "the learned bundle cannot be kept: {error}"),
        }
    }

    /// Never waits: the store is behind or failing, and says so itself.
    fn record(&self, records: Vec<Record>) {
        for record in records {
            if self.d.store.try_send(StoreMessage::Record(record)).is_err() {
                tracing::debug!("the store's channel is full: a record is lost");
            }
        }
    }

    fn publish(&mut self) {
        let verdict = self.d.core.verdict();
        self.beside.learning = self.d.core.learning();
        self.beside.now = wall_clock();
        self.beside.slots.remaining = self.d.models.publish(self.beside.now);
        self.beside.origins = thresholds::origins(self.d.core.config(), &self.d.from_file, self.d.core.bundle());
        self.beside.report.clone_from(self.reports.view());
        self.beside.allowed = self.allowed();
        self.beside.labels = self.d.core.labels();
        self.beside.unlabelled = self.d.core.unlabelled();
        self.beside.budgets = thresholds::budgets(self.d.core.config(), self.d.core.bundle());
        self.beside.latency = (self.latencies.last, self.latencies.p99());
        let states = self.d.sources.iter().map(|s| {
            let s = s.borrow();
            (s.state, s.last_good)
        });
        self.beside.source = states.max_by_key(|(state, _)| severity(*state));
        if self.beside.channels.is_empty() && verdict.row == 0 {
            self.beside.channels.resize(self.d.from_file.channel_count(), Default::default());
        }
        self.view.update(verdict, &self.beside);
        self.d.verdict.send_if_modified(|shown| {
            let new = shown.row != verdict.row;
            if new {
                *shown = Arc::new(verdict.clone());
            }
            new
        });
        // One place in the channel: what can't be sent stays latched in the view.
        let Ok(permit) = self.d.updates.try_reserve() else { return };
        let updates = self.view.take();
        if !updates.is_empty() {
            permit.send(updates);
        }
    }

    fn save_if_due(&mut self) {
        if self.changed || self.saved.elapsed() >= SAVE_EVERY {
            self.changed = false;
            self.saved = Instant::now();
            if let Some(record) = self.state() {
                self.record(vec![record]);
            }
        }
    }

    fn state(&self) -> Option<Record> {
        self.d.core.bundle()?;
        let value = postcard::to_stdvec(&self.d.core.state()).ok()?;
        let key = keys::state(&self.d.from_file.name, self.d.models.life.generation);
        Some(Record::PutBlob { key, value: value.into() })
    }

    async fn save(&mut self) {
        if let Some(record) = self.state() {
            let _ = self.durable(record).await;
        }
    }

    /// True once the record is safe on disk.
    async fn durable(&self, record: Record) -> Result<(), String> {
        durable(&self.d.store, record).await
    }
}

/// Waits until the record is safe on disk.
///
/// # Errors
/// Why it is not, in words.
pub async fn durable(store: &mpsc::Sender<StoreMessage>, record: Record) -> Result<(), String> {
    let (ack, answer) = oneshot::channel();
    let stored = async {
        store.send(StoreMessage::Durable(record, ack)).await.map_err(|_| "the store has ended".to_string())?;
        answer.await.map_err(|_| "the store has ended".to_string())?.map_err(|e| e.to_string())
    };
    tokio::time::timeout(STORE_TIMEOUT, stored).await.unwrap_or_else(|_| Err("the store does not answer".into()))
}

/// Hash and time span of a bundle, as shown.
fn describe(bundle: Option<&Arc<Bundle>>, hash: Option<&Arc<str>>) -> Option<(Arc<str>, Timestamp, Timestamp)> {
    let bundle = bundle?;
    let base = Some(&bundle.provenance.base).filter(|b| !b.is_empty()).map(|b| Arc::from(b.as_str()));
    Some((base.or_else(|| hash.cloned()).unwrap_or_default(), bundle.provenance.from, bundle.provenance.to))
}

/// What each monitor's calibration says of the delay of a drift.
fn delays(config: &MachineConfig, bundle: Option<&Arc<Bundle>>) -> Vec<Arc<str>> {
    let Some(bundle) = bundle else { return Vec::new() };
    let of = |calibration: Option<&Calibration>| calibration.map_or_else(|| "not calibrated".into(), |c| c.delay_text().into());
    let models = config.models.iter().map(|m| of(bundle.model(&m.name).and_then(|m| m.prediction_drift.as_ref())));
    std::iter::once(of(bundle.data_drift.as_ref())).chain(models).collect()
}

/// The worse, the larger.
fn severity(state: SourceState) -> u8 {
    match state {
        SourceState::Connected => 0,
        SourceState::Disabled => 1,
        SourceState::Connecting => 2,
        SourceState::Stale => 3,
        SourceState::Down => 4,
        SourceState::CertificateRejected => 5,
        SourceState::ConfigurationError => 6,
    }
}

fn feature_row(verdict: &Verdict) -> FeatureRow {
    let fault = verdict.models.iter().any(|m| m.fault);
    FeatureRow {
        row: verdict.row,
        time: verdict.time,
        regime: verdict.regime.slot,
        flags: RowFlags {
            judged: verdict.not_evaluated.is_none(),
            fault,
            outside: verdict.not_evaluated == Some(NotEvaluated::OutsideEnvelope),
        },
        features: verdict.adjusted.clone(),
        scores: verdict.models.iter().map(|m| m.score).collect(),
    }
}

fn history_rows(verdict: &Verdict) -> impl Iterator<Item = HistoryRow> + '_ {
    verdict.monitors.iter().filter(|m| m.evaluated).map(|m| HistoryRow {
        row: verdict.row,
        time: verdict.time,
        monitor: m.name.clone(),
        regime: verdict.regime.slot,
        status: m.status.code(),
        index: m.index,
        tests: m.tests.iter().map(|t| (t.value, t.index)).collect(),
    })
}

fn log(event: &Event) {
    if let Some(text) = crate::server::view::sentence(event) {
        tracing::info!(row = event.row, "{text}");
    }
}

/// The time now, by the computer's clock.
pub fn wall_clock() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The last latencies of inferences.
struct Latencies {
    /// ms
    last: f64,
    ring: Vec<f64>,
    next: usize,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { last: f64::NAN, ring: Vec::with_capacity(Self::KEPT), next: 0 }
    }
}

impl Latencies {
    const KEPT: usize = 500;

    fn add(&mut self, latency: Duration) {
        self.last = latency.as_secs_f64() * 1e3;
        if self.ring.len() < Self::KEPT {
            self.ring.push(self.last)
        } else {
            self.ring[self.next] = self.last
        }
        self.next = (self.next + 1) % Self::KEPT;
    }

    /// NaN before the first.
    fn p99(&self) -> f64 {
        let mut sorted = self.ring.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get((sorted.len().saturating_sub(1)) * 99 / 100).copied().unwrap_or(f64::NAN)
    }
}

/// Fields are only ever appended to the state, and a zero is an empty one: what an older program has kept reads as if it had them.
fn read_state(bytes: &[u8]) -> Result<CoreState, postcard::Error> {
    // One byte a field.
    const APPENDED: usize = 2;
    let mut padded = bytes.to_vec();
    for _ in 0..APPENDED {
        match postcard::from_bytes(&padded) {
            Err(postcard::Error::DeserializeUnexpectedEnd) => padded.push(0),
            read => return read,
        }
    }
    postcard::from_bytes(&padded)
}

/// Puts a core where it stopped: its state, and the judged rows that its windows held.
pub fn resume(core: &mut MachineCore, state: &[u8], rows: &[FeatureRow]) -> Result<(), postcard::Error> {
    let state = read_state(state)?;
    core.restore_forgotten(&state);
    // Rows in order, of which each window keeps its newest.
    for row in rows.iter().filter(|r| r.flags.judged) {
        if let Some(slot) = row.regime {
            core.restore_row(row.row, slot, row.time, &row.features, &row.scores);
        }
    }
    core.restore(&state);
    core.forget_exports();
    // The ring may be ahead of the state, which is saved every few seconds: no row number is given twice.
    if let Some(last) = rows.last() {
        core.continue_after(last.row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_state_from_before_labels_is_read() {
        let text = "[[machines]]\nname = \"M\"\nsignals = [\"a\"]\n";
        let machine = Config::parse(text).unwrap().machines[0].clone();
        let state = MachineCore::new(machine, "".into(), "M".into(), None).unwrap().state();
        let bytes = postcard::to_stdvec(&state).unwrap();
        assert_eq!(read_state(&bytes).unwrap(), state);
        // No orders and no labels are a byte each at the end.
        assert_eq!(read_state(&bytes[..bytes.len() - 1]).unwrap(), state);
        assert_eq!(read_state(&bytes[..bytes.len() - 2]).unwrap(), state);
        assert!(read_state(&[0xFF; 8]).is_err());
    }
}
