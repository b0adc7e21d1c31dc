//! Connections to devices: one a place, shared by the units behind it; one request at a time, none earlier than the pause allows.
//!
//! ```text
//! source (unit 1) ─▶ Device ─┐
//! source (unit 2) ─▶ Device ─┴▶ Line: one connection, opened by who needs it first
//!                                 │ no answer, or not that of the request: closed, the next request opens it again
//!                                 └ the last source that ends closes it
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::config::{ModbusConfig, ModbusPlace};

/// Opening a connection; a device that takes longer is not there.
const CONNECT_TIME: Duration = Duration::from_secs(3);

/// What the device answers, or what it objects.
pub(super) type Answer = Result<Response, ExceptionCode>;

/// The unit is of no use for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{0}")]
    Transport(String),
    #[error("the answer does not fit the request")]
    Mismatch,
    /// The connection itself is in order.
    #[error("the gateway says that it does not reach the unit ({0})")]
    Absent(ExceptionCode),
    #[error("{0}")]
    Closed(String),
}

/// The lines of a process by their places; each lives as long as a source uses it.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<HashMap<ModbusPlace, Weak<Line>>>>);

impl Lines {
    fn get(&self, place: &ModbusPlace) -> Arc<Line> {
        let mut lines = self.0.lock();
        lines.retain(|_, line| line.strong_count() > 0);
        if let Some(line) = lines.get(place).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Line { place: place.clone(), state: tokio::sync::Mutex::default() });
        lines.insert(place.clone(), Arc::downgrade(&line));
        line
    }

    /// The unit that a configuration means, on its line, which is open then.
    ///
    /// # Errors
    /// Why it cannot be opened, in words.
    pub(super) async fn open(&self, config: &ModbusConfig) -> Result<Device, String> {
        let device = Device {
            line: self.get(&config.place),
            unit: Slave(config.unit),
            timeout: config.timeout,
            pause: config.pause,
            wasted: Duration::ZERO,
        };
        let asked = Instant::now();
        device.line.state.lock().await.open(&device.line.place, asked).await?;
        Ok(device)
    }
}

/// One connection, and who may use it next.
struct Line {
    place: ModbusPlace,
    /// Waiting requests take turns in their order.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Taken out while a request is under way: who gives up in the middle closes it.
    context: Option<Context>,
    answered_at: Option<Instant>,
    /// The last attempt to open it that has failed.
    failed: Option<(Instant, String)>,
}

impl State {
    /// Opens it where it is not; an attempt of somebody else that has failed since `asked` counts.
    async fn open(&mut self, place: &ModbusPlace, asked: Instant) -> Result<(), String> {
        if self.context.is_some() {
            return Ok(());
        }
        if let Some((_, why)) = self.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(why.clone());
        }
        match open(place).await {
            Ok(context) => {
                (self.context, self.failed) = (Some(context), None);
                Ok(())
            }
            Err(why) => {
                self.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }
}

async fn open(place: &ModbusPlace) -> Result<Context, String> {
    match place {
        ModbusPlace::Tcp { host, port } => {
            let stream = match tokio::time::timeout(CONNECT_TIME, TcpStream::connect((host.as_str(), *port))).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(e)) => return Err(e.to_string()),
                Err(_) => return Err(format!("nothing within {} s", CONNECT_TIME.as_secs())),
            };
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            Ok(tcp::attach(stream))
        }
        #[cfg(feature = "rtu")]
        ModbusPlace::Serial(line) => super::serial::open(line),
        #[cfg(not(feature = "rtu"))]
        ModbusPlace::Serial(_) => Err("this program reads no serial lines; use one that was built with the feature `rtu`".into()),
    }
}

/// The library tells the end of a connection as an error of whatever system call failed last.
fn explain(error: &tokio_modbus::Error) -> String {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, InvalidData, NetworkUnreachable, TimedOut};
    match error {
        tokio_modbus::Error::Transport(e)
            if !matches!(e.kind(), ConnectionRefused | HostUnreachable | InvalidData | NetworkUnreachable | TimedOut) =>
        {
            "the device has closed it".into()
        }
        error => error.to_string(),
    }
}

/// A unit on its line.
pub(super) struct Device {
    line: Arc<Line>,
    unit: Slave,
    timeout: Duration,
    pause: Duration,
    /// How long the line has waited for an answer that did not come.
    wasted: Duration,
}

impl Device {
    /// A device of its own on a connection that is open; it is not opened again elsewhere.
    #[cfg(test)]
    pub fn new(context: Context, config: &ModbusConfig) -> Self {
        let state = State { context: Some(context), ..State::default() };
        let line = Arc::new(Line { place: config.place.clone(), state: tokio::sync::Mutex::new(state) });
        Self { line, unit: Slave(config.unit), timeout: config.timeout, pause: config.pause, wasted: Duration::ZERO }
    }

    /// Waits for its turn, asks, waits for the answer.
    pub async fn call(&mut self, request: Request<'_>) -> Result<Answer, LinkError> {
        let asked = Instant::now();
        let mut state = self.line.state.lock().await;
        state.open(&self.line.place, asked).await.map_err(LinkError::Closed)?;
        if let Some(at) = state.answered_at.filter(|_| !self.pause.is_zero()) {
            tokio::time::sleep_until((at + self.pause).into()).await;
        }
        // A late answer would be taken for that of the next request: without its own answer the connection ends here.
        let Some(mut context) = state.context.take() else { return Err(LinkError::Closed("the connection is in use".into())) };
        context.set_slave(self.unit);
        let begun = Instant::now();
        let answer = tokio::time::timeout(self.timeout, context.call(request)).await;
        state.answered_at = Some(Instant::now());
        let fault = match answer {
            Ok(Ok(Err(code @ (ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetDevice)))) => {
                state.context = Some(context);
                LinkError::Absent(code)
            }
            Ok(Ok(answer)) => {
                state.context = Some(context);
                return Ok(answer);
            }
            Ok(Err(e)) => LinkError::Transport(explain(&e)),
            Err(_) => LinkError::Timeout(self.timeout),
        };
        self.wasted = begun.elapsed();
        Err(fault)
    }

    /// How long to leave the unit alone, so that it costs the others on its line a tenth of the time at most.
    pub fn leave_alone(&self) -> Duration {
        if Arc::strong_count(&self.line) > 1 { self.wasted * 9 } else { Duration::ZERO }
    }

    /// Ends the connection, where nobody else uses it. False where the device did not take it.
    pub async fn close(self, within: Duration) -> bool {
        let Some(line) = Arc::into_inner(self.line) else { return true };
        let Some(mut context) = line.state.into_inner().context else { return true };
        matches!(tokio::time::timeout(within, context.disconnect()).await, Ok(Ok(())))
    }
}
