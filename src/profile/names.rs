//! What the name of a column says of its role. A hint, never a proof.

/// How strongly a name speaks for a setting.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hint {
    None,
    Weak,
    Strong,
}

const SETTING_STRONG: &[&str] = &[
    "set",
    "setpoint",
    "setting",
    "settings",
    "sp",
    "soll",
    "sollwert",
    "recipe",
    "rezept",
    "program",
    "programm",
    "programme",
    "cmd",
    "command",
    "commanded",
    "demand",
    "dmd",
    "consigne",
];
const SETTING_WEAK: &[&str] = &["load", "gear", "product", "produkt", "variant", "material", "type", "mode", "step", "stage", "regime"];
const LABEL: &[&str] = &[
    "anomaly",
    "anomalies",
    "fault",
    "faults",
    "label",
    "labels",
    "class",
    "changepoint",
    "failure",
    "failed",
    "alarm",
    "error",
    "defect",
    "target",
    "rul",
    "broken",
    "healthy",
    "verdict",
    "wear",
    "vb",
];
/// Labels whatever their number of values.
const LABEL_ALWAYS: &[&str] = &["label", "labels", "target", "rul", "anomaly", "wear", "vb"];
const UNIT: &[&str] = &[
    "unit",
    "machine",
    "engine",
    "asset",
    "device",
    "equipment",
    "serial",
    "sn",
    "tool",
    "run",
    "experiment",
    "batch",
    "vehicle",
    "id",
    "sample",
    "specimen",
];
const UNIT_STRONG: &[&str] = &["unit", "machine", "engine", "asset", "device", "equipment"];
const TIME: &[&str] =
    &["time", "timestamp", "datetime", "date", "ts", "t", "epoch", "zeit", "zeitstempel", "datum", "sec", "seconds", "secs"];

pub(super) fn setting(name: &str) -> Hint {
    let tokens = tokens(name);
    let has = |words: &[&str]| tokens.iter().any(|t| words.contains(&t.as_str()));
    match (has(SETTING_STRONG), has(SETTING_WEAK)) {
        (true, _) => Hint::Strong,
        (false, true) => Hint::Weak,
        _ => Hint::None,
    }
}

/// `distinct`: how many different values the column has.
pub(super) fn label(name: &str, distinct: usize) -> bool {
    let words = if distinct <= 20 { LABEL } else { LABEL_ALWAYS };
    tokens(name).iter().any(|t| words.contains(&t.as_str()))
}

pub(super) fn unit(name: &str) -> Hint {
    let tokens = tokens(name);
    let strong =
        tokens.first().is_some_and(|t| UNIT_STRONG.contains(&t.as_str())) && tokens.iter().skip(1).all(|t| t == "id" || t == "name");
    if strong {
        Hint::Strong
    } else if tokens.iter().any(|t| UNIT.contains(&t.as_str())) {
        Hint::Weak
    } else {
        Hint::None
    }
}

/// Whether one of these words is in the name.
pub(super) fn has(name: &str, words: &[&str]) -> bool {
    tokens(name).iter().any(|t| words.contains(&t.as_str()))
}

pub(super) fn time(name: &str) -> bool {
    tokens(name).iter().any(|t| TIME.contains(&t.as_str()))
}

/// Lower-case words: `rVoltageSet_2` is `r voltage set`.
fn tokens(name: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let (mut last_lower, mut inside) = (false, false);
    for c in name.chars() {
        if !c.is_alphabetic() {
            inside = false;
            continue;
        }
        if !inside || last_lower && c.is_uppercase() {
            tokens.push(String::new());
        }
        inside = true;
        last_lower = c.is_lowercase();
        if let Some(token) = tokens.last_mut() {
            token.extend(c.to_lowercase());
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_words() {
        assert_eq!(tokens("GVL.rVoltageSet_2"), ["gvl", "r", "voltage", "set"]);
        assert_eq!(
            ["set1", "SpeedSP", "load", "voltage", "offset"].map(setting),
            [Hint::Strong, Hint::Strong, Hint::Weak, Hint::None, Hint::None]
        );
        assert!(label("anomaly", 2) && label("fault_code", 9) && !label("fault_current", 5_000) && !label("current", 2));
        assert_eq!(["unit", "machine_id", "unit_load", "tool"].map(unit), [Hint::Strong, Hint::Strong, Hint::Weak, Hint::Weak]);
        assert!(time("dateTime") && time("Time (s)") && !time("temperature"));
    }
}
