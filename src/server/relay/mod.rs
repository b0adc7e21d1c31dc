//! Stands between the network and the OPC UA stack, which listens on loopback: bounds what a client can do before it has logged in.
//!
//! ```text
//!  client ─▶ accept ─▶ HEL ─▶ OPN ─▶ chunks ─▶ stack (inner listener on loopback)
//!            bounds:   5 s   5 s    size, rate, messages before the login, 30 s for the login, 20 s for a stalled reader
//! ```
//! The stack takes every connection and keeps every session that was created for minutes, activated or not: 20 CreateSession calls would
//! lock out all others. What the relay needs is clear text: the kind and length of each chunk, the policy of OPN, the number of the
//! channel, and on channels without encryption the requests.

mod chunk;
mod peers;
mod pump;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::chunk::{Chunk, Kind};
pub(super) use self::peers::{Bounds, Peer, Peers};
use self::pump::{Limits, Pump};
use super::audit::Audit;
use crate::users::UserList;

/// A connection says HEL, and opens a channel, within so long.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// The stack answers on loopback.
const INNER_TIME: Duration = Duration::from_secs(5);
/// After the stop, connections get so long to end.
const END_TIME: Duration = Duration::from_secs(3);
/// Between two looks whether there are users.
const OPEN_EVERY: Duration = Duration::from_secs(1);

/// Why a connection was ended by us.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Not OPC UA, or not what may come at this point.
    Malformed,
    /// A chunk larger than ours.
    TooLarge,
    /// Nothing came in time.
    Slow,
    /// Too much before the login.
    NoLogin,
    /// A session on a channel without encryption.
    NoEncryption,
    /// It does not read what it asked for.
    Stalled,
}

impl Cause {
    const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "malformed message",
            Self::TooLarge => "message chunk too large",
            Self::Slow => "no HEL and OPN, or half a message, in time",
            Self::NoLogin => "too long or too many messages without a login",
            Self::NoEncryption => "session without encryption",
            Self::Stalled => "the client does not read its answers",
        }
    }
}

/// How a connection ended.
enum End {
    /// By one of both sides.
    Closed,
    Refused(Cause),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// The relay's settings.
pub(super) struct Relay {
    pub(super) peers: Arc<Peers>,
    pub(super) audit: Arc<Audit>,
    /// Where the stack listens.
    pub(super) inner: SocketAddr,
    /// Sessions without encryption are let through: the demo.
    pub(super) open: bool,
}

/// The address to listen on as soon as there are users.
pub(super) struct Opening {
    pub(super) wanted: SocketAddr,
    pub(super) users: Arc<UserList>,
}

impl Relay {
    /// Relays until `stop`; returns when the connections have ended, or some seconds later.
    pub(super) async fn run(self, mut listener: TcpListener, mut opening: Option<Opening>, stop: CancellationToken) {
        let relay = Arc::new(self);
        let mut connections = JoinSet::new();
        let mut look = tokio::time::interval(OPEN_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((client, address)) => relay.admit(client, address, &mut connections),
                    // Out of descriptors, say: others must end first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
                Some(_) = connections.join_next() => {}
                _ = look.tick(), if opening.is_some() => {
                    if opening.as_ref().is_some_and(|o| !o.users.is_empty())
                        && let Some(o) = opening.take()
                    {
                        listener = reopen(listener, o.wanted).await;
                    }
                }
            }
        }
        relay.peers.end_half_open();
        let ended = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(END_TIME, ended).await;
    }

    fn admit(self: &Arc<Self>, client: TcpStream, address: SocketAddr, connections: &mut JoinSet<()>) {
        let address = address.ip().to_canonical();
        match self.peers.admit(address) {
            Ok(peer) => {
                let relay = Arc::clone(self);
                connections.spawn(async move { relay.serve(client, peer).await });
            }
            Err(reason) => self.audit.refused("anonymous", &address.to_string(), "connect", "", reason),
        }
    }

    async fn serve(&self, mut client: TcpStream, peer: Arc<Peer>) {
        let _ = client.set_nodelay(true);
        let end = tokio::select! {
            end = self.relay(&mut client, &peer) => end,
            () = peer.dropped.cancelled() => Err(End::Closed),
        };
        if let Err(End::Refused(cause)) = end {
            self.audit.refused("anonymous", &peer.address.to_string(), "connect", "", cause.text());
            let _ = tokio::time::timeout(HELLO_TIME, client.write_all(&chunk::error(cause))).await;
        }
        let _ = tokio::time::timeout(HELLO_TIME, client.shutdown()).await;
        self.peers.ended(&peer);
    }

    async fn relay(&self, client: &mut TcpStream, peer: &Arc<Peer>) -> Result<(), End> {
        let hello = expect(client, Kind::Hello).await?;
        let mut stack = self.greet(client, peer, &hello).await?;
        let open = expect(client, Kind::Open).await?;
        peer.channel_opened(open.is_encrypted());
        inner(stack.write_all(&open.bytes)).await??;
        // The answer's header tells the channel's number.
        let answer = inner(Chunk::read(&mut stack)).await??;
        if let Some(channel) = answer.channel() {
            self.peers.channel(peer, channel);
        }
        client.write_all(&answer.bytes).await?;
        if answer.kind == Kind::Error {
            return Ok(());
        }
        Pump { peer, open: self.open, limits: Limits::default() }.run(client, &mut stack).await
    }

    /// Connects to the stack and lets it answer the HEL. One at a time: what the stack asks meanwhile belongs to this connection.
    async fn greet(&self, client: &mut TcpStream, peer: &Arc<Peer>, hello: &Chunk) -> Result<TcpStream, End> {
        let (stack, answer) = {
            let _turn = self.peers.greeting(peer).await;
            let mut stack = inner(TcpStream::connect(self.inner)).await??;
            let _ = stack.set_nodelay(true);
            inner(stack.write_all(&hello.bytes)).await??;
            let answer = inner(Chunk::read(&mut stack)).await??;
            (stack, answer)
        };
        client.write_all(&answer.bytes).await?;
        if answer.kind == Kind::Acknowledge { Ok(stack) } else { Err(End::Closed) }
    }
}

/// Reads the one chunk that may come now, in time.
async fn expect(client: &mut TcpStream, kind: Kind) -> Result<Chunk, End> {
    let chunk = tokio::time::timeout(HELLO_TIME, Chunk::read(client)).await.map_err(|_| End::Refused(Cause::Slow))??;
    if chunk.kind == kind { Ok(chunk) } else { Err(End::Refused(Cause::Malformed)) }
}

/// Something of the stack's, which is near and quick.
async fn inner<T>(action: impl Future<Output = T>) -> Result<T, End> {
    tokio::time::timeout(INNER_TIME, action).await.map_err(|_| End::Closed)
}

/// Listens on `wanted` from now on (port 0: the port as before); stays where it was when that fails.
async fn reopen(listener: TcpListener, mut wanted: SocketAddr) -> TcpListener {
    let Ok(before) = listener.local_addr() else { return listener };
    if wanted.port() == 0 {
        wanted.set_port(before.port());
    }
    // Both at once on one port is not possible.
    drop(listener);
    loop {
        match TcpListener::bind(wanted).await {
            Ok(opened) => {
                tracing::info!("there are users: listening on {wanted}");
                return opened;
            }
            Err(error) => tracing::error!("cannot listen on {wanted}: {error}; listening on {before} as before"),
        }
        if let Ok(again) = TcpListener::bind(before).await {
            return again;
        }
        tokio::time::sleep(OPEN_EVERY).await;
    }
}

#[cfg(test)]
mod tests;
