//! The poller against a device with limits of its own.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_modbus::client::tcp;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::slave::Slave;
use tokio_modbus::{ExceptionCode, Request as Wire, Response};

use super::link::{self, LinkError};
use super::poll::Poller;
use crate::config::{Config, ModbusConfig, RegisterType, Shape, SourceKind};
use crate::source::emit::Emitter;
use crate::source::{SampleSender, Tag, test_tag};
use crate::types::{Cause, Quality, Sample, Value};

/// Every register holds its number. Larger requests than `limit` are refused, or not answered; `bad` is refused.
#[derive(Clone)]
struct Device {
    limit: u16,
    is_silent: bool,
    bad: Option<u16>,
    asked: Arc<Mutex<Vec<(u16, u16)>>>,
}

impl Service for Device {
    type Request = Wire<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Response, ExceptionCode>> + Send + Sync>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let Wire::ReadHoldingRegisters(start, quantity) = request else { return Box::pin(ready(Err(ExceptionCode::IllegalFunction))) };
        self.asked.lock().unwrap().push((start, quantity));
        if quantity > self.limit && self.is_silent {
            return Box::pin(pending());
        }
        if quantity > self.limit {
            return Box::pin(ready(Err(ExceptionCode::IllegalDataValue)));
        }
        if self.bad.is_some_and(|bad| (start..start + quantity).contains(&bad)) {
            return Box::pin(ready(Err(ExceptionCode::IllegalDataAddress)));
        }
        Box::pin(ready(Ok(Response::ReadHoldingRegisters((start..start + quantity).collect()))))
    }
}

struct Rig {
    device: Device,
    address: std::net::SocketAddr,
    config: ModbusConfig,
    emitter: Arc<Emitter>,
    samples: mpsc::Receiver<Sample>,
    _server: tokio::task::JoinHandle<()>,
}

impl Rig {
    async fn start(device: Device, tags: Vec<Tag>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = device.clone();
        let server = tokio::spawn(async move {
            let connected = |stream, from| {
                let device = served.clone();
                async move { accept_tcp_connection(stream, from, move |_| Ok(Some(device.clone()))) }
            };
            Server::new(listener).serve(&connected, |_| ()).await.unwrap();
        });
        let text = "[[sources]]\nname = \"P\"\nprotocol = \"modbus\"\nendpoint = \"tcp://127.0.0.1\"\n[[machines]]\nname = \"M\"\nperiod = \"1s\"\n[[machines.signals]]\nname = \"a\"\naddress = \"holding:1\"\n";
        let SourceKind::Modbus(mut config) = Config::parse(text).unwrap().sources[0].kind.clone() else { panic!() };
        config.timeout = Duration::from_secs(60);
        let (sender, samples) = mpsc::channel(1_000);
        let emitter = Arc::new(Emitter::new(tags.into(), SampleSender::new(vec![sender])));
        Self { device, address, config, emitter, samples, _server: server }
    }

    async fn connect(&self) -> link::Device {
        let stream = TcpStream::connect(self.address).await.unwrap();
        link::Device::new(tcp::attach_slave(stream, Slave(1)), &self.config)
    }

    /// What was asked since the last look.
    fn asked(&self) -> Vec<(u16, u16)> {
        std::mem::take(&mut *self.device.asked.lock().unwrap())
    }

    fn samples(&mut self) -> Vec<(Option<Value>, Quality)> {
        std::iter::from_fn(|| self.samples.try_recv().ok()).map(|s| (s.value, s.quality)).collect()
    }
}

fn device(limit: u16) -> Device {
    Device { limit, is_silent: false, bad: None, asked: Arc::default() }
}

fn word(address: &str) -> Tag {
    Tag { register_type: RegisterType::U16, ..test_tag("a", address) }
}

fn words(count: u16) -> Vec<Tag> {
    (0..count).map(|i| word(&format!("holding:{i}"))).collect()
}

#[tokio::test]
async fn a_smaller_limit_is_learned_and_kept() {
    let mut rig = Rig::start(device(40), words(100)).await;
    let config = rig.config.clone();
    let emitter = rig.emitter.clone();
    let mut poller = Poller::new(&config, &emitter);
    let mut context = rig.connect().await;
    poller.begin();
    poller.cycle(&mut context).await.unwrap();
    assert_eq!(rig.asked(), [(0, 100), (0, 50), (0, 25), (25, 25), (50, 50), (50, 25), (75, 25)]);
    poller.begin();
    poller.cycle(&mut context).await.unwrap();
    assert_eq!(rig.asked(), [(0, 25), (25, 25), (50, 25), (75, 25)], "no request is refused any more");
    let samples = rig.samples();
    assert_eq!(samples.len(), 200);
    assert!(samples.iter().enumerate().all(|(i, s)| *s == (Some(Value::Integer(i as i64 % 100)), Quality::Good)));
}

#[tokio::test]
async fn the_limit_and_a_bad_register_are_told_apart() {
    let mut bad = device(40);
    bad.bad = Some(30);
    let mut rig = Rig::start(bad, words(100)).await;
    let config = rig.config.clone();
    let emitter = rig.emitter.clone();
    let mut poller = Poller::new(&config, &emitter);
    let mut context = rig.connect().await;
    poller.begin();
    poller.cycle(&mut context).await.unwrap();
    let samples = rig.samples();
    let is_bad = |i: usize| samples[i].1 == Quality::Bad(Cause::UnknownAddress);
    assert_eq!((0..100).filter(|i| is_bad(*i)).collect::<Vec<_>>(), [30], "one register, not its neighbours");
    assert_eq!(samples.iter().filter(|s| s.1 == Quality::Good).count(), 99);
}

#[tokio::test]
async fn a_block_is_read_in_smaller_pieces() {
    let mut tag = word("holding:100");
    tag.shape = Shape::Block { length: 64, rate: 100.0 };
    let mut rig = Rig::start(device(20), vec![tag]).await;
    let config = rig.config.clone();
    let emitter = rig.emitter.clone();
    let mut poller = Poller::new(&config, &emitter);
    let mut context = rig.connect().await;
    poller.begin();
    poller.cycle(&mut context).await.unwrap();
    rig.asked();
    poller.begin();
    poller.cycle(&mut context).await.unwrap();
    assert_eq!(rig.asked(), [(100, 16), (116, 16), (132, 16), (148, 16)]);
    let expected = Some(Value::Block((100..164).map(f64::from).collect()));
    assert_eq!(rig.samples(), [(expected.clone(), Quality::Good), (expected, Quality::Good)]);
}

#[tokio::test]
async fn silence_is_learned_from_too() {
    let mut silent = device(40);
    silent.is_silent = true;
    let mut rig = Rig::start(silent, words(100)).await;
    rig.config.timeout = Duration::from_millis(300);
    let config = rig.config.clone();
    let emitter = rig.emitter.clone();
    let mut poller = Poller::new(&config, &emitter);
    let mut failures = 0;
    for _ in 0..20 {
        let mut context = rig.connect().await;
        poller.begin();
        match poller.cycle(&mut context).await {
            Ok(()) => break,
            Err(LinkError::Timeout(_)) => failures += 1,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(failures >= 5, "100 three times (is anybody there?), 50 twice, then 25: {failures}");
    let samples = rig.samples();
    assert_eq!(samples.len(), 100);
    assert!(samples.iter().all(|s| s.1 == Quality::Good));
}

#[tokio::test]
async fn the_pause_is_kept_between_requests() {
    let mut rig = Rig::start(device(125), vec![word("holding:0"), word("holding:500"), word("holding:900")]).await;
    rig.config.pause = Duration::from_millis(50);
    let config = rig.config.clone();
    let mut poller = Poller::new(&config, &rig.emitter);
    let mut context = rig.connect().await;
    poller.begin();
    let begin = Instant::now();
    poller.cycle(&mut context).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(100), "two pauses between three requests");
}

#[tokio::test]
async fn bits_of_registers_are_told_apart() {
    let bit = |address: &str| Tag { register_type: RegisterType::Bool, ..test_tag("a", address) };
    // Register 5 holds 0b101.
    let mut rig = Rig::start(device(125), vec![bit("holding:5.0"), bit("holding:5.1"), bit("DBX11.2"), bit("holding:5")]).await;
    let config = rig.config.clone();
    let emitter = rig.emitter.clone();
    let mut poller = Poller::new(&config, &emitter);
    let mut context = rig.connect().await;
    poller.begin();
    poller.cycle(&mut context).await.unwrap();
    assert_eq!(rig.asked(), [(5, 1)], "one request for all of them");
    let values: Vec<Option<Value>> = rig.samples().into_iter().map(|s| s.0).collect();
    assert_eq!(values, [true, false, true, true].map(|b| Some(Value::Bool(b))));
}
