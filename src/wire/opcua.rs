//! async-opcua's types <-> the project's.

use std::sync::Arc;

use opcua::types::{DataValue, DateTime, StatusCode, UAString, Variant};

use crate::types::{Cause, Quality, Scalar, ScalarKind, Timestamp, Value};

/// OPC UA ticks (100 ns since 1601) between 1601 and 1970.
const TICKS_TO_EPOCH: i64 = 116_444_736_000_000_000;

pub fn to_date_time(time: Timestamp) -> DateTime {
    DateTime::from(time.as_nanos().div_euclid(100) + TICKS_TO_EPOCH)
}

pub fn from_date_time(time: &DateTime) -> Timestamp {
    Timestamp::from_nanos(time.ticks().saturating_sub(TICKS_TO_EPOCH).saturating_mul(100))
}

/// The quality that a PLC's status code says.
pub fn to_quality(status: StatusCode) -> Quality {
    if status.is_good() {
        return if status.overflow() { Quality::Uncertain(Cause::Overflow) } else { Quality::Good };
    }
    let code = StatusCode::from(status.bits() & 0xFFFF_0000);
    if status.is_uncertain() {
        return Quality::Uncertain(match code {
            StatusCode::UncertainLastUsableValue => Cause::LastUsable,
            _ => Cause::Status(code.bits()),
        });
    }
    Quality::Bad(match code {
        StatusCode::BadNodeIdUnknown | StatusCode::BadNodeIdInvalid => Cause::UnknownAddress,
        StatusCode::BadSensorFailure | StatusCode::BadDeviceFailure => Cause::SensorFailure,
        StatusCode::BadNoCommunication | StatusCode::BadCommunicationError | StatusCode::BadNotConnected => Cause::ConnectionLost,
        StatusCode::BadWaitingForInitialData | StatusCode::BadNoData => Cause::NoData,
        StatusCode::BadTypeMismatch => Cause::WrongType,
        StatusCode::BadOutOfRange => Cause::OutOfRange,
        _ => Cause::Status(code.bits()),
    })
}

/// The status code that clients of our server see.
pub fn from_quality(quality: Quality) -> StatusCode {
    match quality {
        Quality::Good => StatusCode::Good,
        Quality::Uncertain(Cause::LastUsable) => StatusCode::UncertainLastUsableValue,
        Quality::Uncertain(Cause::Status(code)) | Quality::Bad(Cause::Status(code)) => StatusCode::from(code),
        Quality::Uncertain(_) => StatusCode::Uncertain,
        Quality::Bad(cause) => match cause {
            Cause::NoData => StatusCode::BadWaitingForInitialData,
            Cause::Stale => StatusCode::BadNoCommunication,
            Cause::ConnectionLost => StatusCode::BadCommunicationError,
            Cause::UnknownAddress => StatusCode::BadConfigurationError,
            Cause::WrongType => StatusCode::BadTypeMismatch,
            Cause::OutOfRange => StatusCode::BadOutOfRange,
            Cause::SensorFailure | Cause::Stuck | Cause::Jump | Cause::Saturated => StatusCode::BadSensorFailure,
            Cause::SwitchedOff => StatusCode::BadOutOfService,
            Cause::NotFinite | Cause::WrongLength | Cause::Overflow | Cause::LastUsable | Cause::FromHistory | Cause::Status(_) => {
                StatusCode::Bad
            }
        },
    }
}

/// A PLC's value; `None` for types that are no signal or setting (null, structures, nested arrays).
pub fn to_value(variant: &Variant) -> Option<Value> {
    Some(match variant {
        Variant::Boolean(v) => Value::Bool(*v),
        Variant::SByte(v) => Value::Integer(i64::from(*v)),
        Variant::Byte(v) => Value::Integer(i64::from(*v)),
        Variant::Int16(v) => Value::Integer(i64::from(*v)),
        Variant::UInt16(v) => Value::Integer(i64::from(*v)),
        Variant::Int32(v) => Value::Integer(i64::from(*v)),
        Variant::UInt32(v) => Value::Integer(i64::from(*v)),
        Variant::Int64(v) => Value::Integer(*v),
        // Beyond i64 only the magnitude matters.
        Variant::UInt64(v) => i64::try_from(*v).map_or(Value::Real(*v as f64), Value::Integer),
        Variant::Float(v) => Value::Real(f64::from(*v)),
        Variant::Double(v) => Value::Real(*v),
        Variant::String(v) => Value::Text(Arc::from(v.as_ref())),
        Variant::LocalizedText(v) => Value::Text(Arc::from(v.text.as_ref())),
        Variant::Array(array) => {
            let numbers: Option<Vec<f64>> = array.values.iter().map(|v| to_value(v)?.number()).collect();
            Value::Block(numbers?.into())
        }
        _ => return None,
    })
}

pub fn from_scalar(scalar: &Scalar) -> Variant {
    match scalar {
        Scalar::Bool(v) => Variant::Boolean(*v),
        Scalar::U16(v) => Variant::UInt16(*v),
        Scalar::U32(v) => Variant::UInt32(*v),
        Scalar::F64(v) => Variant::Double(*v),
        Scalar::Text(v) => Variant::String(UAString::from(v.as_ref())),
        Scalar::Time(v) => Variant::DateTime(Box::new(to_date_time(*v))),
    }
}

/// A written value of exactly the wanted type; `None` is BadTypeMismatch.
pub fn to_scalar(variant: &Variant, kind: ScalarKind) -> Option<Scalar> {
    Some(match (kind, variant) {
        (ScalarKind::Bool, Variant::Boolean(v)) => Scalar::Bool(*v),
        (ScalarKind::U16, Variant::UInt16(v)) => Scalar::U16(*v),
        (ScalarKind::U32, Variant::UInt32(v)) => Scalar::U32(*v),
        (ScalarKind::F64, Variant::Double(v)) => Scalar::F64(*v),
        (ScalarKind::Text, Variant::String(v)) => Scalar::Text(Arc::from(v.as_ref())),
        (ScalarKind::Time, Variant::DateTime(v)) => Scalar::Time(from_date_time(v)),
        _ => return None,
    })
}

/// A value as clients of our server get it: no value where the quality is bad.
pub fn data_value(value: Option<&Scalar>, quality: Quality, time: Timestamp) -> DataValue {
    let time = to_date_time(time);
    DataValue {
        value: value.filter(|_| quality.is_usable()).map(from_scalar),
        status: Some(from_quality(quality)),
        source_timestamp: Some(time),
        source_picoseconds: None,
        server_timestamp: Some(time),
        server_picoseconds: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_ticks() {
        let t = Timestamp::parse("2026-01-31T12:00:00.123Z").unwrap();
        assert_eq!(from_date_time(&to_date_time(t)), t);
        assert_eq!(to_date_time(t).to_rfc3339(), "2026-01-31T12:00:00.123Z");
    }

    #[test]
    fn bad_values_lose_their_value_and_keep_their_cause() {
        assert_eq!(to_quality(StatusCode::BadSensorFailure), Quality::Bad(Cause::SensorFailure));
        assert_eq!(to_quality(StatusCode::Good.set_overflow(true)), Quality::Uncertain(Cause::Overflow));
        let dv = data_value(Some(&Scalar::F64(1.0)), Quality::Bad(Cause::Stale), Timestamp::EPOCH);
        assert_eq!((dv.value, dv.status), (None, Some(StatusCode::BadNoCommunication)));
    }

    #[test]
    fn arrays_of_numbers_are_blocks() {
        assert_eq!(to_value(&Variant::from(vec![1.0f32, 2.0])), Some(Value::Block(vec![1.0, 2.0].into())));
        assert_eq!(to_value(&Variant::Empty), None);
        assert_eq!(to_scalar(&Variant::Int32(1), ScalarKind::U32), None);
    }
}
