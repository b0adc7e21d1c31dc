//! What lies on the disk: history, and a dataset that is made and downloaded.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use driftgate::config::Config;
use driftgate::dataset::{Export, Exporter, Format, Order, Progress, Rows};
use driftgate::store::{FeatureRow, MachineLayout, Record, RowFlags, SledStore, Store};
use driftgate::types::{BufferReason, Channel, Frame, Timestamp, Value};
use opcua::client::HistoryReadAction;
use opcua::types::{
    ByteString, DateTime, HistoryData, HistoryReadValueId, ReadRawModifiedDetails, StatusCode, TimestampsToReturn, Variant,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::client::{call, connect, download as fetch, node, read, wait_for};
use crate::gateway::{Gateway, machine, source};
use crate::process::{Process, load_average};

/// 2023-11-14
const START: i64 = 1_700_000_000_000_000_000;
const VALUES: u64 = 100_000;

fn at(row: u64) -> Timestamp {
    Timestamp::from_nanos(START + row as i64 * 10_000_000)
}

/// A store with so many rows of one machine: slow waves with noise, as a 16-bit converter gives them.
fn fill(dir: &Path, config: &Config, rows: u64) -> Arc<SledStore> {
    let machine = &config.machines[0];
    let layouts = [MachineLayout::of(machine)];
    let (store, _) = SledStore::open(&dir.join("store"), &config.store, &layouts).expect("a new store");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for row in 1..=rows {
        let mut value = |k: usize| {
            let x = 100.0 * k as f64 + 20.0 * (row as f64 / 300.0 + k as f64).sin() + random.gen_range(-0.5..0.5);
            (x * 16.0).round() / 16.0
        };
        let values: Vec<f64> = (0..machine.signals.len()).map(&mut value).collect();
        let channels = values.iter().map(|x| Channel::good(Value::Real(*x), at(row))).collect();
        let frame = Arc::new(Frame { time: at(row), channels });
        store.apply(Record::Frame { machine: 0, row, frame }).expect("a frame");
        let flags = RowFlags { judged: true, ..RowFlags::default() };
        let features = FeatureRow { row, time: at(row), regime: Some(0), flags, features: values, scores: Vec::new() };
        store.apply(Record::Features { machine: 0, row: features }).expect("features");
    }
    store.flush().expect("on the disk");
    Arc::new(store)
}

pub fn history(runtime: &tokio::runtime::Runtime) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut plc = Process::start(&["plc"]);
    let limits = "[store]\nframe_rows = 200000\nfeature_rows = 2000\n";
    let text = limits.to_string() + &source("P", &plc.line(), 100) + &machine("M", "P", 10, 0, "[machines.data_drift]\nenabled = false");
    drop(fill(dir.path(), &Config::parse(&text).unwrap_or_else(|faults| panic!("{faults}")), VALUES));
    let gateway = Gateway::start(&text, dir.path());
    for encrypted in [false, true] {
        let pki = dir.path().join(format!("client-{encrypted}"));
        let (count, seconds, cpu) = runtime.block_on(async {
            let session = connect(&gateway.endpoint, &pki, encrypted).await;
            let (begun, cpu) = (Instant::now(), gateway.process.cpu());
            (read_all(&session).await, begun.elapsed().as_secs_f64(), gateway.process.cpu() - cpu)
        });
        println!(
            "HistoryRead of {count} values, security {}: {seconds:.2} s, of which CPU time of the gateway {cpu:.2} s; load {}",
            if encrypted { "encrypt" } else { "none" },
            load_average()
        );
    }
}

/// Page by page; how many values.
async fn read_all(session: &opcua::client::Session) -> usize {
    let time = |time: Timestamp| DateTime::from(time.to_utc());
    let mut count = 0;
    let mut point = ByteString::null();
    loop {
        let details = ReadRawModifiedDetails {
            start_time: time(at(0)),
            end_time: time(at(VALUES + 1)),
            num_values_per_node: 0,
            return_bounds: false,
            is_read_modified: false,
        };
        let wanted = HistoryReadValueId { node_id: node("M.Signals.S003"), continuation_point: point, ..HistoryReadValueId::default() };
        let action = HistoryReadAction::ReadRawModifiedDetails(details);
        let results = session.history_read(action, TimestampsToReturn::Both, false, &[wanted]).await;
        let result = results.expect("a page").remove(0);
        assert!(result.status_code.is_good(), "{}", result.status_code);
        let data = result.history_data.inner_as::<HistoryData>().expect("values");
        let values = data.data_values.as_deref().unwrap_or_default();
        assert!(values.iter().all(|v| v.status.unwrap_or(StatusCode::Good).is_good()));
        count += values.len();
        point = result.continuation_point;
        if point.is_null_or_empty() {
            return count;
        }
    }
}

pub fn download(runtime: &tokio::runtime::Runtime) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut plc = Process::start(&["plc"]);
    // One machine of 500 signals; the registers count, so the numbers compress well: CSV makes the file large.
    let text = source("P", &plc.line(), 20)
        + &machine("M", "P", 500, 0, "learn_rows = 100\nmin_reference_rows = 50\n[machines.data_drift]\nenabled = false");
    let gateway = Gateway::start(&text, dir.path());
    runtime.block_on(async {
        let session = connect(&gateway.endpoint, &dir.path().join("client"), false).await;
        let buffer = "M.Buffers.B01";
        wait_for(&session, "M.Regimes.R01.InUse", |v| *v == Variant::Boolean(true)).await;
        call(&session, buffer, "StartCollecting", vec!["".into(), Variant::UInt32(1_600), "".into()]).await;
        wait_for(&session, &format!("{buffer}.State"), |v| *v == Variant::UInt16(2)).await;
        let (begun, cpu) = (Instant::now(), gateway.process.cpu());
        let never = || Variant::from(DateTime::null());
        let outputs = call(&session, buffer, "ExportBuffer", vec!["csv".into(), never(), never()]).await;
        let made = begun.elapsed().as_secs_f64();
        println!("export over OPC UA: {made:.2} s, CPU time of the gateway {:.2} s", gateway.process.cpu() - cpu);
        assert_eq!(outputs[2], read(&session, &format!("{buffer}.LastExportHash")).await);
        for (encrypted, chunk) in [(false, 1_000_000), (true, 1_000_000), (false, 60_000)] {
            let session = connect(&gateway.endpoint, &dir.path().join(format!("{encrypted}{chunk}")), encrypted).await;
            let begun = Instant::now();
            let content = fetch(&session, &format!("{buffer}.File"), chunk).await;
            let seconds = begun.elapsed().as_secs_f64();
            assert_eq!(outputs[2], Variant::from(format!("{:x}", Sha256::digest(&content))), "what was exported");
            let megabytes = content.len() as f64 / 1e6;
            let security = if encrypted { "encrypt" } else { "none" };
            println!(
                "download of {megabytes:.1} MB in reads of {chunk}, security {security}: {seconds:.3} s, {:.0} MB/s; load {}",
                megabytes / seconds,
                load_average()
            );
        }
    });
}

/// 100,000 rows as files, without a gateway around them: 33 columns, and 33 signals with their features.
pub fn export(_: &tokio::runtime::Runtime) {
    table(COLUMNS_OF_33);
    table(33);
}

/// Twelve signals and their features are 33 columns with time, machine, row, regime, fault, labels and qualities.
const COLUMNS_OF_33: usize = 12;

fn table(signals: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let limits = "[store]\nframe_rows = 200000\nfeature_rows = 200000\ndisk_reserve_mb = 1\n";
    let text = limits.to_string() + &source("P", "502", 100) + &machine("M", "P", signals, 0, "");
    let config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let store = fill(dir.path(), &config, VALUES);
    let exporter = Exporter::new(store, dir.path(), &config);
    for format in Format::ALL {
        let order = Order {
            machine: 0,
            config: config.machines[0].clone(),
            dataset: "M-R01-DataDrift-1".into(),
            reason: BufferReason::DataDrift,
            rows: Rows::Regime { slot: 0, key: "".into() },
            time: at(1)..=at(VALUES),
            expected: VALUES as u32,
            whole: true,
            format,
            thresholds: Vec::new(),
            bundle: "".into(),
            trained: None,
            reference: String::new(),
            user: "bench".into(),
            asked: at(0),
        };
        let begun = Instant::now();
        let Export { file, path, rows, .. } = exporter.run(&order, &Progress::default()).expect("a file");
        let seconds = begun.elapsed().as_secs_f64();
        let manifest = std::fs::read_to_string(dir.path().join("datasets").join(format!("{file}.json"))).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
        let columns = manifest["columns"].as_array().map_or(0, Vec::len);
        let bytes = std::fs::metadata(dir.path().join("datasets").join(&*path)).map_or(0, |m| m.len());
        println!(
            "{rows} rows of {columns} columns as {}: {seconds:.2} s; {:.1} MB; load {}",
            format.name(),
            bytes as f64 / 1e6,
            load_average()
        );
    }
}
