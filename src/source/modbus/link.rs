//! The connection to a device: one request at a time, none earlier than the pause allows.

use std::time::{Duration, Instant};

use tokio_modbus::client::{Client, Context};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::config::ModbusConfig;

/// What the device answers, or what it objects.
pub(super) type Answer = Result<Response, ExceptionCode>;

/// The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("{0}")]
    Transport(String),
    #[error("the answer does not fit the request")]
    Mismatch,
}

/// A connected device. After an error nothing more must be asked: the late answer would be taken for that of the next request.
pub(super) struct Device {
    context: Context,
    timeout: Duration,
    pause: Duration,
    answered_at: Option<Instant>,
}

impl Device {
    pub fn new(context: Context, config: &ModbusConfig) -> Self {
        Self { context, timeout: config.timeout, pause: config.pause, answered_at: None }
    }

    pub async fn call(&mut self, request: Request<'_>) -> Result<Answer, LinkError> {
        if let Some(at) = self.answered_at.filter(|_| !self.pause.is_zero()) {
            tokio::time::sleep_until((at + self.pause).into()).await;
        }
        let answer = tokio::time::timeout(self.timeout, self.context.call(request)).await;
        self.answered_at = Some(Instant::now());
        answer.map_err(|_| LinkError::Timeout(self.timeout))?.map_err(|e| LinkError::Transport(e.to_string()))
    }

    /// False where the device did not take it.
    pub async fn close(&mut self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.context.disconnect()).await, Ok(Ok(())))
    }
}
