//! Blocks of one piece: a register beside the block that the PLC counts up with each new one.
//!
//! Counter, block, counter again: where the counts differ, the PLC has written in between, and what was read may be half of one block
//! and half of the next. It is read again, [`ATTEMPTS`] times at most, then dropped. The PLC must write block and counter in the same
//! scan; the count of a block filled over several scans says nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::address;
use super::plan::{Part, Request};

/// Times that a block is read in one cycle at most.
pub(super) const ATTEMPTS: usize = 3;

/// What two counts around a block say.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole,
    Torn,
}

struct Counter {
    address: String,
    request: Request,
    /// Count of the last whole block.
    last: Option<u16>,
}

/// The counters of blocks, by tag.
#[derive(Default)]
pub(super) struct Counters {
    by_tag: BTreeMap<usize, Counter>,
    torn: BTreeSet<usize>,
}

impl Counters {
    /// Else what is wrong with the address.
    pub fn add(&mut self, tag: usize, address: &str) -> Result<(), String> {
        let parsed = address::parse(address).map_err(|e| e.to_string())?;
        if parsed.is_bit() {
            return Err(format!("`{address}` is a bit and does not count: name a register"));
        }
        let start = u32::from(parsed.start);
        let part = Part { tag, registers: start..start + 1, offset: 0, width: 1 };
        let request = Request { table: parsed.table, registers: start..start + 1, parts: vec![part] };
        self.by_tag.insert(tag, Counter { address: address.into(), request, last: None });
        Ok(())
    }

    pub fn has(&self, tag: usize) -> bool {
        self.by_tag.contains_key(&tag)
    }

    /// The request for the counter alone.
    pub fn request(&self, tag: usize) -> Option<Request> {
        self.by_tag.get(&tag).map(|c| c.request.clone())
    }

    /// For messages.
    pub fn address(&self, tag: usize) -> String {
        self.by_tag.get(&tag).map(|c| c.address.clone()).unwrap_or_default()
    }

    /// Whether the block with this count was read already.
    pub fn is_known(&self, tag: usize, count: u16) -> bool {
        self.by_tag.get(&tag).is_some_and(|c| c.last == Some(count))
    }

    /// Compares the counts before and after; remembers that of a whole block.
    pub fn compare(&mut self, tag: usize, before: u16, after: u16) -> Outcome {
        if before != after {
            return Outcome::Torn;
        }
        if let Some(counter) = self.by_tag.get_mut(&tag) {
            counter.last = Some(after);
        }
        Outcome::Whole
    }

    /// Notes that a block was given up.
    pub fn drop_block(&mut self, tag: usize) {
        self.torn.insert(tag);
    }

    /// Tags of which a block was given up.
    pub fn torn(&self) -> impl Iterator<Item = usize> {
        self.torn.iter().copied()
    }

    /// A new connection: the device may be another one.
    pub fn forget(&mut self) {
        self.torn.clear();
        self.by_tag.values_mut().for_each(|c| c.last = None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};
    use std::sync::{Arc, Mutex};

    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio_modbus::client::tcp;
    use tokio_modbus::server::Service;
    use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
    use tokio_modbus::slave::Slave;
    use tokio_modbus::{ExceptionCode, Request as Wire, Response};

    use super::super::poll::Poller;
    use crate::config::{Config, ModbusConfig, RegisterType, Shape, SourceKind};
    use crate::source::emit::Emitter;
    use crate::source::{SampleSender, test_tag};
    use crate::types::{Cause, Quality, Sample, Value};

    const LENGTH: usize = 300;
    const COUNTER: u16 = 999;

    /// A PLC whose block holds its count everywhere. It writes the next one after each read of a part, `changes` times.
    #[derive(Clone, Default)]
    struct Plc(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        count: u16,
        changes: usize,
        parts: usize,
        counts: usize,
    }

    impl Service for Plc {
        type Request = Wire<'static>;
        type Response = Response;
        type Exception = ExceptionCode;
        type Future = Ready<Result<Response, ExceptionCode>>;

        fn call(&self, request: Self::Request) -> Self::Future {
            let mut state = self.0.lock().unwrap();
            let Wire::ReadHoldingRegisters(start, quantity) = request else { return ready(Err(ExceptionCode::IllegalFunction)) };
            let words = vec![state.count; usize::from(quantity)];
            if start == COUNTER {
                state.counts += 1;
            } else {
                state.parts += 1;
                if state.changes > 0 {
                    state.changes -= 1;
                    state.count = state.count.wrapping_add(1);
                }
            }
            ready(Ok(Response::ReadHoldingRegisters(words)))
        }
    }

    struct Rig {
        plc: Plc,
        config: ModbusConfig,
        emitter: Emitter,
        samples: mpsc::Receiver<Sample>,
        device: super::super::link::Device,
        _server: tokio::task::JoinHandle<()>,
    }

    impl Rig {
        async fn start(counter: Option<String>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let plc = Plc::default();
            plc.0.lock().unwrap().count = 7;
            let served = plc.clone();
            let server = tokio::spawn(async move {
                let connected = |stream, from| {
                    let plc = served.clone();
                    async move { accept_tcp_connection(stream, from, move |_| Ok(Some(plc.clone()))) }
                };
                Server::new(listener).serve(&connected, |_| ()).await.unwrap();
            });
            let text = "[[sources]]\nname = \"P\"\nprotocol = \"modbus\"\nendpoint = \"tcp://127.0.0.1\"\n[[machines]]\nname = \"M\"\nperiod = \"1s\"\n[[machines.signals]]\nname = \"a\"\naddress = \"holding:1\"\n";
            let SourceKind::Modbus(mut config) = Config::parse(text).unwrap().sources[0].kind.clone() else { panic!() };
            config.timeout = std::time::Duration::from_secs(60);
            let mut tag = test_tag("Wave", "holding:1000");
            (tag.shape, tag.register_type) = (Shape::Block { length: LENGTH, rate: 1000.0 }, RegisterType::U16);
            tag.counter = counter;
            let (sender, samples) = mpsc::channel(100);
            let emitter = Emitter::new(vec![tag].into(), SampleSender::new(vec![sender]));
            let stream = TcpStream::connect(address).await.unwrap();
            let device = super::super::link::Device::new(tcp::attach_slave(stream, Slave(1)), &config);
            Self { plc, config, emitter, samples, device, _server: server }
        }

        fn change(&self, times: usize) {
            self.plc.0.lock().unwrap().changes = times;
        }

        fn parts(&self) -> usize {
            std::mem::take(&mut self.plc.0.lock().unwrap().parts)
        }
    }

    fn values(sample: &Sample) -> Vec<f64> {
        let Some(Value::Block(block)) = &sample.value else { panic!("no block: {sample:?}") };
        block.to_vec()
    }

    #[tokio::test]
    async fn a_block_that_changes_between_requests_is_read_again() {
        let mut rig = Rig::start(Some(format!("holding:{COUNTER}"))).await;
        let mut poller = Poller::new(&rig.config, &rig.emitter);
        rig.change(1);
        poller.begin();
        poller.cycle(&mut rig.device).await.unwrap();
        let sample = rig.samples.try_recv().unwrap();
        assert_eq!((sample.quality, values(&sample)), (Quality::Good, vec![8.0; LENGTH]));
        assert_eq!(rig.parts(), 6, "three requests of at most 125 registers, twice");
    }

    #[tokio::test]
    async fn without_a_counter_blocks_are_torn() {
        let mut rig = Rig::start(None).await;
        let mut poller = Poller::new(&rig.config, &rig.emitter);
        rig.change(1);
        poller.begin();
        poller.cycle(&mut rig.device).await.unwrap();
        let block = values(&rig.samples.try_recv().unwrap());
        assert_eq!((block[0], block[LENGTH - 1]), (7.0, 8.0));
    }

    #[tokio::test]
    async fn a_block_that_never_holds_still_is_dropped_and_counted() {
        let mut rig = Rig::start(Some(format!("holding:{COUNTER}"))).await;
        let mut poller = Poller::new(&rig.config, &rig.emitter);
        rig.change(usize::MAX);
        poller.begin();
        poller.cycle(&mut rig.device).await.unwrap();
        let sample = rig.samples.try_recv().unwrap();
        assert_eq!((sample.value, sample.quality), (None, Quality::Bad(Cause::Status(0x809D_0000))));
        assert_eq!((rig.parts(), rig.emitter.read_errors()), (3 * super::ATTEMPTS, 1));
        assert_eq!(poller.torn().collect::<Vec<_>>(), [0]);
    }

    #[tokio::test]
    async fn the_same_block_is_taken_once_in_a_connection() {
        let mut rig = Rig::start(Some(format!("holding:{COUNTER}"))).await;
        rig.config.poll_interval = std::time::Duration::ZERO;
        let mut poller = Poller::new(&rig.config, &rig.emitter);
        poller.begin();
        poller.cycle(&mut rig.device).await.unwrap();
        rig.samples.try_recv().unwrap();
        // The first is read before and after; the next one comes when it is due.
        while rig.plc.0.lock().unwrap().counts < 3 {
            poller.cycle(&mut rig.device).await.unwrap();
        }
        assert_eq!(rig.parts(), 3, "the second cycle reads the counter only");
        rig.samples.try_recv().unwrap_err();
        poller.begin();
        poller.cycle(&mut rig.device).await.unwrap();
        assert_eq!(values(&rig.samples.try_recv().unwrap()), vec![7.0; LENGTH]);
    }
}
