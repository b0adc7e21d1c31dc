//! A profile of recorded data, to look at before anything is monitored. Pure: no clock, no I/O.
//!
//! ```text
//! files ─▶ data ─▶ unit, time ─▶ settings ─▶ combinations ─┬─▶ columns: distribution, explained by settings, order in time
//!                                (named or detected)       ├─▶ correlations, duplicates
//!                                                          └─▶ findings, suggestions ─▶ text, configuration
//! ```
//!
//! Whatever can be taken within the combinations of settings is: a change of settings is neither an outlier nor a trend.

mod column;
mod combinations;
mod config;
mod correlation;
mod data;
mod duplicates;
mod findings;
mod groups;
mod names;
mod numbers;
mod order;
mod plc;
mod settings;
mod suggest;
mod text;
mod time;

use serde::Serialize;

use crate::comparison::{KindOptions, Setting};
use column::Basics;
use combinations::Combinations;
use correlation::Correlated;
use data::Data;
use order::Ordering;

pub use column::{ColumnProfile, Missing, Role, Top};
pub use combinations::{Combination, Explained};
pub use config::ConfigError;
pub use correlation::{CORRELATED_ROWS, Correlations};
pub use data::Part;
pub use duplicates::Duplicates;
pub use findings::{Finding, Level as FindingLevel};
pub use numbers::{Histogram, Numbers};
pub use order::{Order, Stationarity};
pub use plc::{Activity, PlcConnection, PlcKind, PlcRole, PlcVariable, plc_config, plc_text};
pub use settings::{Chosen, Condition, Level, REGIME_ROWS, SettingProfile};
pub use suggest::Suggested;
pub use text::{role_name, time_sentence};
pub use time::{Gap, TimeProfile, TimeUnit};

/// Combinations that are listed at most.
const LISTED: usize = 200;

/// What the user says of the data.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `None`: detected. An empty list: none.
    pub settings: Option<Vec<Setting>>,
    pub kinds: KindOptions,
    pub unit_column: Option<String>,
    pub time_column: Option<String>,
}

/// Why there is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("the data have no rows; record some first")]
    Empty,
    #[error("the data have no column `{column}`; they have {has}")]
    NoColumn { column: String, has: String },
    #[error("the column `{column}` is named for two purposes; keep one")]
    Twice { column: String },
    #[error("the column `{column}` is named twice, as numerical and as categorical; keep one")]
    KindTwice { column: String },
    #[error("the column `{column}` cannot be a setting: it has too many different values for classes, and no numbers to make bins of")]
    NoSetting { column: String },
    #[error("no column is left to look at; ignore fewer")]
    NoColumns,
}

/// One file of the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileProfile {
    pub name: String,
    pub rows: usize,
    pub columns: usize,
    /// Columns that other files have and this one lacks.
    pub lacks: Vec<String>,
}

/// The machines in the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Units {
    pub column: String,
    pub chosen: Chosen,
    pub count: usize,
    pub rows_min: usize,
    pub rows_median: usize,
    pub rows_max: usize,
}

/// Combinations of settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CombinationsProfile {
    pub count: usize,
    /// Rows in none: on the way between two, or without a setting.
    pub rows_outside: usize,
    /// The first two hundred, in the order of the settings' values.
    pub list: Vec<Combination>,
}

/// What there is to know of some recorded data. A value that does not exist is `None`, null in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Profile {
    pub rows: usize,
    /// Series of rows that follow one another: files, or units in files.
    pub series: usize,
    pub files: Vec<FileProfile>,
    pub units: Option<Units>,
    pub time: Option<TimeProfile>,
    pub columns: Vec<ColumnProfile>,
    pub settings: Vec<SettingProfile>,
    /// Columns that look like settings too, but follow the others or make too many combinations.
    pub also_settings: Vec<String>,
    pub combinations: CombinationsProfile,
    pub correlations: Correlations,
    pub duplicates: Duplicates,
    pub suggested: Suggested,
    pub findings: Vec<Finding>,
}

/// Profiles the rows of all files together.
///
/// # Errors
/// No rows, or options that name columns which are not there or cannot be what they should be.
pub fn profile(parts: &[Part], options: &Options) -> Result<Profile, ProfileError> {
    let data = Data::join(parts, options)?;
    let basics = basics(&data, options);
    let unit = find_unit(&data, options, &basics);
    let series = data.series(unit.map(|u| u.0));
    let time = find_time(&data, options, &series, unit.map(|u| u.0));
    let mut roles: Vec<Role> = data.columns.iter().zip(&basics).map(|(v, b)| b.role(v, &series)).collect();
    unit.iter().for_each(|(c, _)| roles[*c] = Role::Unit);
    time.iter().for_each(|(c, ..)| roles[*c] = Role::Time);
    let found = find_settings(&data, options, &roles, &series)?;
    found.settings.iter().for_each(|s| roles[s.column] = Role::Setting);
    let combinations = Combinations::of(&found.settings, &series, data.rows);
    let (columns, residuals) = columns(&data, &basics, &roles, &series, &combinations);
    let names: Vec<String> = parts.iter().map(|p| p.name.clone()).collect();
    let mut profile = Profile {
        rows: data.rows,
        series: series.len(),
        files: files(parts, &data),
        units: unit.map(|(c, chosen)| units(&data, c, chosen)),
        time: time.map(|(c, unit, chosen)| time::profile(&data, &names, &series, c, unit, chosen)),
        correlations: correlations(&data, &columns, &residuals, &combinations),
        duplicates: duplicates::duplicates(&data, &columns, &series),
        suggested: suggest::suggest(&columns, &combinations, &series),
        columns,
        settings: found.settings.into_iter().map(|s| s.profile).collect(),
        also_settings: found.also.into_iter().map(|c| data.columns[c].name.to_string()).collect(),
        combinations: CombinationsProfile {
            count: combinations.list.len(),
            rows_outside: if combinations.list.is_empty() { 0 } else { combinations.rows_outside() },
            list: combinations.list.into_iter().take(LISTED).collect(),
        },
        findings: Vec::new(),
    };
    profile.findings = findings::findings(&profile);
    Ok(profile)
}

fn basics(data: &Data<'_>, options: &Options) -> Vec<Basics> {
    let is = |list: &[String], name: &str| list.iter().any(|n| n == name);
    let kinds = &options.kinds;
    data.columns.iter().map(|v| Basics::of(v, is(&kinds.numerical, v.name), is(&kinds.categorical, v.name))).collect()
}

fn find_unit(data: &Data<'_>, options: &Options, basics: &[Basics]) -> Option<(usize, Chosen)> {
    if let Some(name) = &options.unit_column {
        return data.find(name).map(|c| (c, Chosen::Named));
    }
    let taken = |c: &usize| is_setting(options, data.columns[*c].name) || options.time_column.as_deref() == Some(data.columns[*c].name);
    column::find_unit(data, basics).filter(|c| !taken(c)).map(|c| (c, Chosen::Detected))
}

fn find_settings(data: &Data<'_>, options: &Options, roles: &[Role], series: &[Vec<usize>]) -> Result<settings::Found, ProfileError> {
    let Some(named) = &options.settings else {
        let open: Vec<usize> = (0..roles.len()).filter(|c| matches!(roles[*c], Role::Signal | Role::Class)).collect();
        return Ok(settings::detect(data, &open, series));
    };
    let found = settings::named(data, named, &options.kinds.categorical);
    match named.iter().find(|s| !found.settings.iter().any(|f| f.profile.name == s.name)) {
        Some(lost) => Err(ProfileError::NoSetting { column: lost.name.clone() }),
        None => Ok(found),
    }
}

/// The profiles of all columns, and their residuals within the combinations (empty where there are no numbers to speak of).
fn columns(
    data: &Data<'_>,
    basics: &[Basics],
    roles: &[Role],
    series: &[Vec<usize>],
    combinations: &Combinations,
) -> (Vec<ColumnProfile>, Vec<Vec<f64>>) {
    let mut ordering = Ordering::new();
    let mut one = |((values, basics), role): ((&data::Values<'_>, &Basics), &Role)| {
        let has_numbers = !matches!(role, Role::Time | Role::Unit | Role::Empty | Role::Identifier);
        let (rest, explained) = if has_numbers { combinations::residuals(&values.numbers, combinations) } else { (Vec::new(), None) };
        let order = matches!(role, Role::Signal).then(|| ordering.of(&rest, series)).flatten();
        let explained = explained.filter(|_| matches!(role, Role::Signal | Role::Class));
        (column::profile(data, values, basics, *role, series, &rest, (explained, order)), rest)
    };
    data.columns.iter().zip(basics).zip(roles).map(&mut one).unzip()
}

fn correlations(data: &Data<'_>, columns: &[ColumnProfile], residuals: &[Vec<f64>], combinations: &Combinations) -> Correlations {
    let fits =
        |c: &ColumnProfile| matches!(c.role, Role::Signal | Role::Setting | Role::Class | Role::Label) && c.numbers.is_some() && c.n > 2;
    let correlated: Vec<Correlated<'_>> = (0..columns.len())
        .filter(|c| fits(&columns[*c]))
        .map(|c| Correlated { name: data.columns[c].name, numbers: &data.columns[c].numbers, residuals: &residuals[c] })
        .collect();
    correlation::correlations(&correlated, data.rows, !combinations.list.is_empty())
}

fn is_setting(options: &Options, name: &str) -> bool {
    options.settings.iter().flatten().any(|s| s.name == name)
}

fn find_time(data: &Data<'_>, options: &Options, series: &[Vec<usize>], unit: Option<usize>) -> Option<(usize, TimeUnit, Chosen)> {
    if let Some(name) = &options.time_column {
        let column = data.find(name)?;
        return Some((column, time::unit(&data.columns[column]), Chosen::Named));
    }
    let settings = options.settings.iter().flatten().filter_map(|s| data.find(&s.name));
    let taken: Vec<usize> = settings.chain(unit).collect();
    time::find(data, series, &taken).map(|(column, unit)| (column, unit, Chosen::Detected))
}

fn files(parts: &[Part], data: &Data<'_>) -> Vec<FileProfile> {
    let file = |part: &Part| FileProfile {
        name: part.name.clone(),
        rows: part.table.rows(),
        columns: part.table.columns.len(),
        lacks: data.columns.iter().filter(|c| part.table.column(c.name).is_none()).map(|c| c.name.to_string()).collect(),
    };
    parts.iter().map(file).collect()
}

fn units(data: &Data<'_>, column: usize, chosen: Chosen) -> Units {
    let mut rows: Vec<usize> = data.series(Some(column)).iter().map(Vec::len).collect();
    rows.sort_unstable();
    Units {
        column: data.columns[column].name.to_string(),
        chosen,
        count: rows.len(),
        rows_min: rows.first().copied().unwrap_or(0),
        rows_median: rows.get(rows.len() / 2).copied().unwrap_or(0),
        rows_max: rows.last().copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
