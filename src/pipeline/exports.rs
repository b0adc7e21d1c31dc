//! The export of a buffer that is under way; one at a time a machine.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;

use crate::dataset::{Export, ExportError, Exporter, Order, Progress};
use crate::server::CommandRequest;
use crate::types::Via;

/// Owned by the driver of a machine.
pub struct Exports {
    exporter: Arc<Exporter>,
    running: Option<Running>,
    /// Data sets that were exported without being asked, and when each may be tried again.
    tried: Vec<(Arc<str>, Instant)>,
}

struct Running {
    started: Started,
    progress: Arc<Progress>,
    shown: f64,
    task: JoinHandle<Result<Export, ExportError>>,
}

/// Who waits for an export, and what is exported.
pub struct Started {
    pub request: CommandRequest,
    pub slot: usize,
    pub dataset: Arc<str>,
}

/// An export that has ended.
pub struct Ended {
    pub started: Started,
    pub result: Result<Export, String>,
    /// Whether the data was not there, rather than the disk.
    pub empty: bool,
}

impl Exports {
    pub fn new(exporter: Arc<Exporter>) -> Self {
        Self { exporter, running: None, tried: Vec::new() }
    }

    /// The slot that is being exported.
    pub fn slot(&self) -> Option<usize> {
        self.running.as_ref().map(|r| r.started.slot)
    }

    /// Whether a data set may be exported without being asked: it was not tried yet, or some time ago.
    pub fn is_due(&self, dataset: &str, now: Instant) -> bool {
        self.tried.iter().all(|(id, again)| **id != *dataset || *again <= now)
    }

    /// It is tried now, and not before `again` once more.
    pub fn tried(&mut self, dataset: &Arc<str>, now: Instant, again: Instant) {
        self.tried.retain(|(id, again)| *again > now && id != dataset);
        self.tried.push((dataset.clone(), again));
    }

    /// Starts on a thread for blocking work. There must be none under way.
    pub fn start(&mut self, started: Started, order: Order) {
        let (exporter, progress) = (Arc::clone(&self.exporter), Arc::new(Progress::default()));
        let told = Arc::clone(&progress);
        let task = tokio::task::spawn_blocking(move || exporter.run(&order, &told));
        self.running = Some(Running { started, progress, shown: 0.0, task });
    }

    /// Ends when the export under way does; never where there is none.
    pub async fn ended(&mut self) -> Ended {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let result = (&mut running.task).await;
        match self.running.take() {
            Some(running) => end(running.started, result),
            None => std::future::pending().await,
        }
    }

    /// Ends the export under way.
    pub async fn finish(&mut self) -> Option<Ended> {
        let Running { started, progress, task, .. } = self.running.take()?;
        progress.stop();
        Some(end(started, task.await))
    }

    /// Per cent, where they have changed and a command interface shows them.
    pub fn news(&mut self) -> Option<f64> {
        let running = self.running.as_mut().filter(|r| r.started.request.via == Via::Variables)?;
        let percent = running.progress.percent();
        let changed = percent != running.shown;
        running.shown = percent;
        changed.then_some(percent)
    }
}

fn end(started: Started, result: Result<Result<Export, ExportError>, tokio::task::JoinError>) -> Ended {
    let empty = matches!(result, Ok(Err(ExportError::Empty { .. })));
    let result = match result {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(format!("the export ended badly: {error}")),
    };
    Ended { started, result, empty }
}
