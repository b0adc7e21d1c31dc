//! Exporting a buffer: its state first, then a thread that writes the file, then the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::commands::{audit, not_stored};
use super::{Running, wall_clock};
use crate::dataset::{Export, FOLDER, Format, Order, Rows};
use crate::pipeline::exports::{Ended, Started};
use crate::server::{CommandRequest, NodeUpdate};
use crate::types::{Answer, BufferReason, BufferReport, Command, ExportReport, Quality, Refusal, Scalar, Timestamp, Via};

/// Clients' times are in steps of 100 ns: the row of the last one is meant.
const TICK: Duration = Duration::from_nanos(99);
/// Between two tries to export the same slot without being asked.
const RETRY: Duration = Duration::from_secs(600);

impl Running {
    /// Starts the export, or refuses it; the answer comes with the file.
    pub(super) async fn export(&mut self, request: CommandRequest) {
        match self.start_export(&request).await {
            Ok((slot, order)) => {
                let dataset = order.dataset.clone();
                self.exports.start(Started { request, slot, dataset }, order);
                self.publish();
            }
            Err(refusal) => self.answer(request, Err(refusal)),
        }
    }

    /// Exports a buffer that is ready, where that is wanted and none is under way. One that failed is tried again after
    /// [`RETRY`].
    pub(super) async fn export_by_itself(&mut self) {
        if !self.d.core.config().buffers.auto_export || self.exports.slot().is_some() {
            return;
        }
        let now = Instant::now();
        let Some((slot, dataset)) = self.d.core.unexported().find(|(_, dataset)| self.exports.is_due(dataset, now)) else { return };
        self.exports.tried(&dataset, now, now + RETRY);
        let (slot, never) = (u16::try_from(slot).ok(), Timestamp::EPOCH);
        let command = Command::ExportBuffer { slot, dataset, format: "".into(), from: never, to: never };
        // Nobody waits for the answer: its event is kept, and the slot's text says it.
        let (reply, _) = oneshot::channel();
        let (target, user) = (self.d.from_file.name.clone(), "AutoExport".into());
        self.export(CommandRequest { target, command, user, operator: "".into(), via: Via::Program, reply }).await;
    }

    async fn start_export(&mut self, request: &CommandRequest) -> Result<(usize, Order), Refusal> {
        let Command::ExportBuffer { slot, dataset, format, from, to } = &request.command else {
            return Err(Refusal::NotSupported("no export".into()));
        };
        let format = self.format(format)?;
        if *from > Timestamp::EPOCH && *to > Timestamp::EPOCH && to < from {
            return Err(Refusal::Argument { index: 2, text: format!("ToTime `{to}` is before FromTime `{from}`") });
        }
        if let Some(slot) = self.exports.slot() {
            return Err(Refusal::InvalidState(format!("buffer B{:02} is being exported; wait until that has ended", slot + 1)));
        }
        let before = self.d.core.state();
        let (slot, report, event) = self.d.core.start_export(*slot, dataset)?;
        // What comes before it in the store's channel is there, too: all rows of the buffer.
        if let Some(record) = self.state()
            && let Err(why) = self.durable(record).await
        {
            self.d.core.restore(&before);
            self.d.core.forget_exports();
            return Err(not_stored(&why));
        }
        event.into_iter().for_each(|kind| self.tell(kind));
        Ok((slot, self.order(slot, &report, format, (*from, *to), &request.user)))
    }

    fn format(&self, name: &str) -> Result<Format, Refusal> {
        let name = if name.is_empty() { self.d.core.config().buffers.export_format.name() } else { name };
        Format::of(name).ok_or_else(|| {
            let known: Vec<_> = Format::ALL.map(Format::name).into_iter().filter(|name| Format::of(name).is_some()).collect();
            Refusal::Argument { index: 0, text: format!("no format `{name}`; there are {}", known.join(", ")) }
        })
    }

    fn order(&self, slot: usize, report: &BufferReport, format: Format, span: (Timestamp, Timestamp), user: &Arc<str>) -> Order {
        let core = &self.d.core;
        let regime = core.buffer(slot).map_or(0, |(_, _, regime)| regime);
        let (key, stretches) = (report.regime_key.clone(), core.buffer_stretches(slot));
        let inside = stretches.is_empty();
        let rows = match inside {
            _ if report.reason == BufferReason::Scheduled => {
                Rows::Samples { strata: core.strata().iter().map(|s| (s.key.clone(), s.since)).collect() }
            }
            true => Rows::Regime { slot: regime, key },
            false => Rows::Outside { key, stretches },
        };
        let revision = core.verdict().regimes.get(usize::from(regime)).map_or(0, |r| r.revision);
        let given = |time: Timestamp| Some(time).filter(|t| *t > Timestamp::EPOCH);
        let from = given(span.0).map_or(report.oldest, |from| from.max(report.oldest));
        let to = given(span.1).map_or(report.newest, |to| to.plus(TICK).min(report.newest));
        Order {
            machine: self.d.machine,
            config: core.config().clone(),
            dataset: report.dataset_id.clone(),
            reason: report.reason,
            rows,
            time: from..=to,
            expected: report.rows,
            whole: given(span.0).is_none() && given(span.1).is_none(),
            format,
            thresholds: core.verdict().models.iter().map(|m| m.threshold).collect(),
            bundle: self.beside.bundle_hash.clone(),
            trained: core.bundle().cloned(),
            reference: if inside && report.reason != BufferReason::Scheduled { core.reference_id(regime, revision) } else { String::new() },
            user: user.clone(),
            asked: wall_clock(),
        }
    }

    /// The export has ended: the new state, stored; then the answer.
    pub(super) async fn exported(&mut self, ended: Ended) {
        let Ended { started: Started { request, slot, dataset }, result, empty } = ended;
        let report = |e: &Export| ExportReport {
            time: wall_clock(),
            file: e.file.clone(),
            rows: e.rows,
            hash: e.hash.clone(),
            labelled: Some(e.labelled),
        };
        let outcome = result.as_ref().map(report).map_err(|why| Arc::from(why.as_str()));
        let event = self.d.core.end_export(slot, &dataset, outcome);
        self.save().await;
        event.into_iter().for_each(|kind| self.tell(kind));
        let answer = match result {
            Ok(export) => Ok(done(&export)),
            Err(why) if empty => Err(Refusal::OutOfRange(why)),
            Err(why) => Err(Refusal::InvalidState(why)),
        };
        if request.via == Via::Variables {
            // The last word on it: the interface itself says the same.
            let percent = if answer.is_ok() { 100.0 } else { 0.0 };
            // The server may have ended.
            let _ = self.d.updates.send(vec![self.progress(percent)]).await;
        }
        self.answer(request, answer);
    }

    pub(super) fn show_progress(&mut self) {
        if let Some(percent) = self.exports.news() {
            // Where the server is behind, the next one does.
            let _ = self.d.updates.try_send(vec![self.progress(percent)]);
        }
    }

    fn progress(&self, percent: f64) -> NodeUpdate {
        let path = format!("{}.Command.Progress", self.d.from_file.name).into();
        NodeUpdate { path, value: Some(Scalar::F64(percent)), quality: Quality::Good, time: wall_clock() }
    }

    /// Keeps what a command has come to, shows it, and answers.
    fn answer(&mut self, request: CommandRequest, result: Result<Answer, Refusal>) {
        let CommandRequest { command, user, operator, via, reply, .. } = request;
        self.tell(audit(&command, &self.d.from_file.name, via, (&user, &operator), &result));
        self.publish();
        // The client may have gone.
        let _ = reply.send(result);
    }
}

fn done(export: &Export) -> Answer {
    let Export { file, path, rows, hash, gone, .. } = export;
    let gone = if *gone > 0 { format!("; {gone} more are not stored any more") } else { String::new() };
    Answer {
        outputs: vec![Scalar::Text(file.clone()), Scalar::U32(*rows), Scalar::Text(hash.clone())],
        text: format!("{rows} rows in {FOLDER}/{path}{gone}"),
        ..Answer::default()
    }
}
