//! What the PLCs are told: from verdicts and alarm words to the values of `[[machines.writes]]`. The sources write them.
//!
//! ```text
//! verdicts, alarm words ─▶ every TICK: values ─▶ one watch a source (the latest wins) ─▶ source writes
//! ```
//! A value is told only while it is true: without a row for `stale_after`, or with a part of it not known, it is
//! [`Output::Unknown`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, WriteConfig, Written, writes_of};
use crate::types::{DriftStatus, NotEvaluated, Output, RegimeState, Verdict};

/// Between two looks at what has changed.
const TICK: Duration = Duration::from_millis(100);

/// Bits of the alarms of each machine.
pub type AlarmBits = Vec<u16>;

/// Values of one source, in the order of [`writes_of`].
pub type Outputs = Arc<[Output]>;

/// Composes the values of all sources.
pub struct OutputDesk {
    pub config: Arc<Config>,
    /// One a machine.
    pub verdicts: Vec<watch::Receiver<Arc<Verdict>>>,
    pub alarms: watch::Receiver<AlarmBits>,
    /// One a source.
    pub sinks: Vec<watch::Sender<Outputs>>,
    pub stop: CancellationToken,
}

/// The newest row of a machine.
struct Newest {
    row: u64,
    since: Instant,
}

impl OutputDesk {
    /// Until `stop`. Where nothing is to be written, it ends at once.
    pub async fn run(self) {
        if self.config.machines.iter().all(|m| m.writes.is_empty()) {
            return;
        }
        let started = Instant::now();
        let mut newest: Vec<Newest> = self.verdicts.iter().map(|v| Newest { row: v.borrow().row, since: started }).collect();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.stop.run_until_cancelled(tick.tick()).await.is_some() {
            let verdicts: Vec<Arc<Verdict>> = self.verdicts.iter().map(|v| v.borrow().clone()).collect();
            for (newest, verdict) in newest.iter_mut().zip(&verdicts) {
                if verdict.row != newest.row {
                    *newest = Newest { row: verdict.row, since: Instant::now() };
                }
            }
            let alarms = self.alarms.borrow().clone();
            for (source, sink) in self.sinks.iter().enumerate() {
                let value = |(machine, write): (usize, &WriteConfig)| {
                    let verdict = verdicts.get(machine)?;
                    let age = newest.get(machine)?.since.elapsed();
                    let known = Known { verdict, fresh: verdict.row > 0 && age < write.stale_after, alarms: alarms.get(machine).copied() };
                    Some(known.output(write, started.elapsed()))
                };
                let values: Outputs = writes_of(&self.config, source).into_iter().map(|w| value(w).unwrap_or(Output::Unknown)).collect();
                sink.send_if_modified(|last| {
                    let changed = *last != values;
                    if changed {
                        *last = values;
                    }
                    changed
                });
            }
        }
    }
}

/// What is known of a machine.
struct Known<'a> {
    verdict: &'a Verdict,
    /// There was a row not long ago.
    fresh: bool,
    /// `None` before the first look at the alarms.
    alarms: Option<u16>,
}

impl Known<'_> {
    fn output(&self, write: &WriteConfig, running: Duration) -> Output {
        let flag = |on: bool| Output::Number(f64::from(u8::from(on)));
        let verdict = self.verdict;
        match write.value {
            Written::Heartbeat => {
                let intervals = running.as_nanos() / write.interval.as_nanos().max(1);
                Output::Count(u64::try_from(intervals).unwrap_or(u64::MAX))
            }
            Written::AlarmWord => self.alarms.map_or(Output::Unknown, |bits| Output::Number(f64::from(bits))),
            Written::Fresh => flag(self.fresh),
            _ if !self.fresh => Output::Unknown,
            Written::DriftStatus => Output::Number(f64::from(verdict.status.code())),
            Written::DriftIndex => drift_index(verdict).map_or(Output::Unknown, Output::Number),
            Written::Fault => fault(verdict).map_or(Output::Unknown, flag),
            Written::Trusted => flag(!verdict.models.is_empty() && verdict.models.iter().all(|m| m.trust.is_trusted())),
            Written::OutsideEnvelope if setting_unknown(verdict) => Output::Unknown,
            Written::OutsideEnvelope => match verdict.regime.state {
                RegimeState::OutOfEnvelope => flag(true),
                RegimeState::Monitoring | RegimeState::Suspended => flag(false),
                RegimeState::Learning | RegimeState::NoReference | RegimeState::Transient | RegimeState::NotProducing => Output::Unknown,
            },
            Written::Regime => Output::Number(verdict.regime.slot.map_or(0.0, |slot| f64::from(slot) + 1.0)),
            Written::RegimeState if setting_unknown(verdict) => Output::Unknown,
            Written::RegimeState => Output::Number(f64::from(verdict.regime.state.code())),
        }
    }
}

fn setting_unknown(verdict: &Verdict) -> bool {
    verdict.not_evaluated == Some(NotEvaluated::BadSetting)
}

/// The index, while a monitor that it comes from goes on measuring.
fn drift_index(verdict: &Verdict) -> Option<f64> {
    let judged = |status| matches!(status, DriftStatus::OK | DriftStatus::Warning | DriftStatus::Drift);
    let from = verdict.monitors.iter().filter(|m| m.index == verdict.drift_index);
    (verdict.drift_index.is_finite() && from.into_iter().any(|m| m.reason.is_none() && judged(m.status))).then_some(verdict.drift_index)
}

/// A fault, until a trusted score of every model says that there is none.
fn fault(verdict: &Verdict) -> Option<bool> {
    if verdict.models.iter().any(|m| m.fault) {
        return Some(true);
    }
    let healthy = !verdict.models.is_empty() && verdict.models.iter().all(|m| m.score.is_finite() && m.trust.is_trusted());
    healthy.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::core::MachineCore;
    use crate::types::{ModelReport, Trust};

    const FILE: &str = r#"
[[sources]]
name = "P"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:1"
[[machines]]
name = "M"
period = "100ms"
signals = [{ name = "a", address = "holding:1" }]
models = [{ name = "X", inputs = ["a"] }]
writes = [
    { value = "drift_status", address = "holding:100" },
    { value = "fault", address = "holding:101" },
    { value = "heartbeat", address = "holding:102" },
    { value = "alarm_word", address = "holding:103" },
    { value = "fresh", address = "coil:0" },
    { value = "outside_envelope", address = "holding:104" },
]
"#;

    fn verdict(config: &Config) -> Verdict {
        let core = MachineCore::new(config.machines[0].clone(), "".into(), "M".into(), None).unwrap();
        Verdict { row: 1, ..core.verdict().clone() }
    }

    fn outputs(config: &Config, verdict: &Verdict, fresh: bool) -> Vec<Output> {
        let known = Known { verdict, fresh, alarms: Some(3) };
        writes_of(config, 0).into_iter().map(|(_, w)| known.output(w, Duration::from_millis(2500))).collect()
    }

    #[test]
    fn without_rows_only_the_gateway_s_own_is_known() {
        use Output::{Count, Number, Unknown};
        let config = Config::parse(FILE).unwrap();
        let mut verdict = verdict(&config);
        verdict.status = DriftStatus::Drift;
        verdict.regime.state = RegimeState::Monitoring;
        verdict.models = vec![ModelReport {
            score: 0.1,
            threshold: 1.0,
            anomaly: false,
            fault: false,
            scored: None,
            own_threshold: 1.0,
            trust: Trust::Trusted,
            performance: None,
        }];
        assert_eq!(outputs(&config, &verdict, true), [Number(4.0), Number(0.0), Count(2), Number(3.0), Number(1.0), Number(0.0)]);
        assert_eq!(outputs(&config, &verdict, false), [Unknown, Unknown, Count(2), Number(3.0), Number(0.0), Unknown]);
        // No fault is said only where that is trusted; a fault stays one.
        verdict.models[0].trust = Trust::BadInputs;
        assert_eq!(fault(&verdict), None);
        verdict.models[0].fault = true;
        assert_eq!(fault(&verdict), Some(true));
        verdict.not_evaluated = Some(NotEvaluated::BadSetting);
        assert_eq!(outputs(&config, &verdict, true)[5], Unknown);
    }

    #[tokio::test]
    async fn the_latest_values_are_offered_and_go_stale() {
        let text = FILE.replace("value = \"drift_status\"", "value = \"drift_status\", stale_after = \"300ms\"");
        let config = Arc::new(Config::parse(&text).unwrap());
        let (verdicts, verdict_rx) = watch::channel(Arc::new(verdict(&config)));
        let (_alarms, alarms) = watch::channel(vec![0]);
        let (sink, mut values) = watch::channel(Outputs::default());
        let stop = CancellationToken::new();
        let desk = OutputDesk { config: config.clone(), verdicts: vec![verdict_rx], alarms, sinks: vec![sink], stop: stop.clone() };
        let task = tokio::spawn(desk.run());
        let warning = Verdict { row: 2, status: DriftStatus::Warning, ..verdict(&config) };
        verdicts.send_replace(Arc::new(warning));
        values.wait_for(|v| v.first() == Some(&Output::Number(3.0))).await.unwrap();
        values.wait_for(|v| v.first() == Some(&Output::Unknown)).await.unwrap();
        stop.cancel();
        task.await.unwrap();
    }
}
