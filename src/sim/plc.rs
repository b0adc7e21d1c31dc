//! What both simulated PLCs share: options, the running server, and the loop that lets the cycles happen.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::motor::Cycle;
use super::pace::Pace;
use super::simulation::Simulation;
use super::story::StoryPoint;
use crate::types::Timestamp;

/// How the simulated machine runs.
#[derive(Clone, Debug, PartialEq)]
pub struct PlcOptions {
    /// Story time over real time, 0.1..=100; values outside are clamped.
    pub speed: f64,
    /// Of everything random.
    pub seed: u64,
    /// Story time at which to begin, s: 0, or [`super::Story::normal_from`] where learning is done.
    pub story_start: f64,
    /// Directory for the OPC UA server's certificate folders; created where missing. Modbus does not use it.
    pub work_dir: PathBuf,
}

impl Default for PlcOptions {
    fn default() -> Self {
        Self { speed: 1.0, seed: 1, story_start: 0.0, work_dir: std::env::temp_dir().join("driftgate-plc") }
    }
}

/// Why a simulated PLC does not run.
#[derive(Debug, thiserror::Error)]
pub enum PlcError {
    #[error("the simulated PLC's listener cannot be used: {0}; give it a free port")]
    Listener(#[from] std::io::Error),
    #[error("the simulated PLC's OPC UA server failed: {0}")]
    OpcUa(String),
    #[error("a task of the simulated PLC panicked: {0}")]
    Panic(#[from] tokio::task::JoinError),
}

/// A simulated PLC at work. Ends when its stop token is cancelled; dropping it ends it at once.
#[derive(Debug)]
pub struct RunningPlc {
    /// What a client connects to: `opc.tcp://127.0.0.1:48400`, `tcp://127.0.0.1:5020`.
    pub endpoint: String,
    pub address: SocketAddr,
    /// Where the story is: current after every cycle, notified at every new phase.
    pub story: watch::Receiver<StoryPoint>,
    pub(super) tasks: JoinSet<Result<(), PlcError>>,
}

impl RunningPlc {
    /// Waits for its end; the first error counts.
    pub async fn join(mut self) -> Result<(), PlcError> {
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// The moving part: simulation, grid, and where the story is told.
pub(super) struct Machine {
    simulation: Simulation,
    speed: f64,
    story: watch::Sender<StoryPoint>,
}

impl Machine {
    pub fn new(options: &PlcOptions) -> (Self, watch::Receiver<StoryPoint>) {
        let simulation = Simulation::new(options.seed, options.story_start);
        let (story, told) = watch::channel(simulation.point());
        (Self { simulation, speed: options.speed, story }, told)
    }

    /// Calls `write` with each cycle and the wall clock at which it happened, until `stop`.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        mut write: impl FnMut(Cycle, Timestamp) -> Result<(), PlcError>,
    ) -> Result<(), PlcError> {
        let started = Instant::now();
        let mut pace = Pace::new(self.speed, wall_clock());
        let mut tick = tokio::time::interval(pace.tick());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            for cycle in pace.due(started.elapsed(), wall_clock()) {
                let Some((point, values)) = self.simulation.next() else { return Ok(()) };
                write(values, pace.stamp(cycle))?;
                self.tell(point);
            }
        }
        Ok(())
    }

    fn tell(&self, point: StoryPoint) {
        self.story.send_if_modified(|told| {
            let new_phase = told.phase != point.phase;
            *told = point;
            new_phase
        });
    }
}

fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}
