//! Equal tables from one description: an entry of a list with the key `repeat` stands for several, whose texts differ where it has placeholders.
//!
//! ```text
//! [[machines]]                       [[machines]]                  [[machines]]
//! repeat = "1..20"            is     name = "Press1"               name = "Press2"      ... and 18 more
//! name = "Press{n}"                  ...                           ...
//! ```
//! Copies are made before anything is checked: each is checked as if it had been written out.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::read::{Item, Notes, join};

const KEY: &str = "repeat";
/// Placeholder of a range or list that names none.
const PLAIN: &str = "n";
/// More than any bound of the configuration allows.
const MAX_COPIES: usize = 10_000;
const HINT: &str =
    r#"write repeat = "1..20" or ["North", "South"] for {n}, { k = "1..6" } for {k}, or a list of tables for several placeholders"#;

/// A placeholder and what stands in its place.
type Replaced = (String, String);

/// The copies that an entry stands for: none after a fault; `None` where it is not repeated.
pub(super) fn copies<'d>(item: &Item<'d>, path: &str, notes: &mut Notes<'_>) -> Option<Vec<Item<'d>>> {
    let value = item.get_ref().as_table()?.get(KEY)?;
    let path = join(path, KEY);
    notes.place(path.clone(), value);
    let Some(sets) = replacements(value) else {
        notes.fault(&path, "not a repetition", HINT.to_string());
        return Some(Vec::new());
    };
    if !(1..=MAX_COPIES).contains(&sets.len()) {
        notes.fault(&path, format!("number of copies out of range: `{}`", sets.len()), format!("from 1 to {MAX_COPIES}"));
        return Some(Vec::new());
    }
    if let Some((place, unknown)) = unknown(item, &sets[0]) {
        let known = sets[0].iter().map(|(name, _)| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
        notes.place(path.clone(), place);
        notes.fault(&path, format!("unknown placeholder: `{unknown}`"), format!("known are {known}"));
        return Some(Vec::new());
    }
    Some(sets.iter().map(|set| copy(item, set, true)).collect())
}

/// One set of replacements a copy.
fn replacements(value: &Item<'_>) -> Option<Vec<Vec<Replaced>>> {
    let plain = |text: String| vec![(PLAIN.to_string(), text)];
    match value.get_ref() {
        DeValue::String(_) => Some(range(value)?.into_iter().map(plain).collect()),
        DeValue::Array(list) if list.iter().all(|item| item.get_ref().is_table()) => {
            let sets: Option<Vec<Vec<Replaced>>> = list.iter().map(set).collect();
            // Each has the same placeholders.
            sets.filter(|sets| sets.windows(2).all(|pair| names(&pair[0]).eq(names(&pair[1]))))
        }
        DeValue::Array(list) => list.iter().map(|item| scalar(item).map(plain)).collect(),
        DeValue::Table(table) => {
            let mut entries = table.iter();
            let (name, values) = entries.next().filter(|_| table.len() == 1)?;
            let values = range(values).or_else(|| values.get_ref().as_array()?.iter().map(scalar).collect())?;
            Some(values.into_iter().map(|text| vec![(name.get_ref().to_string(), text)]).collect())
        }
        _ => None,
    }
}

fn names(set: &[Replaced]) -> impl Iterator<Item = &String> {
    set.iter().map(|(name, _)| name)
}

fn set(item: &Item<'_>) -> Option<Vec<Replaced>> {
    item.get_ref().as_table()?.iter().map(|(name, value)| Some((name.get_ref().to_string(), scalar(value)?))).collect()
}

/// A text or number as it stands in the file.
fn scalar(item: &Item<'_>) -> Option<String> {
    match item.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_string()),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        _ => None,
    }
}

/// `1..20`, both ends included; `01..20` has two digits throughout.
fn range(item: &Item<'_>) -> Option<Vec<String>> {
    let (first, last) = item.get_ref().as_str()?.split_once("..")?;
    let (first, last) = (first.trim(), last.trim());
    let width = if first.len() > 1 && first.starts_with('0') { first.len() } else { 0 };
    let numbers: RangeInclusive<u32> = first.parse().ok()?..=last.parse().ok()?;
    // One more than allowed is enough to be refused.
    Some(numbers.take(MAX_COPIES + 1).map(|n| format!("{n:0width$}")).collect())
}

/// The same value with the placeholders of its texts replaced; without the key itself at the top.
fn copy<'d>(item: &Item<'d>, set: &[Replaced], top: bool) -> Item<'d> {
    let value = match item.get_ref() {
        DeValue::String(text) => DeValue::String(fill(text, set).into()),
        DeValue::Array(list) => DeValue::Array(list.iter().map(|item| copy(item, set, false)).collect()),
        DeValue::Table(table) => {
            let kept = table.iter().filter(|(key, _)| !top || key.get_ref() != KEY);
            DeValue::Table(kept.map(|(key, value)| (key.clone(), copy(value, set, false))).collect::<DeTable<'d>>())
        }
        other => other.clone(),
    };
    Spanned::new(item.span(), value)
}

fn fill(text: &str, set: &[Replaced]) -> String {
    set.iter().fold(text.to_string(), |text, (name, with)| text.replace(&format!("{{{name}}}"), with))
}

/// The first placeholder that is not replaced, leaving out what is repeated in its turn.
fn unknown<'a, 'd>(item: &'a Item<'d>, set: &[Replaced]) -> Option<(&'a Item<'d>, String)> {
    match item.get_ref() {
        DeValue::String(text) => placeholder(&fill(text, set)).map(|name| (item, name)),
        DeValue::Array(list) => list.iter().filter(|i| !is_repeated(i)).find_map(|item| unknown(item, set)),
        DeValue::Table(table) => table.iter().filter(|(key, _)| key.get_ref() != KEY).find_map(|(_, value)| unknown(value, set)),
        _ => None,
    }
}

fn is_repeated(item: &Item<'_>) -> bool {
    item.get_ref().as_table().is_some_and(|table| table.contains_key(KEY))
}

/// `{name}` in a text.
fn placeholder(text: &str) -> Option<String> {
    let found = text.split('{').skip(1).find_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
    });
    found.map(|name| format!("{{{name}}}"))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, SourceKind};

    const TWENTY: &str = r#"
[[sources]]
repeat = "1..20"
name = "PLC{n}"
protocol = "modbus"
endpoint = "tcp://192.168.0.{n}"
unit = "{n}"
[[machines]]
repeat = "1..20"
name = "Press{n}"
[[machines.signals]]
name = "Force"
source = "PLC{n}"
address = "holding:{n}"
[[machines.signals]]
repeat = { k = ["A", "B"] }
name = "Motor{k}"
source = "PLC{n}"
address = "holding:10{n}"
[machines.data_drift]
tests = ["psi"]
"#;

    #[test]
    fn twenty_machines_from_one_description() {
        let config = Config::parse(TWENTY).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((config.sources.len(), config.machines.len()), (20, 20));
        let SourceKind::Modbus(source) = &config.sources[6].kind else { panic!() };
        assert_eq!((&*config.sources[6].name, source.place.to_string(), source.unit), ("PLC7", "192.168.0.7:502".into(), 7));
        let machine = &config.machines[6];
        assert_eq!(&*machine.name, "Press7");
        let signals: Vec<(&str, &str, usize)> = machine
            .signals
            .iter()
            .map(|s| (&*s.name, s.origin.as_ref().map_or("", |o| &*o.address), s.origin.as_ref().map_or(99, |o| o.source)))
            .collect();
        assert_eq!(signals, [("Force", "holding:7", 6), ("MotorA", "holding:107", 6), ("MotorB", "holding:107", 6)]);
    }

    #[test]
    fn lists_tables_and_leading_zeros() {
        let names = |repeat: &str, name: &str| -> Vec<String> {
            let text = format!(
                "[[machines]]\nrepeat = {repeat}\nname = \"{name}\"\nsignals = [\"a\"]\n[machines.data_drift]\ntests = [\"psi\"]\n"
            );
            let config = Config::parse(&text).unwrap_or_else(|e| panic!("{e}"));
            config.machines.iter().map(|m| m.name.to_string()).collect()
        };
        assert_eq!(names(r#"["North", "South"]"#, "{n}_1"), ["North_1", "South_1"]);
        assert_eq!(names(r#""08..11""#, "P{n}"), ["P08", "P09", "P10", "P11"]);
        assert_eq!(names(r#"[{ hall = "A", no = 3 }, { hall = "B", no = 12 }]"#, "{hall}{no}"), ["A3", "B12"]);
    }

    /// Faults of a description are told once, those of one copy alone too.
    #[test]
    fn a_fault_is_told_once_for_all_copies() {
        let faults = |text: &str| match Config::parse(text) {
            Ok(_) => panic!("accepted"),
            Err(errors) => errors.faults,
        };
        let found = faults(&TWENTY.replace("name = \"Force\"", "name = \"For ce\""));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&*found[0].path, found[0].line), ("machines[0].signals[0].name", 12));
        let found = faults(&TWENTY.replace("name = \"Force\"\nsource = \"PLC{n}\"", "name = \"Force\"\nsource = \"PLC2{n}\""));
        assert_eq!(found.len(), 1, "PLC20 is there, PLC21 is not: {found:?}");
        let found = faults(&TWENTY.replace("unit = \"{n}\"", "unit = \"{m}\""));
        assert!(found.iter().any(|f| f.message == "unknown placeholder: `{m}`" && f.line == 7), "{found:?}");
        for bad in
            ["\"20..1\"", "\"1..2000000\"", "\"one\"", "7", "[]", "[[1]]", "[{ a = 1 }, { b = 1 }]", "{ a = \"1..2\", b = \"1..2\" }"]
        {
            let found = faults(&format!("[[machines]]\nrepeat = {bad}\nname = \"M{{n}}\"\nsignals = [\"a\"]\n"));
            assert_eq!(found[0].path, "machines[0].repeat", "{bad}: {found:?}");
        }
    }
}
