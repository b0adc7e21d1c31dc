//! The simulated motor behind a Modbus TCP server: holding registers (function 3; function 4 reads the same).
//!
//! | register (0-based) | type | what | unit |
//! |---|---|---|---|
//! | 0 | u32 | cycle counter, written before the values | |
//! | 2 | u16 | running | |
//! | 10, 12, 14 | f32 | current 1, 2, 3 | A rms |
//! | 16 | f32 | winding temperature | degC |
//! | 18 | f32 | speed | 1/min |
//! | 20 | f32 | voltage (setting) | V |
//! | 22 | f32 | load (setting) | % |
//! | 100..=611 | 256 f32 | flux at 2,560 Hz | mWb |
//! | 700..=1211 | 256 f32 | vibration at 2,560 Hz | mm/s |
//! | 1300 | u32 | cycle counter, written after the values | |
//!
//! 32-bit values have the low word first and big-endian bytes in a word: `CDAB`, as Beckhoff's TF6250 has them. All other
//! registers up to 1301 read 0; beyond is an illegal data address.
//!
//! One request always sees one cycle. A waveform takes several: it is whole when the counter at 0, read first, equals the
//! counter at 1300, read last. The server counts 1, 2, 3, ...; 0 means that no cycle has happened yet.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response};
use tokio_util::sync::CancellationToken;

use super::motor::{BLOCK_LENGTH, Cycle};
use super::plc::{Machine, PlcError, PlcOptions, RunningPlc};

const COUNTER_BEFORE: u16 = 0;
const IS_RUNNING: u16 = 2;
const FIRST_SCALAR: u16 = 10;
const FLUX: u16 = 100;
const VIBRATION: u16 = 700;
const COUNTER_AFTER: u16 = 1300;
/// Registers that exist.
const LENGTH: usize = COUNTER_AFTER as usize + 2;
/// Registers of one request at most, by the Modbus specification.
const MAX_REQUEST: u16 = 125;

/// A row of the register map.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// First register, 0-based.
    pub address: u16,
    /// Registers that it takes.
    pub registers: u16,
    /// `u16`, `u32` or `f32`; 32 bits in the order `CDAB`.
    pub kind: &'static str,
    /// Name of the signal or setting, as in `configs/demo.toml`.
    pub name: &'static str,
    pub unit: &'static str,
}

/// Where everything is.
pub fn register_map() -> [Register; 12] {
    let block = 2 * BLOCK_LENGTH as u16;
    [
        Register { address: COUNTER_BEFORE, registers: 2, kind: "u32", name: "CounterBefore", unit: "" },
        Register { address: IS_RUNNING, registers: 1, kind: "u16", name: "Running", unit: "" },
        Register { address: FIRST_SCALAR, registers: 2, kind: "f32", name: "Current1", unit: "A" },
        Register { address: FIRST_SCALAR + 2, registers: 2, kind: "f32", name: "Current2", unit: "A" },
        Register { address: FIRST_SCALAR + 4, registers: 2, kind: "f32", name: "Current3", unit: "A" },
        Register { address: FIRST_SCALAR + 6, registers: 2, kind: "f32", name: "TempWinding", unit: "degC" },
        Register { address: FIRST_SCALAR + 8, registers: 2, kind: "f32", name: "Speed", unit: "1/min" },
        Register { address: FIRST_SCALAR + 10, registers: 2, kind: "f32", name: "Voltage", unit: "V" },
        Register { address: FIRST_SCALAR + 12, registers: 2, kind: "f32", name: "Load", unit: "%" },
        Register { address: FLUX, registers: block, kind: "f32", name: "Flux", unit: "mWb" },
        Register { address: VIBRATION, registers: block, kind: "f32", name: "Vibration", unit: "mm/s" },
        Register { address: COUNTER_AFTER, registers: 2, kind: "u32", name: "CounterAfter", unit: "" },
    ]
}

/// Starts the PLC on a listener (loopback). It runs until `stop` is cancelled.
pub async fn start_modbus_plc(options: PlcOptions, listener: TcpListener, stop: CancellationToken) -> Result<RunningPlc, PlcError> {
    let address = listener.local_addr()?;
    let image = Image::default();
    let (machine, story) = Machine::new(&options);

    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, image.clone(), stop.clone()));
    tasks.spawn(machine.run(stop, move |cycle, _| {
        image.write(&cycle);
        Ok(())
    }));
    Ok(RunningPlc { endpoint: format!("tcp://{address}"), address, story, tasks })
}

/// Answers until `stop`; the library ends its connections together with the accept loop.
async fn serve(listener: TcpListener, image: Image, stop: CancellationToken) -> Result<(), PlcError> {
    let server = Server::new(listener);
    let on_connected = |stream, peer: SocketAddr| {
        let image = image.clone();
        async move { accept_tcp_connection(stream, peer, |_| Ok(Some(image.clone()))) }
    };
    let on_error = |error: io::Error| tracing::debug!("simulated Modbus PLC: {error}");
    match stop.run_until_cancelled(server.serve(&on_connected, on_error)).await {
        Some(ended) => Ok(ended?),
        None => Ok(()),
    }
}

/// The registers, shared between the cycles and the connections.
#[derive(Clone)]
struct Image(Arc<RwLock<Registers>>);

struct Registers {
    words: Vec<u16>,
    cycle: u32,
}

impl Default for Image {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Registers { words: vec![0; LENGTH], cycle: 0 })))
    }
}

impl Image {
    fn write(&self, cycle: &Cycle) {
        let mut registers = self.0.write();
        registers.cycle = registers.cycle.wrapping_add(1);
        let count = registers.cycle;
        registers.put(COUNTER_BEFORE, count);
        registers.words[usize::from(IS_RUNNING)] = u16::from(cycle.running);
        registers.put_floats(FIRST_SCALAR, &cycle.scalars());
        registers.put_floats(FLUX, &cycle.flux);
        registers.put_floats(VIBRATION, &cycle.vibration);
        registers.put(COUNTER_AFTER, count);
    }

    fn read(&self, address: u16, count: u16) -> Result<Response, ExceptionCode> {
        if !(1..=MAX_REQUEST).contains(&count) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let from = usize::from(address);
        let words = self.0.read().words.get(from..from + usize::from(count)).map(<[u16]>::to_vec);
        words.map(Response::ReadHoldingRegisters).ok_or(ExceptionCode::IllegalDataAddress)
    }
}

impl Registers {
    /// Low word first.
    fn put(&mut self, address: u16, value: u32) {
        let at = usize::from(address);
        self.words[at] = value as u16;
        self.words[at + 1] = (value >> 16) as u16;
    }

    fn put_floats(&mut self, address: u16, values: &[f64]) {
        for (address, value) in (address..).step_by(2).zip(values) {
            self.put(address, (*value as f32).to_bits());
        }
    }
}

impl Service for Image {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(match request {
            Request::ReadHoldingRegisters(address, count) => self.read(address, count),
            Request::ReadInputRegisters(address, count) => match self.read(address, count) {
                Ok(Response::ReadHoldingRegisters(words)) => Ok(Response::ReadInputRegisters(words)),
                other => other,
            },
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

#[cfg(test)]
#[path = "plc_modbus_tests.rs"]
mod tests;
