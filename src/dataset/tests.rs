use std::fs;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use super::*;
use crate::bundle::{Training, TrainingRow};
use crate::config::{Config, StoreConfig};
use crate::regime::Cell;
use crate::store::{FeatureRow, MachineLayout, Record, RowFlags, SledStore, Store};
use crate::types::{Cause, Channel, Event, EventKind, Frame, Quality, Value};

const CONFIG: &str = r#"
[store]
frame_rows = 5000
[[machines]]
name = "M"
learn_rows = 500
classes = ["healthy", "worn", "broken"]
[[machines.signals]]
name = "Temp"
unit = "C"
[[machines.signals]]
name = "Flow"
[[machines.settings]]
name = "Recipe"
category = true
[[machines.models]]
name = "Wear"
[machines.buffers]
sample_every = "1min"
sample_rows = 10
"#;

fn at(row: u64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + row as i64 * 100_000_000)
}

/// A gateway's store in a directory, with so many rows: every seventh is of another regime, every eleventh was not judged; the flow of
/// every fifth is bad.
struct Bench {
    dir: tempfile::TempDir,
    config: Config,
    store: Arc<SledStore>,
}

impl Bench {
    fn new(rows: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::parse(CONFIG).unwrap();
        let limits = StoreConfig { disk_reserve: 0, ..config.store.clone() };
        let layouts = [MachineLayout::of(&config.machines[0])];
        let store = Arc::new(SledStore::open(&dir.path().join("store"), &limits, &layouts).unwrap().0);
        let bench = Self { dir, config, store };
        (1..=rows).for_each(|row| bench.push(row));
        bench
    }

    fn push(&self, row: u64) {
        let good = |value| Channel::good(value, at(row));
        let flow = if row.is_multiple_of(5) { Channel::bad(Cause::Stale) } else { good(Value::Real(1.5)) };
        let channels = vec![good(Value::Real(row as f64)), flow, good(Value::Text("Soft".into()))];
        let features = FeatureRow {
            row,
            time: at(row),
            regime: Some(u16::from(row.is_multiple_of(7))),
            flags: RowFlags { judged: !row.is_multiple_of(11), fault: row == 3, outside: row.is_multiple_of(11) },
            features: vec![row as f64, f64::NAN],
            scores: vec![row as f64 / 10.0],
        };
        self.store.apply(Record::Features { machine: 0, row: features }).unwrap();
        let frame = Arc::new(Frame { time: at(row), channels });
        self.store.apply(Record::Frame { machine: 0, row, frame }).unwrap();
    }

    fn label(&self, prediction: &str, class: u16) {
        let kind = EventKind::Label {
            prediction: prediction.into(),
            from: Timestamp::EPOCH,
            to: Timestamp::EPOCH,
            class,
            value: 0.5,
            comment: String::new(),
            user: "eva".into(),
            operator: "".into(),
        };
        self.store.apply(Record::Event(Event { unit: "M".into(), row: 0, time: at(99_999), kind })).unwrap();
    }

    fn exporter(&self) -> Exporter {
        let mut config = self.config.clone();
        config.store.disk_reserve = 0;
        Exporter::new(self.store.clone(), self.dir.path(), &config)
    }

    fn order(&self, first: u64, last: u64, format: Format) -> Order {
        Order {
            machine: 0,
            config: self.config.machines[0].clone(),
            dataset: "M-R01-DataDrift-9".into(),
            reason: BufferReason::DataDrift,
            rows: Rows::Regime { slot: 0, key: "Recipe=Soft".into() },
            time: at(first)..=at(last),
            expected: wanted(first, last).len() as u32,
            whole: true,
            format,
            thresholds: vec![0.45],
            bundle: "b0b".into(),
            trained: None,
            reference: "b0b-R01".into(),
            user: "eva".into(),
            asked: at(100_000),
        }
    }

    fn export(&self, order: &Order) -> Result<Export, ExportError> {
        self.exporter().run(order, &Progress::default())
    }

    fn folder(&self) -> std::path::PathBuf {
        self.dir.path().join(FOLDER)
    }

    /// All files, with their folders.
    fn files(&self) -> Vec<String> {
        let (mut names, mut folders) = (Vec::new(), vec![self.folder()]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    names.push(path.strip_prefix(self.folder()).unwrap().to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        names.sort();
        names
    }
}

/// Rows that belong to the buffer.
fn wanted(first: u64, last: u64) -> Vec<u64> {
    (first..=last).filter(|row| !row.is_multiple_of(7) && !row.is_multiple_of(11)).collect()
}

fn read(path: &Path) -> (Vec<RecordBatch>, Vec<(String, String)>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let facts = builder.metadata().file_metadata().key_value_metadata().unwrap().iter();
    let facts = facts.map(|kv| (kv.key.clone(), kv.value.clone().unwrap_or_default())).collect();
    (builder.build().unwrap().map(Result::unwrap).collect(), facts)
}

/// All values of a column, by what reads one of an array.
fn column<T>(batches: &[RecordBatch], name: &str, of: impl Fn(&dyn Array, usize) -> T) -> Vec<Option<T>> {
    let arrays = batches.iter().map(|batch| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")));
    arrays.flat_map(|a| (0..a.len()).map(|k| (!a.is_null(k)).then(|| of(a.as_ref(), k))).collect::<Vec<_>>()).collect()
}

fn row_numbers(batches: &[RecordBatch]) -> Vec<u64> {
    let rows = column(batches, "row", |a, k| a.as_primitive::<Int64Type>().value(k).cast_unsigned());
    rows.into_iter().flatten().collect()
}

fn numbers(batches: &[RecordBatch], name: &str) -> Vec<Option<f64>> {
    column(batches, name, |a, k| a.as_primitive::<Float64Type>().value(k))
}

fn texts(batches: &[RecordBatch], name: &str) -> Vec<Option<String>> {
    column(batches, name, |a, k| a.as_string::<i32>().value(k).to_string())
}

#[test]
fn a_file_read_back_has_the_rows_of_the_buffer() {
    let bench = Bench::new(100);
    bench.label("M-12", 1);
    bench.label("M-12", 2);
    let order = bench.order(10, 60, Format::Parquet);
    let export = bench.export(&order).unwrap();
    let rows = wanted(10, 60);
    assert_eq!((export.rows as usize, export.gone), (rows.len(), 0));
    assert_eq!(&*export.file, format!("M-R01-DataDrift-9-{}.parquet", &export.hash[..12]));
    assert_eq!(*export.path, *format!("table/gateway=driftgate/unit=M/date=2023-11-14/{}", export.file));
    let path = find(bench.dir.path(), "M", &export.file).unwrap();
    assert_eq!(path, bench.folder().join(&*export.path));
    assert_eq!(format!("{:x}", Sha256::digest(fs::read(&path).unwrap())), *export.hash);

    let (batches, facts) = read(&path);
    assert_eq!(row_numbers(&batches), rows);
    let times = column(&batches, "time", |a, k| a.as_primitive::<TimestampMicrosecondType>().value(k));
    assert_eq!(times, rows.iter().map(|r| Some(at(*r).as_nanos() / 1000)).collect::<Vec<_>>());
    let each = |f: &dyn Fn(u64) -> Option<f64>| rows.iter().map(|r| f(*r)).collect::<Vec<_>>();
    assert_eq!(numbers(&batches, "Temp"), each(&|r| Some(r as f64)));
    assert_eq!(numbers(&batches, "Flow"), each(&|r| (!r.is_multiple_of(5)).then_some(1.5)), "bad data is a gap");
    assert_eq!(numbers(&batches, "feature_Temp"), each(&|r| Some(r as f64)));
    assert_eq!(numbers(&batches, "feature_Flow"), each(&|_| None));
    assert_eq!(numbers(&batches, "score_Wear"), each(&|r| Some(r as f64 / 10.0)));
    let predictions = column(&batches, "prediction_Wear", |a, k| a.as_boolean().value(k));
    assert!(predictions.iter().all(|p| *p == Some(true)));
    assert!(texts(&batches, "Recipe").iter().all(|t| t.as_deref() == Some("Soft")));
    assert!(texts(&batches, "regime").iter().all(|t| t.as_deref() == Some("Recipe=Soft")));
    let quality = |r: &u64| Some(if r.is_multiple_of(5) { "Bad" } else { "Good" }.to_string());
    assert_eq!(texts(&batches, "quality"), rows.iter().map(quality).collect::<Vec<_>>());
    assert!(texts(&batches, "quality_text").contains(&Some(format!("Flow {}", Quality::Bad(Cause::Stale)))));
    let labels = column(&batches, "label", |a, k| a.as_primitive::<Int64Type>().value(k));
    assert_eq!(labels.iter().flatten().collect::<Vec<_>>(), [&2], "the last word on row 12");
    assert_eq!(texts(&batches, "label_name").into_iter().flatten().collect::<Vec<_>>(), ["broken"]);

    let fact = |key: &str| facts.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(fact("driftgate.machine"), Some("M"));
    assert_eq!(fact("driftgate.reason"), Some("DataDrift"));
    assert_eq!(fact("driftgate.config_sha256"), Some(bench.config.hash.as_str()));
    assert_eq!(fact("driftgate.rows"), Some(rows.len().to_string().as_str()));
    assert_eq!(fact("driftgate.rows_labelled"), Some("1"));
    assert_eq!(fact("driftgate.from"), Some(at(10).to_string().as_str()));
}

#[test]
fn the_manifest_says_what_the_file_is() {
    let bench = Bench::new(50);
    for (row, class) in [(5, 2), (6, 4), (8, 4)] {
        bench.label(&format!("M-{row}"), class);
    }
    let export = bench.export(&bench.order(1, 20, Format::Parquet)).unwrap();
    assert_eq!(bench.files(), [format!("{}.json", export.file), export.path.to_string()]);
    let text = fs::read_to_string(bench.folder().join(format!("{}.json", export.file))).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&manifest["path"], &manifest["sha256"]), (&(*export.path).into(), &(*export.hash).into()));
    assert_eq!(manifest["bytes"], fs::metadata(bench.folder().join(&*export.path)).unwrap().len());
    assert_eq!((&manifest["exported_by"], &manifest["rows_of_faults"]), (&"eva".into(), &1.into()));
    assert_eq!(manifest["models"][0]["threshold"], 0.45);
    // 7, 11 and 14 are not in it.
    assert_eq!(manifest["interruptions"], 3);
    let gap = |after, until, rows| serde_json::json!({ "after": at(after).to_string(), "until": at(until).to_string(), "rows": rows });
    assert_eq!(manifest["gaps"], serde_json::json!([gap(6, 8, 1), gap(10, 12, 1), gap(13, 15, 1)]));
    assert_eq!(manifest["rows_by_regime"], serde_json::json!({ "Recipe=Soft": 17 }));
    assert_eq!(manifest["rows_by_label"], serde_json::json!({ "2": 1, "4": 2 }));
    let columns = manifest["columns"].as_array().unwrap();
    let temp = columns.iter().find(|c| c["name"] == "Temp").unwrap();
    assert_eq!((&temp["type"], &temp["unit"]), (&"number".into(), &"C".into()));
}

#[test]
fn the_rows_of_all_regimes_tell_theirs() {
    let bench = Bench::new(50);
    let keys = vec!["Recipe=Soft".into(), "Recipe=Hard".into()];
    let mut order = bench.order(1, 50, Format::Parquet);
    order.rows = Rows::All { keys, unjudged: false };
    let export = bench.export(&order).unwrap();
    let (batches, facts) = read(&bench.folder().join(&*export.path));
    let rows: Vec<u64> = (1..=50).filter(|row: &u64| !row.is_multiple_of(11)).collect();
    assert_eq!(
        column(&batches, "row", |a, k| a.as_primitive::<Int64Type>().value(k) as u64),
        rows.iter().map(|r| Some(*r)).collect::<Vec<_>>()
    );
    let key = |row: &u64| Some(if row.is_multiple_of(7) { "Recipe=Hard" } else { "Recipe=Soft" }.to_string());
    assert_eq!(texts(&batches, "regime"), rows.iter().map(key).collect::<Vec<_>>());
    let fact = |key: &str| facts.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(fact("driftgate.rows_by_regime"), Some(r#"{"Recipe=Hard":7,"Recipe=Soft":39}"#));

    // A regime that the bundle does not name is none.
    order.rows = Rows::All { keys: vec!["Recipe=Soft".into()], unjudged: true };
    let export = bench.export(&order).unwrap();
    let (batches, _) = read(&bench.folder().join(&*export.path));
    assert_eq!((export.rows, texts(&batches, "regime").iter().filter(|t| t.is_none()).count()), (50, 7));
}

#[test]
fn samples_are_of_their_strata_whatever_slot_the_regime_had() {
    let bench = Bench::new(0);
    for row in 1..=30_u64 {
        let frame = Arc::new(Frame { time: at(row), channels: vec![Channel::good(Value::Real(row as f64), at(row))] });
        // Slots changed with a bundle: only the stratum says the regime.
        let features =
            FeatureRow { row, time: at(row), regime: Some(3), features: vec![row as f64, 0.0], scores: vec![0.5], ..FeatureRow::default() };
        let stratum = u16::from(row % 10 == 0);
        bench.store.apply(Record::Sample { machine: 0, stratum, row: features, frame }).unwrap();
    }
    let mut order = bench.order(1, 30, Format::Parquet);
    (order.reason, order.expected) = (BufferReason::Scheduled, 12);
    order.rows = Rows::Samples { strata: vec![("Recipe=Soft".into(), at(1)), ("Recipe=Hard".into(), at(20))] };
    let export = bench.export(&order).unwrap();
    let (batches, facts) = read(&bench.folder().join(&*export.path));
    let rows: Vec<u64> = (19..=29).filter(|row| *row != 20).chain([20, 30]).collect();
    let stored: Vec<_> = column(&batches, "row", |a, k| a.as_primitive::<Int64Type>().value(k) as u64).into_iter().flatten().collect();
    assert_eq!(stored, rows, "ten at most of the first, what came since the second began");
    let temp: Vec<_> = column(&batches, "Temp", |a, k| a.as_primitive::<Float64Type>().value(k) as u64).into_iter().flatten().collect();
    assert_eq!(temp, rows, "with their frames");
    let keys = [vec![Some("Recipe=Soft".to_string()); 10], vec![Some("Recipe=Hard".to_string()); 2]].concat();
    assert_eq!(texts(&batches, "regime"), keys);
    let fact = |key: &str| facts.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(fact("driftgate.rows_by_regime"), Some(r#"{"Recipe=Hard":2,"Recipe=Soft":10}"#));
    assert_eq!((fact("driftgate.reason"), fact("driftgate.gaps")), (Some("Scheduled"), Some("[]")));
}

#[test]
fn the_same_rows_are_the_same_file() {
    let bench = Bench::new(50);
    let first = bench.export(&bench.order(1, 40, Format::Parquet)).unwrap();
    let mut order = bench.order(1, 40, Format::Parquet);
    (order.user, order.asked) = ("ben".into(), at(200_000));
    assert_eq!(bench.export(&order).unwrap(), first);
    assert_ne!(bench.export(&bench.order(1, 39, Format::Parquet)).unwrap().hash, first.hash);
}

#[test]
fn many_blocks_come_whole_and_in_order() {
    let bench = Bench::new(9_000);
    bench.store.flush().unwrap();
    let progress = Progress::default();
    let export = bench.exporter().run(&bench.order(1, 9_000, Format::Parquet), &progress).unwrap();
    assert_eq!(progress.percent(), 99.0);
    let (batches, facts) = read(&bench.folder().join(&*export.path));
    assert_eq!(row_numbers(&batches), wanted(1, 9_000));
    // The ring of frames is shorter: what it has lost is a gap, and counted.
    let without = wanted(1, 4_000).len();
    assert_eq!(facts.iter().find(|(k, _)| k == "driftgate.rows_without_signals").unwrap().1, without.to_string());
    assert_eq!(numbers(&batches, "Temp").iter().filter(|t| t.is_none()).count(), without);
    assert_eq!(numbers(&batches, "feature_Temp").iter().filter(|t| t.is_none()).count(), 0);
    assert_eq!(texts(&batches, "quality").iter().filter(|t| t.is_none()).count(), without);
}

#[test]
fn csv_has_the_same_columns() {
    let bench = Bench::new(20);
    let export = bench.export(&bench.order(4, 6, Format::Csv)).unwrap();
    assert_eq!(export.path, export.file);
    let text = fs::read_to_string(bench.folder().join(&*export.file)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let header = "time,machine,row,regime,Temp,Flow,Recipe,feature_Temp,feature_Flow,score_Wear,prediction_Wear,fault,label,label_name,label_value,quality,quality_text";
    assert_eq!(lines[0], header);
    assert_eq!(lines[1], "2023-11-14T22:13:20.400Z,M,4,Recipe=Soft,4,1.5,Soft,4,,0.4,false,false,,,,Good,");
    assert_eq!(lines[2], "2023-11-14T22:13:20.500Z,M,5,Recipe=Soft,5,,Soft,5,,0.5,true,false,,,,Bad,Flow Bad (stale)");
    assert_eq!((lines.len(), export.rows), (4, 3));
}

#[test]
fn rows_outside_the_envelope_are_those_that_were_collected() {
    let bench = Bench::new(100);
    let order = Order {
        rows: Rows::Outside { key: "Recipe=Soft".into(), stretches: vec![(10, 12), (30, 60)] },
        reason: BufferReason::OutOfEnvelope,
        ..bench.order(1, 100, Format::Parquet)
    };
    let export = bench.export(&order).unwrap();
    let (batches, facts) = read(&bench.folder().join(&*export.path));
    let rows = column(&batches, "row", |a, k| a.as_primitive::<Int64Type>().value(k));
    assert_eq!(rows, [11, 33, 44, 55].map(Some), "what was outside in these stretches");
    assert!(facts.iter().any(|(key, value)| key == "driftgate.reason" && value == "OutOfEnvelope"));
}

#[test]
fn an_empty_span_leaves_nothing_behind() {
    let bench = Bench::new(50);
    let empty = bench.export(&bench.order(77, 77, Format::Parquet));
    assert_eq!(empty, Err(ExportError::Empty { dataset: "M-R01-DataDrift-9".into() }));
    assert!(bench.files().is_empty());
}

#[test]
fn one_that_is_stopped_leaves_nothing_behind() {
    let bench = Bench::new(500);
    let progress = Progress::default();
    progress.stop();
    assert_eq!(bench.exporter().run(&bench.order(1, 400, Format::Parquet), &progress), Err(ExportError::Stopped));
    assert!(bench.files().is_empty());
}

#[test]
fn what_a_power_cut_has_left_goes_at_the_next_start() {
    let bench = Bench::new(5);
    fs::create_dir_all(bench.folder()).unwrap();
    for name in [".M.part", ".x.json.part", "kept.parquet"] {
        fs::write(bench.folder().join(name), "half").unwrap();
    }
    bench.exporter();
    assert_eq!(bench.files(), ["kept.parquet"]);
}

#[test]
fn a_full_disk_is_told_before_anything_is_written() {
    let bench = Bench::new(50);
    let mut config = bench.config.clone();
    config.store.disk_reserve = u64::MAX / 2;
    let exporter = Exporter::new(bench.store.clone(), bench.dir.path(), &config);
    let error = exporter.run(&bench.order(1, 40, Format::Parquet), &Progress::default()).unwrap_err();
    assert!(error.to_string().starts_with("the disk is nearly full: "), "{error}");
    assert!(bench.files().is_empty());
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let text = CONFIG.replace("\"Flow\"", "\"Quality\"").replace("\"Temp\"", "\"Time\"");
    let machine = Config::parse(&text).unwrap().machines[0].clone();
    let bench = Bench::new(1);
    let order = Order { config: machine, ..bench.order(1, 1, Format::Csv) };
    let layout = columns::Layout::new(&order, None);
    let names: Vec<&str> = layout.columns.iter().map(|c| c.name.as_str()).collect();
    assert!(names.contains(&"signal_Time") && names.contains(&"Quality") && names.contains(&"quality_2"), "{names:?}");
}

#[test]
fn formats_have_names() {
    assert_eq!((Format::of("Parquet"), Format::of("csv"), Format::of("xlsx")), (Some(Format::Parquet), Some(Format::Csv), None));
}

#[test]
fn hashes_of_models_and_references_are_those_of_the_bundle() {
    let bench = Bench::new(50);
    let hashes = |bundle: &Bundle| {
        let mut order = bench.order(1, 20, Format::Csv);
        order.trained = Some(Arc::new(bundle.clone()));
        let export = bench.export(&order).unwrap();
        let text = fs::read_to_string(bench.folder().join(format!("{}.json", export.file))).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        [manifest["reference_sha256"].clone(), manifest["models"][0]["sha256"].clone()].map(|h| h.as_str().unwrap().to_string())
    };
    let row = |i: u32| TrainingRow {
        time: Timestamp::EPOCH,
        cells: vec![Cell::Class("Soft".into())],
        features: vec![f64::from(i % 17), f64::from(i % 13)],
    };
    let training = Training { rows: (0..400).map(row).collect(), ..Training::default() };
    let mut bundle = training.train(&bench.config.machines[0], "hash").unwrap();
    let first = hashes(&bundle);
    assert!(first.iter().all(|h| h.len() == 64) && first[0] != first[1], "{first:?}");
    assert_eq!(hashes(&bundle), first);
    bundle.regimes[0].mean[0] += 1.0;
    let second = hashes(&bundle);
    assert!(second[0] != first[0] && second[1] == first[1], "{second:?}");
}

#[test]
fn an_export_is_announced_where_somebody_is_to_be_told() {
    let bench = Bench::new(50);
    let mut config = bench.config.clone();
    config.store.disk_reserve = 0;
    let text = format!("[announce.mqtt]\nbroker = \"mqtt://broker\"\n{CONFIG}");
    config.announce = Config::parse(&text).unwrap().announce;
    let exporter = Exporter::new(bench.store.clone(), bench.dir.path(), &config);
    let export = exporter.run(&bench.order(1, 20, Format::Parquet), &Progress::default()).unwrap();
    let queue = crate::announce::Queue::new(bench.dir.path(), "mqtt");
    let (_, content) = queue.oldest().unwrap().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&content).unwrap();
    assert_eq!((&told["event"], &told["machine"]), (&"dataset_ready".into(), &"M".into()));
    assert_eq!((&told["path"], &told["sha256"]), (&(*export.path).into(), &(*export.hash).into()));
    assert_eq!(
        exporter.run(&bench.order(77, 77, Format::Parquet), &Progress::default()).unwrap_err(),
        ExportError::Empty { dataset: "M-R01-DataDrift-9".into() }
    );
    assert_eq!(std::fs::read_dir(bench.dir.path().join("announcements/mqtt")).unwrap().count(), 1, "there is nothing to fetch");
}
