//! Named checks and the full report.

use super::{Names, bounds, channel, join};
use crate::checks::{Check, CheckKind};
use crate::config::raw::{CheckWord, RawCheck, RawReport};
use crate::config::read::Notes;
use crate::config::{FeatureConfig, ReportConfig};

pub(super) fn checks(raw: Vec<RawCheck>, features: &[FeatureConfig], machine: &str, notes: &mut Notes<'_>) -> Vec<Check> {
    if raw.len() > bounds::MAX_CHECKS {
        let hint = format!("at most {}; a check without `feature` looks at all of them", bounds::MAX_CHECKS);
        notes.fault(&join(machine, "checks"), format!("too many checks: `{}`", raw.len()), hint);
    }
    let mut names = Names::default();
    let checked = raw.into_iter().enumerate().filter_map(|(i, raw)| {
        let path = format!("{machine}.checks[{i}]");
        let check = check(raw, features, &path, notes)?;
        names.claim(&check.name, join(&path, "name"), "check", notes);
        Some(check)
    });
    checked.collect()
}

/// `None` after a fault that leaves nothing to check.
fn check(raw: RawCheck, features: &[FeatureConfig], path: &str, notes: &mut Notes<'_>) -> Option<Check> {
    let name = notes.name(raw.name, path);
    let hint = "one of range, missing_share, mean_in_band, drifted_share";
    let word = notes.required(raw.check, path, "check", hint);
    let range = raw.range.as_deref().and_then(|range| channel::range(range, &join(path, "range"), notes));
    if raw.range.is_some() && word.is_some_and(|w| w != CheckWord::Range) {
        notes.fault(&join(path, "range"), "only for check = \"range\"", Some("leave it out".to_string()));
    }
    let kind = match word? {
        CheckWord::Range => CheckKind::Range(range),
        CheckWord::MissingShare => CheckKind::MissingShare,
        CheckWord::MeanInBand => CheckKind::MeanInBand,
        CheckWord::DriftedShare => CheckKind::DriftedShare,
    };
    let limit = raw.limit.unwrap_or(kind.default_limit());
    if !(0.0..=kind.highest_limit()).contains(&limit) {
        notes.fault(&join(path, "limit"), format!("out of range: `{limit}`"), format!("from 0 to {}", kind.highest_limit()));
    }
    Some(Check { name, kind, column: column(raw.feature.as_deref(), kind, features, path, notes), limit })
}

fn column(feature: Option<&str>, kind: CheckKind, features: &[FeatureConfig], path: &str, notes: &mut Notes<'_>) -> Option<usize> {
    let feature = feature?;
    let at = join(path, "feature");
    if kind == CheckKind::DriftedShare {
        notes.fault(&at, format!("drifted_share looks at all features: `{feature}`"), Some("leave it out".to_string()));
        return None;
    }
    let known: Vec<&str> = features.iter().map(|f| &*f.name).collect();
    let found = known.iter().position(|name| *name == feature);
    if found.is_none() {
        notes.unknown_word(&at, "feature", feature, &known);
    }
    found
}

pub(super) fn report(raw: RawReport, path: &str, notes: &mut Notes<'_>) -> ReportConfig {
    let interval = raw.interval.map(|_| notes.span_within(&join(path, "interval"), raw.interval, bounds::REPORT_INTERVAL));
    ReportConfig {
        interval,
        rows: notes.within(&join(path, "rows"), raw.rows, bounds::REPORT_ROWS),
        keep: notes.within(&join(path, "keep"), raw.keep, bounds::REPORT_KEEP),
    }
}
