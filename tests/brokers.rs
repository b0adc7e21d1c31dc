//! Announcements over MQTT against a real Mosquitto with TLS and a password. Needs `mosquitto`, `mosquitto_passwd` and `openssl`:
//! `cargo test --test brokers -- --ignored`.
#![cfg(feature = "announce")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftgate::announce::{Announcements, Announcer, Pace};
use driftgate::config::{AnnounceConfig, MqttConfig, PasswordFrom, UserConfig};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS, TlsConfiguration, Transport};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const QUICK: Pace = Pace { look: Duration::from_millis(20), first: Duration::from_millis(50), longest: Duration::from_millis(200) };
const PATIENCE: Duration = Duration::from_secs(30);

fn run(program: &str, arguments: &[&str], dir: &Path) {
    let output = Command::new(program).args(arguments).current_dir(dir).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; apt-get install mosquitto openssl"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A broker that wants TLS, and a password for all but nobody.
struct Broker {
    dir: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Broker {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let authority = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem";
        run("openssl", &authority.split(' ').collect::<Vec<_>>(), at);
        run("openssl", &"req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out req.pem".split(' ').collect::<Vec<_>>(), at);
        std::fs::write(at.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        let sign = "x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem";
        run("openssl", &sign.split(' ').collect::<Vec<_>>(), at);
        run("mosquitto_passwd", &["-b", "-c", "users", "gateway", "right"], at);
        std::fs::write(at.join("secret"), "right\n").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = |name: &str| at.join(name).display().to_string();
        // Started by root it would become a user who may not read the files.
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let config = format!(
            "user {user}\nallow_anonymous false\npassword_file {}\nlistener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\n",
            file("users"),
            file("ca.pem"),
            file("cert.pem"),
            file("key.pem")
        );
        std::fs::write(at.join("mosquitto.conf"), config).unwrap();
        Self { dir, port, process: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) {
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let log = std::fs::File::create(self.path("log")).unwrap();
        let command = Command::new(program).arg("-c").arg(self.path("mosquitto.conf")).stderr(log).stdout(Stdio::null()).spawn();
        self.process = Some(command.unwrap_or_else(|e| panic!("mosquitto: {e}; apt-get install mosquitto")));
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "mosquitto does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn config(&self, password: &str) -> AnnounceConfig {
        let user = UserConfig { name: "gateway".into(), password: PasswordFrom::File(self.path(password).display().to_string()) };
        let mqtt = MqttConfig {
            host: "localhost".into(),
            port: self.port,
            tls: true,
            topic: "plant/{gateway}/{machine}".into(),
            client_id: "driftgate-test".into(),
            user: Some(user),
            ca_file: Some(self.path("ca.pem").display().to_string()),
            timeout: Duration::from_secs(5),
        };
        AnnounceConfig { webhook: None, mqtt: Some(mqtt) }
    }

    /// What is published from now on: topic and names of datasets.
    async fn listen(&self) -> mpsc::Receiver<(String, String)> {
        let mut options = MqttOptions::new("listener", "localhost", self.port);
        options.set_credentials("gateway", "right");
        // rustls needs to be told which cryptography to use, where the process has not said so.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(self.path("ca.pem")).unwrap();
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple { ca, alpn: None, client_auth: None }));
        let (client, mut events) = AsyncClient::new(options, 10);
        client.subscribe("plant/#", QoS::AtLeastOnce).await.unwrap();
        let (heard, all) = mpsc::channel(100);
        let (ready, subscribed) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _client = client;
            let mut ready = Some(ready);
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => {
                        let _ = ready.take().map(|ready| ready.send(()));
                    }
                    Event::Incoming(Packet::Publish(message)) => {
                        let body: Value = serde_json::from_slice(&message.payload).unwrap();
                        let _ = heard.send((message.topic, body["dataset"].as_str().unwrap().to_string())).await;
                    }
                    _ => {}
                }
            }
        });
        tokio::time::timeout(PATIENCE, subscribed).await.unwrap().unwrap();
        all
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn push(announcements: &Announcements, dataset: &str) {
    let manifest = json!({ "gateway": "Press7", "machine": "Motor1", "dataset": dataset, "sha256": "b0b" });
    announcements.push(manifest.as_object().unwrap());
}

fn start(config: &AnnounceConfig, data: &Path) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(Announcer::new(config, data, QUICK).run(stop.clone()));
    stop
}

fn waiting(data: &Path) -> usize {
    std::fs::read_dir(data.join("announcements/mqtt")).map_or(0, Iterator::count)
}

async fn emptied(data: &Path) {
    let begun = Instant::now();
    while waiting(data) > 0 {
        assert!(begun.elapsed() < PATIENCE, "{} wait", waiting(data));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn next(heard: &mut mpsc::Receiver<(String, String)>) -> (String, String) {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("nothing was published").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs mosquitto; tests/run --full"]
async fn a_broker_with_tls_and_password_gets_all_in_order_also_after_an_outage() {
    let (mut broker, data) = (Broker::new(), tempfile::tempdir().unwrap());
    let config = broker.config("secret");
    let announcements = Announcements::new(&config, data.path());
    // The broker is down; the gateway is stopped and started meanwhile.
    push(&announcements, "a");
    let stop = start(&config, data.path());
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.cancel();
    push(&announcements, "b");
    assert_eq!(waiting(data.path()), 2);
    broker.start();
    let mut heard = broker.listen().await;
    let stop = start(&config, data.path());
    for name in ["a", "b"] {
        assert_eq!(next(&mut heard).await, ("plant/Press7/Motor1".to_string(), name.to_string()));
    }
    emptied(data.path()).await;
    // It is killed, and comes again.
    broker.stop();
    push(&announcements, "c");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(waiting(data.path()), 1);
    stop.cancel();
    broker.start();
    let mut heard = broker.listen().await;
    let stop = start(&config, data.path());
    assert_eq!(next(&mut heard).await.1, "c");
    emptied(data.path()).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs mosquitto; tests/run --full"]
async fn a_wrong_password_or_authority_keeps_the_announcement_until_it_is_put_right() {
    let (mut broker, data) = (Broker::new(), tempfile::tempdir().unwrap());
    broker.start();
    let mut heard = broker.listen().await;
    std::fs::write(broker.path("tried"), "wrong\n").unwrap();
    let config = broker.config("tried");
    let announcements = Announcements::new(&config, data.path());
    push(&announcements, "a");
    let stop = start(&config, data.path());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((waiting(data.path()), heard.try_recv().is_err()), (1, true));
    // Read anew at each try.
    std::fs::write(broker.path("tried"), "right\n").unwrap();
    assert_eq!(next(&mut heard).await.1, "a");
    emptied(data.path()).await;
    stop.cancel();

    let mut stranger = broker.config("secret");
    let other = Broker::new();
    stranger.mqtt.as_mut().unwrap().ca_file = Some(other.path("ca.pem").display().to_string());
    push(&announcements, "b");
    let stop = start(&stranger, data.path());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((waiting(data.path()), heard.try_recv().is_err()), (1, true));
    stop.cancel();
    let _right = Arc::new(start(&config, data.path()));
    assert_eq!(next(&mut heard).await.1, "b");
}
