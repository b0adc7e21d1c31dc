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
/// Addresses remembered at most; further ones share a budget.
const ADDRESSES: usize = 256;
/// Texts from outside are cut to so many characters.
const TEXT: usize = 100;

/// Where the events go. A full channel loses them: nobody waits for an audit.
pub type AuditSender = mpsc::Sender<EventKind>;

/// Writes down who came in and what was refused.
pub(super) struct Audit {
    sender: AuditSender,
    budgets: Mutex<HashMap<Arc<str>, Budget>>,
}

struct Budget {
    left: u32,
    refilled: Instant,
    unlisted: u32,
}

impl Audit {
    pub(super) fn new(sender: AuditSender) -> Self {
        Self { sender, budgets: Mutex::default() }
    }

    /// A user has logged in.
    pub(super) fn session(&self, user: &str, address: &str, roles: String) {
        tracing::info!("{user} has logged in from {address} as {roles}");
        let _ = self.sender.try_send(EventKind::Session { user: plain(user), address: plain(address), roles: roles.into() });
    }

    /// Something was refused. `action` is one word: login, read, write, call, ...
    pub(super) fn refused(&self, user: &str, address: &str, action: &str, target: &str, reason: &str) {
        let Some(unlisted) = self.listed(address, Instant::now()) else { return };
        let (user, address, target) = (plain(user), plain(address), plain(target));
        tracing::warn!("refused: {action} {target} by {user} from {address}: {reason}");
        if unlisted > 0 {
            tracing::warn!("{unlisted} further refusals from {address} were not listed");
        }
        let kind = EventKind::Refused { user, address, action: action.into(), target, reason: reason.into(), unlisted };
        let _ = self.sender.try_send(kind);
    }

    /// Whether another refusal of this address is listed, and how many before it were not.
    fn listed(&self, address: &str, now: Instant) -> Option<u32> {
        let mut budgets = self.budgets.lock();
        if !budgets.contains_key(address) && budgets.len() >= ADDRESSES {
            budgets.retain(|_, b| b.unlisted > 0 || now.duration_since(b.refilled) < REFILL * BURST);
        }
        let key = if budgets.contains_key(address) || budgets.len() < ADDRESSES { address } else { "others" };
        let budget = budgets.entry(key.into()).or_insert(Budget { left: BURST, refilled: now, unlisted: 0 });
        let gained = (now.duration_since(budget.refilled).as_secs() / REFILL.as_secs()) as u32;
        if gained > 0 {
            budget.left = budget.left.saturating_add(gained).min(BURST);
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

/// Keeps what was refused before it reached the owner of the state, who would have kept it.
pub(super) fn keep(audit: &AuditSender, kind: EventKind) {
    if let EventKind::Command { path, user, refused: Some(why), .. } | EventKind::Parameter { path, user, refused: Some(why), .. } = &kind {
        tracing::warn!("refused: {path} by {}: {}", plain(user), plain(why));
    }
    if let Err(error) = audit.try_send(kind) {
        tracing::warn!("an audit event is lost: {error}");
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
        assert_eq!(audit.listed("10.0.0.1", Instant::now() + REFILL * 2), Some(500 - BURST));
        assert_eq!(audit.listed("10.0.0.1", Instant::now() + REFILL * 2), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let (sender, _events) = mpsc::channel(1);
        let audit = Audit::new(sender);
        for k in 0..10_000 {
            audit.refused("x", &format!("10.0.{}.{}", k / 256, k % 256), "login", "", "");
        }
        assert!(audit.budgets.lock().len() <= ADDRESSES + 1);
    }
}
