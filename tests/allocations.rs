//! What the live path takes from the heap: nothing per ordinary row, and no more after forty thousand rows than after ten thousand.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use driftgate::config::Config;
use driftgate::pipeline::core::MachineCore;
use driftgate::types::{Channel, Frame, Timestamp, Value};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

thread_local! {
    /// Of this thread: allocations so far, and bytes held.
    static COUNTS: Cell<(u64, i64)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(allocations: u64, bytes: i64) {
    // At the end of a thread there is nothing left to count into.
    let _ = COUNTS.try_with(|c| {
        let (n, held) = c.get();
        c.set((n + allocations, held + bytes));
    });
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FEATURES: usize = 20;
const LEARNED: usize = 1_000;

fn machine(monitor: &str) -> MachineCore {
    let signals: Vec<_> = (0..FEATURES).map(|k| format!("\"x{k}\"")).collect();
    let text = format!(
        "[[machines]]\nname = \"M\"\nlearn_rows = {LEARNED}\nsignals = [{}]\nsettings = [{{ name = \"Voltage\", tolerance = 5.0 }}]\n\
         [[machines.models]]\nname = \"Forest\"\n[machines.models.prediction_drift]\n{monitor}\n\
         [[machines.checks]]\nname = \"Gaps\"\ncheck = \"missing_share\"\n[machines.report]\ninterval = \"1h\"\n\
         [machines.data_drift]\n{monitor}\n",
        signals.join(", ")
    );
    let config = Config::parse(&text).unwrap_or_else(|e| panic!("{e}"));
    MachineCore::new(config.machines[0].clone(), "".into(), "M".into(), None).unwrap()
}

/// Frames of independent noise at 164 V: made once, played again and again, so that the rows themselves cost nothing.
fn frames() -> Vec<Frame> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let frame = |row: usize| {
        let time = Timestamp::from_nanos(row as i64 * 100_000_000);
        let mut values: Vec<f64> = (0..FEATURES).map(|_| rng.sample(StandardNormal)).collect();
        values.push(164.0);
        Frame { time, channels: values.into_iter().map(|x| Channel::good(Value::Real(x), time)).collect() }
    };
    (0..LEARNED).map(frame).collect()
}

fn play(core: &mut MachineCore, frames: &[Frame], rows: usize) -> (u64, i64) {
    let before = COUNTS.get();
    for frame in frames.iter().cycle().take(rows) {
        core.step(frame);
    }
    let after = COUNTS.get();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_row_without_evaluation_allocates_nothing() {
    let frames = frames();
    for monitor in
        ["enabled = false", "window_rows = 10000\nhop = 10000", "tests = [\"ewma_t2\"]", "tests = [\"cusum\"]", "tests = [\"adwin\"]"]
    {
        let mut core = machine(monitor);
        play(&mut core, &frames, LEARNED + 4_000);
        assert_eq!(core.verdict().not_evaluated, None, "rows are judged");
        // Events are what something has happened by: these rows have none.
        let quiet = (0..20).map(|_| play(&mut core, &frames, 50).0).min();
        assert_eq!(quiet, Some(0), "{monitor}");
    }
}

#[test]
fn memory_does_not_grow_with_time() {
    let frames = frames();
    for monitor in ["window_rows = 100\nhop = 10", "tests = [\"ewma_t2\"]", "tests = [\"adwin\"]"] {
        let mut core = machine(monitor);
        play(&mut core, &frames, LEARNED + 10_000);
        let (_, grown) = play(&mut core, &frames, 30_000);
        assert!(grown.abs() < 4_096, "{monitor}: {grown} bytes more");
    }
}
