//! From configuration to a session: the endpoint's security, the user, the client.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opcua::client::{Client, ClientBuilder, IdentityToken, Session, SessionEventLoop};
use opcua::crypto::SecurityPolicy;
use opcua::types::{EndpointDescription, MessageSecurityMode, StatusCode, UserTokenType};

use super::pki::{self, PkiError};
use crate::config::{OpcUaConfig, PasswordFrom, Security, UserConfig};
use crate::source::SourceState;
use crate::source::backoff::{Backoff, jitter};

/// The event loop of a direct connection.
pub(super) type EventLoop = SessionEventLoop<opcua::client::transport::TcpConnector>;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);
const SESSION_TIMEOUT_MS: u32 = 30_000;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no answer from `{url}`: {reason}; check network, host and port")]
    Unreachable { url: String, reason: String },
    #[error("`{url}` offers no endpoint with security {wanted:?} for {user}; it offers: {offered}")]
    NoEndpoint { url: String, wanted: Security, user: &'static str, offered: String },
    #[error("`{url}` offers no encryption for the password; set security = \"none\" to send it unencrypted")]
    ClearPassword { url: String },
    #[error("no password in {place}: {reason}")]
    Password { place: String, reason: String },
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the OPC UA client cannot be set up: {0}")]
    Client(String),
}

impl ConnectError {
    pub fn state(&self) -> SourceState {
        match self {
            Self::Unreachable { .. } => SourceState::Down,
            Self::Pki(PkiError::Untrusted { .. } | PkiError::Malformed(_)) => SourceState::CertificateRejected,
            _ => SourceState::ConfigurationError,
        }
    }
}

/// A session that is connected as soon as its event loop is polled.
pub(super) struct Link {
    pub session: Arc<Session>,
    pub events: EventLoop,
    /// Something about the connection that ought to be put right.
    pub remark: Option<String>,
}

/// Chooses the endpoint by what the server offers now, and prepares a session with it.
///
/// The connection goes to the configured URL, not to the one that the server advertises.
pub(super) async fn prepare(config: &OpcUaConfig, pki_dir: &Path) -> Result<Link, ConnectError> {
    let dir = pki_dir.to_path_buf();
    let made = tokio::task::spawn_blocking(move || pki::prepare(&dir)).await;
    made.map_err(|e| ConnectError::Client(e.to_string()))??;
    let mut endpoint = choose(config, &discover(config, pki_dir).await?)?;
    endpoint.endpoint_url = config.endpoint.as_str().into();
    let mut remark = None;
    if endpoint.security_mode != MessageSecurityMode::None {
        let uri = endpoint.server.application_uri.as_ref();
        remark = pki::check_server(pki_dir, &endpoint.server_certificate, uri, config.trust_any_certificate)?;
    }
    let identity = match &config.user {
        Some(user) => IdentityToken::UserName(user.name.clone(), password(user)?.into()),
        None => IdentityToken::Anonymous,
    };
    let (session, events) =
        client(config, pki_dir, -1)?.connect_to_endpoint_directly(endpoint, identity).map_err(|e| ConnectError::Client(e.to_string()))?;
    Ok(Link { session, events, remark })
}

async fn discover(config: &OpcUaConfig, pki_dir: &Path) -> Result<Vec<EndpointDescription>, ConnectError> {
    let client = client(config, pki_dir, 0)?;
    let unreachable = |reason: String| ConnectError::Unreachable { url: config.endpoint.clone(), reason };
    match tokio::time::timeout(DISCOVERY_TIMEOUT, client.get_server_endpoints_from_url(config.endpoint.as_str())).await {
        Ok(Ok(endpoints)) => Ok(endpoints),
        Ok(Err(e)) => Err(unreachable(e.to_string())),
        Err(_) => Err(unreachable(format!("nothing within {} s", DISCOVERY_TIMEOUT.as_secs()))),
    }
}

/// `retries`: -1 reconnects for ever, 0 not at all.
fn client(config: &OpcUaConfig, pki_dir: &Path, retries: i32) -> Result<Client, ConnectError> {
    ClientBuilder::new()
        .application_name("driftgate client")
        .application_uri(pki::APPLICATION_URI)
        .product_uri("urn:driftgate")
        .session_name("driftgate")
        .pki_dir(pki_dir)
        .create_sample_keypair(false)
        // `pki::check_server` has decided before; host name and period of validity are not compared again.
        .trust_server_certs(false)
        .verify_server_certs(false)
        .session_retry_limit(retries)
        .session_retry_initial(jitter(Backoff::FIRST))
        .session_retry_max(Backoff::LONGEST)
        .keep_alive_interval(Duration::from_secs(1))
        .max_failed_keep_alive_count(2)
        .request_timeout(REQUEST_TIMEOUT)
        .publish_timeout((config.silence * 2).max(Duration::from_secs(30)))
        .min_publish_interval(Duration::from_millis(20))
        .session_timeout(SESSION_TIMEOUT_MS)
        // Subscriptions are made anew by `subscribe`, with the node ids of the new session.
        .recreate_subscriptions(false)
        .max_array_length(1_000_000)
        .max_string_length(1 << 20)
        .max_byte_string_length(16 << 20)
        .max_message_size(64 << 20)
        .max_chunk_count(10_000)
        .client()
        .map_err(|faults| ConnectError::Client(faults.join(", ")))
}

/// The strongest endpoint that fits the configuration.
fn choose(config: &OpcUaConfig, offered: &[EndpointDescription]) -> Result<EndpointDescription, ConnectError> {
    let token = if config.user.is_some() { UserTokenType::UserName } else { UserTokenType::Anonymous };
    let best = offered
        .iter()
        .filter(|e| is_binary(e) && wanted(config.security, e) && e.find_policy(token).is_some())
        .filter_map(|e| strength(e).map(|strength| (strength, e)))
        .max_by_key(|(strength, _)| *strength);
    let Some((_, best)) = best else {
        return Err(ConnectError::NoEndpoint {
            url: config.endpoint.clone(),
            wanted: config.security,
            user: if config.user.is_some() { "a user with password" } else { "anonymous" },
            offered: listed(offered),
        });
    };
    let clear = config.user.is_some() && config.security == Security::Auto && !encrypts_password(best);
    if clear { Err(ConnectError::ClearPassword { url: config.endpoint.clone() }) } else { Ok(best.clone()) }
}

fn is_binary(endpoint: &EndpointDescription) -> bool {
    let profile = endpoint.transport_profile_uri.as_ref();
    profile.is_empty() || profile.ends_with("uatcp-uasc-uabinary")
}

fn wanted(security: Security, endpoint: &EndpointDescription) -> bool {
    let policy = SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref());
    match security {
        Security::Auto => true,
        Security::None => policy == SecurityPolicy::None,
        Security::Basic256Sha256 => policy == SecurityPolicy::Basic256Sha256,
        Security::Aes128Sha256RsaOaep => policy == SecurityPolicy::Aes128Sha256RsaOaep,
        Security::Aes256Sha256RsaPss => policy == SecurityPolicy::Aes256Sha256RsaPss,
    }
}

/// Encrypted before signed before neither, then by policy; `None` for what is deprecated or unknown.
fn strength(endpoint: &EndpointDescription) -> Option<(u8, u8)> {
    let policy = match SecurityPolicy::from_uri(endpoint.security_policy_uri.as_ref()) {
        SecurityPolicy::None => 0,
        SecurityPolicy::Aes128Sha256RsaOaep => 1,
        SecurityPolicy::Basic256Sha256 => 2,
        SecurityPolicy::Aes256Sha256RsaPss => 3,
        SecurityPolicy::Unknown | SecurityPolicy::Basic128Rsa15 | SecurityPolicy::Basic256 => return None,
    };
    match (endpoint.security_mode, policy) {
        (MessageSecurityMode::None, 0) => Some((0, 0)),
        (MessageSecurityMode::Sign, 1..) => Some((1, policy)),
        (MessageSecurityMode::SignAndEncrypt, 1..) => Some((2, policy)),
        _ => None,
    }
}

/// By the channel, or by the policy of the user token.
fn encrypts_password(endpoint: &EndpointDescription) -> bool {
    let own = endpoint.find_policy(UserTokenType::UserName).map(|p| SecurityPolicy::from_uri(p.security_policy_uri.as_ref()));
    let by_token = own.is_some_and(|p| !matches!(p, SecurityPolicy::None | SecurityPolicy::Unknown));
    by_token || endpoint.security_mode != MessageSecurityMode::None
}

fn listed(offered: &[EndpointDescription]) -> String {
    let short = |e: &EndpointDescription| {
        let policy = e.security_policy_uri.as_ref();
        format!("{} {:?}", policy.rsplit_once('#').map_or(policy, |(_, name)| name), e.security_mode)
    };
    let mut all: Vec<String> = offered.iter().map(short).collect();
    all.dedup();
    all.join(", ")
}

/// Read at every connect, so that a new password needs no restart.
fn password(user: &UserConfig) -> Result<String, ConnectError> {
    let (place, found) = match &user.password {
        PasswordFrom::Env(name) => (format!("the environment variable `{name}`"), std::env::var(name).map_err(|e| e.to_string())),
        PasswordFrom::File(path) => (format!("the file `{path}`"), std::fs::read_to_string(path).map_err(|e| e.to_string())),
    };
    let first_line = |text: String| text.lines().next().map(str::to_string).unwrap_or_default();
    found.map(first_line).map_err(|reason| ConnectError::Password { place, reason })
}

/// What a refusal at connecting means and what to do about it.
pub(super) fn explain(status: StatusCode) -> (SourceState, String) {
    let (state, hint) = match status {
        StatusCode::BadIdentityTokenRejected | StatusCode::BadUserAccessDenied | StatusCode::BadIdentityTokenInvalid => {
            (SourceState::ConfigurationError, "the PLC refuses the user; check name, password and rights")
        }
        StatusCode::BadSecurityChecksFailed | StatusCode::BadCertificateUntrusted | StatusCode::BadCertificateUriInvalid => {
            (SourceState::CertificateRejected, "the PLC refuses the gateway's certificate; trust pki/own/cert.der on the PLC")
        }
        StatusCode::BadCertificateTimeInvalid => {
            (SourceState::CertificateRejected, "a certificate is not valid now; check the clocks of both sides")
        }
        StatusCode::BadCertificateInvalid => (SourceState::CertificateRejected, "the PLC's certificate has changed"),
        StatusCode::BadTooManySessions | StatusCode::BadMaxConnectionsReached => {
            (SourceState::Down, "the PLC has no free session; close others or raise its limit")
        }
        StatusCode::BadServerHalted => (SourceState::Down, "the PLC's server does not run"),
        StatusCode::BadSecurityPolicyRejected => (SourceState::ConfigurationError, "the PLC refuses this security; set another"),
        StatusCode::BadInvalidTimestamp => (SourceState::Down, "the clocks of PLC and gateway differ too much; set them"),
        StatusCode::Good => return (SourceState::Down, "the PLC has ended it".into()),
        _ => (SourceState::Down, "check network and PLC"),
    };
    (state, format!("{status}: {hint}"))
}

#[cfg(test)]
mod tests {
    use opcua::types::UserTokenPolicy;

    use super::*;

    fn endpoint(policy: SecurityPolicy, mode: MessageSecurityMode, tokens: &[UserTokenType]) -> EndpointDescription {
        let tokens = tokens.iter().map(|t| UserTokenPolicy { token_type: *t, ..UserTokenPolicy::anonymous() }).collect();
        EndpointDescription {
            security_policy_uri: policy.to_uri().into(),
            security_mode: mode,
            user_identity_tokens: Some(tokens),
            ..EndpointDescription::default()
        }
    }

    fn config(security: Security, user: bool) -> OpcUaConfig {
        OpcUaConfig {
            endpoint: "opc.tcp://plc:4840".into(),
            security,
            user: user.then(|| UserConfig { name: "gate".into(), password: PasswordFrom::Env("NONE".into()) }),
            namespace: None,
            polling: None,
            publishing_interval: Duration::from_millis(100),
            silence: Duration::from_secs(10),
            trust_any_certificate: false,
        }
    }

    #[test]
    fn auto_takes_the_strongest() {
        use MessageSecurityMode::{None, Sign, SignAndEncrypt};
        use UserTokenType::{Anonymous, UserName};
        let offered = [
            endpoint(SecurityPolicy::None, None, &[Anonymous, UserName]),
            endpoint(SecurityPolicy::Aes256Sha256RsaPss, Sign, &[Anonymous]),
            endpoint(SecurityPolicy::Basic256Sha256, SignAndEncrypt, &[Anonymous, UserName]),
            endpoint(SecurityPolicy::Basic256, SignAndEncrypt, &[Anonymous, UserName]),
        ];
        assert_eq!(choose(&config(Security::Auto, false), &offered).unwrap(), offered[2]);
        assert_eq!(choose(&config(Security::None, false), &offered).unwrap(), offered[0]);
        assert_eq!(choose(&config(Security::Aes256Sha256RsaPss, false), &offered).unwrap(), offered[1]);
        assert!(matches!(choose(&config(Security::Aes256Sha256RsaPss, true), &offered), Err(ConnectError::NoEndpoint { .. })));
    }

    #[test]
    fn a_password_is_not_sent_in_clear_unless_asked_for() {
        let offered = [endpoint(SecurityPolicy::None, MessageSecurityMode::None, &[UserTokenType::UserName])];
        assert!(matches!(choose(&config(Security::Auto, true), &offered), Err(ConnectError::ClearPassword { .. })));
        assert!(choose(&config(Security::None, true), &offered).is_ok());
    }

    #[test]
    fn passwords_come_from_the_first_line_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let user = UserConfig { name: "gate".into(), password: PasswordFrom::File(path.display().to_string()) };
        assert!(matches!(password(&user), Err(ConnectError::Password { .. })));
        std::fs::write(&path, "secret\nmore\n").unwrap();
        assert_eq!(password(&user).unwrap(), "secret");
    }
}
