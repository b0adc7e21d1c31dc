//! The nodes of the retraining buffers.

use super::{Walk, ascii};
use crate::config::{Shape, SignalConfig};
use crate::types::{BufferState, Scalar, Timestamp, Verdict};

/// All slots, and the most advanced one.
pub(super) fn show(w: &mut Walk<'_>, m: &str, verdict: &Verdict) {
    // The most advanced one is what an operator has to know of.
    let top = verdict.buffers.iter().enumerate().max_by_key(|(k, b)| (b.state.code(), usize::MAX - k));
    let (slot, state, rows) = top.map_or((0, BufferState::Idle, 0), |(k, b)| (k as u16 + 1, b.state, b.rows));
    w.code(|| format!("{m}.Buffer.State"), state.code());
    w.words(|| format!("{m}.Buffer.StateText"), state.name());
    w.count(|| format!("{m}.Buffer.Rows"), rows);
    w.code(|| format!("{m}.Buffer.Slot"), if state == BufferState::Idle { 0 } else { slot });
    let config = w.view.config.clone();
    let row_bytes = 8.0 * (config.signals.iter().map(values).sum::<usize>() + config.settings.len() + config.features.len()) as f64;
    let covered = config.models.iter().map(|m| &*m.name).collect::<Vec<_>>().join(",");
    for (k, buffer) in verdict.buffers.iter().enumerate() {
        let b = |name: &str| format!("{m}.Buffers.B{:02}.{name}", k + 1);
        w.code(|| b("State"), buffer.state.code());
        match &*buffer.trouble {
            "" => w.words(|| b("StateText"), buffer.state.name()),
            why => w.words(|| b("StateText"), &format!("{}; not exported: {}", buffer.state, ascii(why))),
        }
        w.code(|| b("Reason"), buffer.reason.code());
        w.text(|| b("DatasetId"), &buffer.dataset_id);
        w.text(|| b("RegimeKey"), &buffer.regime_key);
        w.count(|| b("Rows"), buffer.rows);
        w.count(|| b("Capacity"), buffer.target_rows);
        w.number(|| b("FillLevel"), (100.0 * f64::from(buffer.rows) / f64::from(buffer.target_rows.max(1))).min(100.0));
        w.moment(|| b("CollectingSince"), buffer.since);
        w.moment(|| b("OldestRow"), buffer.oldest);
        w.moment(|| b("NewestRow"), buffer.newest);
        w.number(|| b("Span"), buffer.newest.since(buffer.oldest).as_secs_f64());
        w.text(|| b("AcknowledgedBy"), &buffer.acknowledged_by);
        w.number(|| b("Size"), f64::from(buffer.rows) * row_bytes / 1e6);
        w.words(|| b("ModelsCovered"), &covered);
        let export = buffer.export.as_ref();
        w.moment(|| b("LastExportTime"), export.map_or(Timestamp::EPOCH, |e| e.time));
        w.words(|| b("LastExportFile"), export.map_or("", |e| &e.file));
        w.maybe(|| b("LastExportRows"), export.map(|e| Scalar::U32(e.rows)));
        w.maybe(|| b("LabelledRows"), export.and_then(|e| e.labelled).map(Scalar::U32));
        w.words(|| b("LastExportHash"), export.map_or("", |e| &e.hash));
    }
}

/// Numbers of a signal in a row.
fn values(signal: &SignalConfig) -> usize {
    match signal.shape {
        Shape::Scalar => 1,
        Shape::Block { length, .. } => length,
    }
}
