//! The one blocking thread that writes to the store.
//!
//! ```text
//! senders ──bounded channel──▶ apply, apply, ... ──every 300 ms, at a `Durable`, at the end──▶ flush ──▶ acknowledgements, health
//! ```
//! A failing store never blocks or ends the gateway: records are counted as lost, the log says once what to do, and storing goes on
//! when it can. The writer ends when all senders are dropped, after a last flush.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Record, Store, StoreError};

/// Time between two flushes: what a power cut can cost at most, but for the flush itself.
pub const FLUSH_EVERY: Duration = Duration::from_millis(300);
/// Records applied between two looks at the clock.
const BATCH: usize = 256;

/// What the writer takes.
#[derive(Debug)]
pub enum StoreMessage {
    /// Durable after at most [`FLUSH_EVERY`].
    Record(Record),
    /// Flushed at once; answered after that. For tuned parameters: what was acknowledged survives a power cut.
    Durable(Record, oneshot::Sender<Result<(), StoreError>>),
}

/// How the store does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// `None`: all is well; else what is wrong, and what to do.
    pub failing: Option<String>,
    /// Records lost since the start.
    pub lost: u64,
}

/// A running writer.
#[derive(Debug)]
pub struct StoreWriter {
    /// When all clones of it are dropped, the writer flushes and ends. When it is full, the sender decides: wait, or drop and count.
    pub sender: mpsc::Sender<StoreMessage>,
    pub health: watch::Receiver<StoreHealth>,
    pub task: JoinHandle<()>,
}

impl StoreWriter {
    /// Starts the thread; `capacity` is that of the channel, in records. Drop the senders and await `task` before the runtime ends: it
    /// gives the writer its clock.
    ///
    /// # Panics
    /// Outside a tokio runtime with its clock enabled, or with a capacity of 0.
    pub fn spawn(store: Arc<dyn Store>, capacity: usize) -> Self {
        let (sender, receiver) = mpsc::channel(capacity);
        let (health_sender, health) = watch::channel(StoreHealth::default());
        let handle = Handle::current();
        let worker = Worker { store, health: health_sender, now: StoreHealth::default(), acks: Vec::new() };
        let task = tokio::task::spawn_blocking(move || handle.block_on(worker.run(receiver)));
        Self { sender, health, task }
    }
}

struct Worker {
    store: Arc<dyn Store>,
    health: watch::Sender<StoreHealth>,
    now: StoreHealth,
    /// To be answered after the next flush.
    acks: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

impl Worker {
    async fn run(mut self, mut receiver: mpsc::Receiver<StoreMessage>) {
        let mut ticks = interval_at(Instant::now() + FLUSH_EVERY, FLUSH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                // The clock first: a flood of records must not put the flush off.
                biased;
                _ = ticks.tick() => self.flush(),
                count = receiver.recv_many(&mut batch, BATCH) => {
                    batch.drain(..).for_each(|message| self.take(message));
                    if count == 0 {
                        break;
                    }
                    if !self.acks.is_empty() {
                        self.flush();
                        ticks.reset();
                    }
                }
            }
        }
        self.flush();
    }

    fn take(&mut self, message: StoreMessage) {
        match message {
            // Counted; what is wrong with the store, the next flush tells.
            StoreMessage::Record(record) => drop(self.apply(record)),
            StoreMessage::Durable(record, ack) => match self.apply(record) {
                Ok(()) => self.acks.push(ack),
                // The receiver may have gone: nobody left to tell.
                Err(error) => drop(ack.send(Err(error))),
            },
        }
    }

    fn apply(&mut self, record: Record) -> Result<(), StoreError> {
        self.store.apply(record).inspect_err(|error| {
            self.now.lost += 1;
            if refuses_one_record(error) {
                tracing::warn!("a record was not stored: {error}");
            }
        })
    }

    fn flush(&mut self) {
        let done = self.store.flush();
        for ack in self.acks.drain(..) {
            let _ = ack.send(done.clone());
        }
        self.report(done.err());
    }

    /// Logs a change of state, once.
    fn report(&mut self, failing: Option<StoreError>) {
        match (&self.now.failing, &failing) {
            (None, Some(error)) => tracing::error!("nothing is stored: {error}"),
            (Some(_), None) => tracing::info!("storing goes on; {} records were lost since the start", self.now.lost),
            _ => {}
        }
        self.now.failing = failing.map(|error| error.to_string());
        self.health.send_if_modified(|health| {
            let changed = *health != self.now;
            health.clone_from(&self.now);
            changed
        });
    }
}

/// The record is at fault, not the store.
fn refuses_one_record(error: &StoreError) -> bool {
    matches!(error, StoreError::TooLarge { .. } | StoreError::Key { .. } | StoreError::NoSuchMachine { .. })
}

#[cfg(test)]
mod tests;
