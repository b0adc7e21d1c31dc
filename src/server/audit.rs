//! Who came in and what was refused, as events of our own. Bounded: a flood of refusals becomes a number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opcua::sync::Mutex;
use tokio::sync::mpsc;

use crate::types::EventKind;

/// Refusals of one address that are listed at once, and the time after which it may have another one.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_secs(5);
/// The same for writes and commands of one user, who may well try many values; fewer at once than the channel holds.
const USER_BURST: u32 = 200;
const USER_REFILL: Duration = Duration::from_millis(100);
/// Addresses, and users, remembered at most; further ones share a budget.
const ADDRESSES: usize = 256;
/// Texts from outside are cut to so many characters.
const TEXT: usize = 100;

/// Where the events go. A full channel loses them: nobody waits for an audit.
pub type AuditSender = mpsc::Sender<EventKind>;

/// Writes down who came in and what was refused.
pub(super) struct Audit {
    sender: AuditSender,
    addresses: Budgets,
    users: Budgets,
}

/// How much is listed of each.
struct Budgets {
    burst: u32,
    refill: Duration,
    of: Mutex<HashMap<Arc<str>, Budget>>,
}

struct Budget {
    left: u32,
    refilled: Instant,
    unlisted: u32,
}

impl Audit {
    pub(super) fn new(sender: AuditSender) -> Self {
        let budgets = |burst, refill| Budgets { burst, refill, of: Mutex::default() };
        Self { sender, addresses: budgets(BURST, REFILL), users: budgets(USER_BURST, USER_REFILL) }
    }

    /// A user has logged in.
    pub(super) fn session(&self, user: &str, address: &str, roles: String) {
        tracing::info!("{user} has logged in from {address} as {roles}");
        let _ = self.sender.try_send(EventKind::Session { user: plain(user), address: plain(address), roles: roles.into() });
    }

    /// Something was refused. `action` is one word: login, read, write, call, ...
    pub(super) fn refused(&self, user: &str, address: &str, action: &str, target: &str, reason: &str) {
        let Some(unlisted) = self.addresses.listed(address, Instant::now()) else { return };
        let (user, address, target) = (plain(user), plain(address), plain(target));
        tracing::warn!("refused: {action} {target} by {user} from {address}: {reason}");
        if unlisted > 0 {
            tracing::warn!("{unlisted} further refusals from {address} were not listed");
        }
        let kind = EventKind::Refused { user, address, action: action.into(), target, reason: reason.into(), unlisted };
        let _ = self.sender.try_send(kind);
    }

    /// Keeps a write or a command that was refused before it reached the owner of the state, who would have kept it.
    pub(super) fn keep(&self, kind: EventKind) {
        let (EventKind::Command { path, user, refused: Some(why), .. } | EventKind::Parameter { path, user, refused: Some(why), .. }) =
            &kind
        else {
            return;
        };
        let Some(unlisted) = self.users.listed(user, Instant::now()) else { return };
        tracing::warn!("refused: {path} by {}: {}", plain(user), plain(why));
        if unlisted > 0 {
            tracing::warn!("{unlisted} further writes and commands of {} were refused and not listed", plain(user));
            let (user, target, address) = (plain(user), path.clone(), "".into());
            let reason = "refused before, and not listed one by one".into();
            self.send(EventKind::Refused { user, address, action: "write".into(), target, reason, unlisted });
        }
        self.send(kind);
    }

    fn send(&self, kind: EventKind) {
        if let Err(error) = self.sender.try_send(kind) {
            tracing::warn!("an audit event is lost: {error}");
        }
    }
}

impl Budgets {
    /// Whether another refusal of this one is listed, and how many before it were not.
    fn listed(&self, of: &str, now: Instant) -> Option<u32> {
        let mut budgets = self.of.lock();
        if !budgets.contains_key(of) && budgets.len() >= ADDRESSES {
            budgets.retain(|_, b| b.unlisted > 0 || now.duration_since(b.refilled) < self.refill * self.burst);
        }
        let key = if budgets.contains_key(of) || budgets.len() < ADDRESSES { of } else { "others" };
        let budget = budgets.entry(key.into()).or_insert(Budget { left: self.burst, refilled: now, unlisted: 0 });
        let gained = u32::try_from(now.duration_since(budget.refilled).as_millis() / self.refill.as_millis()).unwrap_or(u32::MAX);
        if gained > 0 {
            budget.left = budget.left.saturating_add(gained).min(self.burst);
            budget.refilled = now;
        }
        if budget.left == 0 {
            budget.unlisted = budget.unlisted.saturating_add(1);
            return None;
        }
        budget.left -= 1;
        Some(std::mem::take(&mut budget.unlisted))
    }
}

/// A text from outside, short and in printable ASCII.
fn plain(text: &str) -> Arc<str> {
    text.chars().take(TEXT).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_a_number() {
        let (sender, mut events) = mpsc::channel(1_000);
        let audit = Audit::new(sender);
        for _ in 0..500 {
            audit.refused("anna\n", "10.0.0.1", "login", "", "wrong password");
        }
        audit.refused("ben", "10.0.0.2", "write", "Motor1.Report.Interval", "needs Engineer");
        let mut listed = Vec::new();
        while let Ok(EventKind::Refused { user, address, .. }) = events.try_recv() {
            listed.push((user, address));
        }
        assert_eq!(listed.len(), BURST as usize + 1, "another address has a budget of its own");
        assert_eq!(&*listed[0].0, "anna?");
        // Later the next one tells how many were not listed.
        assert_eq!(audit.addresses.listed("10.0.0.1", Instant::now() + REFILL * 2), Some(500 - BURST));
        assert_eq!(audit.addresses.listed("10.0.0.1", Instant::now() + REFILL * 2), Some(0));
    }

    #[test]
    fn a_user_who_is_refused_all_the_time_does_not_push_others_out() {
        let (sender, mut events) = mpsc::channel(256);
        let audit = Audit::new(sender);
        let parameter = |user: &str| EventKind::Parameter {
            path: "Motor1.Report.Interval".into(),
            old: String::new(),
            new: "x".into(),
            user: user.into(),
            refused: Some("no number".into()),
        };
        for _ in 0..100_000 {
            audit.keep(parameter("eva"));
        }
        audit.keep(parameter("ben"));
        std::thread::sleep(USER_REFILL * 2);
        audit.keep(parameter("eva"));
        let (mut of_eva, mut of_ben, mut unlisted_of_eva) = (0, 0, 0);
        while let Ok(kind) = events.try_recv() {
            match kind {
                EventKind::Parameter { user, .. } if *user == *"ben" => of_ben += 1,
                EventKind::Parameter { .. } => of_eva += 1,
                EventKind::Refused { unlisted, user, .. } if *user == *"eva" => unlisted_of_eva += unlisted,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((of_ben, of_eva + unlisted_of_eva), (1, 100_001), "each is listed or counted");
        assert!((USER_BURST..250).contains(&of_eva), "{of_eva}");
    }

    #[test]
    fn memory_is_bounded() {
        let (sender, _events) = mpsc::channel(1);
        let audit = Audit::new(sender);
        for k in 0..10_000 {
            audit.refused("x", &format!("10.0.{}.{}", k / 256, k % 256), "login", "", "");
        }
        assert!(audit.addresses.of.lock().len() <= ADDRESSES + 1);
    }
}
