use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Point, Support};
use crate::config::{Conditioning, MachineConfig};
use crate::types::Value;

/// How one setting takes part in the regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SettingRule {
    pub name: Arc<str>,
    pub conditioning: Conditioning,
}

/// One setting's part of a regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Cell {
    /// No part of the regime: recorded only, or continuous.
    Any,
    /// A row's value of a continuous setting.
    Value(f64),
    /// Centre of a tolerance.
    Centre(f64),
    /// Index of a bin; `None` where the value lies in no bin.
    Bin(Option<u16>),
    /// A class.
    Class(Arc<str>),
}

/// One combination of settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regime {
    pub cells: Vec<Cell>,
    /// `Voltage=164;Load=50`
    pub key: Arc<str>,
    /// Where the continuous settings were trained; `None` where there are no such settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<Support>,
}

/// Where a row of settings lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Located {
    /// In a known regime; the distance to its centre and to the nearest trained value of continuous settings, at most 1.
    Known { slot: u16, distance: f64 },
    /// In none; the distance to the nearest (infinite where a class or bin differs, or nothing is known).
    Outside { distance: f64 },
    /// A conditioning setting has no usable value.
    BadSetting,
}

/// The known regimes, in fixed slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegimeTable {
    pub rules: Vec<SettingRule>,
    pub regimes: Vec<Regime>,
}

impl RegimeTable {
    /// An empty table with the rules of a machine.
    pub fn new(machine: &MachineConfig) -> Self {
        let rules = machine.settings.iter().map(|s| SettingRule { name: s.name.clone(), conditioning: s.conditioning.clone() }).collect();
        Self { rules, regimes: Vec::new() }
    }

    /// The same regimes with the tolerances of a machine; `None` where they are those already.
    pub fn with_tolerances(&self, machine: &MachineConfig) -> Option<Self> {
        let mut changed = None;
        for (k, (rule, setting)) in self.rules.iter().zip(&machine.settings).enumerate() {
            if rule.conditioning != setting.conditioning && rule.conditioning.is_alike(&setting.conditioning) {
                changed.get_or_insert_with(|| self.clone()).rules[k].conditioning = setting.conditioning.clone();
            }
        }
        changed
    }

    /// Reads one row of settings (in the order of the rules) into `cells`, which holds the row before or nothing; false where a
    /// conditioning setting has no usable value. Allocates only where a class has changed.
    pub fn read<'a>(&self, values: impl Iterator<Item = Option<&'a Value>>, cells: &mut Vec<Cell>) -> bool {
        let mut values = values;
        cells.resize(self.rules.len(), Cell::Any);
        self.rules.iter().zip(cells).all(|(rule, cell)| {
            let read = values.next().and_then(|value| rule.cell(value, cell));
            read.map(|read| *cell = read).is_some()
        })
    }

    /// The nearest regime, if the cells are inside it.
    pub fn locate(&self, cells: &[Cell]) -> Located {
        let mut best = (f64::INFINITY, 0);
        for (slot, regime) in self.regimes.iter().enumerate() {
            let mut distance = self.distance(&regime.cells, cells);
            if let Some(support) = regime.support.as_ref().filter(|_| distance < best.0) {
                distance = distance.max(support.distance(&self.point(cells)));
            }
            if distance < best.0 {
                best = (distance, slot);
            }
        }
        if best.0 <= 1.0 { Located::Known { slot: best.1 as u16, distance: best.0 } } else { Located::Outside { distance: best.0 } }
    }

    /// Largest distance over the settings, in tolerances; infinite where a class or bin differs.
    pub fn distance(&self, a: &[Cell], b: &[Cell]) -> f64 {
        let pairs = self.rules.iter().zip(a.iter().zip(b));
        pairs.map(|(rule, (a, b))| rule.distance(a, b)).fold(0.0, f64::max)
    }

    /// How many settings are continuous.
    pub fn continuous(&self) -> usize {
        self.rules.iter().filter(|r| matches!(r.conditioning, Conditioning::Regression(_))).count()
    }

    /// The continuous settings of a row, in tolerances.
    pub fn point(&self, cells: &[Cell]) -> Point {
        Point::new(self.rules.iter().zip(cells).filter_map(|(rule, cell)| match (cell, &rule.conditioning) {
            (Cell::Value(x), Conditioning::Regression(reach)) => Some(x / reach),
            _ => None,
        }))
    }

    /// Groups rows of cells into regimes: a row joins the nearest regime within tolerance or starts one; a centre is the
    /// mean of its rows. Then learns where in each regime the continuous settings were. Returns the regime of each row; `None`
    /// for a row with hardly another one near it in continuous settings.
    pub fn learn(&mut self, rows: &[Vec<Cell>]) -> Vec<Option<u16>> {
        let slots = self.learn_regimes(rows);
        if self.continuous() == 0 {
            return slots.into_iter().map(Some).collect();
        }
        let mut members = vec![Vec::new(); self.regimes.len()];
        for (cells, slot) in rows.iter().zip(slots) {
            members[usize::from(slot)].push(self.point(cells));
        }
        let width = self.continuous();
        for (regime, points) in self.regimes.iter_mut().zip(&members) {
            regime.support = Some(Support::learn(width, points.iter()));
        }
        // As rows will be located from now on.
        let located = rows.iter().map(|cells| match self.locate(cells) {
            Located::Known { slot, .. } => Some(slot),
            Located::Outside { .. } | Located::BadSetting => None,
        });
        located.collect()
    }

    fn learn_regimes(&mut self, rows: &[Vec<Cell>]) -> Vec<u16> {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.regimes.len()];
        let mut slots = Vec::with_capacity(rows.len());
        for (i, cells) in rows.iter().enumerate() {
            let slot = match self.locate(cells) {
                Located::Known { slot, .. } => slot,
                Located::Outside { .. } | Located::BadSetting => {
                    let cells = cells.iter().map(|c| if let Cell::Value(_) = c { Cell::Any } else { c.clone() });
                    self.regimes.push(Regime { cells: cells.collect(), key: "".into(), support: None });
                    members.push(Vec::new());
                    (self.regimes.len() - 1) as u16
                }
            };
            members[usize::from(slot)].push(i);
            slots.push(slot);
        }
        for (regime, members) in self.regimes.iter_mut().zip(&members) {
            for (k, cell) in regime.cells.iter_mut().enumerate() {
                if let Cell::Centre(centre) = cell {
                    let values = members.iter().filter_map(|&i| match rows[i][k] {
                        Cell::Centre(x) => Some(x),
                        _ => None,
                    });
                    let (sum, n) = values.fold((0.0, 0usize), |(s, n), x| (s + x, n + 1));
                    if n > 0 {
                        *centre = sum / n as f64;
                    }
                }
            }
        }
        for slot in 0..self.regimes.len() {
            self.regimes[slot].key = self.key(&self.regimes[slot].cells).into();
        }
        slots
    }

    /// `Voltage=164;Load=50`: numbers rounded to what the tolerance can tell apart. ASCII.
    pub fn key(&self, cells: &[Cell]) -> String {
        let mut key = String::new();
        for (rule, cell) in self.rules.iter().zip(cells) {
            if matches!(cell, Cell::Any | Cell::Value(_)) {
                continue;
            }
            if !key.is_empty() {
                key.push(';');
            }
            let _ = write!(key, "{}={}", rule.name, rule.cell_text(cell));
        }
        if key.is_empty() { "all".into() } else { key }
    }
}

impl SettingRule {
    /// The same setting in the same part, whatever its tolerance.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.name == other.name && self.conditioning.is_alike(&other.conditioning)
    }

    /// `before` is that of the row before.
    fn cell(&self, value: Option<&Value>, before: &Cell) -> Option<Cell> {
        let finite = |v: &Value| v.number().filter(|x| x.is_finite());
        match &self.conditioning {
            Conditioning::Ignored => Some(Cell::Any),
            Conditioning::Tolerance(_) => Some(Cell::Centre(finite(value?)?)),
            Conditioning::Regression(reach) => Some(Cell::Value(finite(value?).filter(|x| (x / reach).is_finite())?)),
            Conditioning::Bins(edges) => {
                let x = finite(value?)?;
                let bin = edges.windows(2).position(|e| e[0] <= x && x < e[1]);
                Some(Cell::Bin(bin.map(|b| b as u16)))
            }
            Conditioning::Category => {
                let known = if let Cell::Class(class) = before { Some(class) } else { None };
                let class = match value? {
                    Value::Text(text) => known.filter(|k| *k == text && text.chars().all(is_plain)).cloned().unwrap_or_else(|| ascii(text)),
                    other => {
                        let x = finite(other)?;
                        known.filter(|k| k.parse() == Ok(x)).cloned().unwrap_or_else(|| x.to_string().into())
                    }
                };
                Some(Cell::Class(class))
            }
        }
    }

    fn distance(&self, a: &Cell, b: &Cell) -> f64 {
        match (a, b, &self.conditioning) {
            // Continuous settings have a distance of their own: see `Support`.
            (Cell::Any | Cell::Value(_), Cell::Any | Cell::Value(_), _) => 0.0,
            (Cell::Centre(x), Cell::Centre(y), Conditioning::Tolerance(tolerance)) => (x - y).abs() / tolerance,
            (Cell::Bin(Some(x)), Cell::Bin(Some(y)), _) if x == y => 0.0,
            (Cell::Class(x), Cell::Class(y), _) if x == y => 0.0,
            _ => f64::INFINITY,
        }
    }

    fn cell_text(&self, cell: &Cell) -> String {
        match (cell, &self.conditioning) {
            (Cell::Centre(x), Conditioning::Tolerance(tolerance)) => {
                let decimals = (-tolerance.log10()).ceil().clamp(0.0, 9.0) as usize;
                let text = format!("{x:.decimals$}");
                if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { text.replace('-', "") } else { text }
            }
            (Cell::Bin(Some(bin)), Conditioning::Bins(edges)) => {
                let bin = usize::from(*bin);
                format!("[{},{})", edges[bin], edges[bin + 1])
            }
            (Cell::Bin(_), _) => "none".into(),
            (Cell::Class(class), _) => class.to_string(),
            (Cell::Centre(x) | Cell::Value(x), _) => x.to_string(),
            (Cell::Any, _) => String::new(),
        }
    }
}

/// Printable ASCII without the separators of a key.
fn ascii(text: &str) -> Arc<str> {
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect::<String>().into()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && c != ';' && c != '='
}

#[cfg(test)]
mod tests {
    use super::*;

    impl RegimeTable {
        fn cells<'a>(&self, values: impl Iterator<Item = Option<&'a Value>>) -> Option<Vec<Cell>> {
            let mut cells = Vec::new();
            self.read(values, &mut cells).then_some(cells)
        }
    }

    #[test]
    fn a_class_that_stays_is_not_made_anew() {
        let t = table(&[("Recipe", Conditioning::Category), ("Program", Conditioning::Category)]);
        let mut cells = Vec::new();
        let row = |text: &str, x: f64| (Value::Text(text.into()), real(x));
        let read = |text: &str, x: f64, cells: &mut Vec<Cell>| {
            let (a, b) = row(text, x);
            assert!(t.read([Some(&a), Some(&b)].into_iter(), cells));
        };
        read("P1", 7.0, &mut cells);
        let first = cells.clone();
        read("P1", 7.0, &mut cells);
        let same = |k: usize, cells: &[Cell]| matches!((&first[k], &cells[k]), (Cell::Class(a), Cell::Class(b)) if Arc::ptr_eq(a, b));
        assert!(same(0, &cells) && same(1, &cells));
        read("P 1", 7.5, &mut cells);
        assert_eq!(cells, [Cell::Class("P_1".into()), Cell::Class("7.5".into())]);
        read("P 1", 8.0, &mut cells);
        assert_eq!(cells, [Cell::Class("P_1".into()), Cell::Class("8".into())]);
    }

    fn table(rules: &[(&str, Conditioning)]) -> RegimeTable {
        let rules = rules.iter().map(|(n, c)| SettingRule { name: (*n).into(), conditioning: c.clone() }).collect();
        RegimeTable { rules, regimes: vec![] }
    }

    fn real(x: f64) -> Value {
        Value::Real(x)
    }

    #[test]
    fn envelope_has_gaps_between_trained_settings() {
        let mut t = table(&[("Voltage", Conditioning::Tolerance(5.0))]);
        let rows: Vec<_> = [164.2, 289.0, 163.8].iter().map(|v| t.cells([Some(&real(*v))].into_iter()).unwrap()).collect();
        assert_eq!(t.learn(&rows), [Some(0), Some(1), Some(0)]);
        assert_eq!(&*t.regimes[0].key, "Voltage=164");
        let at = |v: f64| t.locate(&t.cells([Some(&real(v))].into_iter()).unwrap());
        assert!(matches!(at(168.9), Located::Known { slot: 0, .. }));
        assert!(matches!(at(220.0), Located::Outside { distance } if (distance - 11.2).abs() < 1e-9));
        assert!(matches!(at(285.0), Located::Known { slot: 1, .. }));
    }

    #[test]
    fn classes_and_bins_have_no_neighbourhood() {
        let t = table(&[("Recipe", Conditioning::Category), ("Load", Conditioning::Bins(vec![0.0, 10.0, 20.0]))]);
        let cells = |r: Value, l: f64| t.cells([Some(&r), Some(&real(l))].into_iter()).unwrap();
        let mut t2 = t.clone();
        t2.learn(&[cells(Value::Integer(3), 4.0)]);
        assert_eq!(&*t2.regimes[0].key, "Recipe=3;Load=[0,10)");
        assert!(matches!(t2.locate(&cells(Value::Integer(3), 9.9)), Located::Known { .. }));
        assert_eq!(t2.locate(&cells(Value::Integer(3), 10.0)), Located::Outside { distance: f64::INFINITY });
        assert_eq!(t2.locate(&cells(Value::Integer(4), 4.0)), Located::Outside { distance: f64::INFINITY });
        assert_eq!(t2.locate(&cells(Value::Integer(3), 25.0)), Located::Outside { distance: f64::INFINITY });
    }

    #[test]
    fn a_bin_between_trained_ones_is_outside() {
        let mut t = table(&[("Load", Conditioning::Bins(vec![0.0, 10.0, 20.0, 30.0]))]);
        let cells = |x: f64| vec![Cell::Bin([0.0, 10.0, 20.0].iter().rposition(|from| x >= *from).map(|b| b as u16))];
        assert_eq!(t.cells([Some(&real(15.0))].into_iter()), Some(cells(15.0)));
        t.learn(&[cells(5.0), cells(25.0), cells(2.0)]);
        assert_eq!(t.regimes.len(), 2);
        assert_eq!(t.locate(&cells(15.0)), Located::Outside { distance: f64::INFINITY });
        assert_eq!(t.locate(&cells(29.0)), Located::Known { slot: 1, distance: 0.0 });
    }

    #[test]
    fn continuous_settings_are_no_part_of_the_key_and_have_gaps_within_a_regime() {
        let mut t = table(&[("Voltage", Conditioning::Tolerance(5.0)), ("Speed", Conditioning::Regression(50.0))]);
        let cells = |t: &RegimeTable, v: f64, s: f64| t.cells([Some(&real(v)), Some(&real(s))].into_iter()).unwrap();
        // 164 V was run at 500 to 1,000 and 2,000 to 2,500 rpm, 220 V only at 1,000 to 1,500; one row strayed.
        let ramp = |v: f64, from: f64| (0..100).map(move |i| (v, from + f64::from(i) * 5.0));
        let rows: Vec<_> = ramp(164.0, 500.0).chain(ramp(164.0, 2000.0)).chain(ramp(220.0, 1000.0)).chain([(164.0, 4000.0)]).collect();
        let rows: Vec<_> = rows.into_iter().map(|(v, s)| cells(&t, v, s)).collect();
        let slots = t.learn(&rows);
        assert_eq!((slots[0], slots[150], slots[250], slots[300]), (Some(0), Some(0), Some(1), None));
        assert_eq!([&*t.regimes[0].key, &*t.regimes[1].key], ["Voltage=164", "Voltage=220"]);
        let at = |v: f64, s: f64| t.locate(&cells(&t, v, s));
        assert!(matches!(at(166.0, 700.0), Located::Known { slot: 0, distance } if (distance - 0.4).abs() < 0.11));
        assert!(matches!(at(164.0, 1500.0), Located::Outside { distance } if (distance - 10.0).abs() < 0.3), "{:?}", at(164.0, 1500.0));
        assert!(matches!(at(220.0, 1400.0), Located::Known { slot: 1, .. }));
        assert!(matches!(at(220.0, 2200.0), Located::Outside { distance } if distance > 10.0), "trained at 164 V alone");
        assert!(matches!(at(164.0, 4000.0), Located::Outside { .. }), "one row is no training");
        assert!(t.cells([Some(&real(164.0)), None].into_iter()).is_none(), "a Bad speed is a Bad setting");
    }

    #[test]
    fn a_missing_conditioning_setting_has_no_cells() {
        let t = table(&[("Voltage", Conditioning::Tolerance(5.0)), ("Operator", Conditioning::Ignored)]);
        assert_eq!(t.cells([None, None].into_iter()), None);
        assert_eq!(t.cells([Some(&real(f64::NAN)), None].into_iter()), None);
        assert!(t.cells([Some(&real(1.0)), None].into_iter()).is_some());
    }

    #[test]
    fn keys_are_ascii_and_never_minus_zero() {
        let mut t = table(&[("Name", Conditioning::Category), ("Mach", Conditioning::Tolerance(0.02))]);
        let row = t.cells([Some(&Value::Text("Größe 1;x".into())), Some(&real(-0.0001))].into_iter()).unwrap();
        t.learn(&[row]);
        assert_eq!(&*t.regimes[0].key, "Name=Gr__e_1_x;Mach=0.00");
    }
}
