//! From TOML to the raw structs. Goes on after a fault, so that one pass finds them all.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::LabelValue;
use super::fault::{ConfigErrors, Fault, did_you_mean};
use super::repeat;
use crate::drift::Test;
use crate::drift::calibrate::Budget;

/// A value of the file, with its place.
pub(super) type Item<'a> = Spanned<DeValue<'a>>;

/// A type that a key of the file can have. `None` after a fault, which is noted.
pub(super) trait FromToml: Sized {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self>;
}

/// A table of the file: what its keys are and mean.
pub(super) trait Section {
    /// Name of the struct.
    const NAME: &'static str;
    const DOCS: &'static [&'static str];
    const KEYS: &'static [Key];
}

/// A key as the documented default configuration shows it.
#[derive(Copy, Clone, Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub docs: &'static [&'static str],
    pub sample: Sample,
}

/// What stands behind a key in the documented default configuration.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// The key must be there; a value as an example.
    Required(&'static str),
    /// The key may be left out and then has this value.
    Default(&'static str),
    /// The key may be left out; a value as an example.
    Example(&'static str),
    /// A table of its own.
    Table,
}

/// What is gathered while a file is read and checked: the faults, and where each key stands.
pub(super) struct Notes<'t> {
    text: &'t str,
    faults: Vec<Fault>,
    places: HashMap<String, usize>,
    /// Within so many repeated tables: texts may stand for numbers.
    repeated: usize,
}

impl<'t> Notes<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, faults: Vec::new(), places: HashMap::new(), repeated: 0 }
    }

    /// Notes a fault at a key; where the key is missing, the table that lacks it is the place.
    pub fn fault(&mut self, path: &str, message: impl Into<String>, hint: impl Into<Option<String>>) {
        let offset = ancestors(path).find_map(|p| self.places.get(p)).copied().unwrap_or(0);
        self.fault_at(offset, path, message, hint);
    }

    fn fault_at(&mut self, offset: usize, path: &str, message: impl Into<String>, hint: impl Into<Option<String>>) {
        let (line, column) = position(self.text, offset);
        self.faults.push(Fault { path: path.into(), line, column, message: message.into(), hint: hint.into() });
    }

    /// True where the file has the key, be its value right or wrong.
    pub fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// True where a fault was noted at exactly this path.
    pub fn faulty(&self, path: &str) -> bool {
        self.faults.iter().any(|f| f.path == path)
    }

    /// True where a fault was noted at this path or below it.
    pub fn faulty_within(&self, path: &str) -> bool {
        self.faults.iter().any(|f| f.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
    }

    /// A value that must be there. Says so where it is not; is silent where it was there and wrong.
    pub fn required<T>(&mut self, value: Option<T>, table: &str, key: &str, hint: &str) -> Option<T> {
        let path = join(table, key);
        if value.is_none() && !self.has(&path) && !self.faulty(table) {
            self.fault(&path, format!("missing: `{key}`"), hint.to_string());
        }
        value
    }

    /// The end: `value`, or the faults in the order of the file.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigErrors> {
        if self.faults.is_empty() { Ok(value) } else { Err(self.into_errors()) }
    }

    /// The faults in the order of the file; those that copies of a table have in common once.
    pub fn into_errors(mut self) -> ConfigErrors {
        self.faults.sort_by_key(|f| (f.line, f.column));
        let of_a_copy = |a: &Fault, b: &Fault| {
            (a.line, a.column) == (b.line, b.column) && a.path != b.path && without_indices(&a.path) == without_indices(&b.path)
        };
        self.faults.dedup_by(|later, first| of_a_copy(later, first));
        ConfigErrors { file: None, faults: self.faults }
    }

    /// The whole file as a table; `None` where it is no TOML.
    pub fn document<T: FromToml>(&mut self) -> Option<T> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            for error in errors {
                let span = error.span().unwrap_or(0..0);
                let literal = self.literal(span.clone());
                let shown = if literal.trim().is_empty() { String::new() } else { format!(": `{literal}`") };
                self.fault_at(span.start, "", format!("not TOML, {}{shown}", error.message()), None);
            }
            // What follows a fault of syntax on the same line is noise.
            self.faults.dedup_by_key(|f| f.line);
            return None;
        }
        let span = root.span();
        T::from_toml(&Spanned::new(span, DeValue::Table(root.into_inner())), "", self)
    }

    /// The entries of a table; unknown keys are faults.
    pub fn table<'a, 'd>(&mut self, value: &'a Item<'d>, path: &str, keys: &[Key]) -> Option<&'a DeTable<'d>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value, path, "a table");
            return None;
        };
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !keys.iter().any(|k| k.name == name) {
                let hint = match did_you_mean(name, keys.iter().map(|k| k.name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", keys.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")),
                };
                self.fault_at(key.span().start, &join(path, name), format!("unknown key: `{name}`"), hint);
            }
        }
        Some(table)
    }

    /// The value of a key; `None` where it is missing or wrong.
    pub fn take<T: FromToml>(&mut self, table: &DeTable<'_>, key: &str, path: &str) -> Option<T> {
        let value = table.get(key)?;
        let path = join(path, key);
        self.places.insert(path.clone(), value.span().start);
        T::from_toml(value, &path, self)
    }

    /// Notes where a key stands that the file has in a short form.
    pub fn place(&mut self, path: String, value: &Item<'_>) {
        self.places.insert(path, value.span().start);
    }

    /// Notes that a value has another type than expected.
    pub fn wrong(&mut self, value: &Item<'_>, path: &str, expected: &str) {
        let got = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let literal = self.literal(value.span());
        self.fault_at(value.span().start, path, format!("expected {expected}, found {got}: `{literal}`"), None);
    }

    /// The value as it stands in the file; its first line, shortened.
    fn literal(&self, span: Range<usize>) -> String {
        let line = self.text.get(span).unwrap_or("").lines().next().unwrap_or("");
        if line.chars().count() > 60 { line.chars().take(57).chain("...".chars()).collect() } else { line.to_string() }
    }
}

/// `table.key`
pub(super) fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_string() } else { format!("{table}.{key}") }
}

/// `a[].b[]` of `a[0].b[7]`.
fn without_indices(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The path itself, then what contains it: `a[0].b`, `a[0]`, `a`.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |p| p.rfind(['.', '[']).map(|end| &p[..end]))
}

/// 1-based line and column (characters) of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

impl FromToml for String {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                notes.wrong(value, path, "a text");
                None
            }
        }
    }
}

impl FromToml for bool {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            notes.wrong(value, path, "true or false");
        }
        flag
    }
}

impl FromToml for f64 {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let number = match value.get_ref() {
            DeValue::Float(x) => x.as_str().parse().ok(),
            DeValue::Integer(i) => i128::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
            DeValue::String(text) if notes.repeated > 0 && text.parse::<f64>().is_ok() => text.parse().ok(),
            _ => {
                notes.wrong(value, path, "a number");
                return None;
            }
        };
        let finite = number.filter(|x: &f64| x.is_finite());
        if finite.is_none() {
            let literal = notes.literal(value.span());
            notes.fault(path, format!("not a finite number: `{literal}`"), None);
        }
        finite
    }
}

macro_rules! whole_numbers {
    ($($ty:ty),*) => {$(
        impl FromToml for $ty {
            fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
                let number = match value.get_ref() {
                    DeValue::Integer(i) => i128::from_str_radix(i.as_str(), i.radix()).ok(),
                    DeValue::String(text) if notes.repeated > 0 && text.parse::<u64>().is_ok() => text.parse().ok(),
                    _ => {
                        notes.wrong(value, path, "a whole number");
                        return None;
                    }
                };
                let fitting = number.and_then(|i| <$ty>::try_from(i).ok());
                if fitting.is_none() {
                    let literal = notes.literal(value.span());
                    let negative = number.is_some_and(|i| i < 0);
                    let hint = if negative { "not below 0".to_string() } else { format!("at most {}", <$ty>::MAX) };
                    notes.fault(path, format!("out of range: `{literal}`"), hint);
                }
                fitting
            }
        }
    )*};
}
whole_numbers!(u8, u16, u32, u64, usize);

/// A wrong element makes a list of plain values wrong; tables stay in their place.
impl<T: FromToml> FromToml for Vec<T> {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let DeValue::Array(list) = value.get_ref() else {
            notes.wrong(value, path, "a list");
            return None;
        };
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let path = |items: &Vec<Option<T>>| format!("{path}[{}]", items.len());
            let first = path(&items);
            notes.places.insert(first.clone(), item.span().start);
            let Some(copies) = repeat::copies(item, &first, notes) else {
                items.push(T::from_toml(item, &first, notes));
                continue;
            };
            notes.repeated += 1;
            for copy in &copies {
                let path = path(&items);
                notes.places.insert(path.clone(), copy.span().start);
                items.push(T::from_toml(copy, &path, notes));
            }
            notes.repeated -= 1;
            if copies.is_empty() {
                // The fault is noted.
                items.push(None);
            }
        }
        items.into_iter().collect()
    }
}

/// A time span: `100ms`, `5s`, `1.5h`, `30d`.
#[derive(Copy, Clone, Debug, PartialEq, PartialOrd)]
pub(super) struct Span(pub Duration);

const UNITS: &[(&str, f64)] = &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)];

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(())?;
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| ())?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(())?;
        Duration::try_from_secs_f64(number * seconds).map(Self).map_err(|_| ())
    }
}

/// In the largest unit that gives a whole number.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        for (unit, size) in UNITS.iter().rev() {
            let number = seconds / size;
            if number >= 1.0 && (number - number.round()).abs() < 1e-9 {
                return write!(f, "{number:.0}{unit}");
            }
        }
        write!(f, "{seconds}s")
    }
}

impl FromToml for Span {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let parsed = value.get_ref().as_str().and_then(|text| text.trim().parse().ok());
        if parsed.is_none() {
            let literal = notes.literal(value.span());
            notes.fault(
                path,
                format!("not a time span: `{literal}`"),
                Some(r#"write a number with a unit: "100ms", "5s", "10min", "2h", "30d""#.into()),
            );
        }
        parsed
    }
}

impl FromToml for Budget {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let text = String::from_toml(value, path, notes)?;
        let budget = text.parse().ok();
        if budget.is_none() {
            let hint = r#"write "1 per 30d" (s, min, h, d, w) or "1 per 10000 evaluations""#;
            notes.fault(path, format!("not a false-alarm budget: `{text}`"), Some(hint.into()));
        }
        budget
    }
}

impl FromToml for LabelValue {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(text) => Some(Self::Text(text.to_string())),
            DeValue::Boolean(flag) => Some(Self::Number(f64::from(u8::from(*flag)))),
            DeValue::Float(_) | DeValue::Integer(_) => f64::from_toml(value, path, notes).map(Self::Number),
            _ => {
                notes.wrong(value, path, "a number or a text");
                None
            }
        }
    }
}

impl FromToml for Test {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let text = String::from_toml(value, path, notes)?;
        let metric = text.parse().ok();
        if metric.is_none() {
            notes.unknown_word(path, "metric", &text, &Test::all().map(Test::name).collect::<Vec<_>>());
        }
        metric
    }
}

impl Notes<'_> {
    /// Notes a word that is none of the known ones.
    pub fn unknown_word(&mut self, path: &str, what: &str, word: &str, known: &[&str]) {
        let list = format!("known are {}", known.join(", "));
        let hint = match did_you_mean(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there are none".to_string(),
            None => list,
        };
        self.fault(path, format!("unknown {what}: `{word}`"), hint);
    }
}

/// Words of the file that stand for a value each.
macro_rules! words {
    ($ty:ty, $what:literal, $($word:literal => $value:expr),+ $(,)?) => {
        impl FromToml for $ty {
            fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
                let text = String::from_toml(value, path, notes)?;
                match text.as_str() {
                    $($word => Some($value),)+
                    _ => {
                        notes.unknown_word(path, $what, &text, &[$($word),+]);
                        None
                    }
                }
            }
        }
    };
}
pub(super) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_units() {
        let ms = |text: &str| text.parse::<Span>().map(|s| s.0.as_millis());
        assert_eq!(ms("100ms"), Ok(100));
        assert_eq!(ms("1.5 s"), Ok(1500));
        assert_eq!(ms("30d"), Ok(30 * 86_400_000));
        assert_eq!(ms("10min"), Ok(600_000));
        for bad in ["5", "s", "-1s", "5 weeks", "1.2.3s", ""] {
            assert_eq!(ms(bad), Err(()), "{bad}");
        }
        assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1500ms");
        assert_eq!(Span(Duration::from_secs(7200)).to_string(), "2h");
        assert_eq!(Span(Duration::ZERO).to_string(), "0s");
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("a = 1\nµ = 2", 0), (1, 1));
        assert_eq!(position("a = 1\nµ = 2", 11), (2, 5));
        assert_eq!(ancestors("a[0].b").collect::<Vec<_>>(), ["a[0].b", "a[0]", "a"]);
    }
}
