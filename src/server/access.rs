//! Who may come in: endpoints, identities, passwords.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use opcua::nodes::AccessLevel;
use opcua::server::authenticator::{AuthManager, CoreServerPermissions, Password, UserToken, user_pass_security_policy_id};
use opcua::server::node_manager::RequestContext;
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerEndpoint};
use opcua::sync::Mutex;
use opcua::types::{Error, MessageSecurityMode, NodeId, StatusCode, UAString, UserTokenPolicy, UserTokenType};
use tokio::sync::Semaphore;

use super::Access;
use super::audit::Audit;
use super::login::{Attempts, Turn};
use super::node_manager::instance_path;
use super::relay::{Peer, Peers};
use super::roles::{Action, granted};
use crate::users::{PasswordError, Role, Roles, UserList};
use crate::wire::application_uri;

/// One endpoint a security policy, which signs and encrypts; only the demo has one without.
pub(super) fn endpoints(access: Access) -> Vec<(&'static str, ServerEndpoint)> {
    let mut endpoints = vec![
        ("basic256sha256", ServerEndpoint::new_basic256sha256_sign_encrypt("/", &[])),
        ("aes128", ServerEndpoint::new_aes128_sha256_rsaoaep_sign_encrypt("/", &[])),
        ("aes256", ServerEndpoint::new_aes256_sha256_rsapss_sign_encrypt("/", &[])),
    ];
    if access == Access::Demo {
        endpoints.insert(0, ("none", ServerEndpoint::new_none("/", &[])));
    }
    endpoints
}

/// The demo's users, their roles and their password; said on its first screen.
const DEMO_USERS: [(&str, &[Role], &str); 3] = [
    ("operator", &[Role::Operator], "demo"),
    ("engineer", &[Role::Engineer], "demo"),
    ("admin", &[Role::ConfigureAdmin, Role::SecurityAdmin], "demo"),
];

/// The demo's users; nothing else is looked at.
pub fn demo_users() -> Result<UserList, PasswordError> {
    UserList::public(&DEMO_USERS)
}

/// Passwords checked at once: each takes 19 MiB and some 30 ms of a core.
const CHECKED_AT_ONCE: usize = 2;

/// Checks identities and knows the roles of sessions.
pub(super) struct Gatekeeper {
    access: Access,
    users: Arc<UserList>,
    pub(super) audit: Arc<Audit>,
    pub(super) peers: Arc<Peers>,
    attempts: Mutex<Attempts>,
    hashing: Semaphore,
}

impl Gatekeeper {
    pub(super) fn new(access: Access, users: Arc<UserList>, audit: Audit, peers: Peers) -> Self {
        let hashing = Semaphore::new(CHECKED_AT_ONCE);
        Self { access, users, audit: Arc::new(audit), peers: Arc::new(peers), attempts: Mutex::default(), hashing }
    }

    /// The roles of the session behind a request, as they are now; none where its connection is being ended.
    pub(super) fn roles(&self, context: &RequestContext) -> Roles {
        let (mode, peer) = self.connection(context);
        match self.roles_of(&context.token) {
            _ if peer.is_none_or(|p| p.dropped.is_cancelled()) => Roles::NONE,
            // The demo's rights without a user are those of its unencrypted endpoint.
            _ if context.token.is_anonymous() && mode != MessageSecurityMode::None => Roles::NONE,
            roles => roles,
        }
    }

    fn connection(&self, context: &RequestContext) -> (MessageSecurityMode, Option<Arc<Peer>>) {
        let (mode, channel) = {
            let session = context.session.read();
            (session.message_security_mode(), session.secure_channel_id())
        };
        (mode, self.peers.of_channel(channel))
    }

    /// A session was just activated. One whose certificate belongs to another application than it says to be is ended: the stack
    /// does not compare them.
    pub(super) fn activated(&self, context: &RequestContext) {
        let stranger = {
            let session = context.session.read();
            let said = &session.application_description().application_uri;
            session.client_certificate().filter(|c| !application_uri::belongs_to(c, said.as_ref())).map(|_| said.to_string())
        };
        let Some(said) = stranger else { return };
        let reason = "the client's certificate belongs to another application URI";
        self.audit.refused(user_name(&context.token), &self.address_of(context), "login", &said, reason);
        if let Some(peer) = self.connection(context).1 {
            peer.dropped.cancel();
        }
    }

    fn roles_of(&self, token: &UserToken) -> Roles {
        match self.access {
            Access::Demo if token.is_anonymous() => Roles::ALL,
            _ if token.is_anonymous() => Roles::NONE,
            _ => self.users.roles(&token.0),
        }
    }

    /// From where the session is, for the audit.
    pub(super) fn address_of(&self, context: &RequestContext) -> String {
        self.connection(context).1.map_or_else(|| "unknown".into(), |peer| peer.address.to_string())
    }

    /// The connection whose request is being authenticated. One that did not come through the relay has no business here.
    fn peer(&self) -> Result<Arc<Peer>, Error> {
        self.peers.of_this_task().ok_or_else(|| Error::new(StatusCode::BadUserAccessDenied, "connect to the public endpoint"))
    }

    fn log_in(&self, peer: &Peer, user: &str) -> Result<(), Error> {
        if self.peers.log_in(peer, user) {
            return Ok(());
        }
        self.audit.refused(user, &peer.address.to_string(), "login", "", "too many sessions");
        Err(Error::new(StatusCode::BadTooManySessions, "too many sessions"))
    }

    /// Roles of a user with the right password; the reason where there are none. Guessing is slowed.
    async fn try_password(&self, address: IpAddr, user: &str, password: &Password) -> Result<Roles, &'static str> {
        let turn = self.attempts.lock().turn(address, user, Instant::now());
        let Turn::After(wait) = turn else { return Err("too many wrong passwords, not looked at") };
        tokio::time::sleep(wait).await;
        let roles = self.check(user, password).await;
        let mut attempts = self.attempts.lock();
        match roles {
            Some(roles) => {
                attempts.right(address, user);
                Ok(roles)
            }
            None => {
                attempts.wrong(address, user, Instant::now());
                Err("unknown user or wrong password")
            }
        }
    }

    /// Takes over changes of the users' file; who is no user any more is cut off.
    pub(super) fn refresh(&self) {
        if let Some(fault) = self.users.refresh() {
            tracing::error!("{fault}; the users known before stay");
        }
        self.peers.end_users(|user| user != ANONYMOUS && self.users.roles(user).is_empty());
    }

    /// The user's roles where the password is right; at most so many at once, and never on an async thread.
    async fn check(&self, name: &str, password: &Password) -> Option<Roles> {
        let _turn = self.hashing.acquire().await.ok()?;
        let (users, name, password) = (Arc::clone(&self.users), name.to_string(), password.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let fault = users.refresh();
            (fault, users.authenticate(&name, password.get()))
        });
        let (fault, roles) = checked.await.ok()?;
        if let Some(fault) = fault {
            tracing::error!("{fault}; the users known before stay");
        }
        roles
    }
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
        let peer = self.peer()?;
        self.log_in(&peer, ANONYMOUS)
    }

    async fn authenticate_username_identity_token(
        &self,
        endpoint: &ServerEndpoint,
        username: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let peer = self.peer()?;
        let tried = match encrypted(endpoint) {
            true => self.try_password(peer.address, username, password).await,
            false => Err("a password without encryption"),
        };
        match tried {
            Ok(roles) => {
                self.log_in(&peer, username)?;
                self.audit.session(username, &peer.address.to_string(), roles.to_string());
                Ok(UserToken(username.to_string()))
            }
            Err(reason) => {
                self.audit.refused(username, &peer.address.to_string(), "login", "", reason);
                Err(Error::new(StatusCode::BadUserAccessDenied, "unknown user or wrong password"))
            }
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        // Also asked while the stack answers a HEL: so the relay learns which task serves which connection.
        self.peers.noticed();
        let mut policies = vec![policy("anonymous", UserTokenType::Anonymous)];
        if encrypted(endpoint) {
            policies.push(policy(user_pass_security_policy_id(endpoint), UserTokenType::UserName));
        }
        policies
    }

    /// Of our nodes, what the table says; types and the server's own nodes are open.
    fn effective_user_access_level(&self, token: &UserToken, level: AccessLevel, id: &NodeId) -> AccessLevel {
        let Some(path) = instance_path(id) else { return level };
        let roles = self.roles_of(token);
        let may = |action| granted(path, action).intersects(roles);
        let mut allowed = AccessLevel::empty();
        for (bit, action) in [
            (AccessLevel::CURRENT_READ, Action::Read),
            (AccessLevel::CURRENT_WRITE, Action::Write),
            (AccessLevel::HISTORY_READ, Action::History),
        ] {
            allowed.set(bit, level.contains(bit) && may(action));
        }
        allowed
    }

    fn is_user_executable(&self, token: &UserToken, id: &NodeId) -> bool {
        instance_path(id).is_none_or(|path| granted(path, Action::Call).intersects(self.roles_of(token)))
    }

    /// Diagnostics name users and addresses.
    fn core_permissions(&self, token: &UserToken) -> CoreServerPermissions {
        const SEE: Roles = Roles::of(&[Role::Engineer, Role::Supervisor, Role::ConfigureAdmin, Role::SecurityAdmin]);
        CoreServerPermissions { read_diagnostics: self.roles_of(token).intersects(SEE) }
    }
}

/// Name of sessions without a user in events; no user has it.
const ANONYMOUS: &str = "anonymous";

/// The name under which an action is kept: `anonymous`, or the user's.
pub(super) fn user_name(token: &UserToken) -> &str {
    if token.0 == ANONYMOUS_USER_TOKEN_ID { ANONYMOUS } else { &token.0 }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::relay::Bounds;
    use super::*;

    fn gatekeeper(access: Access) -> Gatekeeper {
        let bounds = Bounds { connections: 10, of_one_address: 10, sessions: 10 };
        Gatekeeper::new(access, Arc::new(demo_users().unwrap()), Audit::new(mpsc::channel(100).0), Peers::new(bounds))
    }

    #[tokio::test]
    async fn a_user_has_a_password_and_roles() {
        let demo = gatekeeper(Access::Demo);
        assert_eq!(demo.check("engineer", &Password::new("demo".into())).await, Some(Roles::of(&[Role::Engineer])));
        for (name, password) in [("engineer", "Demo"), ("engineer", ""), ("root", "demo"), ("", "")] {
            assert_eq!(demo.check(name, &Password::new(password.into())).await, None, "{name}/{password}");
        }
    }

    #[test]
    fn passwords_are_never_offered_without_encryption() {
        let demo = gatekeeper(Access::Demo);
        for (name, endpoint) in endpoints(Access::Demo) {
            assert_eq!(demo.supports_user_pass(&endpoint), name != "none", "{name}");
            assert!(demo.supports_anonymous(&endpoint));
        }
        assert!(endpoints(Access::Users).iter().all(|(_, e)| encrypted(e)));
    }

    #[test]
    fn levels_follow_the_table() {
        let demo = gatekeeper(Access::Users);
        let both = AccessLevel::CURRENT_READ | AccessLevel::CURRENT_WRITE;
        let level = |user: &str, path: &str| {
            demo.effective_user_access_level(&UserToken(user.into()), both, &super::super::instantiate::node_id(path)).bits()
        };
        let threshold = "Motor1.Drift.DataDrift.T1.Threshold";
        assert_eq!(level("operator", threshold), AccessLevel::CURRENT_READ.bits());
        assert_eq!(level("engineer", threshold), both.bits());
        assert_eq!(level("operator", "Motor1.Command.Request"), both.bits());
        assert_eq!(level("nobody", threshold), AccessLevel::empty().bits());
        assert_eq!(level(ANONYMOUS_USER_TOKEN_ID, threshold), AccessLevel::empty().bits());
        assert_eq!(demo.effective_user_access_level(&UserToken("nobody".into()), both, &NodeId::new(3, 1001u32)).bits(), both.bits());
    }
}
