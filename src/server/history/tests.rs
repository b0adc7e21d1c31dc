use std::collections::HashMap;

use opcua::client::{HistoryReadAction, Session};
use opcua::types::{
    AttributeId, ByteString, DataValue, HistoryReadResult, HistoryReadValueId, NumericRange, QualifiedName, ReadValueId, VariableId,
    Variant,
};

use super::super::Access;
use super::super::instantiate::node_id;
use super::super::tests::Bench;
use super::*;
use crate::store::{FeatureRow, Record, ValueRow};
use crate::types::{Cause, Channel, Frame, Quality, Scalar, Value};
use crate::wire::opcua::to_date_time;

const TEMPERATURE: &str = "Motor1.Signals.Temperature";
const STATUS: &str = "Motor1.Drift.Status";
const SCORE: &str = "Motor1.Models.Stator.Inference.Score";
/// Seconds of the first row.
const BEGIN: i64 = 1_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// A row a second: the temperature rises by one each, from 0; and a score of a quarter of it. Row 5 has a Bad temperature.
fn fill(store: &dyn Store, rows: i64) {
    for k in 0..rows {
        let temperature = match k {
            5 => Channel::bad(Cause::SensorFailure),
            _ => Channel::good(Value::Real(k as f64), at(BEGIN + k)),
        };
        let voltage = Channel::good(Value::Real(164.0), at(BEGIN + k));
        let product = Channel::good(Value::Text("A".into()), at(BEGIN + k));
        // As configured: Flux, Temperature; Voltage, Product; the label.
        let channels = vec![Channel::bad(Cause::NoData), temperature, voltage, product, Channel::bad(Cause::NoData)];
        let frame = Frame { time: at(BEGIN + k), channels };
        store.apply(Record::Frame { machine: 0, row: k as u64, frame: frame.into() }).unwrap();
        let row = FeatureRow { row: k as u64, time: at(BEGIN + k), scores: vec![k as f64 / 4.0], ..FeatureRow::default() };
        store.apply(Record::Features { machine: 0, row }).unwrap();
    }
}

fn change(store: &dyn Store, path: &str, seconds: i64, value: Option<Scalar>) {
    let quality = if value.is_some() { Quality::Good } else { Quality::Bad(Cause::ConnectionLost) };
    store.apply(Record::Value(ValueRow { path: path.into(), time: at(seconds), value, quality })).unwrap();
}

fn asked(path: &str, point: &ByteString) -> HistoryReadValueId {
    HistoryReadValueId {
        node_id: node_id(path),
        index_range: NumericRange::None,
        data_encoding: QualifiedName::null(),
        continuation_point: point.clone(),
    }
}

fn details(start: i64, end: i64, count: u32, bounds: bool) -> ReadRawModifiedDetails {
    ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: to_date_time(at(start)),
        end_time: to_date_time(at(end)),
        num_values_per_node: count,
        return_bounds: bounds,
    }
}

async fn send(session: &Session, action: HistoryReadAction, node: HistoryReadValueId) -> HistoryReadResult {
    session.history_read(action, TimestampsToReturn::Source, false, &[node]).await.unwrap().remove(0)
}

async fn raw(session: &Session, path: &str, details: ReadRawModifiedDetails) -> HistoryReadResult {
    send(session, HistoryReadAction::ReadRawModifiedDetails(details), asked(path, &ByteString::null())).await
}

fn values(result: &HistoryReadResult) -> Vec<DataValue> {
    result.history_data.inner_as::<HistoryData>().and_then(|data| data.data_values.clone()).unwrap_or_default()
}

/// Seconds and numbers of the values; `None` where they are Bad.
fn numbers(result: &HistoryReadResult) -> Vec<(i64, Option<f64>)> {
    let number = |v: &DataValue| match &v.value {
        Some(Variant::Double(x)) => Some(*x),
        Some(Variant::UInt16(x)) => Some(f64::from(*x)),
        Some(Variant::Int32(x)) => Some(f64::from(*x)),
        _ => None,
    };
    let seconds = |v: &DataValue| from_date_time(&v.source_timestamp.unwrap()).as_nanos() / 1_000_000_000;
    values(result).iter().map(|v| (seconds(v), number(v).filter(|_| v.status().is_good()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_read_with_their_quality() {
    let bench = Bench::start(Access::Demo).await;
    fill(bench.store.as_ref(), 10);
    let session = bench.connect().await;
    let result = raw(&session, TEMPERATURE, details(1_004, 1_007, 0, false)).await;
    assert_eq!(numbers(&result), [(1_004, Some(4.0)), (1_005, None), (1_006, Some(6.0))]);
    assert_eq!(values(&result)[1].status(), StatusCode::BadSensorFailure);
    let result = raw(&session, SCORE, details(1_002, 1_000, 0, true)).await;
    assert_eq!(numbers(&result), [(1_002, Some(0.5)), (1_001, Some(0.25)), (1_000, Some(0.0))]);
    // The rows end at 1,009 s: good for `max_age`, no more is known.
    let result = raw(&session, "Motor1.Settings.Product", details(1_009, 2_000, 0, false)).await;
    assert!(matches!(&values(&result)[..], [DataValue { value: Some(Variant::String(text)), .. }] if text.as_ref() == "A"));
    let nothing = raw(&session, TEMPERATURE, details(1, 2, 0, false)).await;
    assert_eq!((nothing.status_code, values(&nothing).len()), (StatusCode::GoodNoData, 0));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_the_gateway_is_a_gap() {
    let bench = Bench::start(Access::Demo).await;
    fill(bench.store.as_ref(), 3);
    let frame = Frame { time: at(1_100), channels: vec![Channel::good(Value::Real(7.0), at(1_100)); 5] };
    bench.store.apply(Record::Frame { machine: 0, row: 4, frame: frame.into() }).unwrap();
    change(bench.store.as_ref(), STATUS, 1_000, Some(Scalar::U16(2)));
    bench.store.apply(Record::Value(ValueRow::mark(at(1_002)))).unwrap();
    change(bench.store.as_ref(), STATUS, 1_100, Some(Scalar::U16(3)));
    let session = bench.connect().await;
    // The configuration's `max_age` is 5 s.
    let result = raw(&session, TEMPERATURE, details(1_001, 1_200, 0, false)).await;
    assert_eq!(numbers(&result), [(1_001, Some(1.0)), (1_002, Some(2.0)), (1_007, None), (1_100, Some(7.0))]);
    let result = raw(&session, STATUS, details(1_000, 1_200, 0, false)).await;
    assert_eq!(numbers(&result), [(1_000, Some(2.0)), (1_002, None), (1_100, Some(3.0))]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hang_together_and_points_are_single_use() {
    let bench = Bench::start(Access::Demo).await;
    fill(bench.store.as_ref(), 25);
    let session = bench.connect().await;
    let (mut all, mut point) = (Vec::new(), ByteString::null());
    loop {
        let action = HistoryReadAction::ReadRawModifiedDetails(details(1_010, 1_023, 5, false));
        let page = send(&session, action, asked(TEMPERATURE, &point)).await;
        assert_eq!(page.status_code, StatusCode::Good);
        all.extend(numbers(&page));
        if page.continuation_point.is_null_or_empty() {
            break;
        }
        point = page.continuation_point;
    }
    assert_eq!(all, (10..23).map(|k| (BEGIN + k, Some(k as f64))).collect::<Vec<_>>());
    let again = HistoryReadAction::ReadRawModifiedDetails(details(1_010, 1_023, 5, false));
    let spent = send(&session, again.clone(), asked(TEMPERATURE, &point)).await;
    assert_eq!(spent.status_code, StatusCode::BadContinuationPointInvalid);

    // Of another node: not taken.
    let page = send(&session, again.clone(), asked(TEMPERATURE, &ByteString::null())).await;
    let other = send(&session, again.clone(), asked(SCORE, &page.continuation_point)).await;
    assert_eq!(other.status_code, StatusCode::BadContinuationPointInvalid);

    // Released: gone.
    let page = send(&session, again.clone(), asked(TEMPERATURE, &ByteString::null())).await;
    let node = asked(TEMPERATURE, &page.continuation_point);
    let released = session.history_read(again.clone(), TimestampsToReturn::Source, true, std::slice::from_ref(&node)).await.unwrap();
    assert_eq!((released[0].status_code, released[0].history_data.is_null()), (StatusCode::Good, true));
    assert_eq!(send(&session, again.clone(), node).await.status_code, StatusCode::BadContinuationPointInvalid);

    // So many are kept, and no more.
    let mut last = StatusCode::Good;
    for _ in 0..21 {
        last = send(&session, again.clone(), asked(TEMPERATURE, &ByteString::null())).await.status_code;
    }
    assert_eq!(last, StatusCode::BadNoContinuationPoints);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_refused() {
    let bench = Bench::start(Access::Demo).await;
    fill(bench.store.as_ref(), 5);
    let session = bench.connect().await;
    let good = || HistoryReadAction::ReadRawModifiedDetails(details(1_000, 1_004, 0, false));
    let node = || asked(TEMPERATURE, &ByteString::null());
    let range = HistoryReadValueId { index_range: NumericRange::Index(1), ..node() };
    assert_eq!(send(&session, good(), range).await.status_code, StatusCode::BadIndexRangeNoData);
    let encoding = HistoryReadValueId { data_encoding: QualifiedName::new(0, "Default XML"), ..node() };
    assert_eq!(send(&session, good(), encoding).await.status_code, StatusCode::BadDataEncodingInvalid);
    let no_history = asked("Motor1.Drift.StatusText", &ByteString::null());
    assert_eq!(send(&session, good(), no_history).await.status_code, StatusCode::BadUserAccessDenied);
    let unknown = asked("Motor1.Nothing", &ByteString::null());
    assert_eq!(send(&session, good(), unknown).await.status_code, StatusCode::BadNodeIdUnknown);

    let modified = ReadRawModifiedDetails { is_read_modified: true, ..details(1_000, 1_004, 0, false) };
    assert_eq!(raw(&session, TEMPERATURE, modified).await.status_code, StatusCode::BadHistoryOperationUnsupported);
    let open = ReadRawModifiedDetails { end_time: DateTime::null(), ..details(1_000, 0, 0, false) };
    assert_eq!(raw(&session, TEMPERATURE, open).await.status_code, StatusCode::BadHistoryOperationInvalid);
    for (timestamps, status) in [
        (TimestampsToReturn::Server, StatusCode::BadTimestampNotSupported),
        (TimestampsToReturn::Neither, StatusCode::BadTimestampsToReturnInvalid),
    ] {
        let result = session.history_read(good(), timestamps, false, &[node()]).await.unwrap();
        assert_eq!(result[0].status_code, status);
    }
    bench.stop().await;
}

fn average(start: i64, end: i64, interval_ms: f64, function: ObjectId) -> ReadProcessedDetails {
    ReadProcessedDetails {
        start_time: to_date_time(at(start)),
        end_time: to_date_time(at(end)),
        processing_interval: interval_ms,
        aggregate_type: Some(vec![function.into()]),
        aggregate_configuration: AggregateConfiguration { use_server_capabilities_defaults: true, ..AggregateConfiguration::default() },
    }
}

async fn processed(session: &Session, path: &str, details: ReadProcessedDetails) -> HistoryReadResult {
    send(session, HistoryReadAction::ReadProcessedDetails(details), asked(path, &ByteString::null())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intervals_are_worked_out() {
    let bench = Bench::start(Access::Demo).await;
    fill(bench.store.as_ref(), 20);
    let session = bench.connect().await;
    let result = processed(&session, SCORE, average(1_000, 1_010, 5_000.0, ObjectId::AggregateFunction_Average)).await;
    assert_eq!(numbers(&result), [(1_000, Some(0.5)), (1_005, Some(1.75))]);
    assert_eq!(values(&result)[0].status().bits(), 0x401);
    // 5..10 has the Bad one: 6, 7, 8, 9 are good.
    let result = processed(&session, TEMPERATURE, average(1_000, 1_010, 5_000.0, ObjectId::AggregateFunction_Count)).await;
    assert_eq!(values(&result)[0].value, Some(Variant::Int32(5)));
    assert_eq!((values(&result)[1].value.clone(), values(&result)[1].status().bits()), (Some(Variant::Int32(4)), 0x40A4_0401));

    // A code holds until it changes: 2 for 4 s, 4 for 6 s.
    change(bench.store.as_ref(), STATUS, 1_000, Some(Scalar::U16(2)));
    change(bench.store.as_ref(), STATUS, 1_004, Some(Scalar::U16(4)));
    let result = processed(&session, STATUS, average(1_000, 1_010, 0.0, ObjectId::AggregateFunction_TimeAverage)).await;
    assert_eq!(numbers(&result), [(1_000, Some(3.2))]);
    let result = processed(&session, STATUS, average(1_000, 1_010, 0.0, ObjectId::AggregateFunction_Maximum)).await;
    assert_eq!(values(&result)[0].value, Some(Variant::UInt16(4)));

    for (details, status) in [
        (average(1_000, 1_010, 0.0, ObjectId::AggregateFunction_Range), StatusCode::BadAggregateNotSupported),
        (average(1_000, 1_010, f64::NAN, ObjectId::AggregateFunction_Average), StatusCode::BadAggregateInvalidInputs),
        (average(1_000, 1_000, 0.0, ObjectId::AggregateFunction_Average), StatusCode::BadInvalidArgument),
        (
            ReadProcessedDetails { aggregate_type: None, ..average(1_000, 1_010, 0.0, ObjectId::AggregateFunction_Count) },
            StatusCode::BadAggregateListMismatch,
        ),
    ] {
        assert_eq!(processed(&session, TEMPERATURE, details).await.status_code, status);
    }
    let text = average(1_000, 1_010, 0.0, ObjectId::AggregateFunction_Average);
    assert_eq!(processed(&session, "Motor1.Settings.Product", text).await.status_code, StatusCode::BadAggregateInvalidInputs);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_intervals_come_in_pages() {
    let bench = Bench::start(Access::Demo).await;
    fill(bench.store.as_ref(), 20);
    let session = bench.connect().await;
    let action = || HistoryReadAction::ReadProcessedDetails(average(1_000, 1_012, 1.0, ObjectId::AggregateFunction_Count));
    let first = send(&session, action(), asked(SCORE, &ByteString::null())).await;
    let second = send(&session, action(), asked(SCORE, &first.continuation_point)).await;
    let counted: i32 =
        values(&first).iter().chain(&values(&second)).map(|v| if let Some(Variant::Int32(n)) = v.value { n } else { 0 }).sum();
    assert_eq!((values(&first).len(), values(&second).len(), counted), (10_000, 2_000, 12));
    assert!(second.continuation_point.is_null_or_empty());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_offered_is_announced() {
    let bench = Bench::start(Access::Demo).await;
    let session = bench.connect().await;
    let nodes = [
        VariableId::HistoryServerCapabilities_AccessHistoryDataCapability,
        VariableId::HistoryServerCapabilities_AccessHistoryEventsCapability,
        VariableId::HistoryServerCapabilities_InsertDataCapability,
    ];
    let nodes = nodes.map(|id| ReadValueId::from(NodeId::from(id)));
    let read = session.read(&nodes, TimestampsToReturn::Neither, 0.0).await.unwrap();
    let read: Vec<_> = read.into_iter().map(|v| v.value.unwrap()).collect();
    assert_eq!(read, [true, false, false].map(Variant::Boolean));
    let attribute = |attribute: AttributeId| ReadValueId { attribute_id: attribute as u32, ..ReadValueId::from(node_id(STATUS)) };
    let read = session
        .read(&[attribute(AttributeId::Historizing), attribute(AttributeId::AccessLevel)], TimestampsToReturn::Neither, 0.0)
        .await
        .unwrap();
    assert_eq!(read.into_iter().map(|v| v.value.unwrap()).collect::<Vec<_>>(), [Variant::Boolean(true), Variant::Byte(5)]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_recorded() {
    let mut bench = Bench::start(Access::Demo).await;
    for (path, value) in [(STATUS, Scalar::U16(4)), ("Motor1.Drift.StatusText", "x".into()), (TEMPERATURE, Scalar::F64(1.0))] {
        bench.publish(super::super::NodeUpdate { path: path.into(), value: Some(value), quality: Quality::Good, time: at(1_000) }).await;
    }
    let mut found = HashMap::new();
    while !found.contains_key(STATUS) {
        if let Some(crate::store::StoreMessage::Record(Record::Value(row))) = bench.records.recv().await {
            found.insert(row.path.to_string(), row.value);
        }
    }
    bench.stop.cancel();
    while let Some(crate::store::StoreMessage::Record(Record::Value(row))) = bench.records.recv().await {
        found.insert(row.path.to_string(), row.value);
    }
    assert_eq!(found.get(STATUS), Some(&Some(Scalar::U16(4))));
    // One has no history, the other's is in the frames.
    assert_eq!(found.len(), 1, "{found:?}");
    bench.stop().await;
}
