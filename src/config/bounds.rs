//! Defaults and ranges of the numbers in the configuration; the same for the file and for tuning over OPC UA.

use std::time::Duration;

/// A number's default, and the range it must lie in (both ends included).
#[derive(Copy, Clone, Debug)]
pub(super) struct Bound<T> {
    pub default: T,
    pub min: T,
    pub max: T,
}

const fn bound<T: Copy>(default: T, min: T, max: T) -> Bound<T> {
    Bound { default, min, max }
}

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);
const MS_10: Duration = Duration::from_millis(10);
const MS_100: Duration = Duration::from_millis(100);

pub(super) const PORT: u16 = 4840;
pub(super) const MAX_SESSIONS: Bound<u16> = bound(50, 1, 200);
pub(super) const MAX_CONNECTIONS: Bound<u16> = bound(200, 1, 2_000);
pub(super) const MAX_CONNECTIONS_PER_ADDRESS: Bound<u16> = bound(100, 1, 2_000);
pub(super) const MODBUS_PORT: u16 = 502;
pub(super) const STORE_ROWS: Bound<u32> = bound(20_000, 100, 10_000_000);
pub(super) const VALUE_ROWS: Bound<u32> = bound(500_000, 100, 10_000_000);
pub(super) const FEATURE_ROWS: Bound<u32> = bound(50_000, 100, 10_000_000);
pub(super) const DISK_RESERVE_MB: Bound<u32> = bound(200, 0, 1_000_000);

pub(super) const INTERVAL: Bound<Duration> = bound(MS_100, MS_10, HOUR);
pub(super) const SAMPLING: Bound<Duration> = bound(MS_100, Duration::from_millis(1), HOUR);
pub(super) const SILENCE: Bound<Duration> = bound(Duration::from_secs(10), MS_100, DAY);
pub(super) const TIMEOUT: Bound<Duration> = bound(Duration::from_secs(1), MS_10, Duration::from_secs(60));
pub(super) const ANNOUNCE_TIMEOUT: Bound<Duration> = bound(Duration::from_secs(10), MS_100, Duration::from_secs(60));
pub(super) const MAX_REGISTERS: Bound<u16> = bound(125, 1, 125);
pub(super) const PAUSE: Bound<Duration> = bound(Duration::ZERO, Duration::ZERO, Duration::from_secs(10));
pub(super) const BAUD: Bound<u32> = bound(19_200, 300, 4_000_000);
/// Of a text in registers: what one request can read.
pub(super) const CHARACTERS: std::ops::RangeInclusive<u8> = 1..=250;
/// 0 is for everybody.
pub(super) const SERIAL_UNITS: std::ops::RangeInclusive<u8> = 1..=247;
pub(super) const MAX_GAP: Bound<u16> = bound(8, 0, 124);

/// Values that a machine writes into PLCs.
pub(super) const MAX_WRITES: usize = 100;
pub(super) const WRITE_INTERVAL: Bound<Duration> = bound(Duration::from_secs(1), MS_100, HOUR);
pub(super) const WRITE_STALE: Bound<Duration> = bound(Duration::from_secs(5), MS_100, Duration::from_secs(30 * 86_400));

pub(super) const PERIOD: Bound<Duration> = bound(MS_100, MS_10, DAY);
pub(super) const MAX_AGE: Bound<Duration> = bound(Duration::from_secs(5), Duration::from_millis(1), Duration::from_secs(30 * 86_400));
pub(super) const SETTLE: Bound<Duration> = bound(Duration::ZERO, Duration::ZERO, DAY);
pub(super) const REGIME_SLOTS: Bound<u16> = bound(8, 1, 64);
pub(super) const MIN_REFERENCE_ROWS: Bound<u32> = bound(200, 20, 100_000);
pub(super) const LEARN_ROWS: Bound<u32> = bound(0, 0, 10_000_000);
pub(super) const BASELINE_ROWS: Bound<u32> = bound(0, 0, 100_000);
pub(super) const STUCK_AFTER: Bound<Duration> = bound(Duration::from_secs(30), MS_100, Duration::from_secs(30 * 86_400));
pub(super) const BLOCK_LENGTH: Bound<usize> = bound(256, 8, 65_536);

pub(super) const TREES: Bound<usize> = bound(100, 1, 1_000);
pub(super) const SAMPLES: Bound<usize> = bound(256, 8, 65_536);
pub(super) const CLUSTERS: Bound<usize> = bound(8, 1, 100);
pub(super) const SEED: u64 = 1;
pub(super) const CONTAMINATION: f64 = 0.001;
pub(super) const FAULT_ROWS: Bound<u16> = bound(5, 1, 10_000);
pub(super) const CONFIRMATION_TIMEOUT: Bound<Duration> = bound(HOUR, Duration::from_secs(1), Duration::from_secs(30 * 86_400));
pub(super) const LATENCY_BUDGET: Bound<Duration> = bound(MS_100, Duration::ZERO, Duration::from_secs(60));
/// Of a setting, as it can be written while the gateway runs.
pub(super) const TOLERANCE: (f64, f64) = (1e-9, 1e12);
/// Highest threshold of a score.
pub(super) const SCORE_THRESHOLD: f64 = 1e9;

pub(super) const WINDOW_ROWS: Bound<u32> = bound(200, 20, 10_000);
pub(super) const HOP: Bound<u32> = bound(20, 1, 10_000);
pub(super) const CONSECUTIVE_LIMIT: Bound<u16> = bound(3, 1, 1_000);
pub(super) const DELAY_ROWS: Bound<u32> = bound(0, 0, 100_000);
pub(super) const MAX_TESTS: usize = 4;
/// Lowest and highest threshold of a p-value, of a distance.
pub(super) const P_THRESHOLD: (f64, f64) = (1e-12, 0.999);
pub(super) const DISTANCE_THRESHOLD: (f64, f64) = (1e-6, 1e6);

pub(super) const REPORT_INTERVAL: Bound<Duration> = bound(DAY, Duration::from_secs(60), Duration::from_secs(365 * 86_400));
pub(super) const REPORT_ROWS: Bound<u32> = bound(1_000, 20, 10_000);
pub(super) const REPORT_KEEP: Bound<u16> = bound(30, 1, 1_000);
pub(super) const MAX_CHECKS: usize = 100;

pub(super) const TARGET_ROWS: Bound<u32> = bound(1_000, 1, 1_000_000);
pub(super) const STORE_AGE: Bound<Duration> = bound(Duration::from_secs(90 * 86_400), HOUR, Duration::from_secs(3_650 * 86_400));
pub(super) const MACHINE_MB: Bound<u32> = bound(500, 1, 1_000_000);
pub(super) const NU: f64 = 0.05;
pub(super) const EXPLAINED: f64 = 0.9;
pub(super) const ROWS_BEFORE: Bound<u32> = bound(200, 0, 1_000_000);
pub(super) const SAMPLE_EVERY: Bound<Duration> = bound(Duration::from_secs(60), MS_100, DAY);
pub(super) const SAMPLE_ROWS: Bound<u32> = bound(500, 10, 100_000);
pub(super) const SAMPLE_EXPORT: Bound<Duration> =
    bound(Duration::from_secs(7 * 86_400), Duration::from_secs(10), Duration::from_secs(365 * 86_400));

pub(super) const MAX_MACHINES: usize = 1_000;
pub(super) const MAX_CHANNELS: usize = 1_000;
/// Letters of a name; of a node id's text.
pub(super) const MAX_NAME: usize = 32;
pub(super) const MAX_PATH: usize = 100;
