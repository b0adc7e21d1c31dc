//! Units that share one connection, over TCP and on a serial line.

use std::collections::BTreeMap;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_util::sync::CancellationToken;

use super::Lines;
use crate::config::{Config, RegisterType, SourceConfig};
use crate::source::{Outbox, SampleSender, SourceStatus, SourceTask, Tag, run, test_tag};
use crate::types::{Quality, Sample, SourceState, Value};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

/// How a unit behind the gateway is.
#[derive(Copy, Clone, PartialEq)]
enum Unit {
    /// Every register holds the unit's number.
    Well,
    /// The gateway says that it does not answer.
    Absent,
    /// Nobody says anything.
    Silent,
}

#[derive(Default)]
struct Seen {
    units: BTreeMap<u8, Unit>,
    asked: BTreeMap<u8, u32>,
    connections: u32,
}

/// A gateway from TCP to a serial line.
#[derive(Clone, Default)]
struct Gateway(Arc<Mutex<Seen>>);

impl Service for Gateway {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Response, ExceptionCode>> + Send + Sync>>;

    fn call(&self, SlaveRequest { slave, request }: Self::Request) -> Self::Future {
        let mut seen = self.0.lock().unwrap();
        *seen.asked.entry(slave).or_default() += 1;
        let Request::ReadHoldingRegisters(_, quantity) = request else { return Box::pin(ready(Err(ExceptionCode::IllegalFunction))) };
        match seen.units.get(&slave) {
            Some(Unit::Well) => {
                let words = vec![u16::from(slave); usize::from(quantity)];
                Box::pin(ready(Ok(Response::ReadHoldingRegisters(words))))
            }
            Some(Unit::Silent) => Box::pin(pending()),
            Some(Unit::Absent) | None => Box::pin(ready(Err(ExceptionCode::GatewayTargetDevice))),
        }
    }
}

impl Gateway {
    async fn start(units: &[(u8, Unit)]) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let gateway = Self::default();
        gateway.0.lock().unwrap().units.extend(units.iter().copied());
        let served = gateway.clone();
        tokio::spawn(async move {
            let connected = |stream, from| {
                served.0.lock().unwrap().connections += 1;
                let gateway = served.clone();
                async move { accept_tcp_connection(stream, from, move |_| Ok(Some(gateway.clone()))) }
            };
            Server::new(listener).serve(&connected, |_| ()).await.unwrap();
        });
        (gateway, endpoint)
    }

    fn set(&self, unit: u8, how: Unit) {
        self.0.lock().unwrap().units.insert(unit, how);
    }

    fn asked(&self, unit: u8) -> u32 {
        self.0.lock().unwrap().asked.get(&unit).copied().unwrap_or(0)
    }

    fn connections(&self) -> u32 {
        self.0.lock().unwrap().connections
    }
}

/// A source of one unit.
struct Source {
    samples: mpsc::Receiver<Sample>,
    status: watch::Receiver<SourceStatus>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Source {
    fn start(endpoint: &str, unit: u8, lines: &Lines) -> Self {
        let text = format!(
            "[[sources]]\nname = \"P\"\nprotocol = \"modbus\"\nendpoint = \"{endpoint}\"\nunit = {unit}\npoll_interval = \"20ms\"\ntimeout = \"200ms\"\n[[machines]]\nname = \"M\"\nperiod = \"1s\"\n[[machines.signals]]\nname = \"a\"\naddress = \"holding:1\"\n"
        );
        let config: SourceConfig = Config::parse(&text).unwrap().sources[0].clone();
        let (sender, samples) = mpsc::channel(100_000);
        let (status_sender, status) = watch::channel(SourceStatus::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(SourceTask {
            config,
            tags: vec![Tag { register_type: RegisterType::U16, ..test_tag("a", "holding:1") }],
            samples: SampleSender::new(vec![sender]),
            status: status_sender,
            pki_dir: std::env::temp_dir(),
            stop: stop.clone(),
            outbox: Outbox::empty(),
            lines: lines.clone(),
        }));
        Self { samples, status, stop, task }
    }

    async fn is(&mut self, state: SourceState) -> String {
        let found = tokio::time::timeout(LIMIT, self.status.wait_for(|s| s.state == state)).await;
        found.unwrap_or_else(|_| panic!("never {state}")).unwrap().text.clone()
    }

    /// Waits for so many good values more, and returns everything that has come meanwhile.
    async fn good(&mut self, wanted: usize) -> Vec<(Option<Value>, Quality)> {
        let mut all = Vec::new();
        while all.iter().filter(|(_, quality): &&(_, Quality)| quality.is_good()).count() < wanted {
            let sample = tokio::time::timeout(LIMIT, self.samples.recv()).await;
            let sample = sample.unwrap_or_else(|_| panic!("no value: {:?}", self.status.borrow().text)).unwrap();
            all.push((sample.value, sample.quality));
        }
        all
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it ends").unwrap();
    }
}

#[tokio::test]
async fn units_share_one_connection_and_an_absent_one_comes_back() {
    let (gateway, endpoint) = Gateway::start(&[(1, Unit::Well), (2, Unit::Well), (3, Unit::Absent)]).await;
    let lines = Lines::default();
    let (mut one, mut two, mut three) =
        (Source::start(&endpoint, 1, &lines), Source::start(&endpoint, 2, &lines), Source::start(&endpoint, 3, &lines));
    assert!(one.good(20).await.iter().all(|(value, quality)| quality.is_good() && *value == Some(Value::Integer(1))));
    assert!(two.good(20).await.iter().all(|(value, quality)| quality.is_good() && *value == Some(Value::Integer(2))));
    let why = three.is(SourceState::Down).await;
    assert!(why.contains("unit 3") && why.contains("does not reach the unit"), "{why}");
    gateway.set(3, Unit::Well);
    three.is(SourceState::Connected).await;
    assert_eq!(gateway.connections(), 1, "for three units, of which one was absent");
    for source in [one, two, three] {
        source.end().await;
    }
    // Nobody uses it any more: the next one opens it anew.
    let mut again = Source::start(&endpoint, 1, &lines);
    again.good(1).await;
    assert_eq!(gateway.connections(), 2);
    again.end().await;
}

#[tokio::test]
async fn a_silent_unit_costs_the_others_neither_values_nor_much_time() {
    let (gateway, endpoint) = Gateway::start(&[(1, Unit::Well), (2, Unit::Well)]).await;
    let lines = Lines::default();
    let (mut well, mut silent) = (Source::start(&endpoint, 1, &lines), Source::start(&endpoint, 2, &lines));
    well.good(5).await;
    silent.good(5).await;
    gateway.set(2, Unit::Silent);
    silent.is(SourceState::Down).await;
    let (asked, connections) = (gateway.asked(2), gateway.connections());
    let values = well.good(100).await;
    assert!(values.iter().all(|(_, quality)| quality.is_good()), "the line was opened again for the others");
    // 100 values are 2 s and more; a silence of 0.2 s is followed by 1.8 s without a request to that unit.
    let more = gateway.asked(2) - asked;
    assert!(more <= 4, "asked {more} times while it was silent");
    assert!(gateway.connections() <= connections + more + 1);
    assert_eq!(well.status.borrow().state, SourceState::Connected);
    assert_eq!(well.status.borrow().reconnects, 0);
    gateway.set(2, Unit::Well);
    silent.is(SourceState::Connected).await;
    well.end().await;
    silent.end().await;
}

/// A place where nothing listens is tried once for all who wait for it.
#[tokio::test]
async fn sources_of_a_place_that_is_not_there_say_so() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let lines = Lines::default();
    let mut sources: Vec<_> = (1..=3).map(|unit| Source::start(&format!("tcp://{closed}"), unit, &lines)).collect();
    for source in &mut sources {
        let why = source.is(SourceState::Down).await;
        assert!(why.starts_with(&format!("no connection to {closed}")), "{why}");
    }
    for source in sources {
        source.end().await;
    }
}

#[cfg(feature = "rtu")]
mod rtu {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_serial::{SerialPort, SerialStream};

    use super::*;

    /// Modbus over serial line, V1.02, 6.2.2.
    fn crc(bytes: &[u8]) -> [u8; 2] {
        let step = |crc: u16, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
        bytes.iter().fold(0xFFFF_u16, |crc, byte| (0..8).fold(crc ^ u16::from(*byte), step)).to_le_bytes()
    }

    /// Units 1 and 2 at the other end of the line; unit 3 is silent. One register each.
    async fn units(mut line: SerialStream) {
        let mut request = [0; 8];
        loop {
            // An error: nobody has the other end open.
            if line.read_exact(&mut request).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let [unit, function, .., registers, low, high] = request;
            assert_eq!([low, high], crc(&request[..6]), "the request's check sum");
            assert_eq!((function, registers), (3, 1));
            if unit < 3 {
                let answer = [unit, 3, 2, 0, unit + 40];
                line.write_all(&answer).await.unwrap();
                line.write_all(&crc(&answer)).await.unwrap();
            }
        }
    }

    #[test]
    fn the_check_sum_is_that_of_the_specification() {
        assert_eq!(crc(&[0x02, 0x07]), [0x41, 0x12]);
    }

    #[tokio::test]
    async fn units_on_a_serial_line() {
        let (theirs, ours) = SerialStream::pair().unwrap();
        let device = ours.name().unwrap();
        drop(ours);
        let answering = tokio::spawn(units(theirs));
        let lines = Lines::default();
        let endpoint = format!("serial:{device}");
        let (mut one, mut two, mut three) =
            (Source::start(&endpoint, 1, &lines), Source::start(&endpoint, 2, &lines), Source::start(&endpoint, 3, &lines));
        assert_eq!(one.good(10).await.last().unwrap().0, Some(Value::Integer(41)));
        assert_eq!(two.good(10).await.last().unwrap().0, Some(Value::Integer(42)));
        let why = three.is(SourceState::Down).await;
        assert!(why.contains("no answer within 200 ms"), "{why}");
        assert!(one.good(10).await.iter().all(|(_, quality)| quality.is_good()), "after the silence of another unit");
        for source in [one, two, three] {
            source.end().await;
        }
        assert!(!answering.is_finished(), "every request was whole");
        answering.abort();
    }

    #[tokio::test]
    async fn a_line_that_is_not_there_is_named() {
        let mut source = Source::start("serial:/dev/ttyNothing9", 1, &Lines::default());
        let why = source.is(SourceState::Down).await;
        assert!(why.contains("/dev/ttyNothing9") && why.contains("check the cable"), "{why}");
        source.end().await;
    }
}
