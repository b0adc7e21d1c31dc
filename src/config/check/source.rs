//! Sources: connections to PLCs.

use super::{Names, bounds, join};
use crate::config::raw::{Protocol, RawSource, RawUser};
use crate::config::read::Notes;
use crate::config::{
    ModbusConfig, ModbusPlace, OpcUaConfig, Parity, PasswordFrom, Security, SerialLine, SourceConfig, SourceKind, UserConfig, WordOrder,
};

/// Keys that only one protocol knows.
pub(in crate::config) const OPCUA_KEYS: &[&str] =
    &["security", "user", "namespace", "publishing_interval", "polling", "silence", "trust_any_certificate"];
pub(in crate::config) const MODBUS_KEYS: &[&str] =
    &["host", "port", "baud", "parity", "stop_bits", "unit", "poll_interval", "timeout", "word_order", "max_registers", "max_gap", "pause"];

/// One checked source for each raw one.
pub(super) fn sources(raw: Vec<RawSource>, notes: &mut Notes<'_>) -> Vec<SourceConfig> {
    let mut names = Names::default();
    let check = |(i, raw)| {
        let path = format!("sources[{i}]");
        let source = source(raw, &path, notes);
        names.claim(&source.name, join(&path, "name"), "source", notes);
        source
    };
    raw.into_iter().enumerate().map(check).collect()
}

fn source(mut raw: RawSource, path: &str, notes: &mut Notes<'_>) -> SourceConfig {
    let name = notes.name(raw.name.take(), path);
    let protocol = notes.required(raw.protocol, path, "protocol", r#""opcua" or "modbus""#);
    match protocol {
        Some(Protocol::OpcUa) => refuse_keys(MODBUS_KEYS, "modbus", path, notes),
        Some(Protocol::Modbus) => refuse_keys(OPCUA_KEYS, "opcua", path, notes),
        None => {}
    }
    let enabled = raw.enabled.unwrap_or(true);
    let kind = match protocol {
        Some(Protocol::Modbus) => SourceKind::Modbus(modbus(raw, path, notes)),
        Some(Protocol::OpcUa) => SourceKind::OpcUa(opcua(raw, path, notes)),
        // A stand-in; the fault is noted.
        None => SourceKind::Modbus(modbus(RawSource { host: Some("unknown".into()), ..RawSource::default() }, path, notes)),
    };
    SourceConfig { name, enabled, kind }
}

fn refuse_keys(keys: &[&str], protocol: &str, path: &str, notes: &mut Notes<'_>) {
    for key in keys {
        let path = join(path, key);
        if notes.has(&path) {
            notes.fault(&path, format!("belongs to protocol {protocol}: `{key}`"), Some("remove it".to_string()));
        }
    }
}

fn opcua(raw: RawSource, path: &str, notes: &mut Notes<'_>) -> OpcUaConfig {
    let hint = r#"write one like "opc.tcp://192.168.0.10:4840""#;
    let endpoint = notes.required(raw.endpoint, path, "endpoint", hint).unwrap_or_default();
    if !endpoint.is_empty() || notes.has(&join(path, "endpoint")) {
        check_opcua_endpoint(&endpoint, &join(path, "endpoint"), notes);
    }
    if let Some(namespace) = &raw.namespace
        && !namespace.contains(':')
    {
        let hint = r#"write the namespace's URI, not its index, like "urn:BeckhoffAutomation:Ua:PLC1""#;
        notes.fault(&join(path, "namespace"), format!("not a namespace URI: `{namespace}`"), hint.to_string());
    }
    OpcUaConfig {
        endpoint,
        security: raw.security.unwrap_or(Security::Auto),
        user: raw.user.and_then(|user| self::user(user, &join(path, "user"), notes)),
        namespace: raw.namespace,
        publishing_interval: notes.span_within(&join(path, "publishing_interval"), raw.publishing_interval, bounds::INTERVAL),
        polling: raw.polling.map(|s| notes.span_within(&join(path, "polling"), Some(s), bounds::INTERVAL)),
        silence: notes.span_within(&join(path, "silence"), raw.silence, bounds::SILENCE),
        trust_any_certificate: raw.trust_any_certificate.unwrap_or(false),
    }
}

fn check_opcua_endpoint(endpoint: &str, path: &str, notes: &mut Notes<'_>) {
    let hint = r#"write "opc.tcp://host:port", like "opc.tcp://192.168.0.10:4840""#;
    let place = endpoint.strip_prefix("opc.tcp://").map(|rest| rest.split('/').next().unwrap_or_default());
    match place.map(split_host) {
        Some(Some((_, Some(_)))) => {}
        Some(Some((host, None))) => {
            notes.fault(
                path,
                format!("no port in the endpoint: `{endpoint}`"),
                format!("most PLCs listen on 4840: \"opc.tcp://{host}:4840\""),
            );
        }
        _ if endpoint.is_empty() && notes.faulty(path) => {}
        _ => notes.fault(path, format!("not an OPC UA endpoint: `{endpoint}`"), hint.to_string()),
    }
}

fn modbus(raw: RawSource, path: &str, notes: &mut Notes<'_>) -> ModbusConfig {
    let place = modbus_place(&raw, path, notes);
    ModbusConfig {
        place,
        unit: raw.unit.unwrap_or(1),
        poll_interval: notes.span_within(&join(path, "poll_interval"), raw.poll_interval, bounds::INTERVAL),
        timeout: notes.span_within(&join(path, "timeout"), raw.timeout, bounds::TIMEOUT),
        word_order: raw.word_order.unwrap_or(WordOrder::Abcd),
        max_registers: notes.within(&join(path, "max_registers"), raw.max_registers, bounds::MAX_REGISTERS),
        pause: notes.span_within(&join(path, "pause"), raw.pause, bounds::PAUSE),
        max_gap: notes.within(&join(path, "max_gap"), raw.max_gap, bounds::MAX_GAP),
    }
}

fn modbus_place(raw: &RawSource, path: &str, notes: &mut Notes<'_>) -> ModbusPlace {
    if let Some(device) = raw.endpoint.as_deref().and_then(|e| e.strip_prefix("serial:")) {
        return ModbusPlace::Serial(serial(raw, device, path, notes));
    }
    for key in ["baud", "parity", "stop_bits"] {
        if notes.has(&join(path, key)) {
            let hint = r#"for RTU write endpoint = "serial:/dev/ttyUSB0"; else remove it"#;
            notes.fault(&join(path, key), format!("belongs to a serial line: `{key}`"), hint.to_string());
        }
    }
    let (host, port) = modbus_tcp(raw, path, notes);
    ModbusPlace::Tcp { host, port }
}

fn serial(raw: &RawSource, device: &str, path: &str, notes: &mut Notes<'_>) -> SerialLine {
    let endpoint = join(path, "endpoint");
    if device.is_empty() {
        notes.fault(&endpoint, "no device: `serial:`", r#"write one like "serial:/dev/ttyUSB0""#.to_string());
    } else if cfg!(all(feature = "gateway", not(feature = "rtu"))) {
        let hint = "use one that was built with the feature `rtu`, or a Modbus TCP gateway";
        notes.fault(&endpoint, format!("this program reads no serial lines: `serial:{device}`"), hint.to_string());
    }
    for key in ["host", "port"] {
        if notes.has(&join(path, key)) {
            notes.fault(&join(path, key), format!("given beside a serial line: `{key}`"), "remove it".to_string());
        }
    }
    // 0 is for everybody, and nobody answers.
    if notes.has(&join(path, "unit")) && !raw.unit.is_none_or(|unit| bounds::SERIAL_UNITS.contains(&unit)) {
        let hint = format!("from {} to {} on a serial line", bounds::SERIAL_UNITS.start(), bounds::SERIAL_UNITS.end());
        notes.fault(&join(path, "unit"), format!("out of range: `{}`", raw.unit.unwrap_or_default()), hint);
    }
    let parity = raw.parity.unwrap_or(Parity::Even);
    let stop_bits = raw.stop_bits.unwrap_or(if parity == Parity::None { 2 } else { 1 });
    if !(1..=2).contains(&stop_bits) {
        notes.fault(&join(path, "stop_bits"), format!("out of range: `{stop_bits}`"), "1 or 2".to_string());
    }
    SerialLine { device: device.into(), baud: notes.within(&join(path, "baud"), raw.baud, bounds::BAUD), parity, stop_bits }
}

/// Host and port, from the endpoint or from their own keys.
fn modbus_tcp(raw: &RawSource, path: &str, notes: &mut Notes<'_>) -> (String, u16) {
    let endpoint_path = join(path, "endpoint");
    let stand_in = (String::new(), bounds::MODBUS_PORT);
    let Some(endpoint) = &raw.endpoint else {
        if !notes.has(&endpoint_path) && !notes.has(&join(path, "host")) && raw.host.is_none() {
            let hint = r#"write endpoint = "tcp://192.168.0.20:502", or the keys host and port"#;
            notes.fault(&endpoint_path, "missing: `endpoint`", hint.to_string());
        }
        if raw.port == Some(0) {
            notes.fault(&join(path, "port"), "out of range: `0`", Some("from 1 to 65535".to_string()));
        }
        return (raw.host.clone().unwrap_or_default(), raw.port.unwrap_or(bounds::MODBUS_PORT));
    };
    for key in ["host", "port"] {
        if notes.has(&join(path, key)) {
            notes.fault(&join(path, key), format!("given twice: `{key}` and `endpoint`"), Some("keep one of them".to_string()));
        }
    }
    match endpoint.strip_prefix("tcp://").map(|rest| split_host(rest.trim_end_matches('/'))) {
        Some(Some((host, port))) => (host.to_string(), port.unwrap_or(bounds::MODBUS_PORT)),
        _ => {
            let hint = r#"write "tcp://host" or "tcp://host:port", like "tcp://192.168.0.20:502", or "serial:/dev/ttyUSB0""#;
            notes.fault(&endpoint_path, format!("not a Modbus endpoint: `{endpoint}`"), hint.to_string());
            stand_in
        }
    }
}

/// `host` or `host:port`, an IPv6 address in brackets; `None` where it is neither.
pub(super) fn split_host(place: &str) -> Option<(&str, Option<u16>)> {
    let end = if place.starts_with('[') { place.find(']')? + 1 } else { place.find(':').unwrap_or(place.len()) };
    let (host, rest) = place.split_at(end);
    let letters = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() || (!host.starts_with('[') && !host.chars().all(letters)) {
        return None;
    }
    if rest.is_empty() {
        return Some((host, None));
    }
    let port: u16 = rest.strip_prefix(':')?.parse().ok()?;
    (port > 0).then_some((host, Some(port)))
}

pub(super) fn user(raw: RawUser, path: &str, notes: &mut Notes<'_>) -> Option<UserConfig> {
    let name = notes.required(raw.name, path, "name", "the user's name on the PLC");
    let password = match (raw.password_env, raw.password_file) {
        (Some(variable), None) => Some(PasswordFrom::Env(variable)),
        (None, Some(file)) => Some(PasswordFrom::File(file)),
        (Some(_), Some(_)) => {
            notes.fault(path, "two passwords: `password_env` and `password_file`", Some("keep one of them".to_string()));
            None
        }
        (None, None) => {
            if !notes.has(&join(path, "password_env")) && !notes.has(&join(path, "password_file")) && !notes.faulty(path) {
                let hint = r#"add password_env = "PLC1_PASSWORD", or password_file"#;
                notes.fault(path, "no password", hint.to_string());
            }
            None
        }
    };
    Some(UserConfig { name: name?, password: password? })
}

#[cfg(test)]
mod tests {
    use super::split_host;

    #[test]
    fn hosts_and_ports() {
        assert_eq!(split_host("plc"), Some(("plc", None)));
        assert_eq!(split_host("10.0.0.1:502"), Some(("10.0.0.1", Some(502))));
        assert_eq!(split_host("[::1]:4840"), Some(("[::1]", Some(4840))));
        for bad in ["", ":502", "plc:", "plc:x", "plc:0", "plc:70000", "a b", "[::1"] {
            assert_eq!(split_host(bad), None, "{bad}");
        }
    }
}
