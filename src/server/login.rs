//! Slows down who guesses passwords: by user and address together, by address, by user. Bounded memory; pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong passwords of one user from one address before it is locked out for a while.
const FREE: u32 = 5;
/// The first lock; each further wrong password doubles it.
const LOCK: Duration = Duration::from_secs(1);
const LONGEST_LOCK: Duration = Duration::from_secs(60);
/// Wrong passwords of one address (whatever user), or of one user (from wherever), before each attempt has to wait.
const FREE_WIDE: u32 = 20;
const WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// So long without a wrong password, and all is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Entries of each kind.
const ENTRIES: usize = 1_024;

/// What an attempt has to expect.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The password is checked after this wait.
    After(Duration),
    /// It is not looked at.
    Locked,
}

/// Wrong passwords of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    pairs: HashMap<(IpAddr, String), Wrong>,
    addresses: HashMap<IpAddr, Wrong>,
    users: HashMap<String, Wrong>,
}

#[derive(Copy, Clone, Debug)]
struct Wrong {
    count: u32,
    last: Instant,
}

impl Attempts {
    pub(super) fn turn(&self, address: IpAddr, user: &str, now: Instant) -> Turn {
        let pair = known(&self.pairs, &(address, user.to_string()), now);
        if let Some(wrong) = pair.filter(|w| w.count >= FREE)
            && now.duration_since(wrong.last) < doubled(LOCK, wrong.count - FREE, LONGEST_LOCK)
        {
            return Turn::Locked;
        }
        let wide = [known(&self.addresses, &address, now), known(&self.users, user, now)];
        let count = wide.into_iter().flatten().map(|w| w.count).max().unwrap_or(0);
        Turn::After(WAIT.saturating_mul(count.saturating_sub(FREE_WIDE)).min(LONGEST_WAIT))
    }

    pub(super) fn wrong(&mut self, address: IpAddr, user: &str, now: Instant) {
        count(&mut self.pairs, (address, user.to_string()), now);
        count(&mut self.addresses, address, now);
        count(&mut self.users, user.to_string(), now);
    }

    /// A right password forgives the user at this address, nobody else.
    pub(super) fn right(&mut self, address: IpAddr, user: &str) {
        self.pairs.remove(&(address, user.to_string()));
    }
}

fn known<K: Hash + Eq + std::borrow::Borrow<Q>, Q: Hash + Eq + ?Sized>(map: &HashMap<K, Wrong>, key: &Q, now: Instant) -> Option<Wrong> {
    map.get(key).copied().filter(|w| now.duration_since(w.last) < MEMORY)
}

fn count<K: Hash + Eq + Clone>(map: &mut HashMap<K, Wrong>, key: K, now: Instant) {
    if !map.contains_key(&key) && map.len() >= ENTRIES {
        map.retain(|_, w| now.duration_since(w.last) < MEMORY);
        let oldest = (map.len() >= ENTRIES).then(|| map.iter().min_by_key(|(_, w)| (w.count, w.last)).map(|(k, _)| k.clone())).flatten();
        oldest.map(|oldest| map.remove(&oldest));
    }
    let wrong = map.entry(key).or_insert(Wrong { count: 0, last: now });
    if now.duration_since(wrong.last) >= MEMORY {
        wrong.count = 0;
    }
    (wrong.count, wrong.last) = (wrong.count.saturating_add(1), now);
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const AT_ONCE: Turn = Turn::After(Duration::ZERO);

    #[test]
    fn guessing_locks_the_guesser_and_not_the_user() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..FREE {
            assert_eq!(attempts.turn(HOME, "anna", start), AT_ONCE);
            attempts.wrong(HOME, "anna", start);
        }
        assert_eq!(attempts.turn(HOME, "anna", start), Turn::Locked);
        assert_eq!(attempts.turn(AWAY, "anna", start), AT_ONCE, "anna herself sits elsewhere");
        assert_eq!(attempts.turn(HOME, "ben", start), AT_ONCE, "and ben behind the same address");
        assert_eq!(attempts.turn(HOME, "anna", start + LOCK), AT_ONCE);
        attempts.wrong(HOME, "anna", start + LOCK);
        assert_eq!(attempts.turn(HOME, "anna", start + LOCK * 2), Turn::Locked, "the lock doubles");
        assert_eq!(attempts.turn(HOME, "anna", start + LOCK * 3), AT_ONCE);
        attempts.right(HOME, "anna");
        assert_eq!(attempts.turn(HOME, "anna", start + LOCK), AT_ONCE);
    }

    #[test]
    fn a_lock_ends_and_is_forgotten() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        (0..100).for_each(|_| attempts.wrong(HOME, "anna", start));
        assert_eq!(attempts.turn(HOME, "anna", start + LONGEST_LOCK - Duration::from_millis(1)), Turn::Locked);
        assert_eq!(attempts.turn(HOME, "anna", start + LONGEST_LOCK), Turn::After(LONGEST_WAIT));
        assert_eq!(attempts.turn(HOME, "anna", start + MEMORY), AT_ONCE);
    }

    #[test]
    fn trying_many_names_or_from_many_places_is_slowed() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        (0..FREE_WIDE + 2).for_each(|k| attempts.wrong(HOME, &format!("user{k}"), start));
        assert_eq!(attempts.turn(HOME, "ben", start), Turn::After(WAIT * 2));
        (0..FREE_WIDE + 4).for_each(|k| attempts.wrong([10, 1, 0, k as u8].into(), "anna", start));
        assert_eq!(attempts.turn(AWAY, "anna", start), Turn::After(WAIT * 4));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        (0..100).for_each(|_| attempts.wrong(HOME, "anna", start));
        for k in 0..5_000u32 {
            attempts.wrong(k.to_be_bytes().into(), &format!("user{k}"), start);
        }
        assert!(attempts.pairs.len() <= ENTRIES && attempts.addresses.len() <= ENTRIES && attempts.users.len() <= ENTRIES);
        assert_eq!(attempts.turn(HOME, "anna", start), Turn::Locked, "a flood of names does not wash out who guesses most");
    }
}
