//! A source tried for a moment: does it connect, does each address give values? By the same path as in operation.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Lines, Outbox, SampleSender, SourceStatus, SourceTask, Tag, WriteTag, WriteTrial, run};
use crate::config::SourceConfig;
use crate::types::{Cause, Quality, Sample, SampleId, SourceState, Timestamp, Value};

const SAMPLES: usize = 8_192;

/// What one address gave.
#[derive(Clone, Debug, PartialEq)]
pub struct TagTrial {
    /// `Motor1.Flux`
    pub name: String,
    pub address: String,
    /// The last usable value, after scale and offset.
    pub value: Option<Value>,
    /// Of the last sample; Bad (no data) where none came.
    pub quality: Quality,
    /// Usable samples.
    pub samples: u32,
    /// By the PLC's clock, in s; `None` with fewer than two.
    pub period: Option<f64>,
}

/// What a source gave.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTrial {
    /// The last one before the end; its text says what is wrong and what to do, a difference of the clocks too.
    pub status: SourceStatus,
    pub tags: Vec<TagTrial>,
    /// What is to be written; `None`: it could not be looked at.
    pub writes: Vec<(WriteTag, Option<WriteTrial>)>,
}

impl SourceTrial {
    /// Connected, each address has a usable value, and each place to be written is there.
    pub fn is_fine(&self) -> bool {
        self.status.state == SourceState::Connected
            && self.tags.iter().all(|tag| tag.quality.is_usable())
            && self.writes.iter().all(|(_, trial)| trial.as_ref().is_some_and(WriteTrial::is_fine))
    }
}

#[derive(Default)]
struct Seen {
    value: Option<Value>,
    quality: Option<Quality>,
    samples: u32,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Seen {
    fn take(&mut self, sample: Sample) {
        self.quality = Some(sample.quality);
        if !sample.quality.is_usable() {
            return;
        }
        self.value = sample.value;
        // The same value read once more is no news.
        if self.last.is_none_or(|last| sample.source_time > last) {
            self.samples += 1;
            self.first.get_or_insert(sample.source_time);
            self.last = Some(sample.source_time);
        }
    }
}

/// Runs the source for `time`, then closes its session. Nothing is written: it is looked whether it could be.
pub async fn try_source(config: SourceConfig, (tags, writes): (Vec<Tag>, Vec<WriteTag>), pki_dir: PathBuf, time: Duration) -> SourceTrial {
    let machines = tags.iter().map(|tag| usize::from(tag.id.machine) + 1).max().unwrap_or(0);
    let (sender, mut receiver) = mpsc::channel(SAMPLES);
    let samples = SampleSender::new(vec![sender; machines]);
    let (status_sender, status) = watch::channel(SourceStatus::default());
    let stop = CancellationToken::new();
    let asked = tags.clone();
    let outbox = Outbox::on_trial(writes.clone());
    let seen_writes = outbox.trial.clone();
    let task = tokio::spawn(run(SourceTask {
        config,
        tags,
        samples,
        status: status_sender,
        pki_dir,
        stop: stop.clone(),
        outbox,
        lines: Lines::default(),
    }));
    let mut seen: HashMap<SampleId, Seen> = HashMap::new();
    let end = tokio::time::sleep(time);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            sample = receiver.recv() => match sample {
                Some(sample) => seen.entry(sample.id).or_default().take(sample),
                None => break,
            },
        }
    }
    let last = status.borrow().clone();
    stop.cancel();
    // What still comes is not looked at, but must not wait.
    drop(receiver);
    let _ = task.await;
    let tags = asked.into_iter().map(|tag| trial(tag, &mut seen)).collect();
    let seen_writes = seen_writes.map(|seen| seen.lock().clone()).unwrap_or_default();
    SourceTrial { status: last, tags, writes: writes.into_iter().zip(seen_writes).collect() }
}

fn trial(tag: Tag, seen: &mut HashMap<SampleId, Seen>) -> TagTrial {
    let seen = seen.remove(&tag.id).unwrap_or_default();
    let span = seen.first.zip(seen.last).map(|(first, last)| last.since(first).as_secs_f64());
    TagTrial {
        name: tag.name,
        address: tag.address,
        value: seen.value,
        quality: seen.quality.unwrap_or(Quality::Bad(Cause::NoData)),
        samples: seen.samples,
        period: span.filter(|_| seen.samples > 1).map(|s| s / f64::from(seen.samples - 1)),
    }
}
