//! Modbus source, over TCP or on a serial line: polls, one request at a time.
//!
//! ```text
//! connect ──▶ cycle ──▶ cycle ──▶ ... (a late cycle leaves out what it missed)
//!    ▲           │ timeout, broken or wrong answer: Bad samples
//!    └─ back-off ◀┘
//! ```
//! All values of a cycle carry the time at which its last answer came: Modbus has no source time. A waveform of more registers than
//! one request may have (125) is read in several requests, between which the PLC may have written the next one: with a counter beside
//! the block that is noticed (see `whole`).

mod address;
mod capacity;
#[cfg(test)]
mod device_tests;
#[cfg(test)]
mod line_tests;
mod link;
mod plan;
mod poll;
#[cfg(feature = "rtu")]
mod serial;
mod whole;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use self::link::Lines;
use self::link::{Device, LinkError};
use self::poll::Poller;
use self::write::Writer;
use super::SourceState;
use super::backoff::Backoff;
use super::emit::{Emitter, now};
use super::report::Reporter;
use super::write::Outbox;
use crate::config::{ModbusConfig, ModbusPlace};

const CLOSE_TIME: Duration = Duration::from_secs(1);
/// A source without a usable value for so long is shown as stale.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// What one Modbus source is made of.
pub(super) struct ModbusSource {
    pub config: ModbusConfig,
    pub emitter: Arc<Emitter>,
    pub reporter: Reporter,
    pub outbox: Outbox,
    pub lines: Lines,
    pub stop: CancellationToken,
}

impl ModbusSource {
    /// Runs until stopped.
    pub async fn run(self) {
        let mut poller = Poller::new(&self.config, &self.emitter);
        let mut writer = Writer::new(self.outbox.clone(), &self.config);
        let mut backoff = Backoff::new();
        let mut connected_before = false;
        let mut told = false;
        let place = self.config.place.to_string();
        self.reporter.set(SourceState::Connecting, &format!("connecting to {place}"));
        loop {
            let connected = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.lines.open(&self.config) => connected,
            };
            let mut alone = Duration::ZERO;
            let fault = match connected {
                Ok(device) => {
                    if std::mem::replace(&mut connected_before, true) {
                        self.reporter.reconnected();
                    }
                    match self.poll(device, (&mut poller, &mut writer), &mut backoff, &mut told).await {
                        Some((LinkError::Closed(reason), _)) => self.unreachable(&place, &reason),
                        Some((e, leave_alone)) => {
                            alone = leave_alone;
                            match e {
                                LinkError::Absent(_) => {
                                    format!("unit {} at {place}: {e}; check its power, wiring and unit id", self.config.unit)
                                }
                                e => format!("connection to {place} lost: {e}; check device, unit id {} and load", self.config.unit),
                            }
                        }
                        None => return,
                    }
                }
                Err(reason) => self.unreachable(&place, &reason),
            };
            self.reporter.set(SourceState::Down, &fault);
            if !std::mem::replace(&mut told, true) {
                poller.connection_lost();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.delay().max(alone)) => {}
            }
        }
    }

    fn unreachable(&self, place: &str, reason: &str) -> String {
        match self.config.place {
            ModbusPlace::Tcp { .. } => format!("no connection to {place}: {reason}; check network, host and port"),
            ModbusPlace::Serial(_) => format!("the serial line does not open: {reason}"),
        }
    }

    /// Polls until the device fails, and how long it must be left alone then; `None` where the source was stopped. `told`: that there is
    /// no connection.
    async fn poll(
        &self,
        mut device: Device,
        (poller, writer): (&mut Poller<'_>, &mut Writer),
        backoff: &mut Backoff,
        told: &mut bool,
    ) -> Option<(LinkError, Duration)> {
        poller.begin();
        if let Err(e) = writer.begin(&mut device).await {
            return Some((e, device.leave_alone()));
        }
        let started = now();
        let mut ticks = tokio::time::interval(poller.period());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut slowest = Slowest::default();
        let mut stopped_in_step = false;
        let fault = loop {
            let begin = Instant::now();
            let must_withdraw = writer.holds();
            let outcome = {
                let mut cycle = std::pin::pin!(async {
                    writer.until(&mut ticks, &mut device).await?;
                    let begin = Instant::now();
                    poller.cycle(&mut device).await.map(|()| begin.elapsed())
                });
                tokio::select! {
                    () = self.stop.cancelled() => {
                        // Its answers are waited for: what is withdrawn needs a connection that is in step.
                        stopped_in_step = must_withdraw && matches!(tokio::time::timeout(CLOSE_TIME, cycle).await, Ok(Ok(_)));
                        break None;
                    }
                    outcome = &mut cycle => outcome,
                }
            };
            match outcome {
                Ok(took) => {
                    backoff.reset();
                    *told = false;
                    self.report(poller, writer, slowest.add(took, begin), started);
                }
                Err(e) => break Some(e),
            }
        };
        if stopped_in_step {
            writer.withdraw(&mut device).await;
        }
        let fault = fault.map(|e| (e, device.leave_alone()));
        if !device.close(CLOSE_TIME).await {
            tracing::debug!("connection not closed cleanly");
        }
        fault
    }

    fn report(&self, poller: &Poller<'_>, writer: &Writer, slowest: Option<Duration>, started: crate::types::Timestamp) {
        let (last_good, tags) = (self.emitter.last_good(), self.emitter.tags());
        let refused = poller.refused();
        let mut parts =
            vec![format!("{} of {} values polled every {} ms", tags.len() - refused.len(), tags.len(), poller.period().as_millis())];
        let more = refused.len().saturating_sub(3);
        parts.extend(refused.take(3).map(|(tag, reason)| format!("`{}` has no value: {reason}", tags[tag].name)));
        if more > 0 {
            parts.push(format!("and {more} more"));
        }
        parts.extend(poller.torn().map(|tag| format!("blocks of `{}` change while they are read and are dropped", tags[tag].name)));
        parts.extend(writer.remarks());
        if slowest.is_some_and(|s| s > poller.period()) {
            parts.push("a poll takes longer than that: poll less often or less".into());
        }
        let text = parts.join("; ");
        if tags.is_empty() || (last_good >= started && now().since(last_good) < STALE_AFTER) {
            self.reporter.set(SourceState::Connected, &text);
        } else if now().since(last_good.max(started)) >= STALE_AFTER {
            self.reporter.set(SourceState::Stale, &format!("connected, but no usable value; {text}"));
        } else {
            self.reporter.refresh();
        }
    }
}

/// The slowest poll of the last full period of [`STALE_AFTER`], so that the status does not flicker.
#[derive(Default)]
struct Slowest {
    since: Option<Instant>,
    now: Duration,
    before: Option<Duration>,
}

impl Slowest {
    fn add(&mut self, took: Duration, at: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(at);
        self.now = self.now.max(took);
        if at.duration_since(since) >= STALE_AFTER {
            (self.since, self.before) = (Some(at), Some(std::mem::take(&mut self.now)));
        }
        self.before
    }
}
