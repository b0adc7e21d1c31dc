//! Values of the past as OPC UA has them.

use opcua::types::{DataValue, HistoryData, StatusCode, Variant};

use crate::history::{Aggregate, Grade, Processed};
use crate::types::{Historic, ScalarKind};
use crate::wire::opcua::{data_value, to_date_time};

/// The status belongs to a value.
const INFO_DATA_VALUE: u32 = 1 << 10;
const CALCULATED: u32 = 1;
const PARTIAL: u32 = 1 << 2;

/// With their source times; when they came to the server is not kept.
pub(super) fn raw(values: Vec<Historic>) -> HistoryData {
    let values = values.into_iter().map(|v| {
        let value = data_value(v.value.as_ref(), v.quality, v.time);
        DataValue { server_timestamp: None, ..value }
    });
    HistoryData { data_values: Some(values.collect()) }
}

/// Count is a whole number; extremes have the type of the variable; averages are Double.
pub(super) fn processed(aggregate: Aggregate, kind: Option<ScalarKind>, results: Vec<Processed>) -> HistoryData {
    let values = results.into_iter().map(|result| DataValue {
        value: result.value.map(|x| variant(aggregate, kind, x)),
        status: Some(status(&result)),
        source_timestamp: Some(to_date_time(result.time)),
        ..DataValue::default()
    });
    HistoryData { data_values: Some(values.collect()) }
}

fn variant(aggregate: Aggregate, kind: Option<ScalarKind>, x: f64) -> Variant {
    match (aggregate, kind) {
        // Both saturate; neither comes near it.
        (Aggregate::Count, _) => Variant::Int32(x as i32),
        (Aggregate::Minimum | Aggregate::Maximum, Some(ScalarKind::U16)) => Variant::UInt16(x as u16),
        (Aggregate::Minimum | Aggregate::Maximum, Some(ScalarKind::U32)) => Variant::UInt32(x as u32),
        (Aggregate::Minimum | Aggregate::Maximum, Some(ScalarKind::Bool)) => Variant::Boolean(x != 0.0),
        _ => Variant::Double(x),
    }
}

fn status(result: &Processed) -> StatusCode {
    let code = match result.grade {
        Grade::Good => StatusCode::Good,
        Grade::Uncertain => StatusCode::UncertainDataSubNormal,
        Grade::Bad => StatusCode::Bad,
        Grade::NoData => StatusCode::BadNoData,
    };
    let calculated = if result.raw || result.grade == Grade::NoData { 0 } else { CALCULATED };
    let bits = calculated | if result.partial { PARTIAL } else { 0 };
    StatusCode::from(code.bits() | if bits == 0 { 0 } else { INFO_DATA_VALUE | bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    #[test]
    fn statuses_are_those_of_the_standard() {
        let result = |grade, raw, partial| Processed { time: Timestamp::EPOCH, value: Some(1.0), grade, raw, partial };
        for (result, bits) in [
            (result(Grade::Good, false, false), 0x0000_0401),
            (result(Grade::Good, true, false), 0x0000_0000),
            (result(Grade::Good, false, true), 0x0000_0405),
            (result(Grade::Uncertain, false, false), 0x40A4_0401),
            (result(Grade::NoData, false, false), 0x809B_0000),
        ] {
            assert_eq!(status(&result).bits(), bits, "{result:?}");
        }
    }

    #[test]
    fn extremes_keep_the_type() {
        assert_eq!(variant(Aggregate::Maximum, Some(ScalarKind::U16), 4.0), Variant::UInt16(4));
        assert_eq!(variant(Aggregate::Average, Some(ScalarKind::U16), 4.0), Variant::Double(4.0));
        assert_eq!(variant(Aggregate::Count, Some(ScalarKind::F64), 4.0), Variant::Int32(4));
    }
}
