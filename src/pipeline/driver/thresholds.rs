//! Where thresholds come from, and which budget of false alarms they keep.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::config::{MachineConfig, MonitorConfig, TestConfig};
use crate::drift::MonitorParams;
use crate::drift::calibrate::{Answer, Calibration};

/// A monitor with what its bundle says of it.
struct Calibrated<'a> {
    config: &'a MonitorConfig,
    columns: usize,
    calibration: Option<&'a Calibration>,
}

impl Calibrated<'_> {
    fn params(&self) -> MonitorParams {
        MonitorParams::new(self.config, 0, self.columns, self.calibration)
    }

    /// Where the thresholds in use come from; the first that applies.
    fn origins(&self, file: &MonitorConfig) -> Vec<&'static str> {
        let params = self.params();
        let known = self.calibration.filter(|c| c.thresholds_for(&params).is_some());
        let calibrated = known.map(|c| match &c.answer {
            Answer::Thresholds(t)
                if (t.window_rows, t.hop, t.consecutive_limit) == (params.window_rows, params.hop, params.consecutive_limit) =>
            {
                "bundle (calibrated)"
            }
            _ => "bundle (calibrated for another window)",
        });
        let origin = |(now, file): (&TestConfig, &TestConfig)| match now.threshold {
            Some(_) if now != file => "written",
            Some(_) => "file",
            None => calibrated.unwrap_or("default (uncalibrated)"),
        };
        self.config.tests.iter().zip(&file.tests).map(origin).collect()
    }

    fn budget(&self) -> String {
        self.calibration.and_then(|c| c.kept_by(&self.params())).map_or_else(String::new, |budget| budget.to_string())
    }
}

/// Data monitor and prediction monitors, in this order.
fn monitors<'a>(config: &'a MachineConfig, bundle: Option<&'a Arc<Bundle>>) -> Vec<Calibrated<'a>> {
    let data =
        Calibrated { config: &config.data_drift, columns: config.features.len(), calibration: bundle.and_then(|b| b.data_drift.as_ref()) };
    let models = config.models.iter().map(|m| Calibrated {
        config: &m.prediction_drift,
        columns: 1,
        calibration: bundle.and_then(|b| b.model(&m.name)).and_then(|m| m.prediction_drift.as_ref()),
    });
    std::iter::once(data).chain(models).collect()
}

/// Where the thresholds in use come from: data monitor, prediction monitors, performance monitors; test by test.
pub(super) fn origins(config: &MachineConfig, file: &MachineConfig, bundle: Option<&Arc<Bundle>>) -> Vec<Vec<&'static str>> {
    let files = std::iter::once(&file.data_drift).chain(file.models.iter().map(|m| &m.prediction_drift));
    let performance = config.models.iter().zip(&file.models).filter_map(|(now, file)| {
        let (now, file) = (&now.performance.as_ref()?.drift, &file.performance.as_ref()?.drift);
        Some(Calibrated { config: now, columns: 1, calibration: None }.origins(file))
    });
    monitors(config, bundle).iter().zip(files).map(|(monitor, file)| monitor.origins(file)).chain(performance).collect()
}

/// The false-alarm budgets that the thresholds in use keep, in the order of [`origins`]; empty where they keep none.
pub(super) fn budgets(config: &MachineConfig, bundle: Option<&Arc<Bundle>>) -> Vec<String> {
    monitors(config, bundle).iter().map(Calibrated::budget).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::drift::calibrate::{Basis, Calibrated as Found};

    fn monitor(text: &str) -> MonitorConfig {
        let text = format!("[[machines]]\nname = \"M\"\nsignals = [\"a\"]\n[machines.data_drift]\n{text}\n");
        Config::parse(&text).unwrap().machines[0].data_drift.clone()
    }

    fn calibration(of: &MonitorConfig) -> Calibration {
        let found = Found {
            thresholds: vec![0.4],
            budget: "1 per 30d".parse().unwrap(),
            basis: Basis::HeldBack,
            evaluations: 1000,
            window_rows: of.window_rows as usize,
            hop: of.hop as usize,
            consecutive_limit: of.consecutive_limit,
            delay_rows: [None; 3],
        };
        Calibration { ewma: None, tests: vec![of.tests[0].metric], answer: Answer::Thresholds(found) }
    }

    #[test]
    fn a_budget_is_kept_only_by_what_it_was_calibrated_for() {
        let file = monitor("tests = [\"wasserstein\"]\nbudget = \"1 per 30d\"");
        let calibration = calibration(&file);
        let shown = |config: &MonitorConfig| {
            let monitor = Calibrated { config, columns: 1, calibration: Some(&calibration) };
            (monitor.budget(), monitor.origins(&file)[0])
        };
        assert_eq!(shown(&file), ("1 per 30d".into(), "bundle (calibrated)"));
        let mut other = file.clone();
        other.hop = 7;
        assert_eq!(shown(&other), (String::new(), "bundle (calibrated for another window)"));
        let mut other = file.clone();
        other.tests[0].threshold = Some(0.3);
        assert_eq!(shown(&other), (String::new(), "written"));
        let mut other = file.clone();
        other.tests[0].metric = "psi".parse().unwrap();
        assert_eq!(shown(&other), (String::new(), "default (uncalibrated)"));
        assert_eq!(Calibrated { config: &file, columns: 1, calibration: None }.budget(), "");
    }
}
