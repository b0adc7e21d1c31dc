//! What is written into PLCs: only what is listed, each address once, and none that is read.

use std::collections::HashMap;
use std::sync::Arc;

use super::{bounds, channel, join};
use crate::config::raw::RawWrite;
use crate::config::read::Notes;
use crate::config::{FrameClock, MachineConfig, RegisterType, SourceConfig, SourceKind, WriteConfig, Written};
use crate::types::NumberType;

/// The writes of a machine with this clock, whose values are stale after `max_age`.
pub(super) fn writes(
    raw: Vec<RawWrite>,
    (frame, max_age): (FrameClock, std::time::Duration),
    machine: &str,
    sources: &[SourceConfig],
    notes: &mut Notes<'_>,
) -> Vec<WriteConfig> {
    if raw.len() > bounds::MAX_WRITES {
        notes.fault(
            &join(machine, "writes"),
            format!("too many values to write: `{}`", raw.len()),
            format!("at most {}", bounds::MAX_WRITES),
        );
    }
    let stale_after = match frame {
        FrameClock::Period(period) => max_age + period,
        FrameClock::Trigger(_) => max_age,
    };
    let checked =
        raw.into_iter().enumerate().filter_map(|(i, raw)| write(raw, stale_after, &format!("{machine}.writes[{i}]"), sources, notes));
    checked.collect()
}

/// `None` where there is no source at all. After a fault the address is empty.
fn write(
    raw: RawWrite,
    stale_after: std::time::Duration,
    path: &str,
    sources: &[SourceConfig],
    notes: &mut Notes<'_>,
) -> Option<WriteConfig> {
    let value = notes.required(raw.value, path, "value", "what is written: drift_status, fault, heartbeat, ...");
    let address = notes.required(raw.address.as_deref(), path, "address", "where it is written");
    if sources.is_empty() {
        notes.fault(path, "there is no source to write into", Some("add a table [[sources]]".to_string()));
        return None;
    }
    let source = channel::source_index(raw.source.as_deref(), path, sources, notes);
    let known = source.zip(address).zip(value);
    let address = known.map(|((source, address), _)| channel::check_address(address, &sources[source], &join(path, "address"), notes));
    let (source, value, address) = (source.unwrap_or_default(), value.unwrap_or(Written::Fresh), address.unwrap_or_default());
    let scale = raw.scale.unwrap_or(1.0);
    if scale == 0.0 || (scale != 1.0 && value != Written::DriftIndex) {
        let hint = "only a drift_index is scaled, and not by 0: leave it out".to_string();
        notes.fault(&join(path, "scale"), format!("`{}` cannot be scaled by `{scale}`", value.name()), hint);
    }
    let register_type = register_type(&address, raw.register_type, &sources[source], path, notes);
    let write = WriteConfig {
        value,
        source,
        address,
        register_type,
        scale,
        interval: notes.span_within(&join(path, "interval"), raw.interval, bounds::WRITE_INTERVAL),
        when_bad: raw.when_bad,
        stale_after: raw.stale_after.map_or(stale_after, |s| notes.span_within(&join(path, "stale_after"), Some(s), bounds::WRITE_STALE)),
    };
    if known.is_some()
        && matches!(sources[source].kind, SourceKind::Modbus(_))
        && let Err(misfit) = write.check(number_type(register_type))
    {
        let hint = "register_type: bool i16 u16 i32 u32 i64 u64 f32 f64".to_string();
        notes.fault(path, misfit.to_string(), hint);
    }
    Some(write)
}

/// Only holding registers and coils can be written.
fn register_type(address: &str, given: Option<RegisterType>, source: &SourceConfig, path: &str, notes: &mut Notes<'_>) -> RegisterType {
    let default = RegisterType::U16;
    if !matches!(source.kind, SourceKind::Modbus(_)) {
        return given.unwrap_or(default);
    }
    if let Some(RegisterType::String(_)) = given {
        let hint = "every value that is written is a number or a bool; u16 is the default".to_string();
        notes.fault(&join(path, "register_type"), "texts are read, not written", hint);
        return default;
    }
    if address.starts_with("input:") || address.starts_with("discrete:") {
        let hint = "write into a holding register or a coil".to_string();
        notes.fault(&join(path, "address"), format!("can only be read: `{address}`"), hint);
    }
    if channel::is_modbus_bit(address) && !address.starts_with("coil:") {
        let hint = "write into a whole register or a coil: the other bits are the PLC's".to_string();
        notes.fault(&join(path, "address"), format!("a bit of a register is not written: `{address}`"), hint);
    }
    if !address.starts_with("coil:") {
        return given.unwrap_or(default);
    }
    if given.is_some_and(|t| t != RegisterType::Bool) {
        notes.fault(&join(path, "register_type"), format!("a coil is always bool: `{address}`"), "leave it out".to_string());
    }
    RegisterType::Bool
}

/// The type of what is written into registers of this type.
pub(in crate::config) const fn number_type(register: RegisterType) -> NumberType {
    match register {
        RegisterType::Bool => NumberType::Bool,
        RegisterType::I16 => NumberType::I16,
        // A text is refused above.
        RegisterType::U16 | RegisterType::String(_) => NumberType::U16,
        RegisterType::I32 => NumberType::I32,
        RegisterType::U32 => NumberType::U32,
        RegisterType::I64 => NumberType::I64,
        RegisterType::U64 => NumberType::U64,
        RegisterType::F32 => NumberType::F32,
        RegisterType::F64 => NumberType::F64,
    }
}

/// Over all machines: no place is written twice, and none that is read: process values are never overwritten.
pub(super) fn check_places(machines: &[Arc<MachineConfig>], sources: &[SourceConfig], notes: &mut Notes<'_>) {
    let mut taken: HashMap<(usize, String), String> = HashMap::new();
    for machine in machines {
        let signals = machine.signals.iter().map(|s| (&s.name, &s.origin));
        let settings = machine.settings.iter().map(|s| (&s.name, &s.origin));
        for (name, origin) in signals.chain(settings).chain(machine.labels().map(|l| (&l.name, &l.origin))) {
            let Some(origin) = origin else { continue };
            for place in places(&origin.address, origin.register_type, &sources[origin.source]) {
                taken.insert((origin.source, place), format!("`{}.{name}` is read there", machine.name));
            }
        }
    }
    for (m, machine) in machines.iter().enumerate() {
        for (i, write) in machine.writes.iter().enumerate().filter(|(_, write)| !write.address.is_empty()) {
            for place in places(&write.address, write.register_type, &sources[write.source]) {
                let here = format!("`{}.{}` is written there", machine.name, write.value.name());
                if let Some(there) = taken.insert((write.source, place), here) {
                    let hint = "give each value a place of its own in the PLC".to_string();
                    notes.fault(&format!("machines[{m}].writes[{i}].address"), format!("{there}: `{}`", write.address), hint);
                    break;
                }
            }
        }
    }
}

/// A node, or each register.
fn places(address: &str, kind: RegisterType, source: &SourceConfig) -> Vec<String> {
    let (SourceKind::Modbus(_), Some((table, start))) = (&source.kind, address.split_once(':')) else { return vec![address.to_string()] };
    let register = start.split_once('.').map_or(start, |(register, _bit)| register);
    let Ok(start) = register.parse::<usize>() else { return vec![address.to_string()] };
    (start..start + kind.width()).map(|register| format!("{table}:{register}")).collect()
}
