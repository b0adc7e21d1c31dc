use std::fmt;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z (years 1678 to 2262).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const MIN: Self = Self(i64::MIN);
    /// 1970-01-01T00:00:00Z
    pub const EPOCH: Self = Self(0);

    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Seconds since the epoch; what is out of range saturates, NaN is the epoch.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e9).round() as i64)
    }

    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Time since `earlier`; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `self + by`, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// `self - by`, saturating.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }

    /// Reads RFC 3339, `2026-01-31 12:00:00[.fff]`, `2026-01-31`, or a number of seconds.
    /// A time without an offset is taken as UTC.
    pub fn parse(text: &str) -> Result<Self, ParseTimeError> {
        let text = text.trim();
        let error = || ParseTimeError(text.to_string());
        let of = |t: DateTime<Utc>| t.timestamp_nanos_opt().map(Self).ok_or_else(error);
        if let Ok(secs) = text.parse::<f64>() {
            return if secs.is_finite() { Ok(Self::from_secs_f64(secs)) } else { Err(error()) };
        }
        if let Ok(t) = DateTime::parse_from_rfc3339(text) {
            return of(t.with_timezone(&Utc));
        }
        for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
            if let Ok(t) = NaiveDateTime::parse_from_str(text, format) {
                return of(t.and_utc());
            }
        }
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .and_then(|d| d.and_hms_opt(0, 0, 0))
            .ok_or_else(error)
            .and_then(|t| of(t.and_utc()))
    }
}

/// RFC 3339 in UTC, milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: `{0}`; write RFC 3339 (2026-01-31T12:00:00Z) or seconds")]
pub struct ParseTimeError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_files_hold() {
        let t = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        assert_eq!(t.to_string(), "2026-01-31T12:00:00.000Z");
        assert_eq!(Timestamp::parse("2026-01-31 12:00:00").unwrap(), t);
        assert_eq!(Timestamp::parse("2026-01-31T13:00:00+01:00").unwrap(), t);
        assert_eq!(Timestamp::parse("1.5").unwrap().as_nanos(), 1_500_000_000);
        assert!(Timestamp::parse("soon").is_err());
        assert!(Timestamp::parse("nan").is_err());
    }
}
