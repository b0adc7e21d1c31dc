//! Who is connected: from where, with which channel, and whether somebody has logged in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use opcua::sync::Mutex;
use tokio::sync::MutexGuard;
use tokio_util::sync::CancellationToken;

/// Connections that have no channel yet, of one address and of all; the oldest goes first.
const HALF_OPEN: usize = 20;
const HALF_OPEN_ALL: usize = 100;
/// Connections that asked for a session and ended without a login: so many at once, then one in this time.
const UNFINISHED: u32 = 20;
const UNFINISHED_REFILL: Duration = Duration::from_secs(5);
/// Addresses whose unfinished connections are remembered.
const ADDRESSES: usize = 1_024;

/// One connection.
#[derive(Debug)]
pub(in super::super) struct Peer {
    id: u64,
    pub(in super::super) address: IpAddr,
    /// Ends the connection.
    pub(in super::super) dropped: CancellationToken,
    since: Instant,
    stage: AtomicU8,
    encrypted: AtomicBool,
    asked: AtomicBool,
    channel: AtomicU32,
    /// Who has logged in last.
    user: Mutex<Arc<str>>,
}

const HALF: u8 = 0;
const CHANNEL: u8 = 1;
const LOGGED_IN: u8 = 2;

impl Peer {
    pub(super) fn channel_opened(&self, encrypted: bool) {
        self.encrypted.store(encrypted, Ordering::Relaxed);
        self.stage.store(CHANNEL, Ordering::Relaxed);
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }

    pub(super) fn logged_in(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == LOGGED_IN
    }

    /// It has asked for a session, or (encrypted) may have.
    pub(super) fn asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    fn is_half_open(&self) -> bool {
        self.stage.load(Ordering::Relaxed) == HALF
    }
}

/// How many connections there may be.
#[derive(Copy, Clone, Debug)]
pub(in super::super) struct Bounds {
    pub(in super::super) connections: usize,
    pub(in super::super) of_one_address: usize,
    /// Connections on which somebody has logged in.
    pub(in super::super) sessions: usize,
}

/// All connections.
#[derive(Debug)]
pub(in super::super) struct Peers {
    bounds: Bounds,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    all: HashMap<u64, Arc<Peer>>,
    by_channel: HashMap<u32, Arc<Peer>>,
    by_task: HashMap<tokio::task::Id, Arc<Peer>>,
    /// The one whose HEL the stack is answering.
    greeting: Option<Arc<Peer>>,
    unfinished: HashMap<IpAddr, (u32, Instant)>,
}

/// The turn of one connection to be greeted.
pub(super) struct Greeting<'a> {
    peers: &'a Peers,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for Greeting<'_> {
    fn drop(&mut self) {
        self.peers.state.lock().greeting = None;
    }
}

impl Peers {
    pub(in super::super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    /// A new connection, or why there is none. Half-open ones make room, the oldest first.
    pub(super) fn admit(&self, address: IpAddr) -> Result<Arc<Peer>, &'static str> {
        let mut state = self.state.lock();
        if state.unfinished_of(address) >= UNFINISHED {
            return Err("too many connections without a login");
        }
        state.make_room(|p| p.address == address, HALF_OPEN);
        state.make_room(|_| true, HALF_OPEN_ALL);
        let open = |of: &dyn Fn(&Peer) -> bool| state.all.values().filter(|p| !p.dropped.is_cancelled() && of(p)).count();
        if open(&|p| p.address == address) >= self.bounds.of_one_address {
            return Err("too many connections of this address");
        }
        if open(&|_| true) >= self.bounds.connections {
            return Err("too many connections");
        }
        state.last += 1;
        let peer = Arc::new(Peer {
            id: state.last,
            address,
            dropped: CancellationToken::new(),
            since: Instant::now(),
            stage: AtomicU8::new(HALF),
            encrypted: AtomicBool::new(true),
            asked: AtomicBool::new(false),
            channel: AtomicU32::new(0),
            user: Mutex::new("".into()),
        });
        state.all.insert(peer.id, Arc::clone(&peer));
        Ok(peer)
    }

    /// Waits for the turn to be greeted by the stack.
    pub(super) async fn greeting(&self, peer: &Arc<Peer>) -> Greeting<'_> {
        let turn = self.turn.lock().await;
        self.state.lock().greeting = Some(Arc::clone(peer));
        Greeting { peers: self, _turn: turn }
    }

    /// The stack asks for something that it also asks for while it answers a HEL: a task not seen before is that connection's.
    pub(in super::super) fn noticed(&self) {
        let Some(task) = tokio::task::try_id() else { return };
        let mut state = self.state.lock();
        if state.greeting.is_some()
            && !state.by_task.contains_key(&task)
            && let Some(peer) = state.greeting.take()
        {
            state.by_task.insert(task, peer);
        }
    }

    /// The connection whose task of the stack this is.
    pub(in super::super) fn of_this_task(&self) -> Option<Arc<Peer>> {
        self.state.lock().by_task.get(&tokio::task::try_id()?).cloned()
    }

    /// The connection with this secure channel.
    pub(in super::super) fn of_channel(&self, channel: u32) -> Option<Arc<Peer>> {
        self.state.lock().by_channel.get(&channel).cloned()
    }

    pub(super) fn channel(&self, peer: &Arc<Peer>, channel: u32) {
        peer.channel.store(channel, Ordering::Relaxed);
        self.state.lock().by_channel.insert(channel, Arc::clone(peer));
    }

    /// Somebody has logged in on it; `false` where there are too many already.
    pub(in super::super) fn log_in(&self, peer: &Peer, user: &str) -> bool {
        let state = self.state.lock();
        let others = state.all.values().filter(|p| p.id != peer.id && p.logged_in()).count();
        let room = others < self.bounds.sessions;
        if room {
            *peer.user.lock() = user.into();
            peer.stage.store(LOGGED_IN, Ordering::Relaxed);
        }
        room
    }

    /// Ends the connections of users that are `gone`.
    pub(in super::super) fn end_users(&self, gone: impl Fn(&str) -> bool) {
        let logged_in: Vec<_> = self.state.lock().all.values().filter(|p| p.logged_in()).cloned().collect();
        logged_in.iter().filter(|p| gone(&p.user.lock())).for_each(|p| p.dropped.cancel());
    }

    /// Ends the connections that have no channel yet.
    pub(super) fn end_half_open(&self) {
        self.state.lock().all.values().filter(|p| p.is_half_open()).for_each(|p| p.dropped.cancel());
    }

    pub(super) fn ended(&self, peer: &Arc<Peer>) {
        let mut state = self.state.lock();
        state.all.remove(&peer.id);
        state.by_task.retain(|_, p| p.id != peer.id);
        let channel = peer.channel.load(Ordering::Relaxed);
        if state.by_channel.get(&channel).is_some_and(|p| p.id == peer.id) {
            state.by_channel.remove(&channel);
        }
        if peer.asked.load(Ordering::Relaxed) && !peer.logged_in() {
            state.unfinished(peer.address);
        }
    }
}

impl State {
    /// Ends the oldest half-open connections until there is room for one more.
    fn make_room(&self, of: impl Fn(&Peer) -> bool, most: usize) {
        let mut half: Vec<_> = self.all.values().filter(|p| p.is_half_open() && !p.dropped.is_cancelled() && of(p)).collect();
        half.sort_by_key(|p| p.since);
        let surplus = (half.len() + 1).saturating_sub(most);
        half.iter().take(surplus).for_each(|p| p.dropped.cancel());
    }

    fn unfinished_of(&self, address: IpAddr) -> u32 {
        let forgiven = |since: &Instant| (since.elapsed().as_secs() / UNFINISHED_REFILL.as_secs()) as u32;
        self.unfinished.get(&address).map_or(0, |(count, since)| count.saturating_sub(forgiven(since)))
    }

    fn unfinished(&mut self, address: IpAddr) {
        let count = self.unfinished_of(address) + 1;
        if self.unfinished.len() >= ADDRESSES {
            self.unfinished.retain(|_, (count, since)| since.elapsed() < UNFINISHED_REFILL * *count);
        }
        if self.unfinished.len() >= ADDRESSES {
            self.unfinished.clear();
        }
        self.unfinished.insert(address, (count, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { connections: 60, of_one_address: 30, sessions: 2 };

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn idle_connections_make_room_and_open_ones_do_not() {
        let peers = Peers::new(BOUNDS);
        let idle: Vec<_> = (0..300).map(|_| peers.admit(address(1)).unwrap()).collect();
        assert_eq!(idle.iter().filter(|p| !p.dropped.is_cancelled()).count(), HALF_OPEN);
        assert!(idle[0].dropped.is_cancelled() && !idle[299].dropped.is_cancelled(), "the oldest go");
        idle.iter().for_each(|p| peers.ended(p));

        for _ in 0..30 {
            peers.admit(address(1)).unwrap().channel_opened(true);
        }
        assert!(peers.admit(address(1)).unwrap_err().contains("this address"));
        for _ in 0..30 {
            peers.admit(address(2)).unwrap().channel_opened(true);
        }
        assert!(peers.admit(address(3)).is_err());
    }

    #[test]
    fn connections_without_a_login_are_counted_against_their_address() {
        let peers = Peers::new(BOUNDS);
        for _ in 0..UNFINISHED {
            let peer = peers.admit(address(1)).unwrap();
            peer.channel_opened(true);
            peer.asked();
            peers.ended(&peer);
        }
        assert!(peers.admit(address(1)).unwrap_err().contains("login"));
        let other = peers.admit(address(2)).unwrap();
        other.asked();
        assert!(peers.log_in(&other, "anna"));
        peers.ended(&other);
        assert_eq!(peers.state.lock().unfinished_of(address(2)), 0);
        for k in 0..5_000u32 {
            peers.state.lock().unfinished(IpAddr::from(k.to_be_bytes()));
        }
        assert!(peers.state.lock().unfinished.len() <= ADDRESSES, "memory is bounded");
    }

    #[test]
    fn so_many_may_log_in() {
        let peers = Peers::new(BOUNDS);
        let all: Vec<_> = (0..3).map(|_| peers.admit(address(1)).unwrap()).collect();
        assert!(peers.log_in(&all[0], "anna") && peers.log_in(&all[1], "ben") && !peers.log_in(&all[2], "carl"));
        assert!(peers.log_in(&all[0], "anna"), "again on the same connection");
        peers.ended(&all[0]);
        assert!(peers.log_in(&all[2], "carl"));
        peers.end_users(|user| user == "ben");
        assert!(all[1].dropped.is_cancelled() && !all[2].dropped.is_cancelled());
    }

    #[tokio::test]
    async fn a_new_task_belongs_to_the_greeted_connection() {
        let peers = Arc::new(Peers::new(BOUNDS));
        let peer = peers.admit(address(1)).unwrap();
        let ask = |peers: Arc<Peers>| async move {
            peers.noticed();
            peers.of_this_task().map(|p| p.id)
        };
        assert_eq!(tokio::spawn(ask(peers.clone())).await.unwrap(), None, "nobody is greeted");
        let greeting = peers.greeting(&peer).await;
        assert_eq!(tokio::spawn(ask(peers.clone())).await.unwrap(), Some(peer.id));
        assert_eq!(tokio::spawn(ask(peers.clone())).await.unwrap(), None, "it has its task already");
        drop(greeting);
        peers.channel(&peer, 7);
        assert_eq!(peers.of_channel(7).unwrap().id, peer.id);
        peers.ended(&peer);
        assert!(peers.of_channel(7).is_none() && peers.state.lock().by_task.is_empty());
    }
}
