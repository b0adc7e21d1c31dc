//! One evaluation of each metric with the reference kept: `cargo bench --no-default-features --bench metrics`.
//!
//! Samples are read from the file that `DRIFTGATE_BENCH_DATA` names (`compare_scipy.py` writes it, so that both programs see the same
//! values), otherwise made here.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use driftgate::drift::metric::{Metric, Reference, Scratch, categorical, kolmogorov_smirnov, mmd, numerical, sort_finite, total_variation};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

struct Data {
    reference: Reference,
    current: Vec<f64>,
    classes: (Vec<u64>, Vec<u64>),
    binary: (Vec<u64>, Vec<u64>),
}

fn made(n: usize) -> Data {
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut sample = |mean: f64| -> Vec<f64> { Normal::new(mean, 1.0).expect("a spread").sample_iter(&mut rng).take(n).collect() };
    let (x, y) = (sample(0.0), sample(0.1));
    let share = n as u64 / 10;
    let classes = |k: u64| (0..10).map(|i| share + (i * k) % 7).collect();
    Data {
        reference: Reference::new(&x).expect("values"),
        current: y,
        classes: (classes(3), classes(5)),
        binary: (vec![7 * share, 3 * share], vec![7 * share + 5, 3 * share - 5]),
    }
}

fn read(path: &str, n: usize) -> Data {
    let text = std::fs::read_to_string(path).expect("the file of DRIFTGATE_BENCH_DATA");
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let data = &all[n.to_string()];
    let floats = |key: &str| -> Vec<f64> { serde_json::from_value(data[key].clone()).expect("numbers") };
    let counts = |key: &str| -> Vec<u64> { serde_json::from_value(data[key].clone()).expect("counts") };
    Data {
        reference: Reference::new(&floats("x")).expect("values"),
        current: floats("y"),
        classes: (counts("c1"), counts("c2")),
        binary: (counts("b1"), counts("b2")),
    }
}

fn metrics(c: &mut Criterion) {
    for n in [1_000, 10_000] {
        let data = std::env::var("DRIFTGATE_BENCH_DATA").map_or_else(|_| made(n), |path| read(&path, n));
        let mut sorted = Vec::new();
        sort_finite(&data.current, &mut sorted);
        let mut scratch = Scratch::new();
        let mut group = c.benchmark_group(format!("n{n}"));
        group.bench_function("sort_current", |b| {
            b.iter_batched(|| data.current.clone(), |v| sort_finite(black_box(&v), &mut sorted), BatchSize::SmallInput);
        });
        for metric in Metric::all().filter(|m| m.is_numerical()) {
            group.bench_function(metric.name(), |b| b.iter(|| numerical(metric, &data.reference, black_box(&sorted), &mut scratch)));
        }
        group.bench_function("kolmogorov_smirnov_exact", |b| {
            b.iter(|| kolmogorov_smirnov::test(&data.reference, black_box(&sorted), kolmogorov_smirnov::Method::Exact, &mut scratch));
        });
        group.bench_function("kolmogorov_smirnov_asymptotic", |b| {
            b.iter(|| kolmogorov_smirnov::test(&data.reference, black_box(&sorted), kolmogorov_smirnov::Method::Asymptotic, &mut scratch));
        });
        group.bench_function("mmd_statistic_all", |b| {
            b.iter(|| mmd::test(&data.reference, black_box(&sorted), mmd::Options { cap: usize::MAX, draws: 0 }));
        });
        group.bench_function("ks_w1_psi_js", |b| {
            b.iter(|| {
                for metric in [Metric::KolmogorovSmirnov, Metric::Wasserstein, Metric::Psi, Metric::JensenShannon] {
                    let _ = black_box(numerical(metric, &data.reference, black_box(&sorted), &mut scratch));
                }
            });
        });
        for metric in Metric::all().filter(|m| m.is_categorical()) {
            let (r, c) = if matches!(metric, Metric::ZTest | Metric::FisherExact) { &data.binary } else { &data.classes };
            group.bench_function(format!("counts/{metric}"), |b| b.iter(|| categorical(metric, black_box(r), black_box(c))));
        }
        group.bench_function("counts/total_variation_distance", |b| {
            b.iter(|| total_variation::distance(black_box(&data.classes.0), black_box(&data.classes.1)));
        });
        group.finish();
    }
}

criterion_group!(benches, metrics);
criterion_main!(benches);
