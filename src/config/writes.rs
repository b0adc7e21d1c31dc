//! What is written into PLCs: nothing but what is listed, and how each value becomes one of the PLC's type.

use std::time::Duration;

use super::{Config, RegisterType};
use crate::types::{Encoded, NumberType, Output};

/// One value that is written into a PLC.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteConfig {
    pub value: Written,
    /// Index of the source.
    pub source: usize,
    /// In the PLC's own notation; of Modbus a holding register or a coil.
    pub address: String,
    /// Of Modbus registers. Over OPC UA the node's own type is taken.
    pub register_type: RegisterType,
    /// The number is written times this; not 0, 1 for all but [`Written::DriftIndex`].
    pub scale: f64,
    /// Written at least so often.
    pub interval: Duration,
    /// What is written where nothing is known; `None`: [`WriteConfig::encode`] says what.
    pub when_bad: Option<f64>,
    /// Nothing is known where the machine had no row for so long.
    pub stale_after: Duration,
}

/// What is written into a source: the number of the machine and the write, over all machines.
pub fn writes_of(config: &Config, source: usize) -> Vec<(usize, &WriteConfig)> {
    let machines = config.machines.iter().enumerate();
    machines.flat_map(|(m, machine)| machine.writes.iter().filter(move |w| w.source == source).map(move |w| (m, w))).collect()
}

/// What can be written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// [`DriftStatus`](crate::types::DriftStatus) of the machine; not known: 0, which is NotEvaluated.
    DriftStatus,
    /// The machine's drift index: 1 is the threshold.
    DriftIndex,
    /// 1: a model reports a fault; 0: a trusted prediction of every model says that there is none.
    Fault,
    /// 1: the settings were never trained; 0: they were.
    OutsideEnvelope,
    /// Number of the regime's slot, R01 is 1; 0: none, or not known.
    Regime,
    /// [`RegimeState`](crate::types::RegimeState).
    RegimeState,
    /// 1: the predictions of all models can be trusted; 0: not so, or not known.
    Trusted,
    /// 1: rows come and are evaluated by the gateway; 0: not so.
    Fresh,
    /// The machine's alarms as bits.
    AlarmWord,
    /// Counts one up in each interval.
    Heartbeat,
}

/// Why a value cannot be written into a type.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Misfit {
    #[error("`{0}` does not fit into {1}: take a wider type")]
    TooNarrow(&'static str, &'static str),
    #[error("a bool cannot say that `{0}` is not known: set `when_bad` to true or false (1 or 0), or take an integer")]
    NoBadFlag(&'static str),
    #[error("when_bad `{0}` does not fit into {1}")]
    WhenBad(f64, &'static str),
}

impl Written {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DriftStatus => "drift_status",
            Self::DriftIndex => "drift_index",
            Self::Fault => "fault",
            Self::OutsideEnvelope => "outside_envelope",
            Self::Regime => "regime",
            Self::RegimeState => "regime_state",
            Self::Trusted => "trusted",
            Self::Fresh => "fresh",
            Self::AlarmWord => "alarm_word",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// The highest code; `None` where it is a number without an end.
    const fn most(self) -> Option<i128> {
        match self {
            Self::DriftStatus | Self::RegimeState => Some(6),
            Self::Fault | Self::OutsideEnvelope | Self::Trusted | Self::Fresh => Some(1),
            Self::Regime => Some(64),
            // Bits 10 to 15 are free.
            Self::AlarmWord => Some(0x03FF),
            Self::DriftIndex | Self::Heartbeat => None,
        }
    }

    /// The code among its own that stands for what is not known.
    const fn own_bad(self) -> Option<i128> {
        match self {
            Self::DriftStatus | Self::Regime | Self::Trusted | Self::Fresh => Some(0),
            _ => None,
        }
    }
}

impl WriteConfig {
    /// The type of its Modbus registers.
    pub const fn number_type(&self) -> NumberType {
        super::check::number_type(self.register_type)
    }

    /// Whether all that can be said fits into the type.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, target: NumberType) -> Result<(), Misfit> {
        let narrow = Misfit::TooNarrow(self.value.name(), target.name());
        let fits = match (target, self.value) {
            (NumberType::Bool, Written::Heartbeat) | (NumberType::F32 | NumberType::F64, _) => true,
            (NumberType::Bool, value) => value.most() == Some(1),
            (_, value) => target.range().zip(value.most()).is_none_or(|((_, high), most)| most <= high),
        };
        if !fits {
            return Err(narrow);
        }
        self.bad(target).map(|_| ())
    }

    /// The value in the PLC's type. A drift index beyond the type's range is its last value but one; what is not known is
    /// `when_bad`, else the value's own code for it, else NaN, the highest unsigned or the lowest signed integer.
    ///
    /// # Errors
    /// Where the type cannot hold what may have to be said.
    pub fn encode(&self, output: Output, target: NumberType) -> Result<Encoded, Misfit> {
        self.check(target)?;
        let number = match output {
            Output::Unknown => return self.bad(target),
            Output::Number(x) if x.is_nan() => return self.bad(target),
            Output::Number(x) => x * self.scale,
            Output::Count(n) => return Ok(counted(n, target)),
        };
        Ok(match (target, target.range()) {
            (NumberType::Bool, _) => Encoded::Bool(number != 0.0),
            // The ends are for what is not known.
            (_, Some((0, high))) => Encoded::Integer((number.round() as i128).clamp(0, high - 1)),
            (_, Some((low, high))) => Encoded::Integer((number.round() as i128).clamp(low + 1, high)),
            (NumberType::F32, None) => Encoded::Real(number.clamp(f64::from(f32::MIN), f64::from(f32::MAX))),
            (_, None) => Encoded::Real(number),
        })
    }

    fn bad(&self, target: NumberType) -> Result<Encoded, Misfit> {
        if let Some(bad) = self.when_bad {
            let misfit = Misfit::WhenBad(bad, target.name());
            return match (target, target.range()) {
                (NumberType::Bool, _) if bad == 0.0 || bad == 1.0 => Ok(Encoded::Bool(bad == 1.0)),
                (NumberType::Bool, _) => Err(misfit),
                (_, Some((low, high))) if bad.fract() == 0.0 && (low..=high).contains(&(bad as i128)) => Ok(Encoded::Integer(bad as i128)),
                (_, Some(_)) => Err(misfit),
                (_, None) => Ok(Encoded::Real(bad)),
            };
        }
        Ok(match (target, target.range(), self.value.own_bad()) {
            (NumberType::Bool, _, Some(code)) => Encoded::Bool(code != 0),
            // Its standstill says it.
            (NumberType::Bool, ..) if self.value == Written::Heartbeat => Encoded::Bool(false),
            (NumberType::Bool, ..) => return Err(Misfit::NoBadFlag(self.value.name())),
            (_, Some(_), Some(code)) => Encoded::Integer(code),
            (_, Some((0, high)), None) => Encoded::Integer(high),
            (_, Some((low, _)), None) => Encoded::Integer(low),
            (_, None, Some(code)) => Encoded::Real(code as f64),
            (_, None, None) => Encoded::Real(f64::NAN),
        })
    }
}

/// A counter that begins at 0 again after the highest value.
fn counted(n: u64, target: NumberType) -> Encoded {
    match (target, target.range()) {
        (NumberType::Bool, _) => Encoded::Bool(n % 2 == 1),
        (_, Some((_, high))) => Encoded::Integer(i128::from(n) % (high + 1)),
        // All whole numbers below are exact.
        (NumberType::F32, None) => Encoded::Real((n % (1 << 24)) as f64),
        (_, None) => Encoded::Real((n % (1 << 53)) as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: Written) -> WriteConfig {
        WriteConfig {
            value,
            source: 0,
            address: String::new(),
            register_type: RegisterType::U16,
            scale: 1.0,
            interval: Duration::from_secs(1),
            when_bad: None,
            stale_after: Duration::from_secs(5),
        }
    }

    #[test]
    fn what_is_not_known_is_never_a_value() {
        let bad = |value, target| write(value).encode(Output::Unknown, target).unwrap();
        assert_eq!(bad(Written::DriftStatus, NumberType::U16), Encoded::Integer(0));
        assert_eq!(bad(Written::Fault, NumberType::U16), Encoded::Integer(65_535));
        assert_eq!(bad(Written::Fault, NumberType::I16), Encoded::Integer(-32_768));
        assert_eq!(bad(Written::Fault, NumberType::U8), Encoded::Integer(255));
        assert_eq!(bad(Written::Trusted, NumberType::Bool), Encoded::Bool(false));
        assert!(matches!(bad(Written::DriftIndex, NumberType::F32), Encoded::Real(x) if x.is_nan()));
        // The index never looks like it, however large.
        let index = WriteConfig { scale: 100.0, ..write(Written::DriftIndex) };
        assert_eq!(index.encode(Output::Number(1e9), NumberType::U16), Ok(Encoded::Integer(65_534)));
        assert_eq!(index.encode(Output::Number(f64::NAN), NumberType::U16), Ok(Encoded::Integer(65_535)));
        assert_eq!(index.encode(Output::Number(1.234), NumberType::U16), Ok(Encoded::Integer(123)));
    }

    #[test]
    fn a_flag_of_one_bit_needs_a_word_for_it() {
        let flag = write(Written::Fault);
        assert_eq!(flag.check(NumberType::Bool), Err(Misfit::NoBadFlag("fault")));
        let flag = WriteConfig { when_bad: Some(1.0), ..flag };
        assert_eq!(flag.encode(Output::Unknown, NumberType::Bool), Ok(Encoded::Bool(true)));
        assert_eq!(flag.encode(Output::Number(0.0), NumberType::Bool), Ok(Encoded::Bool(false)));
        let odd = WriteConfig { when_bad: Some(-1.0), ..flag };
        assert_eq!(odd.check(NumberType::U16), Err(Misfit::WhenBad(-1.0, "u16")));
        assert_eq!(odd.check(NumberType::I16), Ok(()));
    }

    #[test]
    fn codes_fit_or_are_refused() {
        assert!(write(Written::DriftStatus).check(NumberType::Bool).is_err());
        assert!(write(Written::AlarmWord).check(NumberType::U8).is_err());
        assert!(write(Written::AlarmWord).check(NumberType::U16).is_ok());
        assert!(write(Written::Regime).check(NumberType::I8).is_ok());
    }

    #[test]
    fn a_heartbeat_begins_anew() {
        let beat = |n, target| write(Written::Heartbeat).encode(Output::Count(n), target).unwrap();
        assert_eq!(beat(65_536, NumberType::U16), Encoded::Integer(0));
        assert_eq!(beat(32_768, NumberType::I16), Encoded::Integer(0));
        assert_eq!([beat(2, NumberType::Bool), beat(3, NumberType::Bool)], [Encoded::Bool(false), Encoded::Bool(true)]);
        assert_eq!(beat(1 << 24, NumberType::F32), Encoded::Real(0.0));
    }
}
