//! What is told of sensors that give values which cannot be: once when it begins, once when it is over.

use std::time::Duration;

use super::MachineCore;
use crate::types::{Cause, EventKind, Frame, Quality, Timestamp};

/// A sensor counts as well again when it has been plausible for so long: values that flicker are told once.
const QUIET: Duration = Duration::from_secs(60);

/// What was last told of one signal: the cause, and when it was last seen.
pub(super) type Told = Option<(Cause, Timestamp)>;

impl MachineCore {
    /// Events of sensors that have broken, or are well again.
    pub(super) fn tell_of_sensors(&mut self, frame: &Frame) {
        for k in 0..self.sensors.len() {
            let found = frame.channels.get(k).and_then(|channel| match channel.quality {
                Quality::Bad(cause @ (Cause::Stuck | Cause::Jump | Cause::Saturated | Cause::OutOfRange | Cause::SensorFailure)) => {
                    Some(cause)
                }
                _ => None,
            });
            let usable = frame.channels.get(k).is_some_and(|channel| channel.quality.is_usable());
            let said = match (found, self.sensors[k]) {
                (Some(cause), told) => {
                    self.sensors[k] = Some((cause, frame.time));
                    told.is_none_or(|(before, _)| before != cause).then(|| format!("is Bad: {cause}; its features are left out"))
                }
                (None, Some((_, last))) if usable && frame.time.since(last) >= QUIET => {
                    self.sensors[k] = None;
                    Some("is plausible again".to_string())
                }
                _ => None,
            };
            if let Some(said) = said {
                let text = format!("{}: signal {} {said}", self.unit, self.config.signals[k].name);
                self.push_event(EventKind::Note { text });
            }
        }
    }
}
