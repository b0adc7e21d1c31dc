//! The work within one session: subscribe, refresh, and see that data really flows.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use opcua::client::{Session, SessionPollResult, SubscriptionActivity};
use opcua::types::{Error, NodeId, ReadValueId, StatusCode};
use parking_lot::Mutex;

use super::address::Namespaces;
use super::gap;
use super::poll::{self, Polled};
use super::queue::{Kept, Old};
use super::receive::Receiver;
use super::request::{self, Limits};
use super::subscribe::{Addresses, Failed, Subscription};
use super::write::Writer;
use super::{is_publish, log_event};
use crate::config::OpcUaConfig;
use crate::source::SourceState;
use crate::source::emit::{Emitter, now};
use crate::source::report::Reporter;
use crate::types::Timestamp;

const TICK: Duration = Duration::from_millis(250);
/// A source without a usable value for so long is shown as stale.
const STALE_AFTER: Duration = Duration::from_secs(5);
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// The PLC's clock is read at least so often.
const CLOCK_EVERY: Duration = Duration::from_secs(5);
/// A request without an answer may be the first sign of a lost connection: the session's own keep-alive gets this time to say so.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(2);
/// Between a request that the PLC refuses and the next session.
const REFUSED_TIME: Duration = Duration::from_millis(500);
/// The client stops publishing where the PLC has refused all requests for it; after so long without any it is taken for that.
const UNPUBLISHED_TIME: Duration = Duration::from_secs(1);
/// Clocks that differ by more are worth mentioning, in seconds.
const CLOCK_DIFFERENCE: f64 = 2.0;
/// After so many silent subscriptions in a row the patience no longer grows (doubling each time).
const MOST_DOUBLINGS: u32 = 5;

/// Why the session is given up.
#[derive(Debug)]
pub(super) struct Trouble {
    pub state: SourceState,
    pub text: String,
}

/// Why a subscription is given up.
enum Fault {
    Request(Error),
    Silent(String),
    /// Only another session helps.
    Stuck(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Request(error)
    }
}

/// State that outlives sessions.
pub(super) struct Watch<'a> {
    config: &'a OpcUaConfig,
    emitter: &'a Emitter,
    reporter: &'a Reporter,
    receiver: Arc<Receiver>,
    namespaces: Mutex<Namespaces>,
    remark: Option<String>,
    connected_before: AtomicBool,
    /// Silent subscriptions since data last flowed for long.
    silent: AtomicU32,
    last_publish: Mutex<Instant>,
    unsubscribed: AtomicBool,
    publish_refused: AtomicBool,
    /// The subscriptions of a lost connection, and when its server was started.
    kept: Mutex<(Vec<Kept>, Option<Timestamp>)>,
    writer: &'a Writer,
}

impl<'a> Watch<'a> {
    pub fn new(config: &'a OpcUaConfig, emitter: &'a Emitter, reporter: &'a Reporter, receiver: Arc<Receiver>, writer: &'a Writer) -> Self {
        Self {
            config,
            emitter,
            reporter,
            receiver,
            namespaces: Mutex::default(),
            remark: None,
            connected_before: AtomicBool::new(false),
            silent: AtomicU32::new(0),
            last_publish: Mutex::new(Instant::now()),
            unsubscribed: AtomicBool::new(false),
            publish_refused: AtomicBool::new(false),
            kept: Mutex::default(),
            writer,
        }
    }

    /// Something about the connection that ought to be put right; shown beside the state.
    pub fn set_remark(&mut self, remark: Option<String>) {
        self.remark = remark;
    }

    /// True from the second call on.
    pub fn has_connected_before(&self) -> bool {
        self.connected_before.swap(true, Ordering::Relaxed)
    }

    /// An event of the session.
    pub fn note(&self, event: &SessionPollResult) {
        if is_publish(event) {
            *self.last_publish.lock() = Instant::now();
            self.publish_refused.store(false, Ordering::Relaxed);
        } else if let SessionPollResult::Subscription(SubscriptionActivity::PublishFailed(status)) = event {
            match *status {
                StatusCode::BadNoSubscription => self.unsubscribed.store(true, Ordering::Relaxed),
                StatusCode::BadTooManyPublishRequests => self.publish_refused.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        log_event(event);
    }

    /// Works with a connected session until that makes no sense any more. Cancelled where the connection is lost. `resumed`: it is the
    /// session of before the loss.
    pub async fn run(&self, session: Arc<Session>, resumed: bool) -> Trouble {
        for attempt in 0.. {
            let fault = match self.subscribe_and_watch(&session, resumed).await {
                Ok(never) => match never {},
                Err(fault) => fault,
            };
            // What is given up has nothing to tell.
            *self.kept.lock() = Default::default();
            match fault {
                Fault::Request(e) => {
                    tracing::debug!(error = %e, "request failed");
                    let unanswered = is_unanswered(e.status());
                    tokio::time::sleep(if unanswered { KEEP_ALIVE_TIME } else { REFUSED_TIME }).await;
                    let what = if unanswered { "the PLC does not answer a request" } else { "the PLC refuses a request" };
                    return Trouble { state: SourceState::Down, text: format!("{what}: {}; connecting anew", e.status()) };
                }
                Fault::Stuck(text) => return Trouble { state: SourceState::Stale, text: format!("{text}; connecting anew") },
                Fault::Silent(text) => {
                    self.silent.fetch_add(1, Ordering::Relaxed);
                    self.reporter.set(SourceState::Stale, &format!("{text}; subscribing anew"));
                    if attempt > 0 {
                        return Trouble { state: SourceState::Stale, text: format!("{text}; connecting anew") };
                    }
                }
            }
        }
        Trouble { state: SourceState::Down, text: "connecting anew".into() }
    }

    async fn subscribe_and_watch(&self, session: &Session, resumed: bool) -> Result<Infallible, Fault> {
        let asked = Instant::now();
        let facts = request::server_facts(session).await?;
        if let Some(time) = facts.time {
            self.receiver.set_plc_time(time, asked.elapsed());
        }
        let namespaces = {
            let mut namespaces = self.namespaces.lock();
            namespaces.update(facts.namespaces);
            namespaces.clone()
        };
        let place = Addresses { namespace: self.config.namespace.as_deref(), namespaces: &namespaces };
        let mut old = self.old(session, facts.started, resumed).await;
        delete_old(session, &old).await;
        if let Some(interval) = self.config.polling {
            return self.poll(session, &place, facts.limits, interval).await;
        }
        // From now on: the first request for publishing follows at once, and its refusal is not to be forgotten.
        self.publish_refused.store(false, Ordering::Relaxed);
        let create = || Subscription::create(session, self.config, self.emitter.tags(), &self.receiver, facts.limits);
        let mut created = create().await;
        if created.is_err() && !old.is_empty() {
            // There may be no room for two.
            old.clear();
            delete_old(session, &old).await;
            created = create().await;
        }
        let mut subscription = match created {
            Err(e) if poll::has_no_subscriptions(&e) => {
                return self.poll(session, &place, facts.limits, self.config.publishing_interval).await;
            }
            created => created?,
        };
        subscription.add(session, &place, None).await?;
        if !old.is_empty()
            && let Some(again) = subscription.take_unroomed()
        {
            old.clear();
            delete_all_but(session, &ids_of(&subscription)).await;
            subscription.add(session, &place, Some(again)).await?;
        }
        *self.kept.lock() = (subscription.kept().to_vec(), facts.started);
        let all: Vec<usize> = (0..self.emitter.tags().len()).collect();
        gap::fill(session, subscription.nodes_of(&all), &mut subscription.limits.read, &self.receiver, &old).await;
        delete_all_but(session, &ids_of(&subscription)).await;
        // What the deletion of the old subscription has brought about may come until here.
        self.unsubscribed.store(false, Ordering::Relaxed);
        *self.last_publish.lock() = Instant::now();

        tokio::select! {
            fault = self.watch(session, &place, &mut subscription) => fault,
            never = self.writer.run(session, &place) => match never {},
        }
    }

    /// The subscriptions of the lost connection, where their values are missed and they may still be there.
    async fn old(&self, session: &Session, started: Option<Timestamp>, resumed: bool) -> Vec<Old> {
        let (kept, started_then) = std::mem::take(&mut *self.kept.lock());
        let same_server = resumed || (started.is_some() && started == started_then);
        if same_server && self.config.polling.is_none() && self.receiver.misses_values() {
            let mut old = Vec::new();
            for kept in kept {
                // What is true of one will be true of the next.
                let Some(resumed) = kept.resume(session, &self.receiver, resumed).await else { break };
                old.push(resumed);
            }
            old
        } else {
            Vec::new()
        }
    }

    /// Reads at an interval, in place of a subscription.
    async fn poll(&self, session: &Session, place: &Addresses<'_>, limits: Limits, interval: Duration) -> Result<Infallible, Fault> {
        let mut polled = Polled::prepare(session, place, (self.emitter.tags(), &self.receiver), limits).await;
        gap::fill(session, polled.nodes(), &mut polled.limits.read, &self.receiver, &[]).await;
        let reading = async {
            let started = now();
            let how = format!("read every {} ms", interval.as_millis());
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            let (mut clock_at, mut report_at) = (Instant::now() + CLOCK_EVERY, Instant::now());
            loop {
                ticks.tick().await;
                polled.read_due(session).await?;
                if self.receiver.suspects_clock() || Instant::now() >= clock_at {
                    clock_at = Instant::now() + CLOCK_EVERY;
                    self.read_clock(session).await?;
                }
                if Instant::now() >= report_at {
                    report_at = Instant::now() + TICK;
                    polled.repeat_failed();
                    self.report((&polled.failed(), &how), started);
                }
            }
        };
        tokio::select! {
            fault = reading => fault,
            never = self.writer.run(session, place) => match never {},
        }
    }

    /// Withdraws what was written.
    pub async fn withdraw(&self, session: &Session) {
        self.writer.withdraw(session).await;
    }

    async fn watch(&self, session: &Session, place: &Addresses<'_>, subscription: &mut Subscription<'_>) -> Result<Infallible, Fault> {
        let started = (Instant::now(), now());
        let doublings = self.silent.load(Ordering::Relaxed).min(MOST_DOUBLINGS);
        let patience = (self.config.silence * 2u32.pow(doublings)).max(subscription.keep_alive * 2 + Duration::from_secs(1));
        let mut how = format!("subscribed, published every {} ms", subscription.publishing_interval.as_millis());
        if subscription.kept().len() > 1 {
            how += &format!(" in {} subscriptions", subscription.kept().len());
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let (mut refresh_at, mut clock_at) = (Instant::now() + REFRESH_EVERY, Instant::now() + CLOCK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(again) = subscription.take_due() {
                subscription.add(session, place, Some(again)).await?;
            }
            if Instant::now() >= refresh_at {
                refresh_at = Instant::now() + REFRESH_EVERY;
                if self.refresh(session, subscription).await? {
                    clock_at = Instant::now() + CLOCK_EVERY;
                }
                let dumb = self.receiver.take_dumb();
                if !dumb.is_empty() {
                    subscription.renew(session, place, dumb).await?;
                }
                subscription.repeat_failed();
            }
            if self.receiver.suspects_clock() || Instant::now() >= clock_at {
                clock_at = Instant::now() + CLOCK_EVERY;
                self.read_clock(session).await?;
            }
            self.check(patience)?;
            if started.0.elapsed() > patience * 10 {
                self.silent.store(0, Ordering::Relaxed);
            }
            self.report((subscription.failed(), &how), started.1);
        }
    }

    async fn read_clock(&self, session: &Session) -> Result<(), Error> {
        let asked = Instant::now();
        let answers = request::read_all(session, &[request::current_time()], &mut 1).await?;
        if let Some(time) = answers.first().and_then(request::as_time) {
            self.receiver.set_plc_time(time, asked.elapsed());
        }
        Ok(())
    }

    /// Reads what has had no notification for a while, and the PLC's clock with it; whether there was anything to read.
    async fn refresh(&self, session: &Session, subscription: &mut Subscription<'_>) -> Result<bool, Error> {
        let due: Vec<(usize, NodeId)> = subscription.nodes_of(&self.receiver.due());
        if due.is_empty() {
            return Ok(false);
        }
        let asked = Instant::now();
        let mut nodes: Vec<ReadValueId> = vec![request::current_time()];
        nodes.extend(due.iter().map(|(_, node)| request::value_of(node.clone())));
        let mut answers = request::read_all(session, &nodes, &mut subscription.limits.read).await?.into_iter();
        if let Some(time) = answers.next().as_ref().and_then(request::as_time) {
            self.receiver.set_plc_time(time, asked.elapsed());
        }
        for ((tag, _), data) in due.into_iter().zip(answers) {
            let sampling = self.emitter.tags()[tag].sampling.unwrap_or(subscription.publishing_interval);
            self.receiver.refreshed(tag, data, subscription.publishing_interval + sampling);
        }
        Ok(true)
    }

    /// Whether the subscription still works; else what is wrong.
    fn check(&self, patience: Duration) -> Result<(), Fault> {
        let quiet = self.last_publish.lock().elapsed();
        if self.receiver.has_ended() || self.unsubscribed.load(Ordering::Relaxed) {
            Err(Fault::Silent("the PLC has ended the subscription".into()))
        } else if self.publish_refused.load(Ordering::Relaxed) && quiet > UNPUBLISHED_TIME {
            Err(Fault::Stuck("the PLC takes no requests for publishing".into()))
        } else if quiet > patience {
            Err(Fault::Silent(format!("connected, but nothing published for {} s", quiet.as_secs())))
        } else if let Some(tag) = self.receiver.silent(patience) {
            Err(Fault::Silent(format!("connected, but changes of `{}` are not published", self.emitter.tags()[tag].name)))
        } else {
            Ok(())
        }
    }

    /// `how` its values come, and those that do not.
    fn report(&self, (failed, how): (&[Failed], &str), started: Timestamp) {
        let (last_good, tags) = (self.emitter.last_good(), self.emitter.tags().len());
        let flowing = last_good >= started || tags == 0;
        if flowing && (tags == 0 || now().since(last_good) < STALE_AFTER) {
            self.reporter.set(SourceState::Connected, &self.text(failed, how));
        } else if now().since(last_good.max(started)) >= STALE_AFTER {
            let text = format!("connected, but no usable value for {} s or more; {}", STALE_AFTER.as_secs(), self.text(failed, how));
            self.reporter.set(SourceState::Stale, &text);
        } else {
            self.reporter.refresh();
        }
    }

    fn text(&self, failed: &[Failed], how: &str) -> String {
        let tags = self.emitter.tags();
        let mut parts = vec![format!("{} of {} values {how}", tags.len() - failed.len(), tags.len())];
        parts.extend(failed.iter().take(3).map(|f| format!("`{}` has no value: {}", tags[f.tag].name, f.reason)));
        if failed.len() > 3 {
            parts.push(format!("and {} more", failed.len() - 3));
        }
        let offset = self.receiver.clock_offset_secs();
        if offset.abs() > CLOCK_DIFFERENCE {
            let side = if offset > 0.0 { "ahead" } else { "behind" };
            parts.push(format!("the PLC's clock is {:.0} s {side}: set the clocks", offset.abs()));
        }
        parts.extend(self.writer.remarks());
        parts.extend(self.remark.clone());
        parts.join("; ")
    }
}

/// Whether there was no answer, rather than one that says no.
fn is_unanswered(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadTimeout
            | StatusCode::BadRequestTimeout
            | StatusCode::BadCommunicationError
            | StatusCode::BadConnectionClosed
            | StatusCode::BadNotConnected
            | StatusCode::BadSecureChannelClosed
            | StatusCode::BadServerNotConnected
            | StatusCode::BadInternalError
    )
}

/// Ends what is left of earlier subscriptions in this session.
async fn delete_old(session: &Session, except: &[Old]) {
    delete_all_but(session, &except.iter().map(Old::id).collect::<Vec<_>>()).await;
}

fn ids_of(subscription: &Subscription<'_>) -> Vec<u32> {
    subscription.kept().iter().map(|kept| kept.id).collect()
}

/// A server that has forgotten them is right.
async fn delete_all_but(session: &Session, except: &[u32]) {
    let mut ids = session.subscription_state.lock().subscription_ids().unwrap_or_default();
    ids.retain(|id| !except.contains(id));
    if !ids.is_empty()
        && let Err(e) = session.delete_subscriptions(&ids).await
    {
        tracing::debug!(error = %e, "old subscriptions not deleted");
    }
}
