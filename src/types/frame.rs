use super::{Quality, Timestamp, Value};

/// One channel of a frame: the last value at or before the frame's time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Channel {
    pub value: Option<Value>,
    pub quality: Quality,
    /// When the PLC took the value.
    pub source_time: Timestamp,
}

impl Channel {
    pub fn good(value: Value, source_time: Timestamp) -> Self {
        Self { value: Some(value), quality: Quality::Good, source_time }
    }

    pub fn bad(cause: super::Cause) -> Self {
        Self { value: None, quality: Quality::Bad(cause), source_time: Timestamp::EPOCH }
    }

    /// The value where it can be computed with.
    pub fn usable(&self) -> Option<&Value> {
        self.value.as_ref().filter(|_| self.quality.is_usable())
    }
}

/// All values of a machine at one time: its signals in the order of the configuration, its settings, the labels of its models.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Frame {
    pub time: Timestamp,
    pub channels: Vec<Channel>,
}
