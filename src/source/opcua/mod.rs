//! OPC UA client source.
//!
//! ```text
//! prepare ──▶ session ──▶ facts ──▶ subscription ──▶ watch (notifications, refresh reads, watchdog)
//!    ▲            ▲          ▲            ▲                │ silent: a new subscription, then a new session
//!    │            └──────────┴── link lost: Bad samples ◀──┤ the same session again within 3 s
//!    └── back-off ◀────────────────────────────────────────┘ else all anew, with the endpoints that the server offers then
//! ```
//! Invariants: nothing of a session (node ids, subscription, items) is used in the next one, but what its subscription has queued is fetched; each tag has either news within its
//! time, or a Bad sample with a cause; a stop closes the session within [`CLOSE_TIME`].

mod address;
mod connect;
mod gap;
mod members;
mod pki;
mod poll;
mod queue;
mod receive;
mod request;
mod subscribe;
mod survey;
mod watch;
mod write;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use opcua::client::{Session, SessionActivity, SessionConnectMode, SessionPollResult, SubscriptionActivity};
use opcua::types::StatusCode;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::connect::Link;
use self::receive::Receiver;
pub use self::survey::{Survey, SurveyError, SurveyOptions, survey};
use self::watch::{Trouble, Watch};
use self::write::Writer;
use super::SourceState;
use super::backoff::Backoff;
use super::emit::Emitter;
use super::report::Reporter;
use super::write::Outbox;
use crate::config::OpcUaConfig;

/// A first connection, from TCP to the activated session.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a lost connection is tried with the old session: long enough for a pulled plug or a switch, too short for a restart.
const RESUME_TIME: Duration = Duration::from_secs(3);
/// A session that ends sooner is followed by a longer wait: no knocking without a pause.
const SHORT_LIVED: Duration = Duration::from_secs(2);
/// Telling the PLC at the stop that nothing is known any more.
const WITHDRAW_TIME: Duration = Duration::from_secs(1);
/// Closing a session.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// What one OPC UA source is made of.
pub(super) struct OpcUaSource {
    pub config: OpcUaConfig,
    pub pki_dir: std::path::PathBuf,
    pub emitter: Arc<Emitter>,
    pub reporter: Reporter,
    pub outbox: Outbox,
    pub stop: CancellationToken,
}

/// How a link ended.
enum End {
    Stopped,
    /// There was a session.
    Lost,
    Refused,
}

impl OpcUaSource {
    /// Runs until stopped.
    pub async fn run(self) {
        let receiver = Arc::new(Receiver::new(self.emitter.clone()));
        let writer = Writer::new(self.outbox.clone());
        let mut watch = Watch::new(&self.config, &self.emitter, &self.reporter, receiver.clone(), &writer);
        let mut backoff = Backoff::new();
        self.reporter.set(SourceState::Connecting, &format!("connecting to {}", self.config.endpoint));
        let mut told = false;
        loop {
            let prepared = tokio::select! {
                () = self.stop.cancelled() => return,
                prepared = connect::prepare(&self.config, &self.pki_dir) => prepared,
            };
            let end = match prepared {
                Ok(link) => self.serve(link, &receiver, &mut watch, &mut told).await,
                Err(e) => {
                    self.reporter.set(e.state(), &e.to_string());
                    End::Refused
                }
            };
            match end {
                End::Stopped => return,
                End::Lost => backoff.reset(),
                End::Refused => {}
            }
            // After the first failed attempt too: there is a cause then.
            if !std::mem::replace(&mut told, true) {
                receiver.connection_lost();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.delay()) => {}
            }
        }
    }

    /// Keeps one session at work until it cannot be had any more. `told`: that there is no connection.
    async fn serve(&self, link: Link, receiver: &Receiver, watch: &mut Watch<'_>, told: &mut bool) -> End {
        let Link { session, events, remark } = link;
        watch.set_remark(remark);
        let watch = &*watch;
        let mut events = pin!(events.enter());
        let mut work: Option<BoxFuture<'_, Trouble>> = None;
        let mut connected: Option<Instant> = None;
        let mut deadline = Instant::now() + CONNECT_TIME;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => {
                    if work.take().is_some() {
                        alongside(&mut events, watch.withdraw(&session)).await;
                    }
                    close(&session, events).await;
                    return End::Stopped;
                }
                event = events.next() => match event {
                    None => return End::Lost,
                    Some(Err(e)) => {
                        self.refused(e, connected.is_some());
                        return if connected.is_some() { End::Lost } else { End::Refused };
                    }
                    Some(Ok(SessionPollResult::ConnectionLost(status))) => {
                        work = None;
                        deadline = Instant::now() + RESUME_TIME;
                        self.reporter.set(SourceState::Down, &format!("connection lost: {}", connect::explain(status).1));
                        if !std::mem::replace(told, true) {
                            receiver.connection_lost();
                        }
                        if connected.is_some_and(|since| since.elapsed() < SHORT_LIVED) {
                            return End::Refused;
                        }
                    }
                    Some(Ok(SessionPollResult::ReconnectFailed(status))) => {
                        self.refused(status, connected.is_some());
                        if connected.is_none() {
                            return End::Refused;
                        }
                    }
                    Some(Ok(SessionPollResult::Reconnected(mode))) => {
                        if watch.has_connected_before() {
                            self.reporter.reconnected();
                        }
                        (connected, *told) = (Some(Instant::now()), false);
                        // Makes a subscription, which sets publishing going: of itself nothing is published after a reconnect.
                        let resumed = matches!(mode, SessionConnectMode::ReactivatedSession(_));
                        work = Some(watch.run(session.clone(), resumed).boxed());
                    }
                    Some(Ok(event)) => watch.note(&event),
                },
                trouble = outcome(&mut work) => {
                    self.reporter.set(trouble.state, &trouble.text);
                    drop(work);
                    close(&session, events).await;
                    return End::Lost;
                }
                () = tokio::time::sleep_until(deadline), if work.is_none() => {
                    if connected.is_none() {
                        self.reporter.set(SourceState::Down, &format!("`{}` accepts connections but opens no session", self.config.endpoint));
                    }
                    return if connected.is_some() { End::Lost } else { End::Refused };
                }
            }
        }
    }

    fn refused(&self, status: StatusCode, had_session: bool) {
        let (state, text) = connect::explain(status);
        let what = if had_session { "connection lost, reconnecting" } else { "no session" };
        self.reporter.set(state, &format!("{what}: {text}"));
    }
}

/// Never ready where there is nothing to wait for.
async fn outcome(work: &mut Option<BoxFuture<'_, Trouble>>) -> Trouble {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Keeps the session going while something is done with it, for [`WITHDRAW_TIME`] at most.
async fn alongside<S: Stream + Unpin>(events: &mut S, work: impl Future<Output = ()>) {
    let done = async {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                () = &mut work => return,
                event = events.next() => if event.is_none() { return },
            }
        }
    };
    if tokio::time::timeout(WITHDRAW_TIME, done).await.is_err() {
        tracing::warn!("the PLC did not answer when what is written into it was withdrawn");
    }
}

/// Closes the session on the server too, where it still answers: small PLCs have few.
async fn close<S, E>(session: &Arc<Session>, mut events: std::pin::Pin<&mut S>)
where
    S: Stream<Item = Result<SessionPollResult, E>>,
{
    let closing = async {
        let mut disconnect = pin!(session.disconnect());
        loop {
            tokio::select! {
                _ = &mut disconnect => return,
                event = events.next() => if event.is_none() { return },
            }
        }
    };
    if tokio::time::timeout(CLOSE_TIME, closing).await.is_err() {
        tracing::warn!("the PLC did not answer when its session was closed; it ends by its own timeout");
    }
}

/// Whether the server has published something.
fn is_publish(event: &SessionPollResult) -> bool {
    matches!(event, SessionPollResult::Subscription(SubscriptionActivity::Publish))
}

/// What is worth a line in the log.
fn log_event(event: &SessionPollResult) {
    match event {
        SessionPollResult::Subscription(SubscriptionActivity::PublishFailed(status)) => tracing::debug!(%status, "publish failed"),
        SessionPollResult::SessionActivity(SessionActivity::KeepAliveFailed(status)) => tracing::debug!(%status, "keep-alive failed"),
        _ => {}
    }
}
