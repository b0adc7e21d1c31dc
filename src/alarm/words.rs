//! Alarms as bits, for panels that know no alarms.

use super::state::Alarm;
use crate::types::Timestamp;

/// A model fails, or a bundle that was brought has failed its checks: no alarm, acknowledging it ends the latter.
pub const MODEL_FAILURE: u16 = 1 << 6;
/// An activated model awaits its confirmation.
pub const MODEL_AWAITING: u16 = 1 << 9;
/// A retraining buffer is ready to be fetched: no alarm, never to be acknowledged here.
pub const BUFFER_READY: u16 = 1 << 7;
/// A retraining buffer holds the rows it was to hold.
pub const BUFFER_FULL: u16 = 1 << 8;

/// What the variables of AlarmWordsType show.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Words {
    /// Bits of active alarms, and flags.
    pub active: u16,
    /// Bits of alarms that nobody has acknowledged yet, also when they are over.
    pub unacked: u16,
    /// Active alarms.
    pub count: u16,
    /// Of the active alarms; 0 for none.
    pub highest: u16,
    /// Of the last change of any alarm.
    pub text: String,
    /// `None` before the first.
    pub time: Option<Timestamp>,
}

impl Words {
    pub(super) fn of<'a>(alarms: impl Iterator<Item = &'a Alarm>, flags: u16) -> Self {
        let mut words = Self { active: flags, ..Self::default() };
        for alarm in alarms {
            let state = &alarm.state;
            if state.enabled && state.active {
                words.active |= alarm.bit();
                words.count += 1;
                words.highest = words.highest.max(state.severity);
            }
            if state.enabled && !state.acked {
                words.unacked |= alarm.bit();
            }
            // Without a message nothing has ever happened.
            if !state.message.is_empty() && words.time.is_none_or(|t| t <= state.time) {
                (words.text, words.time) = (state.message.clone(), Some(state.time));
            }
        }
        words
    }

    /// Whether an alarm is active; flags are none.
    pub fn any_active(&self) -> bool {
        self.count > 0
    }

    pub fn has(&self, bit: u16) -> bool {
        self.active & (1 << bit) != 0
    }
}
