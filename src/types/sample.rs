use serde::{Deserialize, Serialize};

use super::{Quality, Timestamp, Value};

/// Which channel of which machine a sample belongs to: indexes into the checked configuration.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SampleId {
    /// Index of the machine in the configuration.
    pub machine: u16,
    /// Index of the channel in the machine: signals first, then settings.
    pub channel: u16,
}

/// One value from a PLC. A failed read is a sample too: with a bad quality and no value.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    pub id: SampleId,
    /// `None` where the quality is bad.
    pub value: Option<Value>,
    pub quality: Quality,
    /// When the PLC took the value.
    pub source_time: Timestamp,
    /// When the gateway received it.
    pub receive_time: Timestamp,
    /// Nothing new: the PLC has been asked, and the value of the sample before still holds. Such a sample keeps a value from becoming stale and makes no row.
    pub repeated: bool,
}
