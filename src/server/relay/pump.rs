//! Both directions of an open channel.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use super::chunk::{Chunk, Kind, MAX_CHUNK};
use super::peers::Peer;
use super::{Cause, End};

/// Bounds of one connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct Limits {
    /// From the channel to the login.
    pub(super) login: Duration,
    /// From the first to the last byte of a chunk.
    pub(super) chunk: Duration,
    /// Until the client takes what was sent to it.
    pub(super) stalled: Duration,
    /// Chunks before the login.
    pub(super) before_login: u32,
    /// Sessions asked for on a channel without encryption, and how many of them before a login.
    pub(super) sessions: u32,
    pub(super) sessions_before_login: u32,
    /// Chunks a second; more have to wait.
    pub(super) rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(30),
            chunk: Duration::from_secs(30),
            stalled: Duration::from_secs(20),
            before_login: 8,
            sessions: 20,
            sessions_before_login: 2,
            rate: 2_000,
        }
    }
}

pub(super) struct Pump<'a> {
    pub(super) peer: &'a Peer,
    /// Sessions without encryption are let through.
    pub(super) open: bool,
    pub(super) limits: Limits,
}

/// What the client has sent so far.
struct Sent {
    /// Without a login.
    before_login: u32,
    sessions: u32,
    /// The next chunk begins a message.
    first: bool,
    second: Instant,
    in_second: u32,
}

impl Pump<'_> {
    /// Until one side closes or a bound is passed.
    pub(super) async fn run(&self, client: &mut TcpStream, stack: &mut TcpStream) -> Result<(), End> {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_stack, mut to_stack) = stack.split();
        tokio::select! {
            end = self.up(&mut from_client, &mut to_stack) => {
                // What the stack still answers is passed on.
                let _ = to_stack.shutdown().await;
                let _ = timeout(Duration::from_secs(2), self.down(&mut from_stack, &mut to_client)).await;
                end
            }
            end = self.down(&mut from_stack, &mut to_client) => end,
            () = self.overdue() => Err(End::Refused(Cause::NoLogin)),
        }
    }

    async fn overdue(&self) {
        tokio::time::sleep(self.limits.login).await;
        if self.peer.logged_in() {
            std::future::pending::<()>().await;
        }
    }

    /// Client to stack, chunk by chunk.
    async fn up(&self, client: &mut ReadHalf<'_>, stack: &mut WriteHalf<'_>) -> Result<(), End> {
        let mut sent = Sent { before_login: 0, sessions: 0, first: true, second: Instant::now(), in_second: 0 };
        loop {
            let mut head = [0; 8];
            client.read_exact(&mut head).await?;
            let rest = timeout(self.limits.chunk, Chunk::rest(client, head));
            let chunk = rest.await.map_err(|_| End::Refused(Cause::Slow))??;
            self.check(&chunk, &mut sent)?;
            self.pace(&mut sent).await;
            stack.write_all(&chunk.bytes).await?;
        }
    }

    fn check(&self, chunk: &Chunk, sent: &mut Sent) -> Result<(), End> {
        let refused = |cause| Err(End::Refused(cause));
        match chunk.kind {
            Kind::Close => return Ok(()),
            // A renewal stays with the policy.
            Kind::Open if chunk.is_encrypted() == self.peer.is_encrypted() => return Ok(()),
            Kind::Message => {}
            _ => return refused(Cause::Malformed),
        }
        let logged_in = self.peer.logged_in();
        if !logged_in {
            sent.before_login += 1;
            if sent.before_login > self.limits.before_login {
                return refused(Cause::NoLogin);
            }
        }
        if self.peer.is_encrypted() {
            self.peer.asked();
        } else if sent.first && chunk.creates_session() {
            self.peer.asked();
            sent.sessions += 1;
            if !self.open {
                return refused(Cause::NoEncryption);
            }
            if sent.sessions > self.limits.sessions || (!logged_in && sent.sessions > self.limits.sessions_before_login) {
                return refused(Cause::NoLogin);
            }
        }
        sent.first = chunk.is_last();
        Ok(())
    }

    /// Lets a client that sends too much wait.
    async fn pace(&self, sent: &mut Sent) {
        let now = Instant::now();
        if now.duration_since(sent.second) >= Duration::from_secs(1) {
            (sent.second, sent.in_second) = (now, 0);
        }
        sent.in_second += 1;
        if sent.in_second > self.limits.rate {
            sleep_until(sent.second + Duration::from_secs(1)).await;
        }
    }

    /// Stack to client, as it comes.
    async fn down(&self, stack: &mut ReadHalf<'_>, client: &mut WriteHalf<'_>) -> Result<(), End> {
        let mut buffer = vec![0; MAX_CHUNK];
        loop {
            let read = stack.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let Some(part) = buffer.get(..read) else { return Ok(()) };
            timeout(self.limits.stalled, client.write_all(part)).await.map_err(|_| End::Refused(Cause::Stalled))??;
        }
    }
}
