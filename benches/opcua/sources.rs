//! From PLCs into the store: how much the gateway reads, what is missing, and what that costs.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driftgate::config::{Config, Shape};
use driftgate::store::{MachineLayout, SledStore, Store};
use driftgate::types::{Timestamp, Value};

use crate::gateway::{Gateway, machine, source};
use crate::process::{Process, load_average};

const SIGNALS: usize = 100;
/// Connections that the values of a Modbus device are spread over.
const CONNECTIONS: usize = 10;
const WARM: Duration = Duration::from_secs(8);
const MEASURED: Duration = Duration::from_secs(60);
/// What was applied last may not be durable when the gateway is killed.
const TAIL: Duration = Duration::from_secs(2);
const STORE: &str = "[store]\nframe_rows = 5000\nfeature_rows = 5000\n";
const UNWATCHED: &str = "[machines.data_drift]\nenabled = false";
/// Numbers of registers begin anew after so many.
const WRAP: u64 = 0x1_0000;
const ROWS: usize = 10_000;

/// 10,000 values once a second, and 1,000 ten times, from OPC UA and from Modbus.
pub fn read(_: &tokio::runtime::Runtime) {
    header();
    for (values, period_ms) in [(10_000, 1_000), (1_000, 100)] {
        let mut plc = Process::start(&["plc-opcua", &values.to_string(), "0", &period_ms.to_string()]);
        let text = opcua(&plc.line(), values / SIGNALS);
        measure(&format!("OPC UA, {values} at {} Hz", 1_000 / period_ms), &plc, &text, values, period_ms);
        let mut plc = Process::start(&["plc"]);
        let text = modbus(&plc.line(), values / SIGNALS, period_ms as u32);
        measure(&format!("Modbus, {values} at {} Hz", 1_000 / period_ms), &plc, &text, values, period_ms);
    }
}

/// Blocks of 1,000 f64, fifty a second.
pub fn waveform(_: &tokio::runtime::Runtime) {
    const PERIOD_MS: u64 = 20;
    header();
    let mut plc = Process::start(&["plc-opcua", "1", "1000", &PERIOD_MS.to_string()]);
    let text = opcua(&plc.line(), 0)
        + "[[machines]]\nname = \"M\"\ntrigger = \"W\"\n"
        + UNWATCHED
        + "\n[[machines.signals]]\nname = \"W\"\naddress = \"v0\"\nsampling = \"10ms\"\nblock = { length = 1000, rate = 50000.0 }\n"
        + "features = [\"mean\"]\n";
    measure("OPC UA, 1,000 f64 at 50 Hz", &plc, &text, 1, PERIOD_MS);
}

fn opcua(endpoint: &str, machines: usize) -> String {
    let mut text = format!(
        "{STORE}[[sources]]\nname = \"P\"\nprotocol = \"opcua\"\nendpoint = \"{endpoint}\"\nsecurity = \"none\"\nnamespace = \"urn:driftgate:bench:plc\"\n"
    );
    for m in 0..machines {
        text += &format!("[[machines]]\nname = \"M{m:03}\"\ntrigger = \"S{:03}\"\n{UNWATCHED}\n", SIGNALS - 1);
        for k in 0..SIGNALS {
            text += &format!("[[machines.signals]]\nname = \"S{k:03}\"\naddress = \"v{}\"\nsampling = \"20ms\"\n", m * SIGNALS + k);
        }
    }
    text
}

fn modbus(port: &str, machines: usize, every: u32) -> String {
    let mut text = STORE.to_string();
    let connections = CONNECTIONS.min(machines);
    (0..connections).for_each(|s| text += &source(&format!("P{s}"), port, every));
    for m in 0..machines {
        text += &machine(&format!("M{m:03}"), &format!("P{}", m % connections), SIGNALS, m * SIGNALS, UNWATCHED);
    }
    text
}

fn header() {
    println!(
        "{:<28} {:>9} {:>9} {:>8} {:>8} {:>8} {:>10} {:>7} {:>10} {:>5}",
        "from", "values/s", "of", "missing", "repeated", "not good", "CPU % core", "RSS MB", "PLC CPU %", "load"
    );
}

fn measure(what: &str, plc: &Process, text: &str, values: usize, period_ms: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = Gateway::start(text, dir.path());
    std::thread::sleep(WARM);
    let cpu = || (gateway.process.cpu(), plc.cpu());
    let (begun, from, before) = (Instant::now(), now(), cpu());
    std::thread::sleep(MEASURED);
    let (seconds, to, after, memory) = (begun.elapsed().as_secs_f64(), now(), cpu(), gateway.process.memory());
    std::thread::sleep(TAIL);
    drop(gateway);
    let seen = stored(dir.path(), text, from..to);
    println!(
        "{what:<28} {:>9.0} {:>9.0} {:>8} {:>8} {:>8} {:>10.1} {memory:>7.0} {:>10.0} {:>5}",
        seen.values as f64 / seconds,
        values as f64 * 1e3 / period_ms as f64,
        seen.missing,
        seen.repeated,
        seen.not_good,
        100.0 * (after.0 - before.0) / seconds,
        100.0 * (after.1 - before.1) / seconds,
        load_average()
    );
}

fn now() -> Timestamp {
    Timestamp::EPOCH.plus(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[derive(Default)]
struct Seen {
    values: u64,
    /// Numbers between two rows of a signal, over all signals.
    missing: u64,
    /// Values that were in the row before already.
    repeated: u64,
    not_good: u64,
}

impl Seen {
    /// `None` for what is not good. Every value is a number that counts up by one.
    fn add(&mut self, last: &mut Option<u64>, number: Option<u64>) {
        let Some(number) = number else {
            self.not_good += 1;
            return;
        };
        self.values += 1;
        match last.replace(number).map(|before| (number + WRAP - before) % WRAP) {
            Some(0) => self.repeated += 1,
            Some(step) => self.missing += step - 1,
            None => {}
        }
    }
}

/// What the rings of a killed gateway have. Of waveforms only features are kept: the mean of a block is its number.
fn stored(dir: &Path, text: &str, time: Range<Timestamp>) -> Seen {
    let config = Config::parse(text).unwrap_or_else(|faults| panic!("{faults}"));
    let layouts: Vec<_> = config.machines.iter().map(|m| MachineLayout::of(m)).collect();
    let (store, _) = SledStore::open(&dir.join("store"), &config.store, &layouts).expect("the gateway's store");
    let mut seen = Seen::default();
    for (m, machine) in config.machines.iter().enumerate() {
        let mut last: Vec<Option<u64>> = vec![None; machine.signals.len()];
        let rows = if machine.signals[0].shape == Shape::Scalar {
            let frames = store.frames(m as u16, time.clone(), ROWS).expect("rows");
            for (_, frame) in &frames {
                for (last, channel) in last.iter_mut().zip(&frame.channels) {
                    let number = channel.value.as_ref().filter(|_| channel.quality.is_good()).and_then(Value::number);
                    seen.add(last, number.map(|x| x as u64));
                }
            }
            frames.len()
        } else {
            let rows = store.features(m as u16, time.clone(), ROWS).expect("rows");
            rows.iter().for_each(|row| seen.add(&mut last[0], Some(row.features[0]).filter(|x| x.is_finite()).map(|x| x.round() as u64)));
            rows.len()
        };
        assert!(rows > 0, "machine {} has no row", machine.name);
    }
    seen
}
