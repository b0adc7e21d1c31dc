use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::WebhookConfig;

const QUICK: Pace = Pace { look: Duration::from_millis(5), first: Duration::from_millis(10), longest: Duration::from_millis(50) };
/// Long for a machine that is busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What the server does with a request.
#[derive(Copy, Clone, Debug)]
enum Answer {
    Status(u16),
    /// Closes the connection.
    Drop,
    /// Says nothing for longer than the client waits.
    Slow,
}

/// A request as it came: head and body.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A small HTTP server: one answer a request, 204 when there are none left.
struct Server {
    address: std::net::SocketAddr,
    requests: Requests,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: &str, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, mut answers) = (Requests::default(), answers.iter().copied().collect::<VecDeque<_>>());
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, seen) = (answers.pop_front().unwrap_or(Answer::Status(204)), Arc::clone(&seen));
                // A slow answer holds up no later one.
                tokio::spawn(async move { serve(stream, answer, &seen).await });
            }
        });
        Self { address, requests, task }
    }

    fn bodies(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(_, body)| body["dataset"].as_str().unwrap().to_string()).collect()
    }

    async fn has(&self, requests: usize) -> Vec<String> {
        let begun = Instant::now();
        while self.bodies().len() < requests {
            assert!(begun.elapsed() < Duration::from_secs(20), "only {:?}", self.bodies());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.bodies()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, seen: &Requests) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut part = [0; 4096];
        let n = stream.read(&mut part).await.unwrap();
        assert!(n > 0, "half a request");
        bytes.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        if body.len() >= length {
            break (head, serde_json::from_str(body).unwrap());
        }
    };
    seen.lock().unwrap().push((head, body));
    match answer {
        Answer::Drop => {}
        Answer::Slow => tokio::time::sleep(2 * TIMEOUT).await,
        Answer::Status(code) => {
            let reply = format!("HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            // The client may have gone.
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    }
}

fn manifest(dataset: &str) -> Map<String, Value> {
    let facts = json!({ "dataset": dataset, "machine": "M", "sha256": "b0b", "columns": [1, 2], "gaps": [3] });
    facts.as_object().unwrap().clone()
}

fn config(address: impl std::fmt::Display) -> AnnounceConfig {
    let url = format!("http://{address}/datasets");
    let webhook = WebhookConfig { url, token: None, secret: None, ca_file: None, timeout: TIMEOUT };
    AnnounceConfig { webhook: Some(webhook), mqtt: None }
}

/// Ends when dropped.
struct Running(CancellationToken);

impl Running {
    fn start(config: &AnnounceConfig, data: &Path) -> Self {
        let stop = CancellationToken::new();
        tokio::spawn(Announcer::new(config, data, QUICK).run(stop.clone()));
        Self(stop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn waiting(data: &Path) -> usize {
    std::fs::read_dir(data.join(FOLDER).join("webhook")).map_or(0, Iterator::count)
}

async fn emptied(data: &Path) {
    let begun = Instant::now();
    while waiting(data) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} wait", waiting(data));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_is_tried_until_it_is_taken_and_the_next_one_waits() {
    let data = tempfile::tempdir().unwrap();
    let troubles = [Answer::Drop, Answer::Status(500), Answer::Slow, Answer::Status(302), Answer::Status(401), Answer::Status(200)];
    let server = Server::start("127.0.0.1:0", &troubles).await;
    let config = config(server.address);
    let announcements = Announcements::new(&config, data.path());
    for name in ["a", "b"] {
        announcements.push(&manifest(name));
    }
    let _running = Running::start(&config, data.path());
    assert_eq!(server.has(7).await, ["a", "a", "a", "a", "a", "a", "b"]);
    emptied(data.path()).await;
    let requests = server.requests.lock().unwrap();
    assert!(requests[0].0.starts_with("post /datasets http/1.1"), "{}", requests[0].0);
    assert_eq!(requests[0].1["event"], "dataset_ready");
    assert_eq!((&requests[0].1["id"], &requests[0].1["columns"]), (&requests[5].1["id"], &Value::Null));
    assert_ne!(requests[0].1["id"], requests[6].1["id"]);
    server.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_and_a_restart_lose_nothing_and_keep_the_order() {
    let data = tempfile::tempdir().unwrap();
    // An address where nobody listens yet.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = config(address);
    let announcements = Announcements::new(&config, data.path());
    announcements.push(&manifest("a"));
    let first = Running::start(&config, data.path());
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(first);
    announcements.push(&manifest("b"));
    let _second = Running::start(&config, data.path());
    Announcements::new(&config, data.path()).push(&manifest("c"));
    assert_eq!(waiting(data.path()), 3);
    let server = Server::start(&address.to_string(), &[]).await;
    assert_eq!(server.has(3).await, ["a", "b", "c"]);
    emptied(data.path()).await;
    server.task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_and_signature_come_from_files_as_they_are_now() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start("127.0.0.1:0", &[]).await;
    let mut config = config(server.address);
    let file = |name: &str| PasswordFrom::File(data.path().join(name).display().to_string());
    let webhook = config.webhook.as_mut().unwrap();
    (webhook.token, webhook.secret) = (Some(file("token")), Some(file("key")));
    let announcements = Announcements::new(&config, data.path());
    announcements.push(&manifest("a"));
    std::fs::write(data.path().join("key"), "Jefe\n").unwrap();
    let _running = Running::start(&config, data.path());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.bodies().len(), 0, "nothing goes out without its token");
    std::fs::write(data.path().join("token"), "t0k\n").unwrap();
    server.has(1).await;
    let requests = server.requests.lock().unwrap();
    let head = &requests[0].0;
    assert!(head.contains("\r\nauthorization: bearer t0k\r\n"), "{head}");
    let (_, signed) = head.split_once("\r\nx-driftgate-signature: sha256=").unwrap();
    assert_eq!(signed.chars().take_while(char::is_ascii_hexdigit).count(), 64);
    server.task.abort();
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let missing = secret(&PasswordFrom::Env("DRIFTGATE_NO_SUCH_TOKEN".into())).unwrap_err();
    assert!(missing.starts_with("no secret in the environment variable `DRIFTGATE_NO_SUCH_TOKEN`: "), "{missing}");
    assert!(secret(&PasswordFrom::File("/nowhere".into())).unwrap_err().contains("the file `/nowhere`"));
}
