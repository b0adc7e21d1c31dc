//! One row through the core: 50 scalar features at a setting. `cargo bench --no-default-features --bench core`
//!
//! `rows` has all monitors off, `windows` fills a window that is evaluated every 10,000 rows (its cost is in the mean), `charts` follows
//! each row with a multivariate chart, `forest` adds a model of 100 trees to `rows`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use driftgate::config::Config;
use driftgate::pipeline::core::MachineCore;
use driftgate::types::{Channel, Frame, Quality, Timestamp, Value};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

const FEATURES: usize = 50;
const LEARNED: usize = 2_000;

const FOREST: &str = "[[machines.models]]\nname = \"Forest\"\ntrees = 100\n[machines.models.prediction_drift]\nenabled = false\n";
const OFF: &str = "enabled = false";
const WINDOWS: &str = "tests = [\"kolmogorov_smirnov\"]\nwindow_rows = 10000\nhop = 10000";
const CHARTS: &str = "tests = [\"ewma_t2\"]";

fn frame(row: usize, rng: &mut ChaCha8Rng) -> Frame {
    let time = Timestamp::from_nanos(row as i64 * 100_000_000);
    let channel = |x: f64| Channel { value: Some(Value::Real(x)), quality: Quality::Good, source_time: time };
    let mut channels: Vec<Channel> = (0..FEATURES).map(|k| channel(k as f64 + rng.sample::<f64, _>(StandardNormal))).collect();
    channels.push(channel(164.0));
    Frame { time, channels }
}

/// A core that has learned, and rows for it.
fn learned(models: &str, monitor: &str) -> (MachineCore, Vec<Frame>) {
    let signals: Vec<_> = (0..FEATURES).map(|k| format!("\"x{k}\"")).collect();
    let text = format!(
        "[[machines]]\nname = \"Bench\"\nlearn_rows = {LEARNED}\nsignals = [{}]\nsettings = [{{ name = \"Voltage\", tolerance = 5.0 }}]\n{models}\
         [machines.data_drift]\n{monitor}\n",
        signals.join(", ")
    );
    let config = Config::parse(&text).expect("a sound configuration");
    let mut core = MachineCore::new(config.machines[0].clone(), "".into(), "Bench".into(), None).expect("a core");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let frames: Vec<_> = (0..LEARNED).map(|row| frame(row, &mut rng)).collect();
    let learned: Vec<_> = frames.iter().filter_map(|frame| core.step(frame).learned).collect();
    assert_eq!(learned.len(), 1, "the core has learned");
    (core, frames)
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("core_{FEATURES}_features"));
    for (name, models, monitor) in [("rows", "", OFF), ("windows", "", WINDOWS), ("charts", "", CHARTS), ("forest", FOREST, OFF)] {
        let (mut core, frames) = learned(models, monitor);
        let mut rows = frames.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                let frame = rows.next().expect("endless");
                black_box(core.step(black_box(frame)).verdict.row)
            });
        });
        assert_eq!(core.verdict().not_evaluated, None, "rows are judged");
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
