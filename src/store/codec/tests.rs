use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::{FeatureRow, HistoryRow, RowFlags, ValueRow};
use crate::types::{BufferReason, Cause, Channel, DriftStatus, Event, EventKind, Frame, Quality, Scalar, Value};

const ODD: [u64; 8] = [
    0x7ff8_0000_0000_0001, // a NaN with a payload
    0xfff8_0000_0000_0000, // a negative NaN
    0x7ff0_0000_0000_0000, // infinity
    0xfff0_0000_0000_0000, // -infinity
    0x8000_0000_0000_0000, // negative zero
    0,
    1, // the smallest subnormal
    u64::MAX,
];

fn any_f64() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), (0..ODD.len()).prop_map(|i| f64::from_bits(ODD[i])), -1e3..1e3]
}

fn any_cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::NoData),
        Just(Cause::Stale),
        Just(Cause::Overflow),
        Just(Cause::NotFinite),
        any::<u32>().prop_map(Cause::Status)
    ]
}

fn any_quality() -> impl Strategy<Value = Quality> {
    prop_oneof![Just(Quality::Good), any_cause().prop_map(Quality::Uncertain), any_cause().prop_map(Quality::Bad)]
}

fn any_value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|b| Some(Value::Bool(b))),
        any::<i64>().prop_map(|i| Some(Value::Integer(i))),
        any_f64().prop_map(|x| Some(Value::Real(x))),
        "[a-cé]{0,3}".prop_map(|t| Some(Value::Text(t.into()))),
    ]
}

fn any_channel() -> impl Strategy<Value = Channel> {
    (any_value(), any_quality(), any::<i64>()).prop_map(|(value, quality, t)| Channel {
        value,
        quality,
        source_time: Timestamp::from_nanos(t),
    })
}

prop_compose! {
    fn any_frames()(channels in 0..5_usize)(
        rows in prop::collection::vec((any::<u64>(), any::<i64>(), prop::collection::vec(any_channel(), channels)), 1..40)
    ) -> Vec<FrameRow> {
        rows.into_iter()
            .map(|(row, t, channels)| FrameRow { row, frame: Arc::new(Frame { time: Timestamp::from_nanos(t), channels }) })
            .collect()
    }
}

prop_compose! {
    fn any_features()(features in 0..6_usize, scores in 0..3_usize)(
        rows in prop::collection::vec(
            (any::<u64>(), any::<i64>(), any::<Option<u16>>(), 0..8_u8,
             prop::collection::vec(any_f64(), features), prop::collection::vec(any_f64(), scores)),
            1..=MAX_ROWS,
        )
    ) -> Vec<FeatureRow> {
        rows.into_iter()
            .map(|(row, t, regime, flags, features, scores)| FeatureRow {
                row, time: Timestamp::from_nanos(t), regime, flags: RowFlags::from_bits(flags), features, scores,
            })
            .collect()
    }
}

prop_compose! {
    fn any_history()(
        rows in prop::collection::vec(
            (any::<u64>(), any::<i64>(), "[A-C]", any::<Option<u16>>(), any::<u16>(), any_f64(),
             prop::collection::vec((any_f64(), any_f64()), 0..5)),
            1..60,
        )
    ) -> Vec<HistoryRow> {
        rows.into_iter()
            .map(|(row, t, monitor, regime, status, index, tests)| HistoryRow {
                row, time: Timestamp::from_nanos(t), monitor: monitor.into(), regime, status, index, tests,
            })
            .collect()
    }
}

fn any_scalar() -> impl Strategy<Value = Option<Scalar>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|b| Some(Scalar::Bool(b))),
        any::<u16>().prop_map(|v| Some(Scalar::U16(v))),
        any::<u32>().prop_map(|v| Some(Scalar::U32(v))),
        any_f64().prop_map(|x| Some(Scalar::F64(x))),
        "[a-c\u{e9}]{0,3}".prop_map(|t| Some(Scalar::Text(t.into()))),
        any::<i64>().prop_map(|t| Some(Scalar::Time(Timestamp::from_nanos(t)))),
    ]
}

prop_compose! {
    fn any_values()(
        rows in prop::collection::vec(("[a-c]{0,1}", any::<i64>(), any_scalar(), any_quality()), 1..=MAX_ROWS)
    ) -> Vec<ValueRow> {
        rows.into_iter()
            .map(|(path, t, value, quality)| ValueRow { path: path.into(), time: Timestamp::from_nanos(t), value, quality })
            .collect()
    }
}

/// Bit patterns, since NaN is not equal to itself.
fn bits<R: std::fmt::Debug + Clone>(rows: &[R], number: impl Fn(&R) -> Vec<f64>) -> Vec<Vec<u64>> {
    rows.iter().map(|r| number(r).into_iter().map(f64::to_bits).collect()).collect()
}

fn frame_bits(rows: &[FrameRow]) -> Vec<Vec<u64>> {
    bits(rows, |r| {
        let real = |c: &Channel| match c.value {
            Some(Value::Real(x)) => x,
            _ => 0.0,
        };
        r.frame.channels.iter().map(real).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_come_back_bit_by_bit(rows in any_frames(), number: u64, layout: u32) {
        let (header, back) = decode::<FrameRow>(&encode(number, layout, &rows)).unwrap();
        prop_assert_eq!((header.number, header.layout, usize::from(header.rows)), (number, layout, rows.len()));
        prop_assert_eq!(frame_bits(&rows), frame_bits(&back));
        // `Debug` tells all but the bits of a NaN.
        prop_assert_eq!(format!("{rows:?}"), format!("{back:?}"));
    }

    #[test]
    fn features_come_back_bit_by_bit(rows in any_features()) {
        let (header, back) = decode::<FeatureRow>(&encode(7, 0, &rows)).unwrap();
        let number = |r: &FeatureRow| [r.features.clone(), r.scores.clone()].concat();
        prop_assert_eq!(bits(&rows, number), bits(&back, number));
        prop_assert_eq!(format!("{rows:?}"), format!("{back:?}"));
        prop_assert_eq!(header.first, rows.iter().map(|r| r.time).min().unwrap());
        prop_assert_eq!(header.last, rows.iter().map(|r| r.time).max().unwrap());
    }

    #[test]
    fn history_comes_back_bit_by_bit(rows in any_history()) {
        let (_, back) = decode::<HistoryRow>(&encode(7, 0, &rows)).unwrap();
        let number = |r: &HistoryRow| std::iter::once(r.index).chain(r.tests.iter().flat_map(|(a, b)| [*a, *b])).collect();
        prop_assert_eq!(bits(&rows, number), bits(&back, number));
        prop_assert_eq!(format!("{rows:?}"), format!("{back:?}"));
    }

    #[test]
    fn values_come_back_bit_by_bit(rows in any_values()) {
        let (_, back) = decode::<ValueRow>(&encode(7, 0, &rows)).unwrap();
        let number = |r: &ValueRow| vec![match r.value { Some(Scalar::F64(x)) => x, _ => 0.0 }];
        prop_assert_eq!(bits(&rows, number), bits(&back, number));
        prop_assert_eq!(format!("{rows:?}"), format!("{back:?}"));
    }

    #[test]
    fn a_damaged_block_is_an_error(rows in any_features(), at: prop::sample::Index, bit in 0..8_u32) {
        let mut block = encode(7, 0, &rows);
        let at = at.index(block.len());
        block[at] ^= 1 << bit;
        prop_assert!(decode::<FeatureRow>(&block).is_err());
        prop_assert!(decode::<FeatureRow>(&block[..at]).is_err());
    }

    /// The checksum set right again, so that the reading itself meets nonsense.
    #[test]
    fn nonsense_never_panics(rows in any_frames(), at: prop::sample::Index, byte: u8, junk in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut block = encode(7, 0, &rows);
        let at = at.index(block.len());
        block[at] = byte;
        let crc = checksum(&block);
        block[CRC_AT..HEADER].copy_from_slice(&crc.to_le_bytes());
        let _ = decode::<FrameRow>(&block);
        let mut input = Reader::new(&junk);
        let _ = FrameRow::read(3, &mut input);
        let _ = FeatureRow::read(3, &mut Reader::new(&junk));
        let _ = HistoryRow::read(3, &mut Reader::new(&junk));
        let _ = Event::read(3, &mut Reader::new(&junk));
        let _ = ValueRow::read(3, &mut Reader::new(&junk));
    }
}

fn events() -> Vec<Event> {
    let kinds = [
        EventKind::Status {
            monitor: "DataDrift".into(),
            status: DriftStatus::Drift,
            previous: Some(DriftStatus::Warning),
            reason: None,
            regime: Some("Voltage=164".into()),
            feature: None,
            metric: Some("wasserstein".into()),
            value: Some(0.25),
            threshold: None,
        },
        EventKind::Parameter { path: "a".into(), old: "1".into(), new: "2".into(), user: "eva".into(), refused: None },
        EventKind::Buffer {
            slot: 3,
            state: crate::types::BufferState::Ready,
            reason: BufferReason::OperatorRequest,
            regime: None,
            rows: 12,
            dataset_id: "d".into(),
        },
        EventKind::Note { text: "é".repeat(2_000) },
    ];
    let event = |(i, kind): (usize, EventKind)| Event { unit: "M".into(), row: i as u64, time: Timestamp::from_nanos(i as i64 * 5), kind };
    kinds.into_iter().enumerate().map(event).collect()
}

#[test]
fn events_come_back() {
    let events = events();
    let (header, back) = decode::<Event>(&encode(1, 0, &events)).unwrap();
    assert_eq!(back, events);
    assert_eq!((header.first, header.last), (Timestamp::from_nanos(0), Timestamp::from_nanos(15)));
}

#[test]
fn all_causes_have_a_code_of_their_own() {
    for cause in CAUSES_OF_TYPES {
        let quality = Quality::Bad(cause);
        let frame = Frame { time: Timestamp::EPOCH, channels: vec![Channel { value: None, quality, source_time: Timestamp::EPOCH }] };
        let rows = [FrameRow { row: 1, frame: Arc::new(frame) }];
        let (_, back) = decode::<FrameRow>(&encode(1, 0, &rows)).unwrap();
        assert_eq!(back[0].frame.channels[0].quality, quality);
    }
}

const CAUSES_OF_TYPES: [Cause; 16] = [
    Cause::NoData,
    Cause::Stale,
    Cause::ConnectionLost,
    Cause::UnknownAddress,
    Cause::WrongType,
    Cause::NotFinite,
    Cause::OutOfRange,
    Cause::WrongLength,
    Cause::SensorFailure,
    Cause::LastUsable,
    Cause::Overflow,
    Cause::SwitchedOff,
    Cause::Stuck,
    Cause::Jump,
    Cause::Saturated,
    Cause::Status(0x8000_0000),
];

#[test]
fn versions_and_kinds_are_checked() {
    let rows = [FeatureRow::default()];
    let mut block = encode(1, 0, &rows);
    assert_eq!(decode::<Event>(&block).unwrap_err(), CodecError::Kind { found: 2, expected: 4 });
    block[0] = 9;
    let crc = checksum(&block);
    block[CRC_AT..HEADER].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode::<FeatureRow>(&block).unwrap_err(), CodecError::Version(9));
    assert_eq!(decode::<FeatureRow>(&[]).unwrap_err(), CodecError::Short);
}

#[test]
fn waveforms_and_long_texts_are_left_out() {
    let channel = |value| Channel::good(value, Timestamp::EPOCH);
    let long: Arc<str> = "ü".repeat(300).into();
    let block = Value::Block(vec![1.0; 10].into());
    let frame = Frame { time: Timestamp::EPOCH, channels: vec![channel(Value::Real(1.0)), channel(block), channel(Value::Text(long))] };
    let kept = storable_frame(Arc::new(frame));
    assert_eq!(kept.channels[0].value, Some(Value::Real(1.0)));
    assert_eq!((kept.channels[1].value.as_ref(), kept.channels[1].quality), (None, Quality::Good));
    assert_eq!(kept.channels[2].value, Some(Value::Text("ü".repeat(127).into())));

    let EventKind::Note { text } = storable_event(events().pop().unwrap()).kind else { panic!("not a note") };
    assert_eq!(text, format!("{}...", "é".repeat(450)));
}

/// Slow sensor data with the noise of a 16-bit converter: a good deal below the 264 bytes of 33 numbers.
#[test]
fn sensor_rows_take_little_room() {
    let row = |i: u64| FeatureRow {
        row: i,
        time: Timestamp::from_nanos(1_700_000_000_000_000_000 + i as i64 * 100_000_000),
        features: (0..33).map(|f| ((f as f64 + (i as f64 / 50.0 + f as f64).sin()) * 512.0).round() / 512.0).collect(),
        ..FeatureRow::default()
    };
    let rows: Vec<FeatureRow> = (0..100).map(row).collect();
    let bytes = encode(1, 0, &rows).len();
    assert!(bytes < 7_000, "{bytes} bytes");
}

/// What a running demo changes in a second, over and over.
#[test]
fn changes_take_little_room() {
    let paths: Vec<Arc<str>> =
        ["Gateway.Diagnostics.CpuLoad", "Motor1.Models.Stator.Inference.Latency", "Motor1.Drift.DriftIndex"].map(Arc::from).to_vec();
    let row = |i: usize| ValueRow {
        path: paths[i % 3].clone(),
        time: Timestamp::from_nanos(1_700_000_000_000_000_000 + i as i64 * 333_000_000),
        value: Some(Scalar::F64(0.1 * i as f64)),
        quality: Quality::Good,
    };
    let rows: Vec<ValueRow> = (0..100).map(row).collect();
    let bytes = encode(1, 0, &rows).len();
    assert!(bytes < 1_500, "{bytes} bytes");
}
