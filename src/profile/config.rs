//! A configuration to start from, as TOML.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::column::{ColumnProfile, Role};
use super::settings::{Condition, SettingProfile};
use super::text::plain;
use super::{Profile, REGIME_ROWS};

/// Letters of a name, and signals and settings of a machine, at most.
const MAX_NAME: usize = 32;
const MAX_CHANNELS: usize = 1_000;

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("no column can be a signal, so there is nothing to configure; `describe` without --emit-config says what the columns are")]
    NoSignals,
}

impl Profile {
    /// The settings as tables to paste: `[[machines.settings]]`. Empty without settings.
    pub fn settings_toml(&self) -> String {
        let mut names = Names::default();
        self.settings.iter().filter(|s| self.is_readable(&s.name)).map(|s| setting(s, &mut names)).collect::<Vec<_>>().join("\n")
    }

    /// A minimal configuration for `check`, `train`, `replay`: one machine with what looks like its signals and settings.
    ///
    /// # Errors
    /// Where no column can be a signal.
    pub fn config(&self) -> Result<String, ConfigError> {
        let mut names = Names::default();
        let settings: Vec<String> = self.settings.iter().filter(|s| self.is_readable(&s.name)).map(|s| setting(s, &mut names)).collect();
        let most = MAX_CHANNELS - settings.len();
        let watched: Vec<&ColumnProfile> = self.columns.iter().filter(|c| self.is_watched(c)).take(most).collect();
        if watched.is_empty() {
            return Err(ConfigError::NoSignals);
        }
        let mut out = String::from(
            "# A start, made by `driftgate describe` from recorded data. Read it, name units and ranges, then `driftgate check`.\n",
        );
        out.push_str("# For a live machine add [[sources]], and an `address` to each signal and setting.\n\n");
        self.replay(&mut out);
        out.push_str("[[machines]]\nname = \"Machine1\"\n");
        let _ = writeln!(out, "regime_slots = {}", self.suggested.regime_slots);
        match self.suggested.learn_rows {
            Some(rows) => {
                out.push_str(
                    "# Learns from each unit's first rows: they must be of a sound machine. Better: `driftgate train` on healthy data.\n",
                );
                let _ = writeln!(out, "learn_rows = {rows}");
            }
            None => {
                let _ = writeln!(
                    out,
                    "# Each unit is too short to learn from ({REGIME_ROWS} rows of a regime): use `driftgate train` on healthy data."
                );
            }
        }
        if self.findings.iter().any(|f| f.code == "waveforms") {
            out.push_str("# Rows look like samples of waveforms: cut them into blocks, { name = \"a\", block = { length = 1024, rate = 10000.0 } },\n");
            out.push_str("# with the real sampling rate (Hz), so that rms, kurtosis and frequency bands are watched.\n");
        }
        out.push_str("signals = [\n");
        for column in &watched {
            let _ = writeln!(out, "    {},", signal(&column.name, &mut names));
        }
        out.push_str("]\n");
        self.left_out(&watched, &mut out);
        for setting in settings {
            let _ = write!(out, "\n{setting}");
        }
        if let Some(rows) = self.suggested.window_rows {
            let _ = write!(out, "\n[machines.data_drift]\nwindow_rows = {rows}\n");
        }
        Ok(out)
    }

    fn replay(&self, out: &mut String) {
        let time = self.time.as_ref().filter(|t| t.unreadable == 0 && t.unit.is_read_by_replay() && self.is_readable(&t.column));
        let unit = self.units.as_ref().filter(|u| self.is_readable(&u.column));
        if time.is_none() && unit.is_none() {
            return;
        }
        out.push_str("[replay]\n");
        if let Some(t) = time {
            let _ = writeln!(out, "time_column = {}", quoted(&t.column));
        }
        if let Some(u) = unit {
            let _ = writeln!(out, "unit_column = {}", quoted(&u.column));
        }
        out.push('\n');
    }

    /// Measured values that move by themselves.
    fn is_watched(&self, column: &ColumnProfile) -> bool {
        let fixed = column.settings.as_ref().is_some_and(|s| s.constant_within);
        column.role == Role::Signal && !fixed && self.is_readable(&column.name)
    }

    /// What else there is, and why it is no signal.
    fn left_out(&self, watched: &[&ColumnProfile], out: &mut String) {
        for column in &self.columns {
            let why = match column.role {
                Role::Signal if watched.iter().any(|w| w.name == column.name) => continue,
                Role::Signal if !self.is_readable(&column.name) => "the file has this name twice, or none",
                Role::Signal if column.settings.as_ref().is_some_and(|s| s.constant_within) => "one value in each combination of settings",
                Role::Signal => "too many signals",
                Role::Setting if self.is_readable(&column.name) => continue,
                Role::Setting => "a setting, but the file has this name twice, or none",
                Role::Time | Role::Unit => continue,
                Role::Class => "classes",
                Role::Counter => "a counter",
                Role::Label => "a label, by its name",
                Role::Constant => "one value only",
                Role::Empty => "no value",
                Role::Identifier => "texts that hardly repeat",
            };
            let _ = writeln!(out, "# left out: {} ({why})", plain(&column.name));
        }
    }

    /// Columns without a name of their own get one when read, which the file does not have: `x.1`, `column_3`.
    fn is_readable(&self, name: &str) -> bool {
        let again = name.rsplit_once('.').is_some_and(|(base, n)| n.parse::<u32>().is_ok() && self.columns.iter().any(|c| c.name == base));
        let unnamed = name.strip_prefix("column_").and_then(|n| n.parse::<usize>().ok());
        !again && unnamed.is_none_or(|n| self.columns.get(n.wrapping_sub(1)).is_none_or(|c| c.name != name))
    }
}

fn setting(setting: &SettingProfile, names: &mut Names) -> String {
    let name = names.take(&setting.name);
    let mut out = format!("[[machines.settings]]\nname = {}\n", quoted(&name));
    if name != setting.name {
        let _ = writeln!(out, "column = {}", quoted(&setting.name));
    }
    let _ = match &setting.condition {
        Condition::Category => writeln!(out, "category = true"),
        Condition::Tolerance(t) => writeln!(out, "tolerance = {}", float(*t)),
        Condition::Bins(edges) => {
            writeln!(out, "bins = [{}]", edges.iter().map(|e| float(*e)).collect::<Vec<_>>().join(", "))
        }
    };
    out
}

fn signal(column: &str, names: &mut Names) -> String {
    let name = names.take(column);
    if name == column { quoted(&name) } else { format!("{{ name = {}, column = {} }}", quoted(&name), quoted(column)) }
}

pub(super) fn float(x: f64) -> String {
    toml::Value::Float(x).to_string()
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}

/// Names in use.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// A name like the column's: a letter, then letters, digits and `_`, and none of those taken.
    pub fn take(&mut self, column: &str) -> String {
        let mut name: String = column.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        name = name.trim_matches('_').to_string();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            name = format!("c_{name}");
        }
        if column.starts_with(|c: char| c.is_ascii_alphabetic()) && column.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            name = column.to_string();
        }
        name.truncate(MAX_NAME);
        let mut unique = name.clone();
        let mut again = 1;
        while !self.0.insert(unique.clone()) {
            again += 1;
            let end = format!("_{again}");
            unique = format!("{}{end}", &name[..name.len().min(MAX_NAME - end.len())]);
        }
        unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_that_the_configuration_takes() {
        let mut names = Names::default();
        let long = "a".repeat(50);
        let made: Vec<String> =
            ["s1", "Strom [A]", "Strom (A)", "3rd", "", "\u{1b}[2J", "é", &long, &long].iter().map(|n| names.take(n)).collect();
        assert_eq!(made[..5], ["s1", "Strom__A", "Strom__A_2", "c_3rd", "c_"]);
        assert_eq!(made[5..7], ["c_2J", "c__2"]);
        assert!(made[7..].iter().all(|n| n.len() == MAX_NAME) && made[7] != made[8], "{made:?}");
    }

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted("a\"b\\\n"), toml::Value::String("a\"b\\\n".into()).to_string());
        let back: toml::Table = format!("x = {}\n", quoted("a\"\n'''\u{1b}")).parse().unwrap();
        assert_eq!(back["x"].as_str(), Some("a\"\n'''\u{1b}"));
        assert_eq!(float(5.0), "5.0");
    }
}
