//! The relay before a real server.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::Access;
use super::super::tests::{Bench, value_of};
use crate::types::EventKind;

async fn raw(bench: &Bench) -> TcpStream {
    let address = bench.endpoint.trim_start_matches("opc.tcp://").trim_end_matches('/');
    TcpStream::connect(address).await.unwrap()
}

/// Everything until the other side closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("it is closed");
    bytes
}

fn chunk(kind: &[u8; 4], length: u32, body: &[u8]) -> Vec<u8> {
    [kind.as_slice(), &length.to_le_bytes(), body].concat()
}

fn hello() -> Vec<u8> {
    let url = b"opc.tcp://127.0.0.1:4840/";
    let mut body = Vec::new();
    for number in [0, 65_535, 65_535, 0, 0, url.len() as u32] {
        body.extend(u32::to_le_bytes(number));
    }
    body.extend(url);
    chunk(b"HELF", 8 + body.len() as u32, &body)
}

/// OPN with policy None, as a client of another make sends it.
fn open() -> Vec<u8> {
    let policy = b"http://opcfoundation.org/UA/SecurityPolicy#None";
    let mut body = 0u32.to_le_bytes().to_vec();
    body.extend((policy.len() as u32).to_le_bytes());
    body.extend(policy);
    body.extend([0xFF; 8]);
    // Sequence and request number; OpenSecureChannelRequest with an empty header, Issue, None, no nonce, an hour.
    body.extend([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0xBE, 0x01]);
    body.extend([0, 0]);
    body.extend([0; 8 + 4 + 4]);
    body.extend([0xFF; 4]);
    body.extend([0; 4 + 3]);
    body.extend([0; 4 + 4]);
    body.extend([1, 0, 0, 0]);
    body.extend([0xFF; 4]);
    body.extend(3_600_000u32.to_le_bytes());
    chunk(b"OPNF", 8 + body.len() as u32, &body)
}

/// A whole CreateSession on a channel without encryption.
fn create_session(channel: u32, sequence: u32) -> Vec<u8> {
    const NONE: [u8; 4] = [0xFF; 4];
    let url = b"opc.tcp://127.0.0.1:4840/";
    let mut body = Vec::new();
    for number in [channel, 1, sequence, sequence] {
        body.extend(number.to_le_bytes());
    }
    body.extend([1, 0, 0xCD, 0x01]);
    // An empty header.
    body.extend([0; 2 + 8 + 4 + 4]);
    body.extend(NONE);
    body.extend([0; 4 + 3]);
    // Who: URIs, name, a client, three more texts; the server's URI.
    body.extend([NONE, NONE].concat());
    body.push(0);
    body.extend(1u32.to_le_bytes());
    body.extend([NONE, NONE, NONE, NONE].concat());
    body.extend((url.len() as u32).to_le_bytes());
    body.extend(url);
    // Name, nonce, certificate, time, size.
    body.extend([NONE, NONE, NONE].concat());
    body.extend(60_000f64.to_le_bytes());
    body.extend([0; 4]);
    chunk(b"MSGF", 8 + body.len() as u32, &body)
}

/// An open channel without encryption, and its number.
async fn channel(bench: &Bench) -> (TcpStream, u32) {
    let mut stream = raw(bench).await;
    stream.write_all(&hello()).await.unwrap();
    let mut answer = [0; 28];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[..4], b"ACKF");
    stream.write_all(&open()).await.unwrap();
    let mut head = [0; 8];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head[..4], b"OPNF");
    let length = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
    let mut answer = vec![0; length - 8];
    stream.read_exact(&mut answer).await.unwrap();
    (stream, u32::from_le_bytes(answer[..4].try_into().unwrap()))
}

fn reasons(bench: &mut Bench) -> Vec<String> {
    let mut reasons = Vec::new();
    while let Ok(kind) = bench.audit.try_recv() {
        if let EventKind::Refused { action, reason, .. } = kind {
            reasons.push(format!("{action}: {reason}"));
        }
    }
    reasons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_opc_ua_is_ended_with_an_error() {
    let mut bench = Bench::start(Access::Demo).await;
    for (bytes, status) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0x807E_0000u32),
        (chunk(b"HELF", 4_000_000_000, &[0; 100]), 0x8080_0000),
        (open(), 0x807E_0000),
    ] {
        let mut stream = raw(&bench).await;
        stream.write_all(&bytes).await.unwrap();
        let answer = rest(&mut stream).await;
        assert_eq!(answer.get(..4), Some(b"ERRF".as_slice()), "{bytes:?}");
        assert_eq!(answer.get(8..12), Some(status.to_le_bytes().as_slice()));
    }
    let (mut stream, _) = channel(&bench).await;
    stream.write_all(&chunk(b"MSGF", 70_000, &[0; 100])).await.unwrap();
    assert_eq!(rest(&mut stream).await.get(..4), Some(b"ERRF".as_slice()));
    assert!(reasons(&mut bench).iter().any(|r| r == "connect: message chunk too large"));
    let session = bench.connect().await;
    value_of(&session, "Gateway.InstanceName").await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_without_encryption_are_refused_where_there_are_users() {
    let mut bench = Bench::start(Access::Users).await;
    let (mut stream, number) = channel(&bench).await;
    stream.write_all(&create_session(number, 2)).await.unwrap();
    assert_eq!(rest(&mut stream).await.get(8..12), Some(0x8054_0000u32.to_le_bytes().as_slice()));
    assert_eq!(reasons(&mut bench), ["connect: session without encryption"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_nobody_activates_lock_nobody_out() {
    let mut bench = Bench::start(Access::Demo).await;
    for _ in 0..8 {
        let (mut stream, number) = channel(&bench).await;
        for sequence in 2..5 {
            let _ = stream.write_all(&create_session(number, sequence)).await;
        }
        let answers = rest(&mut stream).await;
        let count = |what: &[u8]| answers.windows(what.len()).filter(|w| *w == what).count();
        // CreateSessionResponse, twice; the third is refused, and may overtake them.
        assert!(count(&[1, 0, 0xD0, 0x01]) <= 2 && count(b"ERRF") == 1, "{answers:?}");
    }
    let session = bench.connect().await;
    value_of(&session, "Gateway.InstanceName").await;
    assert!(reasons(&mut bench).iter().any(|r| r.contains("without a login")));
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room_for_a_client() {
    let bench = Bench::start(Access::Demo).await;
    let mut idle = Vec::new();
    for _ in 0..120 {
        idle.push(raw(&bench).await);
    }
    let session = bench.connect().await;
    value_of(&session, "Gateway.InstanceName").await;
    let mut first = idle.remove(0);
    assert!(rest(&mut first).await.is_empty(), "the oldest was ended");
    bench.stop().await;
}
