//! The sources against simulated PLCs (`tests/counterparts`, Python), over real connections.

#![cfg(feature = "gateway")]

#[path = "sources/browse.rs"]
mod browse;
#[path = "sources/queue.rs"]
mod queue;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use driftgate::config::{
    ModbusConfig, ModbusPlace, OpcUaConfig, PasswordFrom, RegisterType, Security, Shape, SourceConfig, SourceKind, UserConfig, WordOrder,
};
use driftgate::source::{self, SampleSender, SourceStatus, SourceTask, Tag};
use driftgate::types::{Cause, Quality, Sample, SampleId, SourceState, Timestamp, Value};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

fn python() -> String {
    std::env::var("DRIFTGATE_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// A simulator, ended with the test.
struct Sim {
    child: Child,
    stdin: ChildStdin,
    lines: std_mpsc::Receiver<serde_json::Value>,
    endpoint: String,
    _dir: tempfile::TempDir,
}

impl Sim {
    fn start(script: &str, args: &[&str]) -> Self {
        if script != "sim_modbus.py" {
            let found = Command::new(python()).args(["-c", "import asyncua, cryptography"]).output().map(|o| o.status.success());
            assert!(
                matches!(found, Ok(true)),
                "`{}` has no asyncua: start the tests with `tests/run`, which makes the environment, or \
                 `pip install -r tests/counterparts/requirements.txt` somewhere and set DRIFTGATE_PYTHON to that python",
                python()
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/counterparts").join(script);
        let mut child = Command::new(python())
            .arg("-B")
            .arg(script)
            .args(["--port", "0", "--stdin"])
            .args(args)
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("no Python: set DRIFTGATE_PYTHON");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tx, lines) = std_mpsc::channel();
        // Ends with the simulator.
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).filter_map(|l| serde_json::from_str(&l).ok()).all(|l| tx.send(l).is_ok());
        });
        let stdin = child.stdin.take().unwrap();
        let mut sim = Self { child, stdin, lines, endpoint: String::new(), _dir: dir };
        let ready = sim.lines.recv_timeout(PATIENCE).expect("the simulator does not start");
        sim.endpoint = ready["endpoint"].as_str().unwrap().to_string();
        sim
    }

    /// Gives a command without waiting for its end.
    fn give(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").unwrap();
    }

    /// Gives a command and waits until it is done.
    fn command(&mut self, command: &str) -> serde_json::Value {
        self.give(command);
        self.answer()
    }

    fn answer(&mut self) -> serde_json::Value {
        let answer = self.lines.recv_timeout(PATIENCE).expect("the simulator does not answer");
        assert_eq!(answer["ok"], true, "{answer}");
        answer["result"].clone()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A running source and what comes out of it.
struct Rig {
    samples: mpsc::Receiver<Sample>,
    status: watch::Receiver<SourceStatus>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    pki: tempfile::TempDir,
}

impl Rig {
    fn start(kind: SourceKind, tags: Vec<Tag>) -> Self {
        let (tx, samples) = mpsc::channel(100_000);
        let (status_tx, status) = watch::channel(SourceStatus::default());
        let (stop, pki) = (CancellationToken::new(), tempfile::tempdir().unwrap());
        let task = tokio::spawn(source::run(SourceTask {
            config: SourceConfig { name: "Plc".into(), enabled: true, kind },
            tags: tags.into_iter().enumerate().map(|(i, tag)| Tag { id: SampleId { machine: 0, channel: i as u16 }, ..tag }).collect(),
            samples: SampleSender::new(vec![tx]),
            status: status_tx,
            pki_dir: pki.path().into(),
            stop: stop.clone(),
            outbox: source::Outbox::empty(),
            lines: source::Lines::default(),
        }));
        Self { samples, status, stop, task, pki }
    }

    /// The next sample of this channel that is as wanted.
    async fn sample(&mut self, channel: u16, what: &str, mut wanted: impl FnMut(&Sample) -> bool) -> Sample {
        let found = async {
            loop {
                let sample = self.samples.recv().await.expect("the source has ended");
                if sample.id.channel == channel && wanted(&sample) {
                    return sample;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(sample) => sample,
            Err(_) => panic!("channel {channel}: not {what} within {PATIENCE:?}; {:?}", *self.status.borrow()),
        }
    }

    async fn good(&mut self, channel: u16) -> Sample {
        self.sample(channel, "good", |s| s.quality == Quality::Good).await
    }

    async fn bad(&mut self, channel: u16, cause: Cause) -> Sample {
        self.sample(channel, &cause.to_string(), |s| s.quality == Quality::Bad(cause)).await
    }

    async fn value(&mut self, channel: u16, value: Value) -> Sample {
        self.sample(channel, &format!("{value:?}"), |s| s.value.as_ref() == Some(&value) && s.quality == Quality::Good).await
    }

    async fn state(&mut self, state: SourceState) -> SourceStatus {
        let found = tokio::time::timeout(PATIENCE, self.status.wait_for(|s| s.state == state)).await;
        let found = found.map(|status| status.expect("the source has ended").clone());
        found.unwrap_or_else(|_| panic!("not {state} within {PATIENCE:?}; {:?}", *self.status.borrow()))
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("does not stop").unwrap();
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(since.as_nanos() as i64)
}

/// Taken within the last seconds, and received after that.
fn assert_recent(sample: &Sample) {
    let (now, slack) = (now(), Duration::from_millis(100));
    assert!(now.since(sample.source_time) < Duration::from_secs(5), "{} at {now}", sample.source_time);
    assert!(sample.source_time <= sample.receive_time.plus(slack) && sample.receive_time <= now.plus(slack), "{sample:?}");
}

fn scalar(address: &str) -> Tag {
    Tag {
        id: SampleId { machine: 0, channel: 0 },
        address: address.into(),
        register_type: RegisterType::F32,
        shape: Shape::Scalar,
        sampling: None,
        scale: 1.0,
        offset: 0.0,
        counter: None,
        deadband: None,
        name: format!("Motor1.{address}"),
    }
}

fn block(address: &str, length: usize) -> Tag {
    Tag { shape: Shape::Block { length, rate: 1000.0 }, ..scalar(address) }
}

fn typed(address: &str, register_type: RegisterType) -> Tag {
    Tag { register_type, ..scalar(address) }
}

fn opcua_config(endpoint: &str) -> OpcUaConfig {
    OpcUaConfig {
        endpoint: endpoint.into(),
        security: Security::Auto,
        user: None,
        namespace: None,
        publishing_interval: Duration::from_millis(100),
        polling: None,
        silence: Duration::from_secs(10),
        trust_any_certificate: false,
    }
}

fn opcua(sim: &Sim, security: Security, namespace: Option<&str>) -> SourceKind {
    SourceKind::OpcUa(OpcUaConfig { security, namespace: namespace.map(String::from), ..opcua_config(&sim.endpoint) })
}

fn modbus(sim: &Sim, word_order: WordOrder) -> SourceKind {
    let (host, port) = sim.endpoint.rsplit_once(':').unwrap();
    SourceKind::Modbus(ModbusConfig {
        place: ModbusPlace::Tcp { host: host.into(), port: port.parse().unwrap() },
        unit: 1,
        poll_interval: Duration::from_millis(100),
        timeout: Duration::from_secs(1),
        word_order,
        max_registers: 125,
        max_gap: 8,
        pause: Duration::ZERO,
    })
}

const ZONES: &str = "1.5;2;3;4;5;6;7;8";

fn zones() -> Value {
    Value::Block(vec![1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].into())
}

#[tokio::test(flavor = "multi_thread")]
async fn siemens_values_settings_and_faults() {
    // Small limits: requests have to be split.
    let mut sim = Sim::start("sim_siemens.py", &["--security", "none", "--max-items-per-call", "4", "--max-nodes-per-read", "4"]);
    // One more refusal, below the limit that the server names.
    sim.command("fault CreateMonitoredItems BadTooManyOperations");
    let tags = vec![
        scalar("\"DB_Machine\".\"rSpeed\""),
        block("nsu=http://www.siemens.com/simatic-s7-opcua;s=\"DB_Machine\".\"aVibration\"", 512),
        scalar("ns=3;s=\"DB_Settings\".\"rSetSpeed\""),
        scalar("\"DB_Machine\".\"xRunning\""),
        scalar("\"DB_Machine\".\"sBatch\""),
        scalar("\"DB_Machine\".\"rTempBearing\""),
        scalar("\"DB_Machine\".\"rMissing\""),
        Tag { scale: 10.0, offset: 1.0, ..block("\"DB_Machine\".\"aZoneTemp\"", 8) },
        block("\"DB_Machine\".\"aZoneTemp\"", 9),
        scalar("\"DB_Machine\".\"aZoneTemp\""),
    ];
    let mut rig = Rig::start(opcua(&sim, Security::Auto, None), tags);
    let speed = rig.good(0).await;
    assert_recent(&speed);
    assert!((800.0..1600.0).contains(&speed.value.unwrap().number().unwrap()));
    let wave = rig.good(1).await;
    assert_recent(&wave);
    assert_eq!(wave.value.unwrap().block().unwrap().len(), 512);
    assert_eq!(rig.good(3).await.value, Some(Value::Bool(true)));
    assert!(matches!(rig.good(4).await.value, Some(Value::Text(_))));

    // One wrong address does not touch the others, and is named.
    rig.bad(6, Cause::UnknownAddress).await;
    rig.bad(8, Cause::WrongLength).await;
    rig.bad(9, Cause::WrongType).await;
    let status = rig.state(SourceState::Connected).await;
    assert!(status.text.contains("9 of 10 values") && status.text.contains("rMissing"), "{}", status.text);

    // A setting that does not change stays fresh.
    sim.command("hold");
    let first = rig.good(2).await;
    let later = rig.sample(2, "later", |s| s.source_time.since(first.source_time) > Duration::from_secs(2)).await;
    assert_eq!((later.value.clone(), later.quality), (first.value, Quality::Good));
    assert_recent(&later);

    sim.command("set rSpeed 123.5");
    rig.value(0, Value::Real(123.5)).await;
    sim.command(&format!("set aZoneTemp {ZONES}"));
    rig.value(7, Value::Block(zones().block().unwrap().iter().map(|x| x * 10.0 + 1.0).collect())).await;
    sim.command("bad rTempBearing BadSensorFailure");
    assert_eq!(rig.bad(5, Cause::SensorFailure).await.value, None);
    sim.command("uncertain rTempBearing");
    rig.sample(5, "last usable", |s| s.quality == Quality::Uncertain(Cause::LastUsable) && s.value.is_some()).await;
    sim.command("clear");
    rig.good(5).await;

    rig.stop().await;
    assert_eq!(sim.command("status")["sessions"], 0, "the session is closed on the PLC too");
}

/// What the server holds back is neither news nor silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadband_is_kept_by_the_plc() {
    let mut sim = Sim::start("sim_siemens.py", &["--security", "none"]);
    sim.command("hold");
    sim.command("set rSpeed 100");
    let speed = scalar("\"DB_Machine\".\"rSpeed\"");
    let mut rig = Rig::start(opcua(&sim, Security::Auto, None), vec![Tag { deadband: Some(5.0), ..speed.clone() }, speed]);
    rig.value(0, Value::Real(100.0)).await;
    sim.command("set rSpeed 103");
    let every = rig.sample(1, "without a deadband", |s| s.value == Some(Value::Real(103.0))).await;
    let held = rig.sample(0, "seconds later", |s| s.source_time.since(every.source_time) > Duration::from_secs(4)).await;
    assert_eq!((held.value, held.quality), (Some(Value::Real(100.0)), Quality::Good), "fresh, and as it was announced");
    let status = rig.state(SourceState::Connected).await;
    assert_eq!((status.reconnects, status.text.contains("2 of 2 values")), (0, true), "{}", status.text);
    sim.command("set rSpeed 106");
    rig.value(0, Value::Real(106.0)).await;
    rig.stop().await;
}

/// By configuration, and of itself where the PLC has no subscriptions.
#[tokio::test(flavor = "multi_thread")]
async fn values_are_read_where_subscriptions_are_no_good() {
    let mut sim = Sim::start("sim_siemens.py", &["--security", "none", "--max-nodes-per-read", "4"]);
    let tags = || {
        vec![
            scalar("\"DB_Machine\".\"rSpeed\""),
            block("\"DB_Machine\".\"aVibration\"", 512),
            scalar("\"DB_Settings\".\"rSetSpeed\""),
            scalar("\"DB_Machine\".\"rMissing\""),
            Tag { sampling: Some(Duration::from_secs(2)), ..scalar("\"DB_Machine\".\"rTempBearing\"") },
        ]
    };
    let mut config = opcua(&sim, Security::Auto, None);
    let SourceKind::OpcUa(opcua) = &mut config else { panic!() };
    opcua.polling = Some(Duration::from_millis(50));
    let mut polled = Rig::start(config.clone(), tags());
    let SourceKind::OpcUa(opcua) = &mut config else { panic!() };
    opcua.polling = None;
    sim.command("fault CreateSubscription BadServiceUnsupported 1000");
    let mut refused = Rig::start(config, tags());
    for (rig, every) in [(&mut polled, "read every 50 ms"), (&mut refused, "read every 100 ms")] {
        assert_recent(&rig.good(0).await);
        assert_eq!(rig.good(1).await.value.unwrap().block().unwrap().len(), 512);
        rig.good(4).await;
        rig.bad(3, Cause::UnknownAddress).await;
        let status = rig.state(SourceState::Connected).await;
        assert!(
            status.text.contains("4 of 5 values") && status.text.contains(every) && status.text.contains("rMissing"),
            "{}",
            status.text
        );
    }
    sim.command("hold");
    sim.command("set rSpeed 123.5");
    for rig in [&mut polled, &mut refused] {
        rig.value(0, Value::Real(123.5)).await;
        // What does not change stays fresh, and is no news.
        let first = rig.good(2).await;
        let later = rig.sample(2, "later", |s| s.source_time.since(first.source_time) > Duration::from_secs(2)).await;
        assert_eq!((later.value, later.quality, later.repeated), (first.value, Quality::Good, true));
    }
    sim.command("bad rTempBearing BadSensorFailure");
    polled.bad(4, Cause::SensorFailure).await;
    sim.command("clear");
    polled.good(4).await;
    sim.give("restart 1");
    polled.bad(0, Cause::ConnectionLost).await;
    polled.good(0).await;
    assert!(polled.status.borrow().reconnects > 0);
    polled.stop().await;
    refused.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn siemens_restart_and_lost_connections() {
    let mut sim = Sim::start("sim_siemens.py", &["--security", "none"]);
    let tags =
        vec![scalar("\"DB_Machine\".\"rSpeed\""), block("\"DB_Machine\".\"aVibration\"", 512), scalar("\"DB_Settings\".\"rSetSpeed\"")];
    let mut rig = Rig::start(opcua(&sim, Security::None, None), tags);
    for channel in 0..3 {
        rig.good(channel).await;
    }
    for command in ["restart 2", "drop", "killsessions", "stall 8", "download 1"] {
        let before = rig.status.borrow().reconnects;
        sim.give(command);
        let lost = rig.bad(0, Cause::ConnectionLost).await;
        for channel in [2, 1, 0] {
            let again = rig.sample(channel, "good again", |s| s.quality == Quality::Good && s.receive_time > lost.receive_time).await;
            assert!(again.source_time >= lost.source_time || channel == 2, "{command}: {again:?} after {lost:?}");
        }
        sim.answer();
        let status = rig.state(SourceState::Connected).await;
        assert!(status.reconnects > before, "{command}: {status:?}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_by_hand() {
    let sim = Sim::start("sim_beckhoff.py", &["--security", "both"]);
    let mut rig = Rig::start(opcua(&sim, Security::Auto, None), vec![scalar("MAIN.fbMotor.rSpeed")]);
    rig.bad(0, Cause::ConnectionLost).await;
    let status = rig.state(SourceState::CertificateRejected).await;
    assert!(status.text.contains("trusted"), "{}", status.text);
    let [rejected] =
        std::fs::read_dir(rig.pki.path().join("rejected")).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
    std::fs::rename(&rejected, rig.pki.path().join("trusted").join(rejected.file_name().unwrap())).unwrap();
    assert_recent(&rig.good(0).await);
    rig.state(SourceState::Connected).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password() {
    let mut sim = Sim::start("sim_beckhoff.py", &["--security", "secure", "--no-anonymous", "--user", "gate:secret"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let user = UserConfig { name: "gate".into(), password: PasswordFrom::File(file.display().to_string()) };
    let config = OpcUaConfig { user: Some(user), trust_any_certificate: true, ..opcua_config(&sim.endpoint) };
    let mut rig = Rig::start(SourceKind::OpcUa(config), vec![scalar("MAIN.fbMotor.rSpeed")]);
    rig.bad(0, Cause::ConnectionLost).await;
    let status = rig.state(SourceState::ConfigurationError).await;
    assert!(status.text.contains("password") && !status.text.contains("wrong"), "{}", status.text);
    std::fs::write(&file, "secret\n").unwrap();
    rig.good(0).await;
    rig.stop().await;
    assert_eq!(sim.command("status")["sessions"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn beckhoff_with_host_name_and_moved_namespace() {
    let mut sim = Sim::start("sim_beckhoff.py", &["--security", "none", "--old-uri"]);
    let tags = vec![
        scalar("MAIN.fbMotor.rSpeed"),
        scalar("MAIN.fbMotor.stMotor.rCurrent"),
        block("MAIN.fbMotor.aVibration", 512),
        scalar("GVL_Settings.rSetSpeed"),
        scalar("MAIN.fbMotor.stMotor"),
    ];
    let mut rig = Rig::start(opcua(&sim, Security::None, Some("urn:BeckhoffAutomation:Ua:PLC1")), tags);
    for channel in 0..4 {
        assert_recent(&rig.good(channel).await);
    }
    rig.bad(4, Cause::WrongType).await;
    sim.command("reindex 2");
    rig.bad(0, Cause::ConnectionLost).await;
    sim.command("set rSpeed 77.25");
    rig.value(0, Value::Real(77.25)).await;
    sim.command("plcmode STOP");
    rig.bad(0, Cause::ConnectionLost).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_comes_back() {
    let mut sim = Sim::start("sim_beckhoff.py", &["--security", "none"]);
    let config = OpcUaConfig { silence: Duration::from_secs(3), ..opcua_config(&sim.endpoint) };
    let mut rig = Rig::start(SourceKind::OpcUa(config), vec![scalar("MAIN.fbMotor.rSpeed"), scalar("MAIN.fbMotor.rTorque")]);
    rig.good(0).await;
    sim.command("remove rSpeed");
    rig.bad(0, Cause::UnknownAddress).await;
    rig.good(1).await;
    // The old monitored item stays dead: the refresh reads bring a value a second, the watchdog all of them.
    sim.command("restore rSpeed");
    let mut last = rig.good(0).await.source_time;
    rig.sample(0, "published again", |s| s.source_time.since(std::mem::replace(&mut last, s.source_time)) < Duration::from_millis(400))
        .await;
    let status = rig.state(SourceState::Connected).await;
    assert_eq!(status.reconnects, 0, "the session is kept");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modbus_registers_and_bad_addresses() {
    let mut sim = Sim::start("sim_modbus.py", &["--profile", "generic"]);
    let tags = vec![
        scalar("holding:0"),
        typed("holding:4", RegisterType::F64),
        typed("holding:14", RegisterType::I16),
        typed("40016", RegisterType::I32),
        typed("coil:0", RegisterType::Bool),
        scalar("30001"),
        block("holding:19", 512),
        block("holding:1043", 8),
        typed("holding:1070", RegisterType::I16),
        // One beyond the last register, beside a good one; far away; no bit.
        typed("holding:1071", RegisterType::I16),
        scalar("holding:5000"),
        scalar("coil:1"),
    ];
    let mut rig = Rig::start(modbus(&sim, WordOrder::Abcd), tags);
    for channel in 0..9 {
        assert_recent(&rig.good(channel).await);
    }
    for channel in 9..12 {
        rig.bad(channel, Cause::UnknownAddress).await;
    }
    let status = rig.state(SourceState::Connected).await;
    assert!(status.text.contains("9 of 12 values"), "{}", status.text);

    for (command, channel, value) in [
        ("set rSpeed 123.5", 0, Value::Real(123.5)),
        ("set rSpeed -7.25", 5, Value::Real(-7.25)),
        ("set lrEnergy 1e9", 1, Value::Real(1e9)),
        ("set iState -3", 2, Value::Integer(-3)),
        ("set diCycles -70000", 3, Value::Integer(-70_000)),
        ("set xRunning false", 4, Value::Bool(false)),
        ("set iRecipe 9", 8, Value::Integer(9)),
    ] {
        sim.command(command);
        rig.value(channel, value).await;
    }
    sim.command(&format!("set aZoneTemp {ZONES}"));
    rig.value(7, zones()).await;

    // The values of one poll belong together.
    let one = rig.good(0).await;
    let two = rig.sample(8, "of the same poll", |s| s.source_time >= one.source_time).await;
    assert_eq!((one.source_time, one.receive_time), (two.source_time, one.source_time));
    sim.command("bad rSpeed");
    rig.bad(0, Cause::NotFinite).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modbus_faults_of_the_device() {
    let mut sim = Sim::start("sim_modbus.py", &["--profile", "tf6250"]);
    let tags = vec![scalar("holding:0x3000"), typed("coil:0x8000", RegisterType::Bool), block("holding:0x3013", 512)];
    let mut rig = Rig::start(modbus(&sim, WordOrder::Cdab), tags);
    for channel in 0..3 {
        assert_recent(&rig.good(channel).await);
    }
    sim.command("set rSpeed 123.5");
    rig.value(0, Value::Real(123.5)).await;
    sim.command("exception 6 3");
    rig.bad(0, Cause::Status(0x8004_0000)).await;
    rig.good(0).await;
    for command in ["silent 1", "wrongid 1", "short 1", "garbage 1", "drop", "halfclose", "stop"] {
        let begin = Instant::now();
        sim.command(command);
        rig.bad(0, Cause::ConnectionLost).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{command} was noticed after {:?}", begin.elapsed());
        if command == "stop" {
            rig.state(SourceState::Down).await;
            sim.command("start");
        }
        rig.good(0).await;
        rig.good(2).await;
    }
    assert!(rig.state(SourceState::Connected).await.reconnects >= 7);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_stops_at_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = opcua_config(&format!("opc.tcp://{closed}"));
    let mut rig = Rig::start(SourceKind::OpcUa(config), vec![scalar("MAIN.a")]);
    rig.bad(0, Cause::ConnectionLost).await;
    let status = rig.state(SourceState::Down).await;
    assert!(status.text.contains("check network"), "{}", status.text);
    rig.stop().await;
}
