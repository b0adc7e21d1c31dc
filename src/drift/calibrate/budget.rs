use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many false alarms a user accepts: onsets of drift without a cause, of one monitor, all regimes and features together.
///
/// ```
/// use driftgate::drift::calibrate::Budget;
/// let budget: Budget = "1 per 30d".parse().unwrap();
/// // Rows every 10 s, an evaluation every 20 rows: 12,960 evaluations in 30 days.
/// let rate = budget.per_evaluation(Some(std::time::Duration::from_secs(10)), 20).unwrap();
/// assert!((1.0 / rate - 12_960.0).abs() < 1e-6);
/// assert_eq!("1 per 10000 evaluations".parse::<Budget>().unwrap().to_string(), "1 per 10000 evaluations");
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Budget {
    onsets: f64,
    per: Per,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Per {
    Evaluations(f64),
    /// A number of units of so many seconds.
    Time(f64, &'static str, f64),
}

const UNITS: &[(&str, f64)] = &[("s", 1.0), ("min", 60.0), ("h", 3_600.0), ("d", 86_400.0), ("w", 604_800.0)];

impl Budget {
    /// Onsets per evaluation for rows at a fixed distance and `hop` rows between evaluations. `None`: a budget per time, and
    /// rows without time.
    pub fn per_evaluation(self, row_interval: Option<Duration>, hop: usize) -> Option<f64> {
        match self.per {
            Per::Evaluations(n) => Some(self.onsets / n),
            Per::Time(n, _, secs) => {
                let interval = row_interval.map(|i| i.as_secs_f64()).filter(|i| *i > 0.0)?;
                Some(self.onsets * interval * hop as f64 / (n * secs))
            }
        }
    }
}

impl FromStr for Budget {
    type Err = ParseBudgetError;

    fn from_str(text: &str) -> Result<Self, ParseBudgetError> {
        let error = || ParseBudgetError(text.to_string());
        let positive = |x: &str| x.parse::<f64>().ok().filter(|x| x.is_finite() && *x > 0.0);
        let (onsets, per) = text.trim().split_once(" per ").ok_or_else(error)?;
        let onsets = positive(onsets.trim()).ok_or_else(error)?;
        let digits = per.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(per.len());
        let (n, unit) = (positive(&per[..digits]).ok_or_else(error)?, per[digits..].trim());
        let per = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((name, secs)) => Per::Time(n, name, *secs),
            None if matches!(unit, "evaluations" | "evaluation") && onsets < n => Per::Evaluations(n),
            None => return Err(error()),
        };
        Ok(Self { onsets, per })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per {
            Per::Evaluations(n) => write!(f, "{} per {n} evaluations", self.onsets),
            Per::Time(n, unit, _) => write!(f, "{} per {n}{unit}", self.onsets),
        }
    }
}

impl From<Budget> for String {
    fn from(budget: Budget) -> Self {
        budget.to_string()
    }
}

impl TryFrom<String> for Budget {
    type Error = ParseBudgetError;

    fn try_from(text: String) -> Result<Self, ParseBudgetError> {
        text.parse()
    }
}

/// A text that is no budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a false-alarm budget: `{0}`; write \"1 per 30d\" (s, min, h, d, w) or \"1 per 10000 evaluations\"")]
pub struct ParseBudgetError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows_budgets() {
        for text in ["1 per 30d", "2 per 1w", "0.5 per 12h", "1 per 1000 evaluations"] {
            assert_eq!(text.parse::<Budget>().unwrap().to_string(), text);
        }
        for text in ["", "1 per", "1 per 30", "0 per 3d", "1 per 30 moons", "5 per 3 evaluations", "nan per 3d"] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
        assert_eq!("1 per 30d".parse::<Budget>().unwrap().per_evaluation(None, 1), None);
    }
}
