//! What the gateway tells of itself: health, load, disk, sources.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::vitals::Disk;
use crate::config::Config;
use crate::pipeline::cycle::Cycles;
use crate::pipeline::driver::wall_clock;
use crate::server::view::ascii;
use crate::server::{NodeUpdate, UpdateSender};
use crate::source::SourceStatus;
use crate::store::StoreHealth;
use crate::types::{Cause, Health, Quality, Scalar, SourceState, Timestamp, Verdict};

/// Between two looks at the gateway's own state.
const GATEWAY_TICK: Duration = Duration::from_millis(250);

/// Values of the gateway itself and of its sources.
pub(super) struct GatewayWatch {
    pub(super) config: Arc<Config>,
    pub(super) sources: Vec<watch::Receiver<SourceStatus>>,
    pub(super) verdicts: Vec<watch::Receiver<Arc<Verdict>>>,
    pub(super) store: watch::Receiver<StoreHealth>,
    pub(super) disk: Disk,
    pub(super) cycles: Cycles,
    /// What was said last; `None`: not known.
    pub(super) last: Vec<(Arc<str>, Option<Scalar>)>,
}

impl GatewayWatch {
    /// Until `stop`.
    pub(super) async fn run(mut self, updates: UpdateSender, stop: CancellationToken) {
        let mut tick = tokio::time::interval(GATEWAY_TICK);
        let mut load = Load::new();
        let mut turned = Instant::now();
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if turned.elapsed() >= Cycles::SPAN {
                self.cycles.turn();
                turned = Instant::now();
            }
            let Ok(permit) = updates.try_reserve() else { continue };
            let values = self.values(&mut load);
            let now = wall_clock();
            let mut changed = Vec::new();
            for (k, (path, value)) in values.into_iter().enumerate() {
                let value = known(value);
                match self.last.get_mut(k) {
                    Some((_, last)) if *last == value => continue,
                    Some((_, last)) => *last = value.clone(),
                    None => self.last.push((path.clone(), value.clone())),
                }
                let quality = if value.is_some() { Quality::Good } else { Quality::Bad(Cause::NoData) };
                changed.push(NodeUpdate { path, value, quality, time: now });
            }
            if !changed.is_empty() {
                permit.send(changed);
            }
        }
    }

    fn values(&mut self, load: &mut Load) -> Vec<(Arc<str>, Scalar)> {
        let mut out: Vec<(Arc<str>, Scalar)> = Vec::new();
        let mut put = |path: String, value: Scalar| out.push((path.into(), value));
        let store = self.store.borrow().clone();
        let down = self.sources.iter().filter(|s| !matches!(s.borrow().state, SourceState::Connected | SourceState::Disabled)).count();
        let health = match (&store.failing, down) {
            (Some(_), _) => Health::Fault,
            (None, 0) => Health::OK,
            (None, _) => Health::Degraded,
        };
        let text = store.failing.clone().unwrap_or_else(|| match down {
            0 => match self.sources.iter().filter(|s| s.borrow().state == SourceState::Disabled).count() {
                0 => health.name().into(),
                n => format!("{}, {n} of {} sources switched off", health.name(), self.sources.len()),
            },
            n => format!("{n} of {} sources not connected", self.sources.len()),
        });
        put("Gateway.Health".into(), Scalar::U16(health.code()));
        put("Gateway.HealthText".into(), Scalar::Text(ascii(&text).into()));
        let verdicts: Vec<_> = self.verdicts.iter().map(|v| v.borrow().clone()).collect();
        let count = |f: &dyn Fn(&Verdict) -> bool| Scalar::U16(verdicts.iter().filter(|v| f(v)).count() as u16);
        put("Gateway.MachinesTotal".into(), Scalar::U16(verdicts.len() as u16));
        put("Gateway.MachinesWithDrift".into(), count(&|v| v.status == crate::types::DriftStatus::Drift));
        put("Gateway.MachinesWithFault".into(), count(&|v| v.models.iter().any(|m| m.fault)));
        put("Gateway.Diagnostics.StoreErrors".into(), Scalar::U32(u32::try_from(store.lost).unwrap_or(u32::MAX)));
        let (cpu, memory) = load.sample();
        put("Gateway.Diagnostics.CpuLoad".into(), Scalar::F64(cpu));
        put("Gateway.Diagnostics.MemoryUsed".into(), Scalar::F64(memory));
        let (size, free) = self.disk.sample();
        put("Gateway.Diagnostics.StoreSize".into(), Scalar::F64(size));
        put("Gateway.Diagnostics.DiskFree".into(), Scalar::F64(free));
        put("Gateway.Diagnostics.CycleTimeMax".into(), Scalar::F64(self.cycles.longest()));
        for (source, status) in self.config.sources.iter().zip(&self.sources) {
            let status = status.borrow();
            let s = |name: &str| format!("Gateway.Sources.{}.{name}", source.name);
            put(s("State"), Scalar::U16(status.state.code()));
            put(s("StateText"), Scalar::Text(ascii(&status.text).into()));
            put(s("LastGoodTime"), Scalar::Time(status.last_good));
            put(s("Latency"), Scalar::F64(status.latency.map_or(f64::NAN, |l| l.as_secs_f64() * 1e3)));
            put(s("ReadErrors"), Scalar::U32(u32::try_from(status.read_errors).unwrap_or(u32::MAX)));
            put(s("Reconnects"), Scalar::U32(u32::try_from(status.reconnects).unwrap_or(u32::MAX)));
            put(s("WriteErrors"), Scalar::U32(u32::try_from(status.write_errors).unwrap_or(u32::MAX)));
        }
        out
    }
}

/// NaN and the epoch stand for what is not known (any more).
fn known(value: Scalar) -> Option<Scalar> {
    let unknown = matches!(value, Scalar::F64(x) if x.is_nan()) || value == Scalar::Time(Timestamp::EPOCH);
    (!unknown).then_some(value)
}

/// CPU load (% of one core) and memory (MB) of this process, by /proc; zero where there is none.
struct Load {
    at: Instant,
    ticks: u64,
    shown: (f64, f64),
}

impl Load {
    const EVERY: Duration = Duration::from_secs(2);

    fn new() -> Self {
        Self { at: Instant::now(), ticks: cpu_ticks().unwrap_or(0), shown: (0.0, memory_mb().unwrap_or(0.0)) }
    }

    fn sample(&mut self) -> (f64, f64) {
        let elapsed = self.at.elapsed();
        if elapsed >= Self::EVERY {
            let ticks = cpu_ticks().unwrap_or(self.ticks);
            // Linux counts in hundredths of a second.
            let load = ticks.saturating_sub(self.ticks) as f64 / elapsed.as_secs_f64();
            self.shown = ((load * 10.0).round() / 10.0, memory_mb().unwrap_or(0.0).round());
            (self.at, self.ticks) = (Instant::now(), ticks);
        }
        self.shown
    }
}

fn cpu_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
