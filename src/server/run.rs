//! The running server: the stack's loop, the publisher and the gateway's own vital signs in one task.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use opcua::server::address_space::AddressSpace;
use opcua::server::{Server, ServerInfo, SubscriptionCache};
use opcua::sync::RwLock;
use opcua::types::{VariableId, Variant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::access::Gatekeeper;
use super::alarms::Deliverer;
use super::publish::{Misfits, Shared, Values, now, own};
use super::relay::{Opening, Relay};
use super::{NodeUpdate, ServerError, trust};
use crate::types::{Scalar, Timestamp};

/// Time that open connections get to end after the stop.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// Updates set under one lock at most.
const BATCH: usize = 4_096;

/// What stands between the network and the stack.
pub(super) struct Outside {
    pub(super) relay: Relay,
    pub(super) listener: TcpListener,
    pub(super) opening: Option<Opening>,
}

/// Serves until `stop` is cancelled or the stack fails; returns when all of it has ended.
pub(super) async fn serve(
    server: Server,
    inner: TcpListener,
    outside: Outside,
    (publisher, deliverer): (Publisher, Deliverer),
    updates: mpsc::Receiver<Vec<NodeUpdate>>,
    stop: CancellationToken,
) -> Result<(), ServerError> {
    let stack = async {
        let served = tokio::select! {
            served = server.run_with(inner) => served.map_err(ServerError::Run),
            () = overdue(&stop) => {
                tracing::warn!("some OPC UA connections did not end within {} s of the stop", STOP_DEADLINE.as_secs());
                Ok(())
            }
        };
        stop.cancel();
        served
    };
    let info = Arc::clone(&publisher.info);
    let Outside { relay, listener, opening } = outside;
    let public = listener.local_addr().map_or(0, |address| address.port());
    let front = async {
        if stop.run_until_cancelled(public_port(&info, relay.inner.port(), public)).await.is_some() {
            relay.run(listener, opening, stop.clone()).await;
        }
    };
    let (served, (), (), ()) = tokio::join!(stack, publisher.run(updates, &stop), front, deliverer.run(&stop));
    served
}

/// The stack tells clients the port that it listens on, which is not the one they reach: corrected as soon as it has begun.
async fn public_port(info: &ServerInfo, inner: u16, public: u16) {
    while info.port.compare_exchange(inner, public, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_DEADLINE).await;
}

pub(super) struct Publisher {
    pub(super) space: Arc<RwLock<AddressSpace>>,
    pub(super) subscriptions: Arc<SubscriptionCache>,
    pub(super) shared: Arc<Shared>,
    /// Results of commands that came after their write had ended.
    pub(super) late: mpsc::Receiver<Vec<NodeUpdate>>,
    pub(super) info: Arc<ServerInfo>,
    pub(super) gatekeeper: Arc<Gatekeeper>,
    pub(super) pki_dir: PathBuf,
}

impl Publisher {
    async fn run(mut self, mut updates: mpsc::Receiver<Vec<NodeUpdate>>, stop: &CancellationToken) {
        let (started, mut beats, mut misfits) = (Instant::now(), 0u32, Misfits::default());
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut open = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                batch = updates.recv(), if open => match batch {
                    Some(batch) => misfits.note(&self.values().set(&timed(more(batch, &mut updates), now()))),
                    None => open = false,
                },
                Some(batch) = self.late.recv() => misfits.note(&self.values().set(&timed(batch, now()))),
                _ = beat.tick() => {
                    beats = beats.wrapping_add(1);
                    self.values().set(&self.vital_signs(beats, started));
                    self.values().recheck();
                    let (gatekeeper, pki_dir) = (Arc::clone(&self.gatekeeper), self.pki_dir.clone());
                    // They read files; a slow disk must hold up nothing here.
                    tokio::task::spawn_blocking(move || {
                        gatekeeper.refresh();
                        trust::sweep(&pki_dir);
                    });
                    self.shared.recorder.settle(now());
                    self.refresh_files();
                }
            }
        }
        self.shared.recorder.close();
        self.late.close();
        let tasks = &self.shared.interfaces.tasks;
        tasks.close();
        // Their owners are stopping: what they wait for comes or ends.
        if tokio::time::timeout(STOP_DEADLINE, tasks.wait()).await.is_err() {
            tracing::warn!("some commands did not end within {} s of the stop", STOP_DEADLINE.as_secs());
        }
        if misfits.count > 0 {
            tracing::warn!("{} values fitted no node and were not published", misfits.count);
        }
    }

    /// It asks the disk, which may be slow: not here.
    fn refresh_files(&self) {
        let (space, subscriptions, shared) = (Arc::clone(&self.space), Arc::clone(&self.subscriptions), Arc::clone(&self.shared));
        tokio::task::spawn_blocking(move || {
            shared.files.refresh(&Values { space: &space, subscriptions: &subscriptions, shared: &shared });
        });
    }

    fn values(&self) -> Values<'_> {
        Values { space: &self.space, subscriptions: &self.subscriptions, shared: &self.shared }
    }

    fn vital_signs(&self, beats: u32, started: Instant) -> [NodeUpdate; 3] {
        let count = VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount;
        let sessions = match self.info.diagnostics.get(count).and_then(|v| v.value) {
            Some(Variant::UInt32(sessions)) => u16::try_from(sessions).unwrap_or(u16::MAX),
            _ => 0,
        };
        [
            own("Gateway.Heartbeat", Scalar::U32(beats)),
            own("Gateway.Diagnostics.Uptime", Scalar::F64(started.elapsed().as_secs_f64().floor())),
            own("Gateway.Diagnostics.ActiveSessions", Scalar::U16(sessions)),
        ]
    }
}

/// What else is waiting, up to a bound.
fn more(mut batch: Vec<NodeUpdate>, updates: &mut mpsc::Receiver<Vec<NodeUpdate>>) -> Vec<NodeUpdate> {
    while batch.len() < BATCH {
        match updates.try_recv() {
            Ok(next) => batch.extend(next),
            Err(_) => break,
        }
    }
    batch
}

/// What is said before there was a row has no time of its own: it is of now, not of 1970.
fn timed(mut batch: Vec<NodeUpdate>, now: Timestamp) -> Vec<NodeUpdate> {
    batch.iter_mut().filter(|update| update.time == Timestamp::EPOCH).for_each(|update| update.time = now);
    batch
}
