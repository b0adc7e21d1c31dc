//! Values written into holding registers and coils, between the polls and over the same connection.

use std::time::{Duration, Instant};

use tokio::time::Interval;
use tokio_modbus::{ExceptionCode, Request as Wire};

use super::address::{self, Address, Table};
use super::link::{Device, LinkError};
use crate::config::{ModbusConfig, RegisterType, WordOrder};
use crate::source::write::{Due, Ledger, Outbox, WriteTag, WriteTrial};
use crate::types::{Encoded, NumberType};

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(100);
/// Telling the device at the stop that nothing is known any more.
const WITHDRAW_TIME: Duration = Duration::from_secs(1);

/// Writes what the outbox offers. Outlives connections.
pub(super) struct Writer {
    ledger: Ledger,
    word_order: WordOrder,
    looked: Option<Instant>,
}

impl Writer {
    pub fn new(outbox: Outbox, config: &ModbusConfig) -> Self {
        Self { ledger: Ledger::new(outbox), word_order: config.word_order, looked: None }
    }

    /// For the status: what is not written, and why.
    pub fn remarks(&self) -> Vec<String> {
        self.ledger.remarks()
    }

    fn is_idle(&self) -> bool {
        self.ledger.outbox().writes.is_empty()
    }

    /// After a new connection everything is written anew; on trial the places are read instead.
    pub async fn begin(&mut self, device: &mut Device) -> Result<(), LinkError> {
        self.ledger.begin();
        self.looked = None;
        if self.ledger.outbox().trial.is_some() {
            self.try_all(device).await?;
        }
        Ok(())
    }

    /// Waits for the next poll and writes meanwhile what is due.
    pub async fn until(&mut self, poll: &mut Interval, device: &mut Device) -> Result<(), LinkError> {
        if self.is_idle() || self.ledger.outbox().trial.is_some() {
            poll.tick().await;
            return Ok(());
        }
        loop {
            if self.looked.is_none_or(|at| at.elapsed() >= TICK) {
                self.looked = Some(Instant::now());
                let due = self.ledger.due(Instant::now());
                self.send(device, due).await?;
            }
            tokio::select! {
                biased;
                _ = poll.tick() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Withdraws what the device holds: writes it once as not known.
    pub async fn withdraw(&mut self, device: &mut Device) {
        let due = self.ledger.to_withdraw();
        if due.is_empty() {
            return;
        }
        if !matches!(tokio::time::timeout(WITHDRAW_TIME, self.send(device, due)).await, Ok(Ok(()))) {
            tracing::warn!("the device did not answer when what is written into it was withdrawn");
        }
    }

    /// Whether the device holds something that a stop must withdraw.
    pub fn holds(&self) -> bool {
        !self.ledger.to_withdraw().is_empty()
    }

    async fn send(&mut self, device: &mut Device, due: Vec<Due>) -> Result<(), LinkError> {
        let writes = self.ledger.writes();
        for due in due {
            let request = match request(&writes[due.write], due, self.word_order) {
                Ok(request) => request,
                Err(reason) => {
                    self.ledger.refused(due.write, reason, Instant::now());
                    continue;
                }
            };
            match device.call(request).await {
                Ok(Ok(_)) => self.ledger.taken(due, Instant::now()),
                Ok(Err(code)) => self.ledger.refused(due.write, explain(code), Instant::now()),
                Err(e) => {
                    // It waits in the next connection too: perhaps the device hangs up on it.
                    self.ledger.refused(due.write, format!("no usable answer to it: {e}"), Instant::now());
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    async fn try_all(&mut self, device: &mut Device) -> Result<(), LinkError> {
        let outbox = self.ledger.outbox().clone();
        for (write, tag) in outbox.writes.iter().enumerate() {
            let seen = match address::parse(&tag.config.address) {
                Err(e) => WriteTrial { fault: Some(e.to_string()), ..WriteTrial::default() },
                Ok(place) => {
                    let fault = device.call(read(place, tag)).await?.err().map(explain);
                    WriteTrial { data_type: target(place, tag).name().into(), writable: None, fault }
                }
            };
            outbox.seen(write, seen);
        }
        Ok(())
    }
}

fn target(place: Address, tag: &WriteTag) -> NumberType {
    match place.table {
        Table::Coil | Table::Discrete => NumberType::Bool,
        Table::Holding | Table::Input => tag.config.number_type(),
    }
}

fn read(place: Address, tag: &WriteTag) -> Wire<'static> {
    let width = u16::try_from(tag.config.register_type.width()).unwrap_or(1);
    match place.table {
        Table::Coil | Table::Discrete => Wire::ReadCoils(place.start, 1),
        Table::Holding | Table::Input => Wire::ReadHoldingRegisters(place.start, width),
    }
}

/// The request for one value: nothing but its own coil or registers is touched.
fn request(tag: &WriteTag, due: Due, order: WordOrder) -> Result<Wire<'static>, String> {
    let place = address::parse(&tag.config.address).map_err(|e| e.to_string())?;
    if place.bit.is_some() {
        return Err(format!("a bit of a register is not written: `{}`; write into a whole register or a coil", tag.config.address));
    }
    let value = tag.config.encode(due.output, target(place, tag)).map_err(|e| e.to_string())?;
    match place.table {
        Table::Coil => Ok(Wire::WriteSingleCoil(place.start, value == Encoded::Bool(true))),
        Table::Holding => {
            let words = registers(value, tag.config.register_type, order);
            Ok(match words.as_slice() {
                [word] => Wire::WriteSingleRegister(place.start, *word),
                _ => Wire::WriteMultipleRegisters(place.start, words.into()),
            })
        }
        Table::Input | Table::Discrete => Err("it can only be read: name a holding register or a coil".into()),
    }
}

/// The registers of a value: the inverse of [`crate::wire::modbus::decode`]. The casts lose nothing: the value was made for this type.
fn registers(value: Encoded, kind: RegisterType, order: WordOrder) -> Vec<u16> {
    let bits = match (value, kind) {
        (Encoded::Bool(on), _) => u64::from(on),
        (Encoded::Integer(n), RegisterType::F32) => u64::from((n as f32).to_bits()),
        (Encoded::Integer(n), RegisterType::F64) => (n as f64).to_bits(),
        (Encoded::Integer(n), _) => n as u64,
        (Encoded::Real(x), RegisterType::F32) => u64::from((x as f32).to_bits()),
        (Encoded::Real(x), _) => x.to_bits(),
    };
    let (words_swapped, bytes_swapped) = match order {
        WordOrder::Abcd => (false, false),
        WordOrder::Cdab => (true, false),
        WordOrder::Badc => (false, true),
        WordOrder::Dcba => (true, true),
    };
    let width = kind.width();
    let mut words: Vec<u16> = (0..width).rev().map(|i| (bits >> (16 * i)) as u16).collect();
    if words_swapped {
        words.reverse();
    }
    if bytes_swapped {
        words.iter_mut().for_each(|word| *word = word.swap_bytes());
    }
    words
}

/// An exception in words, with what to do.
fn explain(code: ExceptionCode) -> String {
    let what = match code {
        ExceptionCode::IllegalFunction => "the device lets nobody write there: see its settings",
        ExceptionCode::IllegalDataAddress => "the device has no such register, or lets nobody write it: see address and type",
        ExceptionCode::IllegalDataValue => "the device does not take the value: see `scale` and `when_bad`",
        _ => "the device refuses it",
    };
    format!("{what} ({code})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{WriteConfig, Written};
    use crate::types::{Output, Value};
    use crate::wire::modbus as wire;

    fn tag(value: Written, address: &str, register_type: RegisterType) -> WriteTag {
        let config = WriteConfig {
            value,
            source: 0,
            address: address.into(),
            register_type,
            scale: 1.0,
            interval: Duration::from_secs(1),
            when_bad: None,
            stale_after: Duration::from_secs(5),
        };
        WriteTag { name: "M.x".into(), config }
    }

    #[test]
    fn what_is_written_is_what_would_be_read() {
        for order in [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba] {
            for (value, kind, read) in [
                (Encoded::Integer(-2), RegisterType::I16, Value::Integer(-2)),
                (Encoded::Integer(65_535), RegisterType::U16, Value::Integer(65_535)),
                (Encoded::Integer(70_000), RegisterType::U32, Value::Integer(70_000)),
                (Encoded::Integer(-70_000), RegisterType::I64, Value::Integer(-70_000)),
                (Encoded::Real(123.5), RegisterType::F32, Value::Real(123.5)),
                (Encoded::Real(-0.1), RegisterType::F64, Value::Real(-0.1)),
                (Encoded::Bool(true), RegisterType::Bool, Value::Bool(true)),
            ] {
                assert_eq!(wire::decode(&registers(value, kind, order), kind, order), Some(read), "{kind:?} {order:?}");
            }
        }
    }

    #[test]
    fn each_value_has_its_own_request() {
        let due = |output| Due { write: 0, output };
        let one = request(&tag(Written::DriftStatus, "holding:7", RegisterType::U16), due(Output::Number(4.0)), WordOrder::Abcd);
        assert_eq!(one, Ok(Wire::WriteSingleRegister(7, 4)));
        let two = request(&tag(Written::DriftIndex, "holding:8", RegisterType::F32), due(Output::Number(1.0)), WordOrder::Cdab);
        assert_eq!(two, Ok(Wire::WriteMultipleRegisters(8, vec![0, 0x3F80].into())));
        let coil = request(&tag(Written::Fresh, "coil:3", RegisterType::Bool), due(Output::Number(1.0)), WordOrder::Abcd);
        assert_eq!(coil, Ok(Wire::WriteSingleCoil(3, true)));
        assert!(request(&tag(Written::Fresh, "input:3", RegisterType::U16), due(Output::Unknown), WordOrder::Abcd).is_err());
    }
}
