//! One alarm: what it is, and how it stands.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{DriftKind, DriftStatus, Timestamp};

/// What an alarm is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AlarmKind {
    /// A monitor warns or has decided for drift.
    Drift(DriftKind),
    /// A model reports a machine fault.
    Fault,
    /// The settings were never trained.
    OutOfEnvelope,
    /// A connection to a PLC is lost.
    SourceDown,
    /// The gateway itself fails.
    Gateway,
}

impl AlarmKind {
    pub const WARNING: u16 = 400;
    pub const DRIFT: u16 = 600;

    /// Whether a person has to say that it was seen. Others are acknowledged by themselves.
    pub const fn needs_acknowledgement(self) -> bool {
        matches!(self, Self::Drift(_) | Self::Fault)
    }

    /// Severity when active, 1..1000; of drift the higher one.
    pub const fn severity(self) -> u16 {
        match self {
            Self::Drift(_) => Self::DRIFT,
            Self::Fault => 800,
            Self::OutOfEnvelope => 300,
            Self::SourceDown => 500,
            Self::Gateway => 700,
        }
    }

    /// Its bit in the alarm words, at a severity.
    pub const fn bit(self, severity: u16) -> u16 {
        1 << match self {
            Self::Drift(_) if severity < Self::DRIFT => 0,
            Self::Drift(DriftKind::DataDrift | DriftKind::None) => 1,
            Self::Drift(DriftKind::PredictionDrift | DriftKind::PerformanceDrift) => 2,
            Self::Fault => 3,
            Self::OutOfEnvelope => 4,
            Self::SourceDown => 5,
            Self::Gateway => 10,
        }
    }
}

/// What of an alarm never changes while the gateway runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlarmSpec {
    /// Path of its node: `Motor1.Drift.DataDrift.DriftAlarm`.
    pub path: Arc<str>,
    pub kind: AlarmKind,
    /// Whom it concerns, in texts: `Motor1 DataDrift`.
    pub subject: Arc<str>,
    /// Indexes of the machines that it concerns; none for the gateway's own.
    pub machines: Vec<u16>,
}

impl AlarmSpec {
    /// Path of what it belongs to.
    pub fn source(&self) -> &str {
        self.path.rsplit_once('.').map_or(&self.path, |(source, _)| source)
    }

    /// Last part of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('.').map_or(&self.path, |(_, name)| name)
    }
}

/// Identifies one reported state of one alarm, or another event.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Unique as long as either the time or the number is new.
    pub fn new(time: Timestamp, number: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&time.as_nanos().to_be_bytes());
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }
}

/// What somebody has said of an alarm.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Comment {
    pub text: String,
    /// `en`; may be empty.
    pub locale: String,
    pub user: String,
    pub time: Timestamp,
}

/// What was measured at the last change; numbers are NaN and texts empty where an alarm has none.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Detail {
    pub regime: String,
    pub metric: String,
    pub feature: String,
    pub value: f64,
    pub threshold: f64,
    /// Drift index, or distance to the envelope.
    pub index: f64,
    pub consecutive: u16,
    /// Code of the drift status.
    pub status: u16,
    /// Row of the prediction.
    pub row: u64,
    /// When a lost source last had good values.
    pub last_good: Timestamp,
}

impl Default for Detail {
    fn default() -> Self {
        Self {
            regime: String::new(),
            metric: String::new(),
            feature: String::new(),
            value: f64::NAN,
            threshold: f64::NAN,
            index: f64::NAN,
            consecutive: 0,
            status: DriftStatus::NotEvaluated.code(),
            row: 0,
            last_good: Timestamp::EPOCH,
        }
    }
}

/// What the world says of an alarm.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Reading {
    /// Nothing new: it can not be judged at present.
    #[default]
    Hold,
    Normal {
        message: String,
    },
    Active {
        severity: u16,
        message: String,
        detail: Box<Detail>,
    },
}

/// How an alarm stands. Kept over restarts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AlarmState {
    pub enabled: bool,
    pub active: bool,
    pub acked: bool,
    /// Of the present or last activity.
    pub severity: u16,
    /// The one before.
    pub last_severity: u16,
    pub message: String,
    /// Of the last change; the epoch before the first.
    pub time: Timestamp,
    pub active_changed: Timestamp,
    pub acked_changed: Timestamp,
    pub enabled_changed: Timestamp,
    pub severity_changed: Timestamp,
    pub comment: Comment,
    /// Of the last reported change.
    pub event_id: EventId,
    pub detail: Detail,
    /// Event ids by which the present state can be acknowledged: those that told of a state as bad as this one, since the last
    /// acknowledgement.
    valid: VecDeque<EventId>,
    /// Event ids since the last acknowledgement, with the severity that each told of. Not kept: after a restart only `valid` holds.
    #[serde(skip)]
    told: VecDeque<(EventId, u16)>,
}

impl AlarmState {
    /// Event ids remembered at most.
    const VALID: usize = 16;

    /// Still of interest to an operator: active, or not acknowledged.
    pub fn retain(&self) -> bool {
        self.enabled && (self.active || !self.acked)
    }

    /// Whether the id is of an event that told of the present state.
    pub fn knows(&self, event: &EventId) -> bool {
        self.valid.contains(event)
    }

    fn at(time: Timestamp, severity: u16) -> Self {
        Self {
            enabled: true,
            active: false,
            acked: true,
            severity,
            last_severity: severity,
            message: String::new(),
            time,
            active_changed: time,
            acked_changed: time,
            enabled_changed: time,
            severity_changed: time,
            comment: Comment { time, ..Comment::default() },
            event_id: EventId::default(),
            detail: Detail::default(),
            valid: VecDeque::new(),
            told: VecDeque::new(),
        }
    }

    /// It becomes worse, or comes back: who has seen something as bad, and nobody has acknowledged that, has seen this, too.
    fn worsen(&mut self, severity: u16) {
        if self.acked {
            self.told.clear();
        }
        let told = self.told.iter().filter(|(_, of)| *of >= severity);
        self.valid = told.map(|(event, _)| *event).collect();
    }

    fn tell(&mut self, event: EventId) {
        if self.valid.len() == Self::VALID {
            self.valid.pop_front();
        }
        if self.told.len() == Self::VALID {
            self.told.pop_front();
        }
        self.valid.push_back(event);
        self.told.push_back((event, self.severity));
    }
}

/// An alarm with its state.
#[derive(Clone, PartialEq, Debug)]
pub struct Alarm {
    pub spec: Arc<AlarmSpec>,
    pub state: AlarmState,
    /// What was said last, also while disabled.
    latest: Reading,
}

impl Alarm {
    pub(super) fn new(spec: Arc<AlarmSpec>, time: Timestamp) -> Self {
        let state = AlarmState::at(time, spec.kind.severity());
        Self { spec, state, latest: Reading::Hold }
    }

    /// Bit in the alarm words: of its present severity.
    pub fn bit(&self) -> u16 {
        self.spec.kind.bit(self.state.severity)
    }

    /// Takes a reading; true where that is news.
    pub(super) fn observe(&mut self, reading: Reading, time: Timestamp) -> bool {
        if reading == Reading::Hold {
            return false;
        }
        let news = self.state.enabled && self.take(&reading, time);
        self.latest = reading;
        news
    }

    fn take(&mut self, reading: &Reading, time: Timestamp) -> bool {
        let s = &mut self.state;
        match reading {
            Reading::Active { severity, message, detail } if !s.active || s.severity != *severity => {
                let worse = !s.active || *severity > s.severity;
                if s.severity != *severity {
                    (s.last_severity, s.severity_changed) = (s.severity, time);
                }
                if !s.active {
                    s.active_changed = time;
                }
                if worse {
                    s.worsen(*severity);
                    let acked = !self.spec.kind.needs_acknowledgement();
                    if acked != s.acked {
                        (s.acked, s.acked_changed) = (acked, time);
                    }
                }
                (s.active, s.severity) = (true, *severity);
                s.message.clone_from(message);
                s.detail.clone_from(detail);
                true
            }
            Reading::Normal { message } if s.active => {
                (s.active, s.active_changed) = (false, time);
                s.message.clone_from(message);
                true
            }
            _ => false,
        }
    }

    /// A change is to be reported under this id.
    pub(super) fn report(&mut self, event: EventId, time: Timestamp) {
        let s = &mut self.state;
        (s.event_id, s.time) = (event, time);
        s.tell(event);
    }

    pub(super) fn acknowledge(&mut self, time: Timestamp) {
        (self.state.acked, self.state.acked_changed) = (true, time);
    }

    /// An alarm that is switched off says nothing; switched on again, it says what holds then.
    pub(super) fn enable(&mut self, enabled: bool, time: Timestamp) {
        let s = &mut self.state;
        (s.enabled, s.enabled_changed) = (enabled, time);
        if enabled {
            let latest = std::mem::take(&mut self.latest);
            self.take(&latest, time);
            self.latest = latest;
        } else {
            s.valid.clear();
            s.told.clear();
            (s.active, s.active_changed) = (false, time);
            (s.acked, s.acked_changed) = (true, time);
        }
    }
}
