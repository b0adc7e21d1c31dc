//! The one owner of all alarms: takes what verdicts, sources, store and people say, tells the server, the store and the panels.
//!
//! ```text
//! events, verdicts, sources, store health ──▶ Alarms ──▶ notices ─▶ server (events, nodes of the alarms)
//! acknowledgements, comments ───────────────▶        ──▶ updates ─▶ alarm words, log lines
//!                                                    ──▶ store: kept at each change
//! ```
//! Events bring every transition, also one that is over before the next look; the verdict then says how things stand, which also
//! mends what a slow desk has not heard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::driver::wall_clock;
use super::outputs::AlarmBits;
use crate::alarm::{
    self, Alarm, AlarmError, AlarmKind, AlarmLayout, AlarmSpec, Alarms, BUFFER_FULL, BUFFER_READY, Comment, Detail, Kept, MODEL_FAILURE,
    Reading, Scope, Words,
};
use crate::config::{Config, MachineConfig};
use crate::server::alarms::{AlarmAction, AlarmRequest, Notice};
use crate::server::view::{ascii, sentence};
use crate::server::{NodeUpdate, UpdateSender};
use crate::source::SourceStatus;
use crate::store::{Record, StoreHealth, StoreMessage};
use crate::types::{BufferState, Cause, Event, EventKind, Quality, Scalar, Verdict, Via};

/// Between two looks at how things stand.
const TICK: Duration = Duration::from_millis(50);
/// An acknowledgement that is not on disk by then is answered anyway: lost, it would only have to be repeated.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// Lines of the log that panels show.
const LOG_LINES: usize = 10;
/// Key of the kept states.
pub const KEY: &str = "alarms";

/// All alarms that a configuration makes.
pub fn specs(config: &Config) -> Vec<Arc<AlarmSpec>> {
    let mut layout = AlarmLayout::default();
    for (k, machine) in config.machines.iter().enumerate() {
        layout.machine(k as u16, &machine.name, machine.models.iter().map(|m| (&*m.name, m.performance.is_some())));
    }
    for (s, source) in config.sources.iter().enumerate() {
        let reads = |m: &MachineConfig| m.sources().contains(&s);
        let machines = config.machines.iter().enumerate().filter(|(_, m)| reads(m)).map(|(k, _)| k as u16).collect();
        layout.source(&source.name, machines);
    }
    layout.finish()
}

/// The alarms as they were left; what can not be read is a note, and they begin anew.
pub fn restored(specs: &[Arc<AlarmSpec>], kept: Option<&[u8]>, notes: &mut Vec<String>) -> Alarms {
    let mut alarms = Alarms::new(specs, wall_clock());
    match kept.map(postcard::from_bytes::<Kept>) {
        Some(Ok(kept)) => alarms.restore(kept),
        Some(Err(error)) => notes.push(format!("the kept alarms cannot be read ({error}); all are at rest")),
        None => {}
    }
    alarms
}

/// What a machine says of its models, and how it hears that somebody has seen it.
pub struct ModelLink {
    /// Bits of the alarm word.
    pub flags: watch::Receiver<u16>,
    /// The bit of a model that fails was acknowledged.
    pub seen: Arc<Notify>,
}

/// What the desk is given.
pub struct AlarmDesk {
    pub config: Arc<Config>,
    pub alarms: Alarms,
    /// What happens, and where its own notes go.
    pub heard: broadcast::Receiver<Event>,
    pub events: broadcast::Sender<Event>,
    /// One a machine.
    pub verdicts: Vec<watch::Receiver<Arc<Verdict>>>,
    /// What machines say of their models; one a machine.
    pub models: Vec<ModelLink>,
    /// One a source.
    pub sources: Vec<watch::Receiver<SourceStatus>>,
    pub store_health: watch::Receiver<StoreHealth>,
    pub store: mpsc::Sender<StoreMessage>,
    pub updates: UpdateSender,
    pub notices: mpsc::Sender<Notice>,
    pub requests: mpsc::Receiver<AlarmRequest>,
    /// Active alarms of each machine, for what is written into PLCs.
    pub bits: watch::Sender<AlarmBits>,
    pub stop: CancellationToken,
}

/// What an alarm follows.
enum Follows {
    /// Machine, and its monitor.
    Monitor(usize, Arc<str>),
    /// Machine, and index of its model.
    Model(usize, usize),
    Settings(usize),
    Source(usize),
    Store,
}

struct Running {
    d: AlarmDesk,
    /// In the order of the alarms.
    follows: Vec<Follows>,
    /// Row at which each machine stood at the start: until the next one its verdict is empty, and says nothing.
    begun: Vec<u64>,
    waiting: VecDeque<Event>,
    /// Newest first, one a machine.
    lines: Vec<VecDeque<Arc<str>>>,
    /// Values as last sent.
    shown: Vec<(Arc<str>, Option<Scalar>)>,
    /// Alarms that have changed and were not yet told of.
    news: Vec<Notice>,
    changed: bool,
}

impl AlarmDesk {
    /// Runs until `stop`; then keeps the alarms as they are.
    pub async fn run(self) {
        let follows = self.alarms.all().iter().map(|a| follows(&self.config, &a.spec)).collect();
        let lines = vec![VecDeque::from(vec![Arc::from(""); LOG_LINES]); self.config.machines.len()];
        let news = self.alarms.all().iter().map(|a| Notice::Alarm { alarm: Box::new(a.clone()), news: false }).collect();
        let begun = self.verdicts.iter().map(|v| v.borrow().row).collect();
        let (waiting, shown) = (VecDeque::new(), Vec::new());
        Running { d: self, follows, begun, waiting, lines, shown, news, changed: false }.run().await;
    }
}

fn follows(config: &Config, spec: &AlarmSpec) -> Follows {
    let machine = spec.machines.first().map_or(0, |m| usize::from(*m));
    let name = spec.subject.split_once(' ').map_or("", |(_, name)| name);
    match spec.kind {
        AlarmKind::Drift(_) => Follows::Monitor(machine, name.into()),
        AlarmKind::Fault => {
            let models = config.machines.get(machine).map_or(&[][..], |m| &m.models);
            Follows::Model(machine, models.iter().position(|m| &*m.name == name).unwrap_or(usize::MAX))
        }
        AlarmKind::OutOfEnvelope => Follows::Settings(machine),
        AlarmKind::SourceDown => Follows::Source(config.sources.iter().position(|s| &*s.name == name).unwrap_or(usize::MAX)),
        AlarmKind::Gateway => Follows::Store,
    }
}

impl Running {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.d.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(request) = self.d.requests.recv() => self.request(request).await,
                _ = tick.tick() => {
                    self.look();
                    self.publish();
                    if std::mem::take(&mut self.changed) && let Some(record) = self.record() {
                        // Full: the store says so itself; the next change keeps all.
                        self.changed = self.d.store.try_send(StoreMessage::Record(record)).is_err();
                    }
                }
            }
            if stop.run_until_cancelled(self.tell()).await.is_none() {
                break;
            }
        }
        if let Some(record) = self.record() {
            self.durable(record).await;
        }
    }

    /// Tells the server what is new.
    async fn tell(&mut self) {
        for notice in std::mem::take(&mut self.news) {
            // The server may have ended.
            let _ = self.d.notices.send(notice).await;
        }
    }

    /// Takes in what has happened, then how things stand.
    fn look(&mut self) {
        // In this order: every event up to a verdict seen is in the channel by then.
        let verdicts: Vec<Arc<Verdict>> = self.d.verdicts.iter().map(|v| v.borrow().clone()).collect();
        loop {
            match self.d.heard.try_recv() {
                Ok(event) => self.waiting.push_back(event),
                Err(TryRecvError::Lagged(missed)) => tracing::warn!("{missed} events came too fast to be told to clients"),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        for event in std::mem::take(&mut self.waiting) {
            let machine = self.d.config.machines.iter().position(|m| m.name == event.unit);
            let verdict = machine.and_then(|m| verdicts.get(m));
            if verdict.is_some_and(|v| v.row < event.row) {
                self.waiting.push_back(event);
            } else {
                self.happened(event, machine, verdict);
            }
        }
        for index in 0..self.follows.len() {
            let reading = self.standing(index, &verdicts);
            self.observe(index, reading);
        }
    }

    fn happened(&mut self, event: Event, machine: Option<usize>, verdict: Option<&Arc<Verdict>>) {
        if let Some(machine) = machine {
            self.line(machine, &event);
            if let Some((index, reading)) = self.transition(&event, machine, verdict) {
                self.observe(index, reading);
            }
        }
        let id = self.d.alarms.next_event(wall_clock());
        self.news.push(Notice::Happened { event: Box::new(event), id, verdict: verdict.cloned() });
    }

    /// What an event says of an alarm.
    fn transition(&self, event: &Event, machine: usize, verdict: Option<&Arc<Verdict>>) -> Option<(usize, Reading)> {
        let subject = |index: usize| &*self.d.alarms.all()[index].spec.subject;
        match &event.kind {
            EventKind::Status { monitor, status, regime, feature, metric, value, threshold, .. } => {
                let wanted = |f: &Follows| matches!(f, Follows::Monitor(m, name) if *m == machine && name == monitor);
                let index = self.follows.iter().position(wanted)?;
                let text = |t: &Option<Arc<str>>| t.as_deref().unwrap_or_default().to_string();
                let detail = Detail {
                    regime: text(regime),
                    metric: text(metric),
                    feature: text(feature),
                    value: value.unwrap_or(f64::NAN),
                    threshold: threshold.unwrap_or(f64::NAN),
                    row: event.row,
                    ..Detail::default()
                };
                let report = verdict.and_then(|v| v.monitors.iter().find(|m| m.name == *monitor));
                Some((index, alarm::drift(subject(index), *status, report, detail)))
            }
            EventKind::Fault { model, active, regime, feature, value, threshold } => {
                let model = self.d.config.machines[machine].models.iter().position(|m| m.name == *model)?;
                let wanted = |f: &Follows| matches!(f, Follows::Model(m, k) if (*m, *k) == (machine, model));
                let index = self.follows.iter().position(wanted)?;
                let detail = Detail {
                    regime: regime.as_deref().unwrap_or_default().into(),
                    feature: feature.as_deref().unwrap_or_default().into(),
                    value: *value,
                    threshold: *threshold,
                    row: event.row,
                    ..Detail::default()
                };
                Some((index, alarm::fault(subject(index), *active, None, detail)))
            }
            _ => None,
        }
    }

    /// What holds at present.
    fn standing(&self, index: usize, verdicts: &[Arc<Verdict>]) -> Reading {
        let subject = &self.d.alarms.all()[index].spec.subject;
        let verdict = |machine: usize| verdicts.get(machine).filter(|v| self.begun.get(machine).is_some_and(|row| v.row > *row));
        let detail = |v: &Verdict| Detail { regime: v.regime.key.to_string(), row: v.row, ..Detail::default() };
        let reading = match &self.follows[index] {
            Follows::Monitor(machine, name) => verdict(*machine).and_then(|v| {
                let report = v.monitors.iter().find(|m| m.name == *name)?;
                Some(alarm::drift(subject, report.status, Some(report), detail(v)))
            }),
            Follows::Model(machine, model) => verdict(*machine).and_then(|v| {
                let report = v.models.get(*model)?;
                Some(alarm::fault(subject, report.fault, Some(report), detail(v)))
            }),
            Follows::Settings(machine) => verdict(*machine).map(|v| alarm::envelope(subject, &v.regime)),
            Follows::Source(source) => self.d.sources.get(*source).map(|source| {
                let status = source.borrow();
                alarm::source_down(subject, status.state, &status.text, status.last_good)
            }),
            Follows::Store => Some(alarm::store_failing(subject, self.d.store_health.borrow().failing.as_deref())),
        };
        reading.unwrap_or_default()
    }

    fn observe(&mut self, index: usize, reading: Reading) {
        let Some(alarm) = self.d.alarms.observe(index, reading, wall_clock()) else { return };
        let alarm = alarm.clone();
        // Drift, faults and settings have events of their own; nothing else says that a source or the store is lost.
        if matches!(alarm.spec.kind, AlarmKind::SourceDown | AlarmKind::Gateway) {
            self.note(&alarm, alarm.state.message.clone());
        }
        self.report(alarm);
    }

    fn report(&mut self, alarm: Alarm) {
        self.changed = true;
        self.news.push(Notice::Alarm { alarm: Box::new(alarm), news: true });
    }

    /// Says something of an alarm to everybody who reads events, and keeps it.
    fn note(&mut self, alarm: &Alarm, text: String) {
        let own = match alarm.spec.kind {
            AlarmKind::SourceDown | AlarmKind::Gateway => None,
            _ => alarm.spec.machines.first().and_then(|m| self.d.config.machines.get(usize::from(*m))),
        };
        let unit = own.map_or_else(|| self.d.config.gateway.name.as_str().into(), |m| m.name.clone());
        let row = own.and_then(|_| self.d.verdicts.get(usize::from(alarm.spec.machines[0]))).map_or(0, |v| v.borrow().row);
        let event = Event { unit, row, time: wall_clock(), kind: EventKind::Note { text } };
        tracing::info!(row, "{}", sentence(&event).unwrap_or_default());
        if own.is_none() {
            // A machine hears its own events; of these it would not.
            alarm.spec.machines.iter().for_each(|m| self.line(usize::from(*m), &event));
        }
        if self.d.store.try_send(StoreMessage::Record(Record::Event(event.clone()))).is_err() {
            tracing::debug!("the store's channel is full: a record is lost");
        }
        // Nobody may be listening.
        let _ = self.d.events.send(event);
    }

    /// Keeps who did it, as a command of the alarm's own method; acknowledged in the lump, it is so for each alarm.
    fn audit(&self, action: &AlarmAction, alarm: &Alarm, done: String, comment: &Comment) {
        let method = match action {
            AlarmAction::Acknowledge { .. } | AlarmAction::AcknowledgeAll { .. } => "Acknowledge",
            AlarmAction::Comment { .. } => "AddComment",
            AlarmAction::Enable { enabled: true, .. } => "Enable",
            AlarmAction::Enable { enabled: false, .. } => "Disable",
        };
        let event = match action {
            AlarmAction::Acknowledge { event, .. } | AlarmAction::Comment { event, .. } => event,
            _ => &alarm.state.event_id,
        };
        let event_id: String = event.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let arguments = match action {
            AlarmAction::Enable { .. } => Vec::new(),
            _ => vec![("EventId".into(), Scalar::from(event_id.as_str())), ("Comment".into(), Scalar::from(comment.text.as_str()))],
        };
        let via = if matches!(action, AlarmAction::AcknowledgeAll { .. }) { Via::Variables } else { Via::Method };
        let kind = EventKind::Command {
            command: method.into(),
            path: format!("{}.{method}", alarm.spec.path).into(),
            via,
            arguments,
            user: comment.user.as_str().into(),
            operator: "".into(),
            old: String::new(),
            new: String::new(),
            result: done,
            refused: None,
        };
        let event = Event { unit: self.d.config.gateway.name.as_str().into(), row: 0, time: wall_clock(), kind };
        if self.d.store.try_send(StoreMessage::Record(Record::Event(event.clone()))).is_err() {
            tracing::debug!("the store's channel is full: a record is lost");
        }
        // Nobody may be listening.
        let _ = self.d.events.send(event);
    }

    /// A line for panels without event views, newest first.
    fn line(&mut self, machine: usize, event: &Event) {
        if let (Some(text), Some(lines)) = (sentence(event), self.lines.get_mut(machine)) {
            lines.pop_back();
            lines.push_front(ascii(&format!("{} {text}", event.time)).into());
        }
    }

    async fn request(&mut self, request: AlarmRequest) {
        let AlarmRequest { action, comment, locale, user, reply } = request;
        let comment = Comment { text: comment, locale, user: user.to_string(), time: wall_clock() };
        let result = self.act(&action, &comment);
        if matches!(result, Ok(changed) if changed > 0)
            && let Some(record) = self.record()
        {
            self.durable(record).await;
        }
        self.publish();
        // The client may have gone.
        let _ = reply.send(result);
    }

    fn act(&mut self, action: &AlarmAction, comment: &Comment) -> Result<usize, AlarmError> {
        let alarms = &mut self.d.alarms;
        let (done, changed) = match action {
            AlarmAction::Acknowledge { alarm, event } => ("acknowledged", vec![alarms.acknowledge(alarm, event, comment.clone())?.clone()]),
            AlarmAction::AcknowledgeAll { scope, bits } => {
                tell_models(&self.d.models, *scope, *bits);
                let paths = alarms.acknowledge_all(*scope, *bits, comment);
                ("acknowledged", paths.iter().filter_map(|path| alarms.find(path).cloned()).collect())
            }
            AlarmAction::Comment { alarm, event } => ("commented", vec![alarms.comment(alarm, event, comment.clone())?.clone()]),
            AlarmAction::Enable { alarm, enabled } => {
                let done = if *enabled { "switched on" } else { "switched off" };
                (done, vec![alarms.enable(alarm, *enabled, comment.time)?.clone()])
            }
        };
        let said = if comment.text.is_empty() { String::new() } else { format!(": {}", comment.text) };
        for alarm in &changed {
            self.note(alarm, format!("alarm of {} {done} by {}{said}", alarm.spec.subject, comment.user));
            self.audit(action, alarm, format!("alarm of {} {done}", alarm.spec.subject), comment);
            self.report(alarm.clone());
        }
        Ok(changed.len())
    }

    fn record(&self) -> Option<Record> {
        let value = postcard::to_stdvec(&self.d.alarms.keep()).ok()?;
        Some(Record::PutBlob { key: KEY.into(), value: value.into() })
    }

    async fn durable(&self, record: Record) {
        let (ack, answer) = oneshot::channel();
        let stored = async {
            self.d.store.send(StoreMessage::Durable(record, ack)).await.ok()?;
            answer.await.ok()?.ok()
        };
        if !matches!(tokio::time::timeout(STORE_TIMEOUT, stored).await, Ok(Some(()))) {
            tracing::warn!("the alarms as they are now could not be stored; after a restart some may have to be acknowledged again");
        }
    }

    /// Sends the values that have changed; while there is no place, they wait here.
    fn publish(&mut self) {
        let (values, bits) = self.values();
        self.d.bits.send_if_modified(|last| {
            let changed = *last != bits;
            if changed {
                *last = bits;
            }
            changed
        });
        let Ok(permit) = self.d.updates.try_reserve() else { return };
        let time = wall_clock();
        let mut changed = Vec::new();
        for (k, (path, value)) in values.into_iter().enumerate() {
            match self.shown.get_mut(k) {
                Some((_, shown)) if *shown == value => continue,
                Some((_, shown)) => shown.clone_from(&value),
                None => self.shown.push((path.into(), value.clone())),
            }
            let quality = if value.is_some() { Quality::Good } else { Quality::Bad(Cause::NoData) };
            changed.push(NodeUpdate { path: Arc::clone(&self.shown[k].0), value, quality, time });
        }
        if !changed.is_empty() {
            permit.send(changed);
        }
    }

    /// Of the nodes, and the words of the machines.
    fn values(&self) -> (Vec<(String, Option<Scalar>)>, AlarmBits) {
        let (mut out, mut bits) = (Vec::new(), AlarmBits::new());
        let mut all = 0;
        for (k, machine) in self.d.config.machines.iter().enumerate() {
            let models = self.d.models.get(k).map_or(0, |m| *m.flags.borrow());
            let flags = models | self.d.verdicts.get(k).map_or(0, |v| flags(&v.borrow()));
            all |= flags;
            let of_machine = self.d.alarms.words(Scope::Machine(k as u16), flags);
            bits.push(of_machine.active);
            words(&mut out, &machine.name, &of_machine);
            let lines = self.lines[k].iter().enumerate();
            out.extend(lines.map(|(n, line)| (format!("{}.Log.Line{:02}", machine.name, n + 1), Some(Scalar::Text(line.clone())))));
        }
        words(&mut out, "Gateway", &self.d.alarms.words(Scope::Gateway, all));
        (out, bits)
    }
}

/// A model that fails is no alarm: its machine hears that somebody has seen it.
fn tell_models(models: &[ModelLink], scope: Scope, bits: u16) {
    let meant = models.iter().enumerate().filter(|(k, _)| match scope {
        Scope::Gateway => true,
        Scope::Machine(machine) => usize::from(machine) == *k,
    });
    if bits & MODEL_FAILURE != 0 {
        meant.for_each(|(_, model)| model.seen.notify_one());
    }
}

/// Bits that are no alarms.
fn flags(verdict: &Verdict) -> u16 {
    let ready = |b: &crate::types::BufferReport| matches!(b.state, BufferState::Ready | BufferState::Exporting | BufferState::Exported);
    let full = |b: &crate::types::BufferReport| ready(b) && b.rows >= b.target_rows;
    let any = |f: &dyn Fn(&crate::types::BufferReport) -> bool| verdict.buffers.iter().any(f);
    (if any(&ready) { BUFFER_READY } else { 0 }) | (if any(&full) { BUFFER_FULL } else { 0 })
}

fn words(out: &mut Vec<(String, Option<Scalar>)>, owner: &str, words: &Words) {
    let mut put = |name: &str, value: Option<Scalar>| out.push((format!("{owner}.Alarms.{name}"), value));
    put("ActiveWord", Some(Scalar::U16(words.active)));
    put("UnackedWord", Some(Scalar::U16(words.unacked)));
    put("AnyActive", Some(Scalar::Bool(words.any_active())));
    put("AnyUnacked", Some(Scalar::Bool(words.unacked != 0)));
    put("DriftWarningActive", Some(Scalar::Bool(words.has(0))));
    put("DriftActive", Some(Scalar::Bool(words.has(1) || words.has(2))));
    put("FaultActive", Some(Scalar::Bool(words.has(3))));
    put("OutOfEnvelopeActive", Some(Scalar::Bool(words.has(4))));
    put("SourceDownActive", Some(Scalar::Bool(words.has(5))));
    put("ModelFailureActive", Some(Scalar::Bool(words.has(6))));
    put("BufferReadyActive", Some(Scalar::Bool(words.has(7))));
    put("ActiveCount", Some(Scalar::U16(words.count)));
    put("HighestSeverity", Some(Scalar::U16(words.highest)));
    put("LastText", Some(Scalar::Text(ascii(&words.text).into())));
    put("LastTime", words.time.map(Scalar::Time));
}
