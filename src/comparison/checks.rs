//! The named checks of [`crate::checks`] on two tables: pass or fail, as in a test suite.
//!
//! | check | its figure | its limit |
//! |---|---|---|
//! | `range` | share of the current values outside what the reference spans; of classes: in classes that it lacks | what chance leaves outside once in 1,000 comparisons |
//! | `missing_share` | share of rows without a value | that of the reference, and 0.05 |
//! | `mean_in_band` | distance of the means, in standard deviations of the reference | 4 standard errors of both means, by effective n |
//! | `drifted_share` | share of drifted columns | 0.5 |

use std::borrow::Cow;

use serde::Serialize;

use super::Statistics;
use crate::checks::{Check, CheckKind, CheckResult};

/// Standard errors that means may differ by.
const ERRORS: f64 = 4.0;
/// How seldom chance alone puts more values outside than the limit of `range`.
const SELDOM: f64 = 1e-3;

/// One check of a column in a regime, or of the whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckAnswer {
    pub name: Cow<'static, str>,
    /// `None`: of all columns together.
    pub column: Option<String>,
    /// `None` without settings.
    pub regime: Option<String>,
    /// `None` where there is no figure.
    pub value: Option<f64>,
    /// The check fails beyond; `None` where there is no figure.
    pub limit: Option<f64>,
    /// `None` where there is no answer.
    pub passed: Option<bool>,
}

/// What a column's checks look at.
pub(super) struct Figures<'a> {
    pub column: &'a str,
    pub regime: Option<&'a str>,
    pub reference: &'a Statistics,
    pub current: &'a Statistics,
    /// Share of current values outside the reference's range, or in classes that it lacks; NaN where it cannot be said.
    pub outside: f64,
    /// In standard deviations of the reference; NaN where it cannot be said, and for classes.
    pub distance: f64,
    pub numerical: bool,
}

/// The checks of one column in one regime.
pub(super) fn of_column(f: &Figures<'_>) -> Vec<CheckAnswer> {
    let missing = f.current.missing().unwrap_or(f64::NAN);
    let missing_limit = f.reference.missing().unwrap_or(0.0).min(1.0) + CheckKind::MissingShare.default_limit();
    let mut checks = vec![
        (CheckKind::Range(None), f.outside, left_to_chance(f.reference, f.current)),
        (CheckKind::MissingShare, missing, missing_limit.min(1.0)),
    ];
    if f.numerical {
        checks.push((CheckKind::MeanInBand, f.distance, band(f.reference, f.current)));
    }
    let answers = checks.into_iter().map(|(kind, value, limit)| {
        let check = Check { name: kind.name().into(), kind, column: Some(0), limit };
        answer(&check, check.of_columns(1, |_| value), f.column, f.regime)
    });
    answers.collect()
}

/// The check of the share of drifted columns.
pub(super) fn of_all(share: f64) -> CheckAnswer {
    let kind = CheckKind::DriftedShare;
    let check = Check { name: kind.name().into(), kind, column: None, limit: kind.default_limit() };
    CheckAnswer { column: None, ..answer(&check, check.of_share(share), "", None) }
}

fn answer(check: &Check, result: CheckResult, column: &str, regime: Option<&str>) -> CheckAnswer {
    let known = result.passed.is_some() && check.limit.is_finite();
    CheckAnswer {
        name: check.kind.name().into(),
        column: Some(column.to_string()),
        regime: regime.map(str::to_string),
        value: known.then_some(result.value),
        limit: known.then_some(check.limit),
        passed: result.passed.filter(|_| known),
    }
}

/// How far means of the same process may lie apart, in standard deviations of the reference; without one, no distance is allowed.
fn band(reference: &Statistics, current: &Statistics) -> f64 {
    match (reference.sd, reference.standard_error(), current.standard_error()) {
        (Some(sd), Some(r), Some(c)) if sd > 0.0 => ERRORS * (r * r + c * c).sqrt() / sd,
        (_, _, None) if current.n > 0 => f64::NAN,
        _ => 0.0,
    }
}

/// Of samples of one process, each next most extreme value is a current one with chance q = m / (n + m): more than k of them lie
/// beyond all of the reference with chance q^(k + 1), on either side.
fn left_to_chance(reference: &Statistics, current: &Statistics) -> f64 {
    let size = |s: &Statistics| s.effective_n.unwrap_or(s.n as f64);
    let (n, m) = (size(reference), size(current));
    let q = m / (n + m);
    ((SELDOM.ln() / q.ln()).ceil() / m).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(n: usize, effective: f64) -> Statistics {
        Statistics { rows: n, n, effective_n: Some(effective), mean: Some(0.0), sd: Some(2.0), median: Some(0.0) }
    }

    fn figures<'a>(reference: &'a Statistics, current: &'a Statistics, outside: f64, distance: f64) -> Figures<'a> {
        Figures { column: "a", regime: Some("load=40"), reference, current, outside, distance, numerical: true }
    }

    fn passed(f: &Figures<'_>) -> Vec<Option<bool>> {
        of_column(f).iter().map(|c| c.passed).collect()
    }

    #[test]
    fn limits_follow_the_effective_size() {
        let (independent, slow) = (side(400, 400.0), side(400, 16.0));
        // 4 sqrt(2 / 400) = 0.28 against 4 sqrt(2 / 16) = 1.41
        assert_eq!(passed(&figures(&independent, &independent, 0.02, 0.5)), [Some(true), Some(true), Some(false)]);
        assert_eq!(passed(&figures(&slow, &slow, 0.3, 0.5)), [Some(true), Some(true), Some(true)]);
        let limits: Vec<f64> = of_column(&figures(&independent, &independent, 0.0, 0.0)).iter().map(|c| c.limit.unwrap()).collect();
        assert!((limits[0] - 10.0 / 400.0).abs() < 1e-12 && (limits[2] - 4.0 * (2.0f64 / 400.0).sqrt()).abs() < 1e-12, "{limits:?}");
    }

    #[test]
    fn missing_values_are_held_against_the_reference() {
        let reference = Statistics { rows: 500, ..side(400, 400.0) };
        let current = Statistics { rows: 520, ..side(400, 400.0) };
        assert_eq!(passed(&figures(&reference, &current, 0.0, 0.0))[1], Some(true));
        let current = Statistics { rows: 600, ..side(400, 400.0) };
        assert_eq!(passed(&figures(&reference, &current, 0.0, 0.0))[1], Some(false));
    }

    #[test]
    fn without_values_there_is_no_answer_and_no_nan() {
        let empty = Statistics { rows: 5, ..Statistics::default() };
        for answer in of_column(&figures(&side(400, 400.0), &empty, f64::NAN, f64::NAN)).iter().filter(|c| c.name != "missing_share") {
            assert_eq!((answer.value, answer.limit, answer.passed), (None, None, None), "{answer:?}");
        }
        assert_eq!(of_all(0.6).passed, Some(false));
        assert_eq!(of_all(f64::NAN).passed, None);
    }
}
