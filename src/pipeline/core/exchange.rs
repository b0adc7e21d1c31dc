//! Another bundle for a machine that goes on: what belongs to the bundle begins anew, what belongs to the machine stays.

use std::sync::Arc;

use super::{MachineCore, checks};
use crate::bundle::{Bundle, ContractError};

impl MachineCore {
    /// SHA-256 (hex) of the bundle, as it was last said; empty where nobody has said it.
    pub fn bundle_hash(&self) -> &Arc<str> {
        &self.bundle_hash
    }

    /// The core that goes on from the next row with another bundle (or none); this one is as it was. Row numbers, buffers, labels and
    /// orders go on; windows, charts and decisions begin anew, but for those that both bundles would make alike.
    ///
    /// # Errors
    /// The bundle does not fit the machine.
    pub fn successor(&self, bundle: Option<Arc<Bundle>>, hash: Arc<str>) -> Result<Self, ContractError> {
        let mut next = Self::new(self.config.clone(), self.config_hash.clone(), self.unit.clone(), bundle)?;
        next.bundle_hash = hash;
        (next.now.row, next.now.time) = (self.now.row, self.now.time);
        next.verdict = self.verdict.clone();
        next.verdict.checks = checks::reports(&self.config);
        next.tracker = self.tracker.clone();
        next.buffers = self.buffers.clone();
        next.sampler = self.sampler.clone();
        next.buffers.close_foreign(|key| next.bundle.as_ref().and_then(|b| b.slot_of(key)));
        next.verdict.buffers = next.buffers.reports();
        (next.suspended, next.suspended_until) = (self.suspended, self.suspended_until);
        next.labels = self.labels;
        // Rows before this one were judged by another bundle.
        next.forgotten.fill(self.now.row);
        next.keep_alike(self);
        next.update_parameters();
        next.report_slots();
        Ok(next)
    }

    /// Keeps what both bundles have alike: the data monitor where all references are, a model's where the model is as well.
    fn keep_alike(&mut self, before: &Self) {
        let (Some(new), Some(old)) = (self.bundle.as_deref(), before.bundle.as_deref()) else { return };
        if new.envelope != old.envelope || new.regimes != old.regimes {
            return;
        }
        if new.data_drift == old.data_drift {
            self.data = before.data.clone();
            self.baseline_before = before.baseline_before.clone();
            self.recent = before.recent.clone();
            self.checks = before.checks.clone();
            self.verdict.checks.clone_from(&before.verdict.checks);
            self.forgotten[0] = before.forgotten[0];
        }
        self.visits.clone_from(&before.visits);
        let count = self.models.len();
        for (k, config) in self.config.models.iter().enumerate() {
            if new.model(&config.name) != old.model(&config.name) {
                continue;
            }
            let (state, kept) = (&mut self.models[k], &before.models[k]);
            state.monitor = kept.monitor.clone();
            state.fault = kept.fault.clone();
            state.threshold = kept.threshold;
            state.performance.clone_from(&kept.performance);
            for at in [1 + k, 1 + count + k] {
                self.forgotten[at] = before.forgotten[at];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Training, TrainingRow};
    use crate::config::Config;
    use crate::regime::Cell;
    use crate::types::{Channel, Frame, Quality, Timestamp, Value};

    const CONFIG: &str = r#"
[[machines]]
name = "M"
signals = ["a", "b"]
settings = [{ name = "Speed", tolerance = 1.0 }]
[machines.data_drift]
tests = ["kolmogorov_smirnov"]
window_rows = 40
hop = 5
[[machines.models]]
name = "Wear"
kind = "kmeans"
clusters = 2
[[machines.models]]
name = "Seal"
kind = "kmeans"
clusters = 2
"#;

    fn trained(config: &Config, offset: f64) -> Arc<Bundle> {
        let row = |i: u32| TrainingRow {
            time: Timestamp::EPOCH,
            cells: vec![Cell::Centre(100.0)],
            features: vec![offset + f64::from(i % 17), f64::from(i % 13)],
        };
        let training = Training { rows: (0..400).map(row).collect(), ..Training::default() };
        Arc::new(training.train(&config.machines[0], "hash").unwrap())
    }

    fn step(core: &mut MachineCore, i: u32) {
        let channel = |x: f64| Channel { value: Some(Value::Real(x)), quality: Quality::Good, ..Channel::default() };
        let values = [f64::from(i % 17), f64::from(i % 13), 100.0];
        let time = Timestamp::from_secs_f64(1000.0 + f64::from(i));
        core.step(&Frame { time, channels: values.map(channel).into() });
    }

    fn core(config: &Config, bundle: &Arc<Bundle>, rows: u32) -> MachineCore {
        let mut core = MachineCore::new(config.machines[0].clone(), "h".into(), "M".into(), Some(bundle.clone())).unwrap();
        (1..=rows).for_each(|i| step(&mut core, i));
        core
    }

    fn fill(core: &MachineCore) -> usize {
        core.window_values(0, 0).len()
    }

    #[test]
    fn rows_go_on_and_windows_begin_anew() {
        let config = Config::parse(CONFIG).unwrap();
        let (old, new) = (trained(&config, 0.0), trained(&config, 1.0));
        let before = core(&config, &old, 60);
        let mut after = before.successor(Some(new.clone()), "new".into()).unwrap();
        assert_eq!((fill(&before), fill(&after)), (40, 0));
        assert_eq!((after.state().row, after.bundle()), (60, Some(&new)));
        let at_once = after.state();
        step(&mut after, 61);
        assert_eq!((after.verdict().row, fill(&after)), (61, 1));
        assert!(after.verdict().models[0].score.is_finite(), "predictions go on");
        // A restart does not fill the windows with rows that the other bundle has judged.
        let mut restarted = MachineCore::new(config.machines[0].clone(), "h".into(), "M".into(), Some(new)).unwrap();
        restarted.restore_forgotten(&at_once);
        for row in 41..=61 {
            restarted.restore_row(row, 0, Timestamp::from_secs_f64(row as f64), &[1.0, 2.0], &[0.1, 0.1]);
        }
        assert_eq!(fill(&restarted), 1);
    }

    #[test]
    fn what_is_alike_goes_on_undisturbed() {
        let config = Config::parse(CONFIG).unwrap();
        let old = trained(&config, 0.0);
        let mut changed = Bundle::clone(&old);
        changed.models[0].threshold *= 2.0;
        let before = core(&config, &old, 60);
        let after = before.successor(Some(Arc::new(changed)), "new".into()).unwrap();
        assert_eq!(fill(&after), 40);
        assert_eq!(after.models[0].monitor.window_fill(0).0, 0, "the model that has changed");
        assert_eq!(after.models[1].monitor.window_fill(0), before.models[1].monitor.window_fill(0), "the other one");
        assert_eq!(after.models[0].threshold, 2.0 * before.models[0].threshold);
    }

    #[test]
    fn one_that_does_not_fit_is_refused() {
        let config = Config::parse(CONFIG).unwrap();
        let other = Config::parse(&CONFIG.replace("\"b\"", "\"c\"")).unwrap();
        let before = core(&config, &trained(&config, 0.0), 3);
        let refused = before.successor(Some(trained(&other, 0.0)), "new".into()).err().unwrap();
        assert!(refused.to_string().contains("`c`"), "{refused}");
    }

    #[test]
    fn a_written_tolerance_decides_at_once_which_combination_a_row_belongs_to() {
        let config = Config::parse(CONFIG).unwrap();
        let bundle = trained(&config, 0.0);
        let machine = config.machines[0].clone();
        let tuned = |tolerance: f64| {
            let path = "M.Settings.Speed.Tolerance";
            Arc::new(crate::config::tunable::check(&machine, path, &crate::types::Scalar::F64(tolerance)).unwrap())
        };
        let mut core = MachineCore::new(machine.clone(), "hash".into(), "M".into(), Some(bundle.clone())).unwrap();
        let row = |core: &mut MachineCore, speed: f64| {
            let channel = |x: f64| Channel { value: Some(Value::Real(x)), quality: Quality::Good, ..Channel::default() };
            let channels = [1.0, 2.0, speed].map(channel).to_vec();
            (core.step(&Frame { time: Timestamp::EPOCH, channels }).verdict.regime.slot, core.verdict().regime.distance)
        };
        assert_eq!(row(&mut core, 103.0).0, None, "three tolerances away");
        core.set_config(tuned(4.0));
        assert_eq!(row(&mut core, 103.0), (Some(0), 0.75));
        assert_eq!(&*core.bundle().unwrap().envelope.rules, &*bundle.envelope.rules, "the bundle is as it was trained");
        core.set_config(tuned(0.5));
        assert_eq!(row(&mut core, 101.0).0, None);
        // The same after a restart.
        let mut again = MachineCore::new(tuned(4.0), "hash".into(), "M".into(), Some(bundle)).unwrap();
        assert_eq!(row(&mut again, 103.0), (Some(0), 0.75));
    }
}
