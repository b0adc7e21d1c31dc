//! A PLC's variables, as found by browsing -> roles, a text, and a configuration to start from.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::config::{Names, float, quoted};
use super::names::{self, Hint};

/// Elements from which an array is taken for a waveform.
const WAVEFORM: usize = 16;
/// Settings that a first configuration is conditioned on at most: each multiplies the regimes.
const MOST_CONDITIONS: usize = 2;
/// Signals and settings of a machine at most.
const MAX_CHANNELS: usize = 1_000;
/// Rows a machine makes where no signal says when, in s.
const PERIODS: (f64, f64) = (0.1, 5.0);
/// Words that say that a flag means production.
const PRODUCING: &[&str] = &["running", "run", "active", "producing", "production", "laeuft", "betrieb"];

/// Words that say that a number only ever rises.
const COUNTING: &[&str] = &["count", "counter", "cycles", "hours", "energy", "total", "zaehler", "pieces", "uptime"];

/// What a variable can be read as.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlcKind {
    Real,
    Integer,
    Flag,
    Text,
    /// An array of numbers of this length.
    Block(usize),
}

/// What a variable did while it was watched.
#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize)]
pub struct Activity {
    /// Values received, with the first.
    pub updates: u32,
    /// Values that differed from the one before.
    pub changes: u32,
    /// Never fell, and rose at each change.
    pub rising: bool,
    /// Mean time between two values by the PLC's clock, in s; `None` with fewer than two.
    pub period: Option<f64>,
}

/// One variable of a PLC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlcVariable {
    /// Browse names from below the objects' folder to the variable itself.
    pub path: Vec<String>,
    /// As the configuration takes it.
    pub address: String,
    /// The PLC's type: `Float`, `Float[512]`.
    pub data_type: String,
    /// `None`: neither signal nor setting (structures, times, nothing there).
    pub kind: Option<PlcKind>,
    pub unit: Option<String>,
    /// Lowest and highest ordinary value.
    pub range: Option<(f64, f64)>,
    /// For people; empty without a usable one.
    pub value: String,
    /// `Good`, or why there is no value.
    pub quality: String,
    pub writable: bool,
    /// `None` where it was not watched.
    pub activity: Option<Activity>,
}

/// What a variable seems to be. A guess from its name, its type and what it did.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlcRole {
    Signal,
    Setting,
    /// A flag that says whether the machine produces.
    Producing,
    Counter,
    Other,
}

impl PlcVariable {
    /// Its own name.
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// The guess.
    pub fn role(&self) -> PlcRole {
        let Some(kind) = self.kind else { return PlcRole::Other };
        // `DB_Settings/rSpeed`: the block's name counts too.
        let context = self.path[self.path.len().saturating_sub(2)..].join(".");
        let hint = names::setting(&context);
        let changes = self.activity.map_or(0, |a| a.changes);
        match kind {
            PlcKind::Block(length) if length >= WAVEFORM => PlcRole::Signal,
            PlcKind::Block(_) => PlcRole::Other,
            PlcKind::Flag if names::has(self.name(), PRODUCING) => PlcRole::Producing,
            PlcKind::Flag => PlcRole::Other,
            _ if hint == Hint::Strong || hint == Hint::Weak && changes == 0 => PlcRole::Setting,
            PlcKind::Text => PlcRole::Other,
            PlcKind::Integer if changes == 0 => PlcRole::Other,
            _ if self.activity.is_some_and(|a| a.rising)
                && (names::has(self.name(), COUNTING) || kind == PlcKind::Integer && changes > 1) =>
            {
                PlcRole::Counter
            }
            PlcKind::Real | PlcKind::Integer => PlcRole::Signal,
        }
    }
}

/// What the configuration says of the connection.
#[derive(Clone, Debug, PartialEq)]
pub struct PlcConnection {
    pub endpoint: String,
    /// As in the configuration: `auto`, `none`, ...
    pub security: String,
    /// User, and the key and value that name the password.
    pub user: Option<(String, &'static str, String)>,
    pub trust_any_certificate: bool,
}

/// A configuration with one source and one machine, for `driftgate check`; `None` where no variable can be a signal.
pub fn plc_config(connection: &PlcConnection, variables: &[PlcVariable]) -> Option<String> {
    let of = |role: PlcRole| variables.iter().filter(move |v| v.role() == role);
    let settings: Vec<_> = of(PlcRole::Setting).take(MAX_CHANNELS / 10).collect();
    let signals: Vec<_> = of(PlcRole::Signal).take(MAX_CHANNELS - settings.len() - 1).collect();
    if signals.is_empty() {
        return None;
    }
    let mut out = String::from(
        "# A start, made by `driftgate browse`: what is a signal and what a setting was guessed from names, types and rates.\n\
         # Read it, correct it, then `driftgate check --config FILE --connect`.\n\n",
    );
    source(connection, &mut out);
    out.push_str("[[machines]]\nname = \"Machine1\"\n");
    let mut taken = Names::default();
    let named: Vec<(String, &PlcVariable)> = signals.iter().map(|v| (taken.take(v.name()), *v)).collect();
    when(&named, &mut out);
    let producing = of(PlcRole::Producing).next().map(|v| (taken.take(v.name()), v));
    if let Some((name, _)) = &producing {
        let _ = writeln!(out, "active_when = {}", quoted(&format!("{name} == true")));
    }
    out.push_str("# Learns from the first rows: they must be of a sound machine, in all of its settings. Better: `driftgate train`.\n");
    out.push_str("learn_rows = 3000\n");
    let mut conditions = 0;
    for variable in &settings {
        setting(variable, &taken.take(variable.name()), &mut conditions, &mut out);
    }
    for (name, variable) in &named {
        signal(variable, name, &mut out);
    }
    if let Some((name, variable)) = &producing {
        let _ = write!(out, "\n[[machines.signals]]\nname = {}\naddress = {}\nfeatures = []\n", quoted(name), literal(&variable.address));
    }
    let chosen = |v: &PlcVariable| {
        [&signals, &settings].iter().any(|list| list.iter().any(|x| x.address == v.address))
            || producing.as_ref().is_some_and(|(_, x)| x.address == v.address)
    };
    let left_out: Vec<_> = variables.iter().filter(|v| !chosen(v)).collect();
    if !left_out.is_empty() {
        out.push_str("\n# Left out:\n");
    }
    for variable in left_out {
        let _ = writeln!(out, "#   {} ({}): {}", plain(&variable.address), variable.data_type, why(variable));
    }
    Some(out)
}

fn source(connection: &PlcConnection, out: &mut String) {
    let _ = writeln!(out, "[[sources]]\nname = \"PLC1\"\nprotocol = \"opcua\"\nendpoint = {}", quoted(&connection.endpoint));
    let _ = writeln!(out, "security = {}", quoted(&connection.security));
    if let Some((name, key, place)) = &connection.user {
        let _ = writeln!(out, "user = {{ name = {}, {key} = {} }}", quoted(name), quoted(place));
    }
    if connection.trust_any_certificate {
        out.push_str("# For a first try only: compare its thumbprint and use `driftgate cert trust`.\ntrust_any_certificate = true\n");
    }
    out.push('\n');
}

/// When the machine makes a row: at each waveform, or at fixed times.
fn when(signals: &[(String, &PlcVariable)], out: &mut String) {
    let block = signals.iter().find(|(_, v)| matches!(v.kind, Some(PlcKind::Block(_))));
    let _ = match block {
        Some((name, _)) => writeln!(out, "trigger = {}                # a row for each waveform", quoted(name)),
        None => {
            let periods = signals.iter().filter_map(|(_, v)| v.activity?.period);
            let fastest = periods.fold(f64::INFINITY, f64::min);
            let period = if fastest.is_finite() { fastest.clamp(PERIODS.0, PERIODS.1) } else { 1.0 };
            writeln!(out, "period = \"{}ms\"", (period * 10.0).round() * 100.0)
        }
    };
}

fn setting(variable: &PlcVariable, name: &str, conditions: &mut usize, out: &mut String) {
    let _ = write!(out, "\n[[machines.settings]]\nname = {}\naddress = {}\n", quoted(name), literal(&variable.address));
    if let Some(unit) = &variable.unit {
        let _ = writeln!(out, "unit = {}", quoted(unit));
    }
    let condition = match variable.kind {
        Some(PlcKind::Real) => {
            let size = variable.value.parse::<f64>().map_or(1.0, f64::abs);
            let tolerance = if size > 0.0 { 10f64.powf((size * 0.02).log10().floor()) } else { 0.1 };
            format!("tolerance = {}              # less than half of the distance between two set points\n", float(tolerance))
        }
        _ => "category = true\n".into(),
    };
    if *conditions < MOST_CONDITIONS {
        out.push_str(&condition);
        *conditions += 1;
    } else {
        let _ = write!(out, "# Only recorded; if the signals depend on it: {condition}");
    }
}

fn signal(variable: &PlcVariable, name: &str, out: &mut String) {
    let _ = write!(out, "\n[[machines.signals]]\nname = {}\naddress = {}\n", quoted(name), literal(&variable.address));
    if let Some(unit) = &variable.unit {
        let _ = writeln!(out, "unit = {}", quoted(unit));
    }
    match variable.kind {
        Some(PlcKind::Block(length)) => {
            let period = variable.activity.and_then(|a| a.period).filter(|p| *p > 0.0);
            let rate = period.map_or(length as f64, |p| (length as f64 / p).round());
            let _ =
                writeln!(out, "block = {{ length = {length}, rate = {} }}    # write the real sampling rate, in Hz", float(rate.max(1.0)));
        }
        _ => {
            if let Some((low, high)) = variable.range.filter(|(low, high)| low < high) {
                let _ = writeln!(out, "range = [{}, {}]", float(low), float(high));
            }
        }
    }
    if variable.activity.is_some_and(|a| a.changes == 0) {
        out.push_str("# did not change while it was watched: slow, or a setting?\n");
    }
}

fn why(variable: &PlcVariable) -> &'static str {
    match (variable.role(), variable.kind) {
        (PlcRole::Counter, _) => "a counter",
        (PlcRole::Signal | PlcRole::Setting | PlcRole::Producing, _) => "too many",
        (PlcRole::Other, None) if variable.quality != "Good" => "no value now",
        (PlcRole::Other, None) => "no number, flag or text; look for its members",
        (PlcRole::Other, Some(PlcKind::Flag)) => "a flag",
        (PlcRole::Other, Some(PlcKind::Text)) => "a text",
        (PlcRole::Other, Some(PlcKind::Block(_))) => "a short array",
        (PlcRole::Other, Some(_)) => "a whole number that did not change",
    }
}

/// Siemens' addresses hold double quotes: single ones around them are easier to read.
fn literal(text: &str) -> String {
    if text.contains(['\'', '\n', '\r']) || text.chars().any(char::is_control) { quoted(text) } else { format!("'{text}'") }
}

/// In a comment no line may end.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The variables as a tree, one line each.
pub fn plc_text(variables: &[PlcVariable]) -> String {
    let mut rows: Vec<(String, Option<&PlcVariable>)> = Vec::new();
    let mut above: &[String] = &[];
    // A structure is a variable itself and has its line already.
    let own: HashSet<&[String]> = variables.iter().map(|v| &v.path[..]).collect();
    for variable in variables {
        let folders = &variable.path[..variable.path.len().saturating_sub(1)];
        let same = above.iter().zip(folders).take_while(|(a, b)| a == b).count();
        for (depth, folder) in folders.iter().enumerate().skip(same) {
            if !own.contains(&folders[..=depth]) {
                rows.push((format!("{}{}", "  ".repeat(depth), plain(folder)), None));
            }
        }
        rows.push((format!("{}{}", "  ".repeat(folders.len()), plain(variable.name())), Some(variable)));
        above = folders;
    }
    let cells: Vec<_> = rows.into_iter().map(|(name, variable)| (name, variable.map(cells))).collect();
    let width = |k: usize| cells.iter().filter_map(|(_, c)| c.as_ref().map(|c| c[k].chars().count())).max().unwrap_or(0);
    let (first, widths) = (cells.iter().map(|(n, _)| n.chars().count()).max().unwrap_or(0), [0, 1, 2, 3].map(width));
    let mut out = String::new();
    for (name, cells) in cells {
        let mut line = format!("{name:<first$}");
        for (k, cell) in cells.iter().flatten().enumerate() {
            let _ = match widths.get(k) {
                Some(width) => write!(line, "  {cell:<width$}"),
                None => write!(line, "  {cell}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Type, value, rate, role, address.
fn cells(variable: &PlcVariable) -> [String; 5] {
    let value = if variable.quality == "Good" { variable.value.clone() } else { variable.quality.clone() };
    let value = match &variable.unit {
        Some(unit) if !value.is_empty() => format!("{value} {unit}"),
        _ => value,
    };
    let rate = match variable.activity {
        Some(Activity { changes: 0, .. }) => "still".into(),
        Some(Activity { period: Some(p), .. }) if p > 0.0 => format!("{}/s", round(1.0 / p)),
        _ => String::new(),
    };
    let role = match variable.role() {
        PlcRole::Signal => "signal",
        PlcRole::Setting => "setting",
        PlcRole::Producing => "producing",
        PlcRole::Counter => "counter",
        PlcRole::Other => "",
    };
    [variable.data_type.clone(), plain(&value), rate, role.into(), plain(&variable.address)]
}

fn round(x: f64) -> f64 {
    if x >= 10.0 { x.round() } else { (x * 10.0).round() / 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(path: &str, kind: PlcKind, changes: u32) -> PlcVariable {
        PlcVariable {
            path: path.split('/').map(String::from).collect(),
            address: format!("\"{}\"", path.replace('/', "\".\"")),
            data_type: format!("{kind:?}"),
            kind: Some(kind),
            unit: None,
            range: None,
            value: "150".into(),
            quality: "Good".into(),
            writable: true,
            activity: Some(Activity { updates: changes + 1, changes, rising: false, period: (changes > 0).then_some(0.5) }),
        }
    }

    fn motor() -> Vec<PlcVariable> {
        vec![
            variable("DB/rSpeed", PlcKind::Real, 9),
            variable("DB/rTemp", PlcKind::Real, 0),
            variable("DB/aVibration", PlcKind::Block(512), 9),
            variable("DB/xRunning", PlcKind::Flag, 0),
            variable("DB/xDoor", PlcKind::Flag, 0),
            PlcVariable {
                activity: Some(Activity { updates: 9, changes: 8, rising: true, period: None }),
                ..variable("DB/iCount", PlcKind::Integer, 8)
            },
            variable("DB_Settings/rSetSpeed", PlcKind::Real, 0),
            variable("DB_Settings/iRecipe", PlcKind::Integer, 0),
        ]
    }

    #[test]
    fn roles_come_from_names_types_and_rates() {
        use PlcRole::{Counter, Other, Producing, Setting, Signal};
        let roles: Vec<_> = motor().iter().map(PlcVariable::role).collect();
        assert_eq!(roles, [Signal, Signal, Signal, Producing, Other, Counter, Setting, Setting]);
        let rising = |name: &str, kind| PlcVariable {
            activity: Some(Activity { updates: 9, changes: 1, rising: true, period: None }),
            ..variable(name, kind, 1)
        };
        assert_eq!(rising("DB/lrEnergy", PlcKind::Real).role(), Counter);
        assert_eq!(rising("DB/rTemp", PlcKind::Real).role(), Signal);
        assert_eq!(variable("DB/gear", PlcKind::Integer, 0).role(), Setting);
        assert_eq!(variable("DB/load", PlcKind::Real, 5).role(), Signal);
        assert_eq!(variable("DeviceSet/PLC/DB/rSpeed", PlcKind::Real, 1).role(), Signal);
    }

    #[test]
    fn the_configuration_is_one_that_is_read() {
        let connection = PlcConnection {
            endpoint: "opc.tcp://plc:4840".into(),
            security: "auto".into(),
            user: Some(("gate".into(), "password_env", "PLC1_PASSWORD".into())),
            trust_any_certificate: false,
        };
        let text = plc_config(&connection, &motor()).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let machine = &table["machines"][0];
        assert_eq!(machine["trigger"].as_str(), Some("aVibration"));
        assert_eq!(machine["active_when"].as_str(), Some("xRunning == true"));
        assert_eq!(machine["signals"].as_array().unwrap().len(), 4);
        assert_eq!(machine["signals"][2]["block"]["rate"].as_float(), Some(1024.0));
        assert_eq!(machine["settings"][0]["tolerance"].as_float(), Some(1.0));
        assert_eq!(machine["settings"][0]["address"].as_str(), Some("\"DB_Settings\".\"rSetSpeed\""));
        assert_eq!(machine["settings"][1]["category"].as_bool(), Some(true));
        assert_eq!(table["sources"][0]["user"]["password_env"].as_str(), Some("PLC1_PASSWORD"));
        assert!(text.contains("\"DB\".\"iCount\" (Integer): a counter"), "{text}");
        assert_eq!(plc_config(&connection, &motor()[3..4]), None);
    }

    #[test]
    fn names_from_a_plc_cannot_break_out() {
        let mut evil = variable("DB/rSpeed", PlcKind::Real, 3);
        evil.path[1] = "a\"\n[gateway]\nname = 'x'".into();
        evil.address = "s='\n[store]\n".into();
        evil.unit = Some("\"\nx".into());
        let mut flag = variable("DB/x", PlcKind::Flag, 0);
        flag.address = "a\n[store]".into();
        let connection = PlcConnection { endpoint: "opc.tcp://a".into(), security: "none".into(), user: None, trust_any_certificate: true };
        let table: toml::Table = plc_config(&connection, &[evil.clone(), flag.clone()]).unwrap().parse().unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), ["machines", "sources"]);
        assert_eq!(table["machines"][0]["signals"][0]["address"].as_str(), Some(evil.address.as_str()));
        assert!(plc_text(&[evil, flag]).lines().count() == 3);
    }

    #[test]
    fn the_tree_shows_folders_once() {
        let text = plc_text(&motor());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 10);
        assert_eq!((lines[0], lines[7]), ("DB", "DB_Settings"));
        assert!(lines[1].starts_with("  rSpeed") && lines[1].contains("2/s") && lines[1].ends_with("\"DB\".\"rSpeed\""), "{text}");
    }
}
