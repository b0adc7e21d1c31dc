//! The documented default configuration, made from the docs and samples of the raw structs. `configs/full.toml` is its text.

use std::collections::HashSet;

use super::check::{MODBUS_KEYS, OPCUA_KEYS};
use super::raw::{
    RawBuffers, RawCheck, RawGateway, RawLabel, RawMachine, RawModel, RawMonitor, RawMqtt, RawPerformance, RawReplay, RawReport, RawServer,
    RawSetting, RawSignal, RawSource, RawStore, RawWebhook, RawWrite,
};
use super::read::{Key, Sample, Section};

const HEAD: &str = "\
# Every key of driftgate's configuration, with its default. Made by `driftgate default-config`.
#
# A key behind `#` may be left out: it shows its default, or an example where it has none.
# Times are a number with a unit: us ms s min h d. Unknown keys are refused; `driftgate check` names every fault.
";

/// A table of the document.
struct Block {
    header: &'static str,
    /// Which table it is; its keys are explained where it comes first.
    table: &'static str,
    docs: &'static [&'static str],
    keys: &'static [Key],
    /// Keys that this table does not show.
    without: &'static [&'static str],
    /// Values shown in place of the samples; these keys are in force.
    set: &'static [(&'static str, &'static str)],
}

impl Block {
    const fn of<S: Section>(header: &'static str) -> Self {
        Self { header, table: S::NAME, docs: S::DOCS, keys: S::KEYS, without: &[], set: &[] }
    }
}

/// The tables in the order of the document. Where a table comes twice, its keys are explained once.
fn blocks() -> Vec<Block> {
    vec![
        Block { set: &[("name", r#""line1""#)], ..Block::of::<RawGateway>("[gateway]") },
        Block::of::<RawServer>("[server]"),
        Block::of::<RawStore>("[store]"),
        Block::of::<RawReplay>("[replay]"),
        Block {
            without: MODBUS_KEYS,
            set: &[("namespace", r#""urn:BeckhoffAutomation:Ua:PLC1""#)],
            ..Block::of::<RawSource>("[[sources]]")
        },
        Block {
            docs: &[" The same for Modbus."],
            without: OPCUA_KEYS,
            set: &[("name", r#""PLC2""#), ("protocol", r#""modbus""#), ("endpoint", r#""tcp://192.168.0.20:502""#)],
            ..Block::of::<RawSource>("[[sources]]")
        },
        Block::of::<RawMachine>("[[machines]]"),
        Block {
            set: &[("source", r#""PLC1""#), ("address", r#""GVL_Settings.rVoltage""#), ("unit", r#""V""#), ("tolerance", "5.0")],
            ..Block::of::<RawSetting>("[[machines.settings]]")
        },
        Block {
            without: &["block", "features"],
            set: &[("source", r#""PLC1""#), ("address", r#""MAIN.fbMotor.rCurrent1""#), ("unit", r#""A""#), ("range", "[0.0, 50.0]")],
            ..Block::of::<RawSignal>("[[machines.signals]]")
        },
        Block {
            docs: &[" A waveform."],
            without: &["column", "range", "stuck_after", "max_rate", "saturation", "register_type", "sampling", "scale", "offset"],
            set: &[
                ("name", r#""Flux""#),
                ("source", r#""PLC1""#),
                ("address", r#""MAIN.fbMotor.aFlux""#),
                ("unit", r#""mWb""#),
                ("block", "{ length = 256, rate = 2560.0 }"),
            ],
            ..Block::of::<RawSignal>("[[machines.signals]]")
        },
        Block {
            docs: &[" Watches the distribution of the features: compares the last rows of a combination of settings with its reference."],
            ..Block::of::<RawMonitor>("[machines.data_drift]")
        },
        Block::of::<RawModel>("[[machines.models]]"),
        Block {
            docs: &[" Watches the model's score; keys as in `machines.data_drift`."],
            ..Block::of::<RawMonitor>("[machines.models.prediction_drift]")
        },
        Block {
            set: &[("source", r#""PLC1""#), ("address", r#""GVL_Quality.iScrapCode""#)],
            ..Block::of::<RawLabel>("[machines.models.label]")
        },
        Block::of::<RawPerformance>("[machines.models.performance_drift]"),
        Block::of::<RawCheck>("[[machines.checks]]"),
        Block { set: &[("source", r#""PLC1""#)], ..Block::of::<RawWrite>("[[machines.writes]]") },
        Block::of::<RawReport>("[machines.report]"),
        Block::of::<RawBuffers>("[machines.buffers]"),
        Block::of::<RawWebhook>("[announce.webhook]"),
        Block::of::<RawMqtt>("[announce.mqtt]"),
    ]
}

/// The documented default configuration: every key with what it means, its range and its default. It is a valid configuration.
pub fn documented_default() -> String {
    render(false)
}

/// With `defaults_in_force`, defaults are written as keys and not as comments.
fn render(defaults_in_force: bool) -> String {
    let mut text = HEAD.to_string();
    let mut explained = HashSet::new();
    for block in blocks() {
        text.push('\n');
        block.docs.iter().for_each(|line| comment(&mut text, line));
        text.push_str(block.header);
        text.push('\n');
        for key in block.keys.iter().filter(|k| !block.without.contains(&k.name)) {
            if key.sample == Sample::Table {
                continue;
            }
            if explained.insert((block.table, key.name)) {
                key.docs.iter().for_each(|line| comment(&mut text, line));
            }
            let set = block.set.iter().find(|(name, _)| *name == key.name).map(|(_, value)| *value);
            entry(&mut text, key, set, defaults_in_force);
        }
    }
    text
}

fn comment(text: &mut String, line: &str) {
    text.push('#');
    text.push_str(line);
    text.push('\n');
}

fn entry(text: &mut String, key: &Key, set: Option<&str>, defaults_in_force: bool) {
    let name = key.name;
    let line = match (set, key.sample) {
        (Some(value), _) | (None, Sample::Required(value)) => format!("{name} = {value}\n"),
        (None, Sample::Default(value)) if defaults_in_force => format!("{name} = {value}\n"),
        (None, Sample::Default(value)) => format!("#{name} = {value}\n"),
        (None, Sample::Example(value)) => format!("#{name} = {value}  # example\n"),
        (None, Sample::Table) => String::new(),
    };
    text.push_str(&line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::raw::RawConfig;

    #[test]
    fn the_shipped_file_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/full.toml");
        let text = documented_default();
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(shipped, text, "configs/full.toml is not current: run the tests with UPDATE_EXPECTED=1");
    }

    /// The defaults in the text are those in the code.
    #[test]
    fn shown_defaults_are_the_defaults() {
        let without = Config::parse(&documented_default()).unwrap_or_else(|e| panic!("{e}"));
        let with = Config::parse(&render(true)).unwrap_or_else(|e| panic!("{e}"));
        let of_no_file = |config| Config { hash: String::new(), text: "".into(), ..config };
        assert_eq!(of_no_file(with), of_no_file(without));
    }

    #[test]
    fn every_key_of_every_table_is_shown() {
        let text = documented_default();
        let shown = |key: &str| text.lines().any(|l| l.trim_start_matches('#').starts_with(&format!("{key} = ")));
        for block in blocks() {
            for key in block.keys.iter().filter(|k| k.sample != Sample::Table) {
                assert!(shown(key.name), "{} {} is not shown", block.header, key.name);
                assert!(!key.docs.is_empty(), "{} {} is not explained", block.header, key.name);
            }
        }
        for key in RawConfig::KEYS {
            assert!(text.contains(&format!("[{}", key.name)), "{} is not shown", key.name);
        }
    }

    /// Examples of optional keys are taken one by one: most exclude each other or name what the document lacks.
    #[test]
    fn examples_are_valid_where_they_stand() {
        let text = documented_default();
        for key in [
            "application_uri",
            "user",
            "time_column",
            "unit_column",
            "trigger",
            "active_when",
            "column",
            "inputs",
            "tests",
            "score_threshold",
            "features",
        ] {
            let line = text.lines().find(|l| l.starts_with(&format!("#{key} = "))).unwrap_or_else(|| panic!("no example of {key}"));
            let changed = text.replacen(line, &line[1..], 1);
            Config::parse(&changed).unwrap_or_else(|e| panic!("{key}: {e}"));
        }
    }
}
