//! Publishing an announcement with QoS 1. Announcements are rare: each has a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, MqttOptions, Outgoing, Packet, QoS, TlsConfiguration, Transport};
use rustls::{ClientConfig, RootCertStore};

use super::{secret, tls};
use crate::config::MqttConfig;

/// Largest packet in either direction, bytes.
const MAX_PACKET: usize = 256 << 10;
/// For the good-bye to a broker that has acknowledged.
const GOOD_BYE: Duration = Duration::from_secs(1);

pub(super) struct Mqtt {
    config: MqttConfig,
}

impl Mqtt {
    pub(super) const fn new(config: MqttConfig) -> Self {
        Self { config }
    }

    /// Delivered where the broker has acknowledged it.
    pub(super) async fn deliver(&self, content: Vec<u8>) -> Result<(), String> {
        let MqttConfig { host, port, timeout, .. } = &self.config;
        let place = format!("`{host}:{port}`");
        let options = self.options().await?;
        let (client, mut events) = AsyncClient::new(options, 4);
        events.network_options.set_connection_timeout(timeout.as_secs().max(1));
        let topic = self.topic(&content);
        let published = async {
            client.publish(topic, QoS::AtLeastOnce, false, content).await.map_err(|e| e.to_string())?;
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_))) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(format!("{place}: {}", explain(&error))),
                }
            }
        };
        tokio::time::timeout(*timeout, published).await.unwrap_or_else(|_| Err(format!("{place}: no answer within {timeout:?}")))?;
        let good_bye = async {
            // It has the announcement: how the connection ends changes nothing.
            let _ = client.disconnect().await;
            while !matches!(events.poll().await, Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)) {}
        };
        let _ = tokio::time::timeout(GOOD_BYE, good_bye).await;
        Ok(())
    }

    async fn options(&self) -> Result<MqttOptions, String> {
        let MqttConfig { host, port, tls, client_id, user, ca_file, .. } = &self.config;
        let mut options = MqttOptions::new(client_id, host, *port);
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET).set_keep_alive(Duration::from_secs(30));
        if let Some(user) = user {
            options.set_credentials(&user.name, secret(&user.password)?);
        }
        if *tls {
            let ca_file = ca_file.clone();
            let read = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref())).await;
            let config = read.map_err(|e| e.to_string())??;
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
        }
        Ok(options)
    }

    fn topic(&self, content: &[u8]) -> String {
        let facts: serde_json::Value = serde_json::from_slice(content).unwrap_or_default();
        let name = |key: &str| facts.get(key).and_then(serde_json::Value::as_str).unwrap_or("unknown").to_string();
        self.config.topic.replace("{gateway}", &name("gateway")).replace("{machine}", &name("machine"))
    }
}

fn client_config(ca_file: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(tls::roots(ca_file)?);
    if taken == 0 {
        return Err("none of the certificates of authorities can be read".into());
    }
    let builder = ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions();
    Ok(builder.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized) => {
            "the broker refuses the user; check name, password and the rights on the topic".into()
        }
        ConnectionError::Tls(error) => format!("{error}; check `ca_file`, and that the broker's certificate is for this host"),
        ConnectionError::Io(error) => format!("{error}; check that the broker runs, and whether it wants mqtts://"),
        other => other.to_string(),
    }
}
