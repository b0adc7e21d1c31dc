//! A whole comparison with its HTML report: `cargo bench --no-default-features --bench report`.
//!
//! 50 numerical columns of 1,000 rows, default metrics: compute, render, and both; then with reading the two CSV files.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use driftgate::comparison::{Column, Comparison, Entry, Options, Table, compare_with};
use driftgate::pipeline::{compared, recorded::Input};
use driftgate::report::{About, comparison};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

const COLUMNS: usize = 50;
const ROWS: usize = 1_000;

fn table(mean: f64, seed: u64) -> Table {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let normal = Normal::new(mean, 1.0).expect("a spread");
    let column = |k: usize| {
        let mut column = Column::new(format!("f{k}"));
        (0..ROWS).for_each(|_| column.push(Entry::Number(normal.sample(&mut rng))));
        column
    };
    Table { columns: (0..COLUMNS).map(column).collect() }
}

fn compute(reference: &Table, current: &Table) -> (Comparison, comparison::Pictures) {
    let mut pictures = comparison::Pictures::default();
    let answer = compare_with(reference, current, &Options::default(), &mut |_, samples| pictures.take(samples)).expect("columns");
    (answer, pictures)
}

fn csv(table: &Table) -> String {
    let mut text = table.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(",");
    for row in 0..table.rows() {
        text.push('\n');
        for (k, column) in table.columns.iter().enumerate() {
            if let Entry::Number(x) = column.get(row) {
                let _ = write!(text, "{}{x}", if k > 0 { "," } else { "" });
            }
        }
    }
    text
}

fn report(c: &mut Criterion) {
    let (reference, current) = (table(0.0, 1), table(0.1, 2));
    let about = About { subject: "current against reference".into(), ..About::default() };
    let mut group = c.benchmark_group("report_50x1000");
    group.sample_size(20);
    group.bench_function("compute", |b| b.iter(|| compute(black_box(&reference), black_box(&current))));
    let (answer, pictures) = compute(&reference, &current);
    group.bench_function("render", |b| b.iter(|| comparison::html(black_box(&answer), &pictures, &about)));
    let whole = |reference: &Table, current: &Table| {
        let (answer, pictures) = compute(reference, current);
        comparison::html(&answer, &pictures, &about)
    };
    group.bench_function("compute_and_render", |b| b.iter(|| whole(black_box(&reference), black_box(&current))));
    let dir = tempfile::tempdir().expect("a directory");
    let input = |name: &str, table: &Table| -> Input {
        let path = dir.path().join(name);
        std::fs::write(&path, csv(table)).expect("a file");
        path.display().to_string().parse().expect("a path")
    };
    let (r, k) = (input("r.csv", &reference), input("c.csv", &current));
    let read = |input: &Input| compared::read(input, &mut |_| {}).expect("a table");
    group.bench_function("read_compute_and_render", |b| b.iter(|| whole(&read(&r), &read(&k))));
    group.finish();
}

criterion_group!(benches, report);
criterion_main!(benches);
