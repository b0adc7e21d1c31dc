//! One poll cycle: read what is due, isolate what the device refuses, put the values together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio_modbus::{ExceptionCode, Request as Wire, Response};

use super::address::{self, Table};
use super::capacity::{Capacity, size};
use super::link::{Device, LinkError};
use super::plan::{self, Field, Learned, Limits, Request};
use super::whole::{self, Counters, Outcome};
use crate::config::{ModbusConfig, RegisterType, Shape};
use crate::source::Tag;
use crate::source::emit::{Emitter, Reading, now};
use crate::types::{Cause, Quality, Value};
use crate::wire::modbus as wire;

const RETRY_UNKNOWN: Duration = Duration::from_secs(30);
const RETRY_FAILURE: Duration = Duration::from_secs(3);
/// OPC UA's words for what a device may answer.
const BAD_DEVICE_FAILURE: Cause = Cause::Status(0x808B_0000);
const BAD_RESOURCE_UNAVAILABLE: Cause = Cause::Status(0x8004_0000);

/// A block that changed at each attempt to read it.
const BAD_DATA_LOST: Cause = Cause::Status(0x809D_0000);

/// A tag that is left out for a while, and why.
#[derive(Clone, Debug)]
struct Refused {
    cause: Cause,
    reason: String,
    retry_at: Option<Instant>,
}

/// What is polled, and what has been learned of the device.
pub(super) struct Poller<'a> {
    config: &'a ModbusConfig,
    emitter: &'a Emitter,
    /// `None` where the address is none.
    fields: Vec<Option<Field>>,
    periods: Vec<Duration>,
    due_at: Vec<Instant>,
    refused: BTreeMap<usize, Refused>,
    learned: Learned,
    capacity: Capacity,
    /// Bits of registers, by tag.
    bits: BTreeMap<usize, u8>,
    /// Of blocks that must be of one piece.
    counters: Counters,
}

impl<'a> Poller<'a> {
    pub fn new(config: &'a ModbusConfig, emitter: &'a Emitter) -> Self {
        let tags = emitter.tags();
        let mut refused = BTreeMap::new();
        let fields = tags.iter().enumerate().map(|(i, tag)| {
            field(i, tag).map_err(|reason| refused.insert(i, Refused { cause: Cause::UnknownAddress, reason, retry_at: None })).ok()
        });
        let mut fields: Vec<Option<Field>> = fields.collect();
        let mut counters = Counters::default();
        for (i, counter) in tags.iter().enumerate().filter_map(|(i, tag)| Some((i, tag.counter.as_deref()?))) {
            if let Err(reason) = counters.add(i, counter) {
                refused.insert(i, Refused { cause: Cause::UnknownAddress, reason, retry_at: None });
                fields[i] = None;
            }
        }
        let periods: Vec<Duration> =
            tags.iter().map(|t| t.sampling.unwrap_or(config.poll_interval).max(Duration::from_millis(1))).collect();
        let bit_of = |tag: &Tag| address::parse(&tag.address).ok()?.bit;
        Self {
            config,
            emitter,
            fields,
            due_at: vec![Instant::now(); tags.len()],
            periods,
            refused,
            learned: Learned::default(),
            capacity: Capacity::new(config.max_registers),
            bits: tags.iter().enumerate().filter_map(|(i, tag)| Some((i, bit_of(tag)?))).collect(),
            counters,
        }
    }

    /// The shortest period of all tags.
    pub fn period(&self) -> Duration {
        self.periods.iter().min().copied().unwrap_or(self.config.poll_interval).max(Duration::from_millis(1))
    }

    /// After a new connection everything is due, and the device may be another one.
    pub fn begin(&mut self) {
        self.due_at.fill(Instant::now());
        self.learned = Learned::default();
        self.counters.forget();
        self.refused.retain(|_, refused| refused.retry_at.is_none());
    }

    /// Tags without a value and why, for the status.
    pub fn refused(&self) -> impl ExactSizeIterator<Item = (usize, &str)> {
        self.refused.iter().map(|(tag, refused)| (*tag, refused.reason.as_str()))
    }

    /// Tags of which a block was dropped in this connection because it changed while it was read.
    pub fn torn(&self) -> impl Iterator<Item = usize> {
        self.counters.torn()
    }

    pub fn connection_lost(&self) {
        let time = now();
        (0..self.fields.len()).for_each(|tag| self.emitter.send_bad(tag, Cause::ConnectionLost, time));
    }

    /// Reads what is due and sends it, all with the same time. Nothing is sent where the connection fails.
    pub async fn cycle(&mut self, device: &mut Device) -> Result<(), LinkError> {
        let mut due = self.take_due();
        self.refused.retain(|tag, refused| !(due.contains(tag) && refused.retry_at.is_some_and(|at| Instant::now() >= at)));
        self.learned.unreadable = self.refused.keys().filter_map(|&tag| self.fields[tag].as_ref()).map(range_of).collect();
        let wanted: Vec<Field> =
            due.iter().filter(|tag| !self.refused.contains_key(tag)).filter_map(|&tag| self.fields[tag].clone()).collect();
        self.probe(device, &wanted).await?;
        let limits = Limits { max_registers: self.capacity.most(), max_gap: self.config.max_gap };
        let mut images: BTreeMap<usize, Vec<Option<u16>>> = wanted.iter().map(|f| (f.tag, vec![None; f.registers.len()])).collect();
        let mut busy = BTreeMap::new();
        let (whole, plain): (Vec<Field>, Vec<Field>) = wanted.into_iter().partition(|f| self.counters.has(f.tag));
        for request in plan::plan(&plain, limits, &self.learned) {
            self.fetch(device, request, &mut images, &mut busy).await?;
        }
        for field in whole {
            let tag = field.tag;
            if !self.fetch_whole(device, field, limits, &mut images, &mut busy).await? {
                due.retain(|due| *due != tag);
            }
        }
        self.send(&due, images, &busy);
        Ok(())
    }

    /// The tags whose time has come. What was missed is left out.
    fn take_due(&mut self) -> Vec<usize> {
        let now = Instant::now();
        let early = self.period() / 2;
        let due: Vec<usize> = (0..self.due_at.len()).filter(|&i| self.due_at[i] <= now + early).collect();
        for &i in &due {
            self.due_at[i] = (self.due_at[i] + self.periods[i]).max(now);
        }
        due
    }

    /// A block that belongs together; false where it is the one that was read last.
    async fn fetch_whole(
        &mut self,
        device: &mut Device,
        field: Field,
        limits: Limits,
        images: &mut BTreeMap<usize, Vec<Option<u16>>>,
        busy: &mut BTreeMap<usize, Cause>,
    ) -> Result<bool, LinkError> {
        let tag = field.tag;
        for _ in 0..whole::ATTEMPTS {
            let Some(before) = self.count(device, tag, busy).await? else { return Ok(true) };
            if self.counters.is_known(tag, before) {
                return Ok(false);
            }
            for request in plan::plan(std::slice::from_ref(&field), limits, &self.learned) {
                self.fetch(device, request, images, busy).await?;
            }
            if self.refused.contains_key(&tag) || busy.contains_key(&tag) {
                return Ok(true);
            }
            let Some(after) = self.count(device, tag, busy).await? else { return Ok(true) };
            if self.counters.compare(tag, before, after) == Outcome::Whole {
                return Ok(true);
            }
        }
        self.counters.drop_block(tag);
        self.emitter.count_error();
        busy.insert(tag, BAD_DATA_LOST);
        Ok(true)
    }

    /// The counter of a block; `None` where the device does not give it, which is noted.
    async fn count(&mut self, device: &mut Device, tag: usize, busy: &mut BTreeMap<usize, Cause>) -> Result<Option<u16>, LinkError> {
        let Some(request) = self.counters.request(tag) else { return Ok(None) };
        let address = self.counters.address(tag);
        match self.ask(device, &request).await? {
            Ok(words) => return Ok(words.first().copied()),
            Err(code) => match meaning(code) {
                Refusal::Isolate { cause, retry } => self.refuse_tag(tag, address, code, cause, retry),
                Refusal::NoFunction => self.refuse_tag(tag, address, code, Cause::UnknownAddress, RETRY_UNKNOWN),
                Refusal::Temporary(cause) => {
                    self.emitter.count_error();
                    busy.insert(tag, cause);
                }
            },
        }
        Ok(None)
    }

    /// One request of the plan; where the device refuses it, its halves, down to single tags.
    async fn fetch(
        &mut self,
        device: &mut Device,
        request: Request,
        images: &mut BTreeMap<usize, Vec<Option<u16>>>,
        busy: &mut BTreeMap<usize, Cause>,
    ) -> Result<(), LinkError> {
        let (mut open, mut cuts, mut all_readable) = (vec![request], Vec::new(), true);
        // Sizes of what was refused although all of it was wanted, and of what was read.
        let (mut too_large, mut largest_read) = (None::<u16>, 0);
        while let Some(request) = open.pop() {
            if request.parts.iter().all(|part| self.refused.contains_key(&part.tag)) {
                continue;
            }
            let code = match self.ask(device, &request).await? {
                Ok(words) => {
                    largest_read = largest_read.max(size(&request));
                    store(&request, &words, images);
                    continue;
                }
                Err(code) => code,
            };
            match (meaning(code), request.halves()) {
                (Refusal::Isolate { cause, .. }, Some((low, high))) => {
                    // A failure of the device says nothing of the request.
                    if cause == Cause::UnknownAddress && request.has_no_gaps() {
                        too_large = Some(too_large.map_or(size(&request), |least| least.min(size(&request))));
                    } else if cause == Cause::UnknownAddress {
                        cuts.push((high.table, high.registers.start));
                    }
                    open.extend([high, low]);
                }
                (Refusal::Isolate { cause, retry }, None) => {
                    all_readable = false;
                    self.refuse(&request, code, cause, retry);
                }
                (Refusal::NoFunction, _) => {
                    all_readable = false;
                    self.refuse(&request, code, Cause::UnknownAddress, RETRY_UNKNOWN);
                }
                (Refusal::Temporary(cause), _) => {
                    all_readable = false;
                    self.emitter.count_error();
                    busy.extend(request.parts.iter().map(|part| (part.tag, cause)));
                }
            }
        }
        if all_readable {
            // Each part can be read alone: the fault is the size of the request, or a gap between them.
            if let Some(too_large) = too_large {
                self.capacity.refused(too_large, largest_read);
            }
            self.learned.cuts.extend(cuts);
        }
        Ok(())
    }

    /// After a connection that failed without any answer: whether the device answers at all, before its silence is blamed on the size.
    async fn probe(&mut self, device: &mut Device, wanted: &[Field]) -> Result<(), LinkError> {
        if !self.capacity.must_probe() {
            return Ok(());
        }
        let limits = Limits { max_registers: 1, max_gap: 0 };
        if let Some(request) = plan::plan(wanted.get(..1).unwrap_or_default(), limits, &self.learned).first() {
            self.ask(device, request).await?.ok();
        }
        Ok(())
    }

    /// One request; what its answer says of the device is kept.
    async fn ask(&mut self, device: &mut Device, request: &Request) -> Result<Result<Vec<u16>, ExceptionCode>, LinkError> {
        let answer = read(device, request).await;
        match &answer {
            Ok(Ok(_)) => self.capacity.answered(request),
            Ok(Err(_)) => self.capacity.alive(),
            Err(LinkError::Timeout(_) | LinkError::Transport(_)) => self.capacity.silent(request),
            Err(LinkError::Mismatch | LinkError::Absent(_) | LinkError::Closed(_)) => {}
        }
        answer
    }

    fn refuse(&mut self, request: &Request, code: ExceptionCode, cause: Cause, retry: Duration) {
        let emitter = self.emitter;
        for part in &request.parts {
            self.refuse_tag(part.tag, emitter.tags()[part.tag].address.clone(), code, cause, retry);
        }
    }

    fn refuse_tag(&mut self, tag: usize, address: String, code: ExceptionCode, cause: Cause, retry: Duration) {
        let reason = format!("the device answers \"{code}\" to `{address}`");
        tracing::debug!(tag = %self.emitter.tags()[tag].name, "{reason}");
        self.emitter.count_error();
        self.refused.insert(tag, Refused { cause, reason, retry_at: Some(Instant::now() + retry) });
    }

    fn send(&self, due: &[usize], mut images: BTreeMap<usize, Vec<Option<u16>>>, busy: &BTreeMap<usize, Cause>) {
        let time = now();
        for &tag in due {
            if let Some(cause) = self.refused.get(&tag).map(|r| r.cause).or_else(|| busy.get(&tag).copied()) {
                self.emitter.send_bad(tag, cause, time);
                continue;
            }
            let words: Option<Vec<u16>> = images.remove(&tag).and_then(|words| words.into_iter().collect());
            let value = words.and_then(|words| match self.bits.get(&tag) {
                Some(bit) => words.first().map(|word| Value::Bool(word >> bit & 1 == 1)),
                None => value_of(&self.emitter.tags()[tag], self.config, &words),
            });
            let quality = if value.is_some() { Quality::Good } else { Quality::Bad(Cause::NoData) };
            self.emitter.send(tag, Reading { value, quality, source_time: time, receive_time: time });
        }
    }
}

fn range_of(field: &Field) -> (Table, std::ops::Range<u32>) {
    (field.table, field.registers.clone())
}

/// Where the tag lies; else what is wrong with its address.
fn field(number: usize, tag: &Tag) -> Result<Field, String> {
    let address = address::parse(&tag.address).map_err(|e| e.to_string())?;
    if address.bit.is_some() && tag.shape != Shape::Scalar {
        return Err(format!("`{}` is one bit of a register and no block: read the registers as u16", tag.address));
    }
    if address.is_bit() && tag.register_type != RegisterType::Bool {
        return Err(format!("`{}` is a bit: set its register type to bool", tag.address));
    }
    let width = tag.register_type.width();
    let elements = match tag.shape {
        Shape::Scalar => 1,
        Shape::Block { length, .. } => length,
    };
    let start = u32::from(address.start);
    let end = u32::try_from(elements.saturating_mul(width)).ok().and_then(|count| start.checked_add(count)).filter(|end| *end <= 0x1_0000);
    let end = end.filter(|end| *end > start).ok_or_else(|| format!("`{}` does not fit into the 65,536 registers", tag.address))?;
    Ok(Field { tag: number, table: address.table, registers: start..end, width: u32::try_from(width).unwrap_or(1) })
}

/// What an exception means for reading.
enum Refusal {
    /// Something in the request: which part of it is found by halving.
    Isolate {
        cause: Cause,
        retry: Duration,
    },
    /// The device has no such table.
    NoFunction,
    Temporary(Cause),
}

fn meaning(code: ExceptionCode) -> Refusal {
    match code {
        ExceptionCode::IllegalDataAddress | ExceptionCode::IllegalDataValue => {
            Refusal::Isolate { cause: Cause::UnknownAddress, retry: RETRY_UNKNOWN }
        }
        ExceptionCode::ServerDeviceFailure | ExceptionCode::MemoryParityError => {
            Refusal::Isolate { cause: BAD_DEVICE_FAILURE, retry: RETRY_FAILURE }
        }
        ExceptionCode::IllegalFunction => Refusal::NoFunction,
        ExceptionCode::GatewayPathUnavailable | ExceptionCode::GatewayTargetDevice => Refusal::Temporary(Cause::ConnectionLost),
        ExceptionCode::Acknowledge | ExceptionCode::ServerDeviceBusy | ExceptionCode::Custom(_) => {
            Refusal::Temporary(BAD_RESOURCE_UNAVAILABLE)
        }
    }
}

/// The registers, or bits as 0 and 1; or what the device objects.
async fn read(device: &mut Device, request: &Request) -> Result<Result<Vec<u16>, ExceptionCode>, LinkError> {
    let narrow = |n: u32| u16::try_from(n).map_err(|_| LinkError::Mismatch);
    let count = request.registers.len();
    let (start, quantity) = (narrow(request.registers.start)?, narrow(request.registers.end - request.registers.start)?);
    let wire = match request.table {
        Table::Holding => Wire::ReadHoldingRegisters(start, quantity),
        Table::Input => Wire::ReadInputRegisters(start, quantity),
        Table::Coil => Wire::ReadCoils(start, quantity),
        Table::Discrete => Wire::ReadDiscreteInputs(start, quantity),
    };
    let response = match device.call(wire).await? {
        Ok(response) => response,
        Err(code) => return Ok(Err(code)),
    };
    match response {
        Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) if words.len() == count => Ok(Ok(words)),
        // Bits come in whole bytes.
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) if bits.len() >= count => {
            Ok(Ok(bits.into_iter().take(count).map(u16::from).collect()))
        }
        _ => Err(LinkError::Mismatch),
    }
}

fn store(request: &Request, words: &[u16], images: &mut BTreeMap<usize, Vec<Option<u16>>>) {
    for part in &request.parts {
        let Some(image) = images.get_mut(&part.tag) else { continue };
        let from = (part.registers.start - request.registers.start) as usize;
        for (i, word) in words.iter().skip(from).take(part.registers.len()).enumerate() {
            if let Some(place) = image.get_mut(part.offset as usize + i) {
                *place = Some(*word);
            }
        }
    }
}

fn value_of(tag: &Tag, config: &ModbusConfig, words: &[u16]) -> Option<Value> {
    let decode = |words: &[u16]| wire::decode(words, tag.register_type, config.word_order);
    match tag.shape {
        Shape::Scalar => decode(words),
        Shape::Block { .. } => {
            let elements = words.chunks(tag.register_type.width());
            Some(Value::Block(elements.map(|e| decode(e)?.number()).collect::<Option<Vec<f64>>>()?.into()))
        }
    }
}
