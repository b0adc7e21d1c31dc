//! Modbus TCP source: polls, one request at a time.
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
mod link;
mod plan;
mod poll;
mod whole;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_modbus::client::tcp;
use tokio_modbus::slave::Slave;
use tokio_util::sync::CancellationToken;

use self::link::{Device, LinkError};
use self::poll::Poller;
use self::write::Writer;
use super::SourceState;
use super::backoff::Backoff;
use super::emit::{Emitter, now};
use super::report::Reporter;
use super::write::Outbox;
use crate::config::ModbusConfig;

/// Opening a connection; a device that takes longer is not there.
const CONNECT_TIME: Duration = Duration::from_secs(3);
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// A source without a usable value for so long is shown as stale.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// What one Modbus source is made of.
pub(super) struct ModbusSource {
    pub config: ModbusConfig,
    pub emitter: Arc<Emitter>,
    pub reporter: Reporter,
    pub outbox: Outbox,
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
        let place = format!("{}:{}", self.config.host, self.config.port);
        self.reporter.set(SourceState::Connecting, &format!("connecting to {place}"));
        loop {
            let connected = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.connect() => connected,
            };
            let fault = match connected {
                Ok(device) => {
                    if std::mem::replace(&mut connected_before, true) {
                        self.reporter.reconnected();
                    }
                    match self.poll(device, (&mut poller, &mut writer), &mut backoff, &mut told).await {
                        Some(e) => format!("connection to {place} lost: {e}; check device, unit id {} and load", self.config.unit),
                        None => return,
                    }
                }
                Err(reason) => format!("no connection to {place}: {reason}; check network, host and port"),
            };
            self.reporter.set(SourceState::Down, &fault);
            if !std::mem::replace(&mut told, true) {
                poller.connection_lost();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    async fn connect(&self) -> Result<Device, String> {
        let open = TcpStream::connect((self.config.host.as_str(), self.config.port));
        let stream = match tokio::time::timeout(CONNECT_TIME, open).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => return Err(format!("nothing within {} s", CONNECT_TIME.as_secs())),
        };
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        Ok(Device::new(tcp::attach_slave(stream, Slave(self.config.unit)), &self.config))
    }

    /// Polls until the connection fails; `None` where the source was stopped. `told`: that there is no connection.
    async fn poll(
        &self,
        mut device: Device,
        (poller, writer): (&mut Poller<'_>, &mut Writer),
        backoff: &mut Backoff,
        told: &mut bool,
    ) -> Option<LinkError> {
        poller.begin();
        if let Err(e) = writer.begin(&mut device).await {
            return Some(e);
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
        // The answer that is still to come must not be taken for that of the next request: the connection ends with the fault.
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
