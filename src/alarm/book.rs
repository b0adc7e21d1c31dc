//! All alarms of a gateway, and what people do with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::state::{Alarm, AlarmSpec, AlarmState, Comment, EventId, Reading};
use super::words::Words;
use crate::types::Timestamp;

/// Why nothing was done with an alarm.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AlarmError {
    #[error("there is no such alarm")]
    Unknown,
    /// The event is not of the alarm's present state: it has become worse since, or was never reported so.
    #[error("the event is not one of the alarm's present state; look at the newest one")]
    EventUnknown,
    #[error("the alarm is acknowledged already")]
    AlreadyAcknowledged,
    #[error("the alarm is disabled")]
    Disabled,
    #[error("the alarm is disabled already")]
    AlreadyDisabled,
    #[error("the alarm is enabled already")]
    AlreadyEnabled,
    /// Whether something was changed is not known.
    #[error("the gateway does not answer in time; look at the alarm again")]
    NoAnswer,
}

/// Which alarms.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Those that concern one machine, by its index.
    Machine(u16),
    /// All.
    Gateway,
}

impl Scope {
    fn contains(self, spec: &AlarmSpec) -> bool {
        match self {
            Self::Machine(machine) => spec.machines.contains(&machine),
            Self::Gateway => true,
        }
    }
}

/// What is kept over a restart: states by path, and the last number of an event.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    states: BTreeMap<String, AlarmState>,
    events: u64,
}

/// All alarms.
#[derive(Clone, PartialEq, Debug)]
pub struct Alarms {
    alarms: Vec<Alarm>,
    /// Events numbered so far.
    events: u64,
}

impl Alarms {
    /// All at rest since `time`.
    pub fn new(specs: &[Arc<AlarmSpec>], time: Timestamp) -> Self {
        Self { alarms: specs.iter().map(|spec| Alarm::new(spec.clone(), time)).collect(), events: 0 }
    }

    /// As they were left. An alarm that is not there any more is forgotten, a new one is at rest.
    pub fn restore(&mut self, kept: Kept) {
        self.events = self.events.max(kept.events);
        let mut states = kept.states;
        for alarm in &mut self.alarms {
            if let Some(state) = states.remove(&*alarm.spec.path) {
                alarm.state = state;
            }
        }
    }

    /// What [`Self::restore`] takes.
    pub fn keep(&self) -> Kept {
        let states = self.alarms.iter().map(|a| (a.spec.path.to_string(), a.state.clone())).collect();
        Kept { states, events: self.events }
    }

    /// In the order of their specifications.
    pub fn all(&self) -> &[Alarm] {
        &self.alarms
    }

    pub fn find(&self, path: &str) -> Option<&Alarm> {
        self.alarms.iter().find(|a| &*a.spec.path == path)
    }

    /// An id for an event that is no alarm.
    pub fn next_event(&mut self, time: Timestamp) -> EventId {
        self.events = self.events.wrapping_add(1);
        EventId::new(time, self.events)
    }

    /// Takes what is said of one alarm; the alarm, where that is news.
    pub fn observe(&mut self, index: usize, reading: Reading, time: Timestamp) -> Option<&Alarm> {
        let news = self.alarms.get_mut(index)?.observe(reading, time);
        if news { Some(self.report(index, time)) } else { None }
    }

    fn report(&mut self, index: usize, time: Timestamp) -> &Alarm {
        let event = self.next_event(time);
        self.alarms[index].report(event, time);
        &self.alarms[index]
    }

    /// Index of an enabled alarm of which `event` told.
    fn told(&self, path: &str, event: &EventId) -> Result<usize, AlarmError> {
        let index = self.alarms.iter().position(|a| &*a.spec.path == path).ok_or(AlarmError::Unknown)?;
        let state = &self.alarms[index].state;
        match (state.enabled, state.knows(event)) {
            (false, _) => Err(AlarmError::Disabled),
            (true, false) => Err(AlarmError::EventUnknown),
            (true, true) => Ok(index),
        }
    }

    /// Somebody has seen the state that `event` told of.
    pub fn acknowledge(&mut self, path: &str, event: &EventId, comment: Comment) -> Result<&Alarm, AlarmError> {
        let index = self.told(path, event)?;
        if self.alarms[index].state.acked {
            return Err(AlarmError::AlreadyAcknowledged);
        }
        Ok(self.acknowledged(index, comment))
    }

    fn acknowledged(&mut self, index: usize, comment: Comment) -> &Alarm {
        let time = comment.time;
        self.alarms[index].acknowledge(time);
        self.say(index, comment);
        self.report(index, time)
    }

    /// Somebody has seen all that is not acknowledged, of the given bits of the alarm words. Returns their paths.
    pub fn acknowledge_all(&mut self, scope: Scope, bits: u16, comment: &Comment) -> Vec<Arc<str>> {
        let of = |a: &Alarm| a.state.enabled && !a.state.acked && scope.contains(&a.spec) && a.bit() & bits != 0;
        let due: Vec<usize> = self.alarms.iter().enumerate().filter(|(_, a)| of(a)).map(|(k, _)| k).collect();
        due.into_iter().map(|index| self.acknowledged(index, comment.clone()).spec.path.clone()).collect()
    }

    /// Adds a comment to the state that `event` told of.
    pub fn comment(&mut self, path: &str, event: &EventId, comment: Comment) -> Result<&Alarm, AlarmError> {
        let index = self.told(path, event)?;
        let time = comment.time;
        self.say(index, comment);
        Ok(self.report(index, time))
    }

    /// An empty comment leaves the one before; whoever was there last is noted anyway.
    fn say(&mut self, index: usize, comment: Comment) {
        let kept = &mut self.alarms[index].state.comment;
        if comment.text.is_empty() {
            kept.user = comment.user;
        } else {
            *kept = comment;
        }
    }

    /// Switches an alarm off or on again.
    pub fn enable(&mut self, path: &str, enabled: bool, time: Timestamp) -> Result<&Alarm, AlarmError> {
        let index = self.alarms.iter().position(|a| &*a.spec.path == path).ok_or(AlarmError::Unknown)?;
        match (self.alarms[index].state.enabled, enabled) {
            (true, true) => Err(AlarmError::AlreadyEnabled),
            (false, false) => Err(AlarmError::AlreadyDisabled),
            _ => {
                self.alarms[index].enable(enabled, time);
                Ok(self.report(index, time))
            }
        }
    }

    /// The alarm words of a scope; `flags` are bits that are no alarms.
    pub fn words(&self, scope: Scope, flags: u16) -> Words {
        Words::of(self.alarms.iter().filter(|a| scope.contains(&a.spec)), flags)
    }
}
