//! Channels: signals and settings, and where they come from.

use super::{bounds, join};
use crate::config::raw::{RawBlock, RawLabel, RawSetting, RawSignal};
use crate::config::read::{Notes, Span};
use crate::config::{
    Conditioning, FaultWhen, LabelConfig, ModbusAddress, Origin, Plausible, RegisterType, SettingConfig, Shape, SignalConfig, SourceConfig,
    SourceKind,
};

/// A signal without its features.
pub(super) fn signal(raw: &RawSignal, path: &str, sources: &[SourceConfig], notes: &mut Notes<'_>) -> SignalConfig {
    let name = notes.name(raw.name.clone(), path);
    let origin = RawOrigin {
        source: raw.source.as_deref(),
        address: raw.address.as_deref(),
        register_type: raw.register_type,
        sampling: raw.sampling,
        scale: raw.scale,
        offset: raw.offset,
        counter: raw.block.as_ref().and_then(|block| block.counter.as_deref()),
        deadband: raw.deadband,
        no_text: Some("a signal is measured; a text can be a setting with category = true, or a label"),
    };
    let shape = raw.block.as_ref().map_or(Shape::Scalar, |block| self::block(block, &join(path, "block"), notes));
    SignalConfig {
        column: column(raw.column.as_deref(), &name, path, notes),
        origin: origin.check(path, sources, notes),
        unit: raw.unit.clone().unwrap_or_default(),
        range: raw.range.as_deref().and_then(|range| self::range(range, &join(path, "range"), notes)),
        plausible: plausible(raw, shape, path, notes),
        shape,
        name,
    }
}

fn plausible(raw: &RawSignal, shape: Shape, path: &str, notes: &mut Notes<'_>) -> Plausible {
    let rate_path = join(path, "max_rate");
    if let Some(rate) = raw.max_rate.filter(|rate| *rate <= 0.0) {
        notes.fault(&rate_path, format!("not greater than 0: `{rate}`"), "in the signal's unit a second".to_string());
    }
    if raw.max_rate.is_some() && shape != Shape::Scalar {
        notes.fault(&rate_path, "a waveform has no rate of change", "remove it, or use range and saturation".to_string());
    }
    let deadband_path = join(path, "deadband");
    if raw.deadband.is_some() && shape != Shape::Scalar {
        notes.fault(&deadband_path, "a waveform has no deadband", "remove it".to_string());
    }
    if raw.deadband.is_some() && raw.stuck_after.is_some() {
        let hint = "a value that stands still within the deadband would look stuck: remove one of the two";
        notes.fault(&deadband_path, "stuck_after is there as well", hint.to_string());
    }
    Plausible {
        stuck_after: raw.stuck_after.map(|s| notes.span_within(&join(path, "stuck_after"), Some(s), bounds::STUCK_AFTER)),
        max_rate: raw.max_rate,
        saturation: raw.saturation.as_deref().and_then(|ends| range(ends, &join(path, "saturation"), notes)),
    }
}

pub(super) fn setting(raw: RawSetting, path: &str, sources: &[SourceConfig], notes: &mut Notes<'_>) -> SettingConfig {
    let name = notes.name(raw.name.clone(), path);
    let origin = RawOrigin {
        source: raw.source.as_deref(),
        address: raw.address.as_deref(),
        register_type: raw.register_type,
        sampling: raw.sampling,
        scale: raw.scale,
        offset: raw.offset,
        counter: None,
        deadband: None,
        no_text: (raw.category != Some(true)).then_some("each text is a class of its own: set category = true"),
    };
    SettingConfig {
        column: column(raw.column.as_deref(), &name, path, notes),
        origin: origin.check(path, sources, notes),
        unit: raw.unit.clone().unwrap_or_default(),
        conditioning: conditioning(raw, path, notes),
        name,
    }
}

/// The labels of a model. Where there are sources, one without an address is in recorded data only.
pub(super) fn label(raw: RawLabel, model: &str, path: &str, sources: &[SourceConfig], notes: &mut Notes<'_>) -> LabelConfig {
    let origin = RawOrigin {
        source: raw.source.as_deref(),
        address: raw.address.as_deref(),
        register_type: raw.register_type,
        sampling: raw.sampling,
        scale: None,
        offset: None,
        counter: None,
        deadband: None,
        no_text: raw.healthy_range.as_ref().map(|_| "a measured value with a healthy_range is a number; list texts in fault_values"),
    };
    let live = raw.address.is_some() || raw.source.is_some();
    let (faults, ignored) = (raw.fault_values.unwrap_or_default(), raw.ignore_values.unwrap_or_default());
    if raw.healthy_range.is_some() && !faults.is_empty() {
        let hint = "a label is a value of a list, or a measured one: remove one of the two keys";
        notes.fault(&join(path, "healthy_range"), "fault_values is there as well", hint.to_string());
    }
    let healthy = raw.healthy_range.and_then(|r| range(&r, &join(path, "healthy_range"), notes));
    if let Some(value) = faults.iter().position(|v| ignored.contains(v)) {
        let hint = "a value means fault, or it means nothing: remove it from one of the two lists";
        notes.fault(&format!("{path}.fault_values[{value}]"), "this value is in ignore_values as well", hint.to_string());
    }
    LabelConfig {
        name: format!("{model}.label").into(),
        column: column(raw.column.as_deref(), "label", path, notes),
        origin: if live { origin.check(path, sources, notes) } else { None },
        fault: match healthy {
            Some((low, high)) => FaultWhen::Outside(low, high),
            None if faults.is_empty() => FaultWhen::Positive,
            None => FaultWhen::Listed(faults),
        },
        ignore_values: ignored,
        delay_rows: notes.within(&join(path, "delay_rows"), raw.delay_rows, bounds::DELAY_ROWS),
    }
}

fn column(column: Option<&str>, name: &str, path: &str, notes: &mut Notes<'_>) -> String {
    if column.is_some_and(str::is_empty) {
        notes.fault(&join(path, "column"), "empty: ``", Some("name a column, or leave the key out".to_string()));
    }
    column.unwrap_or(name).to_string()
}

pub(super) fn range(range: &[f64], path: &str, notes: &mut Notes<'_>) -> Option<(f64, f64)> {
    match range {
        [low, high] if low < high => Some((*low, *high)),
        [low, high] => {
            notes.fault(path, format!("the lower end is not below the upper one: `[{low}, {high}]`"), turned(*low, *high));
            None
        }
        _ => {
            let hint = "write the lowest and the highest value, like [0.0, 50.0]";
            notes.fault(path, format!("not a range: `{range:?}`"), hint.to_string());
            None
        }
    }
}

fn turned(low: f64, high: f64) -> Option<String> {
    (low > high).then(|| format!("write [{high}, {low}]"))
}

fn block(raw: &RawBlock, path: &str, notes: &mut Notes<'_>) -> Shape {
    let hint = "a block is { length = 256, rate = 2560.0 }";
    notes.required(raw.length, path, "length", hint);
    notes.required(raw.rate, path, "rate", hint);
    let length = notes.within(&join(path, "length"), raw.length, bounds::BLOCK_LENGTH);
    let rate = raw.rate.unwrap_or(1.0);
    if rate <= 0.0 {
        notes.fault(&join(path, "rate"), format!("not greater than 0: `{rate}`"), Some("samples a second (Hz)".to_string()));
    }
    Shape::Block { length, rate: rate.max(f64::MIN_POSITIVE) }
}

fn conditioning(raw: RawSetting, path: &str, notes: &mut Notes<'_>) -> Conditioning {
    let category = raw.category == Some(true);
    let given = [
        ("tolerance", raw.tolerance.is_some()),
        ("bins", raw.bins.is_some()),
        ("category", category),
        ("regression", raw.regression.is_some()),
    ];
    let given: Vec<&str> = given.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
    if let [_, second, ..] = given[..] {
        let message = format!("more than one kind of conditioning: `{}`", given.join("`, `"));
        notes.fault(&join(path, second), message, Some("keep one of tolerance, bins, category and regression".to_string()));
    }
    if let Some(tolerance) = raw.tolerance {
        if tolerance <= 0.0 {
            let hint = "values within so much of a trained value are that value; for exact values use category = true";
            notes.fault(&join(path, "tolerance"), format!("not greater than 0: `{tolerance}`"), hint.to_string());
        }
        Conditioning::Tolerance(tolerance)
    } else if let Some(bins) = raw.bins {
        check_bins(&bins, &join(path, "bins"), notes);
        Conditioning::Bins(bins)
    } else if category {
        Conditioning::Category
    } else if let Some(reach) = raw.regression {
        if reach <= 0.0 {
            let hint = "values farther than so much from every trained one are outside the envelope; a twentieth of the range is a start";
            notes.fault(&join(path, "regression"), format!("not greater than 0: `{reach}`"), hint.to_string());
        }
        Conditioning::Regression(reach)
    } else {
        Conditioning::Ignored
    }
}

fn check_bins(bins: &[f64], path: &str, notes: &mut Notes<'_>) {
    if bins.len() < 2 {
        let hint = "write the edges, at least two, like [0.0, 200.0, 400.0]";
        notes.fault(path, format!("too few edges: `{bins:?}`"), hint.to_string());
    } else if let Some(pair) = bins.windows(2).find(|pair| pair[0] >= pair[1]) {
        notes.fault(path, format!("edges are not ascending: `{}` before `{}`", pair[0], pair[1]), None);
    }
}

/// Keys that signals and settings have in common.
struct RawOrigin<'a> {
    source: Option<&'a str>,
    address: Option<&'a str>,
    register_type: Option<RegisterType>,
    sampling: Option<Span>,
    scale: Option<f64>,
    offset: Option<f64>,
    /// Of a waveform.
    counter: Option<&'a str>,
    /// In the signal's unit.
    deadband: Option<f64>,
    /// Where it must be a number: what else to do.
    no_text: Option<&'static str>,
}

impl RawOrigin<'_> {
    /// `None` where there is no source at all (recorded data only), or after a fault.
    fn check(&self, path: &str, sources: &[SourceConfig], notes: &mut Notes<'_>) -> Option<Origin> {
        let scale = self.scale.unwrap_or(1.0);
        if scale == 0.0 {
            notes.fault(&join(path, "scale"), "a scale of zero makes every value the same: `0`", Some("leave it out for 1".to_string()));
        }
        let sampling = self.sampling.map(|s| notes.span_within(&join(path, "sampling"), Some(s), bounds::SAMPLING));
        let source = source_index(self.source, path, sources, notes);
        let address_path = join(path, "address");
        if sources.is_empty() {
            if self.address.is_some() && self.source.is_none() {
                let hint = "add a table [[sources]], or remove the address where there is only recorded data";
                notes.fault(&address_path, "an address, but there is no source to read it from", hint.to_string());
            }
            return None;
        }
        let address = notes.required(self.address, path, "address", "where the PLC has the value; needed because the file has sources")?;
        let source = source?;
        let address = check_address(address, &sources[source], &address_path, notes);
        let counter_path = join(&join(path, "block"), "counter");
        let counter = self.counter.map(|counter| check_counter(counter, &sources[source], &counter_path, notes));
        Some(Origin {
            source,
            register_type: self.register_type(&address, &sources[source], path, notes),
            address,
            sampling,
            scale,
            offset: self.offset.unwrap_or(0.0),
            counter,
            deadband: self.deadband.and_then(|deadband| check_deadband(deadband, scale, &sources[source], path, notes)),
        })
    }

    /// Coils, discrete inputs and bits of registers are single bits; a text is a setting's or a label's class.
    fn register_type(&self, address: &str, source: &SourceConfig, path: &str, notes: &mut Notes<'_>) -> RegisterType {
        let bit = is_modbus_bit(address);
        if let (Some(RegisterType::String(_)), Some(hint)) = (self.register_type, self.no_text) {
            notes.fault(&join(path, "register_type"), "a text is no number", hint.to_string());
        }
        if !(bit && matches!(source.kind, SourceKind::Modbus(_))) {
            return self.register_type.unwrap_or(RegisterType::F32);
        }
        if self.register_type.is_some_and(|t| t != RegisterType::Bool) {
            let hint = "leave register_type out, or read a holding or input register";
            notes.fault(&join(path, "register_type"), format!("a single bit is only read as bool: `{address}`"), hint.to_string());
        }
        RegisterType::Bool
    }
}

/// Index of the named source, or of the only one.
pub(super) fn source_index(name: Option<&str>, path: &str, sources: &[SourceConfig], notes: &mut Notes<'_>) -> Option<usize> {
    let known: Vec<&str> = sources.iter().map(|s| &*s.name).collect();
    match name {
        Some(name) => {
            let index = known.iter().position(|k| *k == name);
            if index.is_none() {
                notes.unknown_word(&join(path, "source"), "source", name, &known);
            }
            index
        }
        None if sources.len() == 1 => Some(0),
        None => {
            if sources.len() > 1 {
                let hint = format!("there are several: {}", known.join(", "));
                notes.required(None::<()>, path, "source", &hint);
            }
            None
        }
    }
}

/// The deadband as the PLC has the value.
fn check_deadband(deadband: f64, scale: f64, source: &SourceConfig, path: &str, notes: &mut Notes<'_>) -> Option<f64> {
    let path = join(path, "deadband");
    if deadband <= 0.0 {
        notes.fault(&path, format!("not greater than 0: `{deadband}`"), "in the signal's unit; leave it out for every change".to_string());
    }
    if !matches!(source.kind, SourceKind::OpcUa(_)) {
        let hint = "remove it: over Modbus every value is read".to_string();
        notes.fault(&path, format!("only an OPC UA server has a deadband: `{deadband}`"), hint);
    }
    (deadband > 0.0 && scale != 0.0).then(|| deadband / scale.abs())
}

/// The register of a waveform's counter.
fn check_counter(counter: &str, source: &SourceConfig, path: &str, notes: &mut Notes<'_>) -> String {
    if !matches!(source.kind, SourceKind::Modbus(_)) {
        let hint = "remove it: over OPC UA a block comes whole".to_string();
        notes.fault(path, format!("only a Modbus block has a counter: `{counter}`"), hint);
        return counter.to_string();
    }
    let address = check_address(counter, source, path, notes);
    if is_modbus_bit(&address) {
        notes.fault(path, format!("a single bit does not count: `{address}`"), "name a holding or input register".to_string());
    }
    address
}

/// The address; one of Modbus as table and number in decimal, whatever its notation was.
pub(super) fn check_address(address: &str, source: &SourceConfig, path: &str, notes: &mut Notes<'_>) -> String {
    let SourceKind::Modbus(_) = source.kind else {
        if address.trim().is_empty() {
            notes.fault(path, "empty: ``", Some("write the symbol's path or a NodeId text".to_string()));
        }
        return address.to_string();
    };
    match ModbusAddress::parse(address) {
        Ok(parsed) => parsed.to_string(),
        Err(_) => {
            let hint = r#"write "holding:100" (zero-based, 0 to 65535 or 0x0 to 0xFFFF), "holding:100.3" for a bit, "input:", "coil:", "discrete:", 40101, DBW20, DBX2.3 or %MW4"#;
            notes.fault(path, format!("not a Modbus address: `{address}`"), hint.to_string());
            String::new()
        }
    }
}

/// A coil, a discrete input or a bit of a register.
pub(super) fn is_modbus_bit(address: &str) -> bool {
    ModbusAddress::parse(address).is_ok_and(ModbusAddress::is_bit)
}
