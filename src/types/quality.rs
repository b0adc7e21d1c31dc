use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a value can be believed. Bad data is never shown as good.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Quality {
    Good,
    /// Usable with reserve; judged, but the prediction is not trusted.
    Uncertain(Cause),
    /// Not usable.
    Bad(Cause),
}

/// Why a value is not good.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing received yet.
    NoData,
    /// Older than the machine's `max_age`.
    Stale,
    /// The connection to the PLC is lost.
    ConnectionLost,
    /// The PLC does not know the address (any more).
    UnknownAddress,
    /// The value has another type than configured.
    WrongType,
    /// NaN or infinite.
    NotFinite,
    /// Outside the signal's configured range.
    OutOfRange,
    /// Exactly the same for longer than the signal can be.
    Stuck,
    /// Changed faster than the signal can.
    Jump,
    /// At an end of what the converter can give.
    Saturated,
    /// A waveform block of the wrong length.
    WrongLength,
    /// The PLC reports a sensor failure.
    SensorFailure,
    /// The last value before a fault; the PLC says so itself.
    LastUsable,
    /// Values between were lost: a queue was full.
    Overflow,
    /// The PLC's own status code (OPC UA), where no word above fits.
    Status(u32),
    /// The source is switched off.
    SwitchedOff,
    /// Told later by the PLC, from its history or its queues: the connection was lost then.
    FromHistory,
}

impl Default for Quality {
    /// A value that was never received.
    fn default() -> Self {
        Self::Bad(Cause::NoData)
    }
}

impl Quality {
    pub fn is_good(self) -> bool {
        self == Self::Good
    }

    /// Good or Uncertain: there is a value to compute with.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Good | Self::Uncertain(_))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoData => "no data yet",
            Self::Stale => "stale",
            Self::ConnectionLost => "connection lost",
            Self::UnknownAddress => "address unknown to the PLC",
            Self::WrongType => "wrong type",
            Self::NotFinite => "not a finite number",
            Self::OutOfRange => "out of range",
            Self::Stuck => "stuck: exactly the same for too long",
            Self::Jump => "changed faster than it can",
            Self::Saturated => "saturated",
            Self::WrongLength => "block of the wrong length",
            Self::SensorFailure => "sensor failure",
            Self::LastUsable => "last usable value",
            Self::Overflow => "values lost before it",
            Self::SwitchedOff => "source switched off",
            Self::FromHistory => "filled from what the PLC has kept",
            Self::Status(code) => return write!(f, "status 0x{code:08X}"),
        })
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("Good"),
            Self::Uncertain(cause) => write!(f, "Uncertain ({cause})"),
            Self::Bad(cause) => write!(f, "Bad ({cause})"),
        }
    }
}
