//! When a full report is due, the one in the making, and those that are kept.
//!
//! ```text
//! None ──due, enough rows──▶ Making (a blocking thread) ──▶ Ready | Failed ──interval──▶ Making ...
//! ```
//! The first is made as soon as some regime has the rows it looks at; then one an interval, also over restarts.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::core::MachineCore;
use super::full_report::{FullReport, full_report};
use crate::comparison::ComparisonError;
use crate::server::view::ReportView;
use crate::store::{MAX_BLOB, Record};
use crate::types::{ReportState, Timestamp};

/// A start with too few rows is tried again after this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reports from before a restart.
#[derive(Clone, Debug, Default)]
pub struct KeptReports {
    /// Keys in the store, oldest first.
    pub keys: Vec<String>,
    /// The newest one.
    pub last: Option<FullReport>,
}

/// What came of a report in the making.
pub type Made = Result<(FullReport, Duration), String>;

/// Owned by the driver of a machine.
pub struct Reports {
    keys: Vec<String>,
    view: ReportView,
    making: Option<JoinHandle<Made>>,
    interval: Option<Duration>,
    looked: Option<Instant>,
}

/// Prefix of the keys of a machine's reports.
pub fn prefix(machine: &str) -> String {
    format!("report|{machine}|")
}

impl Reports {
    pub fn new(kept: KeptReports, interval: Option<Duration>) -> Self {
        let mut reports = Self { keys: kept.keys, view: ReportView::default(), making: None, interval, looked: None };
        reports.view.kept = u16::try_from(reports.keys.len()).unwrap_or(u16::MAX);
        if let Some(last) = &kept.last {
            reports.show(last, "made before the last start");
        }
        reports.set_interval(interval);
        reports
    }

    /// Another interval, counted from the last report.
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
        let made = self.view.last != Timestamp::EPOCH;
        self.view.next = interval.filter(|_| made).map_or(Timestamp::EPOCH, |i| self.view.last.plus(i));
        if !made && self.view.state == ReportState::None {
            self.view.state_text = if interval.is_some() { "none yet: too few rows" } else { "none is made: the interval is 0" }.into();
        }
    }

    /// What the nodes show.
    pub fn view(&self) -> &ReportView {
        &self.view
    }

    /// Starts to make a report where one is due.
    pub fn start_if_due(&mut self, core: &MachineCore, now: Timestamp) {
        if self.interval.is_none() || self.making.is_some() || self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        // A clock that was set back does not put the next report off for years.
        let due = now >= self.view.next || self.view.last > now;
        if !due || !core.report_is_worth_it() {
            return;
        }
        let Some(snapshot) = core.snapshot() else { return };
        self.view.state = ReportState::Making;
        self.view.state_text = "being made".into();
        self.making = Some(tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let report = full_report(&snapshot).map_err(|e: ComparisonError| e.to_string())?;
            Ok((report, begun.elapsed()))
        }));
    }

    /// Ends when the report in the making is done; never where there is none.
    pub async fn made(&mut self) -> Made {
        let Some(making) = &mut self.making else { return std::future::pending().await };
        let made = making.await.unwrap_or_else(|error| Err(format!("it ended badly: {error}")));
        self.making = None;
        made
    }

    /// Waits for the report in the making; it is let go: the next start makes one.
    pub async fn finish(&mut self) {
        if let Some(making) = self.making.take() {
            // How it ended is of no interest any more.
            let _ = making.await;
        }
    }

    /// Takes a report in; what is to be stored comes back: the report, and what goes for it.
    pub fn take(&mut self, made: Made, machine: &str, keep: u16, now: Timestamp) -> Vec<Record> {
        let report = match made {
            Ok((report, took)) => {
                self.show(&report, &format!("made in {:.2} s", took.as_secs_f64()));
                self.view.last = now;
                report
            }
            Err(why) => {
                tracing::warn!(machine, "the full report cannot be made: {why}");
                (self.view.state, self.view.state_text) = (ReportState::Failed, why.as_str().into());
                self.view.next = self.interval.map_or(Timestamp::EPOCH, |i| now.plus(i));
                return Vec::new();
            }
        };
        self.set_interval(self.interval);
        let mut records = Vec::new();
        match serde_json::to_vec(&report) {
            Ok(bytes) if bytes.len() <= MAX_BLOB => {
                let key = format!("{}{now}", prefix(machine));
                self.keys.push(key.clone());
                records.push(Record::PutBlob { key, value: bytes.into() });
            }
            Ok(bytes) => tracing::warn!(machine, "the full report of {} bytes is too large to be kept", bytes.len()),
            Err(error) => tracing::error!(machine, "the full report cannot be kept: {error}"),
        }
        let gone = self.keys.len().saturating_sub(usize::from(keep));
        records.extend(self.keys.drain(..gone).map(|key| Record::Remove { key }));
        self.view.kept = u16::try_from(self.keys.len()).unwrap_or(u16::MAX);
        records
    }

    fn show(&mut self, report: &FullReport, how: &str) {
        let view = &mut self.view;
        (view.state, view.state_text) = (ReportState::Ready, how.into());
        (view.text, view.html, view.json) = (report.text.as_str().into(), report.html.as_str().into(), report.json.as_str().into());
        (view.features, view.drifted, view.checks_failed) = (report.features, report.drifted, report.checks_failed);
        view.last = report.time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(second: i64) -> FullReport {
        FullReport {
            time: Timestamp::from_nanos(second * 1_000_000_000),
            text: "status OK".into(),
            features: 3,
            drifted: 1,
            checks_failed: 0,
            html: "<html>".into(),
            json: "{}".into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn the_oldest_go_and_the_newest_is_shown() {
        let mut reports = Reports::new(KeptReports::default(), Some(Duration::from_secs(60)));
        assert_eq!((reports.view().state, reports.view().kept), (ReportState::None, 0));
        for second in [100, 200, 300] {
            let records = reports.take(Ok((report(second), Duration::from_millis(5))), "M", 2, at(second));
            let removed: Vec<_> = records.iter().filter(|r| matches!(r, Record::Remove { .. })).collect();
            assert_eq!(removed.len(), usize::from(second == 300), "{records:?}");
        }
        let view = reports.view();
        assert_eq!((view.state, view.kept, view.drifted), (ReportState::Ready, 2, 1));
        assert_eq!((view.last, view.next), (at(300), at(360)));
        assert!(view.state_text.starts_with("made in "));
    }

    #[test]
    fn a_failed_one_keeps_the_last_and_says_why() {
        let mut reports = Reports::new(KeptReports { keys: vec!["report|M|1".into()], last: Some(report(50)) }, None);
        assert_eq!((reports.view().kept, reports.view().last), (1, at(50)));
        assert!(reports.take(Err("no values".into()), "M", 5, at(70)).is_empty());
        let view = reports.view();
        assert_eq!((view.state, &*view.state_text, &*view.html), (ReportState::Failed, "no values", "<html>"));
    }
}
