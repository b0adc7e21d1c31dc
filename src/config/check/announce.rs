//! Who is told that a dataset is ready.

use super::source::{split_host, user};
use crate::config::bounds;
use crate::config::checked::{AnnounceConfig, MqttConfig, PasswordFrom, WebhookConfig};
use crate::config::raw::{RawAnnounce, RawMqtt, RawWebhook};
use crate::config::read::{Notes, join};

const WEBHOOK: &str = "announce.webhook";
const MQTT: &str = "announce.mqtt";
const TOPIC: &str = "driftgate/{gateway}/{machine}/dataset";
/// Longest topic in bytes; names take the rest of what MQTT allows.
const MAX_TOPIC: usize = 1_000;

pub(super) fn announce(raw: RawAnnounce, gateway: &str, notes: &mut Notes<'_>) -> AnnounceConfig {
    let webhook = webhook(raw.webhook.unwrap_or_default(), notes);
    let mqtt = mqtt(raw.mqtt.unwrap_or_default(), gateway, notes);
    for (path, _) in [(WEBHOOK, webhook.is_some()), (MQTT, mqtt.is_some())].iter().filter(|(_, wanted)| *wanted) {
        if !cfg!(feature = "announce") {
            notes.fault(path, "this build announces nothing", "build with the feature `announce`, or leave the table out".to_string());
        }
    }
    AnnounceConfig { webhook, mqtt }
}

fn webhook(raw: RawWebhook, notes: &mut Notes<'_>) -> Option<WebhookConfig> {
    let RawWebhook { url, token_env, token_file, secret_env, secret_file, ca_file, timeout } = raw;
    let timeout = notes.span_within(&join(WEBHOOK, "timeout"), timeout, bounds::ANNOUNCE_TIMEOUT);
    let token = secret((token_env, token_file), "token", notes);
    let secret = secret((secret_env, secret_file), "secret", notes);
    let Some(url) = url else {
        if token.is_some() || secret.is_some() || ca_file.is_some() {
            notes.required(None::<String>, WEBHOOK, "url", r#"add url = "https://...", or leave the table out"#);
        }
        return None;
    };
    let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => (false, ""),
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if split_host(host).is_none() || url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
        let hint = r#"write one like "https://mes.plant.local/datasets"; a token has keys of its own"#;
        notes.fault(&join(WEBHOOK, "url"), format!("not an address of HTTP: `{url}`"), hint.to_string());
    }
    ca_without_tls(WEBHOOK, tls, ca_file.as_deref(), "https://", notes);
    Some(WebhookConfig { url, token, secret, ca_file, timeout })
}

fn mqtt(raw: RawMqtt, gateway: &str, notes: &mut Notes<'_>) -> Option<MqttConfig> {
    let RawMqtt { broker, topic, client_id, user: raw_user, ca_file, timeout } = raw;
    let timeout = notes.span_within(&join(MQTT, "timeout"), timeout, bounds::ANNOUNCE_TIMEOUT);
    let user = raw_user.and_then(|raw| user(raw, &join(MQTT, "user"), notes));
    let topic = topic.unwrap_or_else(|| TOPIC.to_string());
    if topic.is_empty() || topic.len() > MAX_TOPIC || topic.contains(['#', '+', '\0']) {
        let hint = format!("at most {MAX_TOPIC} bytes, without `#` and `+`, like \"{TOPIC}\"");
        notes.fault(&join(MQTT, "topic"), format!("not a topic to publish to: `{topic}`"), hint);
    }
    let Some(broker) = broker else {
        if user.is_some() || ca_file.is_some() || client_id.is_some() {
            notes.required(None::<String>, MQTT, "broker", r#"add broker = "mqtts://...", or leave the table out"#);
        }
        return None;
    };
    let (tls, place) = match (broker.strip_prefix("mqtt://"), broker.strip_prefix("mqtts://")) {
        (Some(place), _) => (false, place),
        (_, Some(place)) => (true, place),
        _ => (false, ""),
    };
    let Some((host, port)) = split_host(place) else {
        let hint = r#"write one like "mqtts://broker.plant.local", or "mqtt://10.0.0.5:1883""#;
        notes.fault(&join(MQTT, "broker"), format!("not an address of MQTT: `{broker}`"), hint.to_string());
        return None;
    };
    ca_without_tls(MQTT, tls, ca_file.as_deref(), "mqtts://", notes);
    let client_id = client_id.unwrap_or_else(|| format!("driftgate-{gateway}"));
    // rumqttc refuses an id that begins with a space.
    if client_id.trim() != client_id || client_id.is_empty() {
        let hint = r#"write one like "driftgate-line1""#;
        notes.fault(&join(MQTT, "client_id"), format!("not a client's name: `{client_id}`"), hint.to_string());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
    let port = port.unwrap_or(if tls { 8883 } else { 1883 });
    Some(MqttConfig { host, port, tls, topic, client_id, user, ca_file, timeout })
}

/// Of `token_env` and `token_file` one at most.
fn secret(given: (Option<String>, Option<String>), what: &str, notes: &mut Notes<'_>) -> Option<PasswordFrom> {
    match given {
        (Some(variable), None) => Some(PasswordFrom::Env(variable)),
        (None, Some(file)) => Some(PasswordFrom::File(file)),
        (None, None) => None,
        (Some(_), Some(_)) => {
            let path = join(WEBHOOK, &format!("{what}_file"));
            notes.fault(&path, format!("given twice: `{what}_env` and `{what}_file`"), Some("keep one of them".to_string()));
            None
        }
    }
}

/// It would be without effect, and somebody believes that it has one.
fn ca_without_tls(table: &str, tls: bool, ca_file: Option<&str>, scheme: &str, notes: &mut Notes<'_>) {
    if let Some(file) = ca_file.filter(|_| !tls) {
        let hint = format!("write {scheme}, or leave it out");
        notes.fault(&join(table, "ca_file"), format!("`{file}` without encryption"), hint);
    }
}
