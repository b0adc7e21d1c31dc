//! Who may come in: endpoints, identities, passwords.

use async_trait::async_trait;
use opcua::server::authenticator::{AuthManager, CoreServerPermissions, Password, UserToken, user_pass_security_policy_id};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerEndpoint};
use opcua::types::{Error, MessageSecurityMode, StatusCode, UAString, UserTokenPolicy, UserTokenType};
use sha2::{Digest, Sha256};

use super::Access;

/// One endpoint a security policy; encrypted ones always sign and encrypt.
pub(super) fn endpoints() -> Vec<(&'static str, ServerEndpoint)> {
    vec![
        ("none", ServerEndpoint::new_none("/", &[])),
        ("basic256sha256", ServerEndpoint::new_basic256sha256_sign_encrypt("/", &[])),
        ("aes128", ServerEndpoint::new_aes128_sha256_rsaoaep_sign_encrypt("/", &[])),
        ("aes256", ServerEndpoint::new_aes256_sha256_rsapss_sign_encrypt("/", &[])),
    ]
}

/// The demo's users and their password; said on its first screen.
const DEMO_USERS: [&str; 3] = ["operator", "engineer", "admin"];
const DEMO_PASSWORD: &str = "demo";

/// Checks identities. Rights per role come with users and roles; until then a session that got in has all rights, which is
/// why [`Access::LocalOnly`] is bound to loopback.
pub(super) struct Gatekeeper {
    /// Name and SHA-256 of the password.
    users: Vec<(&'static str, [u8; 32])>,
}

impl Gatekeeper {
    pub(super) fn new(access: Access) -> Self {
        let users = match access {
            Access::Demo => DEMO_USERS.iter().map(|name| (*name, digest(DEMO_PASSWORD))).collect(),
            Access::LocalOnly => Vec::new(),
        };
        Self { users }
    }

    /// Takes the same time for a wrong name, a wrong password and the right one.
    fn knows(&self, name: &str, password: &str) -> bool {
        let (name, password) = (digest(name), digest(password));
        self.users.iter().fold(false, |known, (user, secret)| known | (same(&digest(user), &name) & same(secret, &password)))
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares in constant time.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0u8, |difference, (x, y)| difference | (x ^ y))) == 0
}

fn encrypted(endpoint: &ServerEndpoint) -> bool {
    endpoint.message_security_mode() == MessageSecurityMode::SignAndEncrypt
}

fn policy(id: impl Into<UAString>, token_type: UserTokenType) -> UserTokenPolicy {
    UserTokenPolicy {
        policy_id: id.into(),
        token_type,
        issued_token_type: UAString::null(),
        issuer_endpoint_url: UAString::null(),
        // Null: the endpoint's own policy protects the password.
        security_policy_uri: UAString::null(),
    }
}

#[async_trait]
impl AuthManager for Gatekeeper {
    async fn authenticate_anonymous_token(&self, _endpoint: &ServerEndpoint) -> Result<(), Error> {
        Ok(())
    }

    async fn authenticate_username_identity_token(
        &self,
        endpoint: &ServerEndpoint,
        username: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        if encrypted(endpoint) && self.knows(username, password.get()) {
            Ok(UserToken(username.to_string()))
        } else {
            Err(Error::new(StatusCode::BadUserAccessDenied, "unknown user or wrong password"))
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let mut policies = vec![policy("anonymous", UserTokenType::Anonymous)];
        if encrypted(endpoint) && !self.users.is_empty() {
            policies.push(policy(user_pass_security_policy_id(endpoint), UserTokenType::UserName));
        }
        policies
    }

    fn core_permissions(&self, _token: &UserToken) -> CoreServerPermissions {
        CoreServerPermissions { read_diagnostics: true }
    }
}

/// The name under which an action is kept: `anonymous`, or the user's.
pub(super) fn user_name(token: &UserToken) -> &str {
    if token.0 == ANONYMOUS_USER_TOKEN_ID { "anonymous" } else { &token.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_demo_knows_users() {
        let demo = Gatekeeper::new(Access::Demo);
        assert!(demo.knows("engineer", "demo"));
        for (name, password) in [("engineer", "Demo"), ("engineer", ""), ("root", "demo"), ("", "")] {
            assert!(!demo.knows(name, password), "{name}/{password}");
        }
        assert!(!Gatekeeper::new(Access::LocalOnly).knows("engineer", "demo"));
    }

    #[test]
    fn passwords_are_never_offered_without_encryption() {
        let demo = Gatekeeper::new(Access::Demo);
        for (name, endpoint) in endpoints() {
            assert_eq!(demo.supports_user_pass(&endpoint), name != "none", "{name}");
            assert!(demo.supports_anonymous(&endpoint));
        }
    }
}
