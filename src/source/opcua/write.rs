//! Values written into nodes of the PLC, beside the subscription and in the same session.
//!
//! Before its first write a node is looked at: its type decides how a value is written, whatever the configuration thinks. Only values are
//! written, without status and time: many PLCs take nothing else.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use opcua::client::Session;
use opcua::types::{AttributeId, DataValue, Error, Identifier, NodeId, ReadValueId, StatusCode, Variant, VariantScalarTypeId, WriteValue};
use parking_lot::Mutex;

use super::address;
use super::request;
use super::subscribe::Addresses;
use crate::source::write::{Due, Ledger, Outbox, WriteTag, WriteTrial};
use crate::types::{Encoded, NumberType};

const TICK: Duration = Duration::from_millis(100);
/// Values in one request at most.
const MOST_PER_WRITE: usize = 100;
/// What is asked of each node.
const ATTRIBUTES: [AttributeId; 4] = [AttributeId::DataType, AttributeId::UserAccessLevel, AttributeId::ValueRank, AttributeId::Value];
/// Bit of the access level.
const WRITABLE: u8 = 2;

/// Writes what the outbox offers. Outlives sessions.
pub(super) struct Writer {
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    /// Of the present session.
    targets: Vec<Option<Target>>,
}

/// Where and how a value is written.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    node: NodeId,
    kind: NumberType,
}

/// What a node is.
struct Seen {
    trial: WriteTrial,
    target: Option<Target>,
}

impl Writer {
    pub fn new(outbox: Outbox) -> Self {
        let targets = vec![None; outbox.writes.len()];
        Self { state: Mutex::new(State { ledger: Ledger::new(outbox), targets }) }
    }

    /// For the status: what is not written, and why.
    pub fn remarks(&self) -> Vec<String> {
        self.state.lock().ledger.remarks()
    }

    /// Writes what is due, until it is dropped with its session.
    pub async fn run(&self, session: &Session, place: &Addresses<'_>) -> Infallible {
        let (outbox, writes) = {
            let mut state = self.state.lock();
            state.ledger.begin();
            state.targets.fill(None);
            (state.ledger.outbox().clone(), state.ledger.writes())
        };
        let mut limit = MOST_PER_WRITE;
        if outbox.trial.is_some() {
            self.try_all(session, place, &writes, &outbox, &mut limit).await;
        }
        if writes.is_empty() || outbox.trial.is_some() {
            return std::future::pending().await;
        }
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let due = self.state.lock().ledger.due(Instant::now());
            let unknown: Vec<usize> = {
                let state = self.state.lock();
                due.iter().map(|d| d.write).filter(|&w| state.targets.get(w).is_some_and(Option::is_none)).collect()
            };
            if !unknown.is_empty() {
                self.learn(session, place, &writes, &unknown, &mut limit).await;
            }
            self.send(session, &writes, due, &mut limit).await;
        }
    }

    /// Withdraws what the PLC holds: writes it once as not known.
    pub async fn withdraw(&self, session: &Session) {
        let (due, writes) = {
            let state = self.state.lock();
            (state.ledger.to_withdraw(), state.ledger.writes())
        };
        let mut limit = MOST_PER_WRITE;
        self.send(session, &writes, due, &mut limit).await;
    }

    async fn try_all(&self, session: &Session, place: &Addresses<'_>, writes: &[WriteTag], outbox: &Outbox, limit: &mut usize) {
        let all: Vec<usize> = (0..writes.len()).collect();
        match look(session, place, writes, &all, limit).await {
            Ok(seen) => seen.into_iter().for_each(|(write, seen)| outbox.seen(write, seen.trial)),
            Err(e) => tracing::debug!(error = %e, "nodes to be written could not be looked at"),
        }
    }

    async fn learn(&self, session: &Session, place: &Addresses<'_>, writes: &[WriteTag], unknown: &[usize], limit: &mut usize) {
        let seen = look(session, place, writes, unknown, limit).await;
        let mut state = self.state.lock();
        match seen {
            Ok(seen) => {
                for (write, seen) in seen {
                    match (seen.target, seen.trial.fault) {
                        (Some(target), None) => state.targets[write] = Some(target),
                        (_, fault) => state.ledger.refused(write, fault.unwrap_or_default(), Instant::now()),
                    }
                }
            }
            Err(e) => unknown.iter().for_each(|&write| state.ledger.refused(write, unanswered(&e), Instant::now())),
        }
    }

    async fn send(&self, session: &Session, writes: &[WriteTag], due: Vec<Due>, limit: &mut usize) {
        let mut ready = self.encoded(writes, due);
        while !ready.is_empty() {
            let piece: Vec<(Due, WriteValue)> = ready.drain(..ready.len().min((*limit).max(1))).collect();
            let values: Vec<WriteValue> = piece.iter().map(|(_, value)| value.clone()).collect();
            let answer = session.write(&values).await;
            let now = Instant::now();
            let mut state = self.state.lock();
            match answer {
                Ok(results) if results.len() == piece.len() => {
                    for ((due, _), status) in piece.into_iter().zip(results) {
                        if status.is_good() {
                            state.ledger.taken(due, now);
                        } else {
                            // Perhaps it is another node by now.
                            state.targets[due.write] = None;
                            state.ledger.refused(due.write, explain(status), now);
                        }
                    }
                }
                Err(e) if request::is_too_large(&e) && piece.len() > 1 => {
                    *limit = piece.len() / 2;
                    ready.splice(0..0, piece);
                }
                Ok(_) => piece.iter().for_each(|(due, _)| state.ledger.refused(due.write, "the PLC gives no answer to it".into(), now)),
                Err(e) => piece.iter().for_each(|(due, _)| state.ledger.refused(due.write, unanswered(&e), now)),
            }
        }
    }

    /// As far as their nodes are known.
    fn encoded(&self, writes: &[WriteTag], due: Vec<Due>) -> Vec<(Due, WriteValue)> {
        let mut state = self.state.lock();
        let mut ready = Vec::new();
        for due in due {
            let Some(target) = state.targets.get(due.write).cloned().flatten() else { continue };
            match writes[due.write].config.encode(due.output, target.kind) {
                Ok(value) => ready.push((due, write_value(target, value))),
                Err(misfit) => state.ledger.refused(due.write, misfit.to_string(), Instant::now()),
            }
        }
        ready
    }
}

/// Looks at the nodes, without writing.
async fn look(
    session: &Session,
    place: &Addresses<'_>,
    writes: &[WriteTag],
    wanted: &[usize],
    limit: &mut usize,
) -> Result<Vec<(usize, Seen)>, Error> {
    let (mut seen, mut asked, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
    for &write in wanted {
        match address::resolve(&writes[write].config.address, place.namespace, place.namespaces) {
            Ok(node) => {
                nodes.extend(ATTRIBUTES.map(|a| ReadValueId { attribute_id: a as u32, ..request::value_of(node.clone()) }));
                asked.push((write, node));
            }
            Err(e) => seen.push((write, Seen { trial: fault(e.to_string()), target: None })),
        }
    }
    let answers = request::read_all(session, &nodes, limit).await?;
    for ((write, node), answer) in asked.into_iter().zip(answers.as_chunks::<{ ATTRIBUTES.len() }>().0) {
        seen.push((write, judge(&writes[write], node, answer)));
    }
    Ok(seen)
}

fn fault(text: String) -> WriteTrial {
    WriteTrial { fault: Some(text), ..WriteTrial::default() }
}

fn judge(tag: &WriteTag, node: NodeId, [data_type, access, rank, value]: &[DataValue; ATTRIBUTES.len()]) -> Seen {
    let status = data_type.status.unwrap_or(StatusCode::Good);
    if status.is_bad() {
        return Seen { trial: fault(explain(status)), target: None };
    }
    let writable = match access.value {
        Some(Variant::Byte(level)) => Some(level & WRITABLE != 0),
        _ => None,
    };
    let built_in = built_in(data_type, value);
    let name = built_in.map_or_else(|| "another type".into(), |t| t.to_string());
    let array = matches!(rank.value, Some(Variant::Int32(rank)) if rank >= 0) || matches!(value.value, Some(Variant::Array(_)));
    let trial = |fault| WriteTrial { data_type: name.clone(), writable, fault };
    let Some(kind) = built_in.and_then(number_type).filter(|_| !array) else {
        let what = if array { "an array" } else { name.as_str() };
        let text = format!("the node holds {what}; name a node with a number or a Boolean");
        return Seen { trial: trial(Some(text)), target: None };
    };
    let misfit = tag.config.check(kind).err().map(|m| m.to_string());
    Seen { trial: trial(misfit), target: Some(Target { node, kind }) }
}

/// The built-in type of the node: its data type where that is one, else the type of its value (enumerations, the PLC's own types).
fn built_in(data_type: &DataValue, value: &DataValue) -> Option<VariantScalarTypeId> {
    let named = match &data_type.value {
        Some(Variant::NodeId(id)) if id.namespace == 0 => match id.identifier {
            Identifier::Numeric(number) => VariantScalarTypeId::try_from(number).ok(),
            _ => None,
        },
        _ => None,
    };
    named.or_else(|| value.value.as_ref().and_then(Variant::scalar_type_id))
}

fn number_type(built_in: VariantScalarTypeId) -> Option<NumberType> {
    Some(match built_in {
        VariantScalarTypeId::Boolean => NumberType::Bool,
        VariantScalarTypeId::SByte => NumberType::I8,
        VariantScalarTypeId::Byte => NumberType::U8,
        VariantScalarTypeId::Int16 => NumberType::I16,
        VariantScalarTypeId::UInt16 => NumberType::U16,
        VariantScalarTypeId::Int32 => NumberType::I32,
        VariantScalarTypeId::UInt32 => NumberType::U32,
        VariantScalarTypeId::Int64 => NumberType::I64,
        VariantScalarTypeId::UInt64 => NumberType::U64,
        VariantScalarTypeId::Float => NumberType::F32,
        VariantScalarTypeId::Double => NumberType::F64,
        _ => return None,
    })
}

fn write_value(target: Target, value: Encoded) -> WriteValue {
    WriteValue {
        node_id: target.node,
        attribute_id: AttributeId::Value as u32,
        index_range: Default::default(),
        value: DataValue { value: Some(variant(value, target.kind)), ..DataValue::null() },
    }
}

/// The casts lose nothing: the value was made for this type.
fn variant(value: Encoded, kind: NumberType) -> Variant {
    let (whole, real) = match value {
        Encoded::Bool(on) => (i128::from(on), f64::from(u8::from(on))),
        Encoded::Integer(n) => (n, n as f64),
        Encoded::Real(x) => (x as i128, x),
    };
    match kind {
        NumberType::Bool => Variant::Boolean(whole != 0),
        NumberType::I8 => Variant::SByte(whole as i8),
        NumberType::U8 => Variant::Byte(whole as u8),
        NumberType::I16 => Variant::Int16(whole as i16),
        NumberType::U16 => Variant::UInt16(whole as u16),
        NumberType::I32 => Variant::Int32(whole as i32),
        NumberType::U32 => Variant::UInt32(whole as u32),
        NumberType::I64 => Variant::Int64(whole as i64),
        NumberType::U64 => Variant::UInt64(whole as u64),
        NumberType::F32 => Variant::Float(real as f32),
        NumberType::F64 => Variant::Double(real),
    }
}

/// A status in words, with what to do.
fn explain(status: StatusCode) -> String {
    let what = match status {
        StatusCode::BadNotWritable | StatusCode::BadUserAccessDenied => {
            "the PLC does not let this user write it: allow it there (TwinCAT: OPC.UA.DA.Access := 3; TIA: writable from HMI/OPC UA)"
        }
        StatusCode::BadTypeMismatch => "the node has another type by now",
        StatusCode::BadOutOfRange => "the PLC does not take the value: see the node's range, `scale` and `when_bad`",
        StatusCode::BadNodeIdUnknown | StatusCode::BadNodeIdInvalid => "the PLC has no such node: see the address, load the program",
        StatusCode::BadWriteNotSupported => "the PLC does not take plain values there",
        _ => return format!("the PLC refuses it: {status}"),
    };
    format!("{what} ({status})")
}

fn unanswered(error: &Error) -> String {
    format!("the PLC refuses the request: {}", error.status())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RegisterType, WriteConfig, Written};

    fn tag(value: Written) -> WriteTag {
        let config = WriteConfig {
            value,
            source: 0,
            address: "MAIN.w".into(),
            register_type: RegisterType::U16,
            scale: 1.0,
            interval: Duration::from_secs(1),
            when_bad: None,
            stale_after: Duration::from_secs(5),
        };
        WriteTag { name: "M.x".into(), config }
    }

    fn node(data_type: NodeId, level: u8, rank: i32, value: Variant) -> [DataValue; 4] {
        [Variant::from(data_type), Variant::Byte(level), Variant::Int32(rank), value].map(DataValue::value_only)
    }

    #[test]
    fn the_node_decides_on_the_type() {
        let see = |value, answer: &[DataValue; 4]| judge(&tag(value), NodeId::new(2, 1), answer);
        let real = see(Written::DriftStatus, &node(NodeId::new(0, 10), 3, -1, Variant::Float(0.0)));
        assert_eq!((real.target.unwrap().kind, real.trial.writable, real.trial.is_fine()), (NumberType::F32, Some(true), true));
        // An enumeration of the PLC: the type of its value.
        let own = see(Written::DriftStatus, &node(NodeId::new(4, 3001), 1, -1, Variant::Int32(0)));
        assert_eq!((own.target.unwrap().kind, own.trial.writable, own.trial.fault), (NumberType::I32, Some(false), None));
        let array = see(Written::DriftStatus, &node(NodeId::new(0, 10), 3, 1, Variant::from(vec![1.0f32])));
        assert!(array.target.is_none() && array.trial.fault.unwrap().contains("an array"));
        let text = see(Written::DriftStatus, &node(NodeId::new(0, 12), 3, -1, Variant::from("x")));
        assert!(text.trial.fault.unwrap().contains("String"));
        let flag = see(Written::Fault, &node(NodeId::new(0, 1), 3, -1, Variant::Boolean(false)));
        assert!(flag.trial.fault.unwrap().contains("when_bad"));
        let mut gone = node(NodeId::new(0, 1), 3, -1, Variant::Empty);
        gone[0].status = Some(StatusCode::BadNodeIdUnknown);
        assert!(see(Written::Fault, &gone).trial.fault.unwrap().contains("no such node"));
    }

    #[test]
    fn values_have_the_node_s_type() {
        assert_eq!(variant(Encoded::Integer(65_535), NumberType::U16), Variant::UInt16(65_535));
        assert_eq!(variant(Encoded::Integer(-32_768), NumberType::I16), Variant::Int16(-32_768));
        assert_eq!(variant(Encoded::Real(1.5), NumberType::F32), Variant::Float(1.5));
        assert_eq!(variant(Encoded::Bool(true), NumberType::Bool), Variant::Boolean(true));
        let value = write_value(Target { node: NodeId::new(2, 1), kind: NumberType::Bool }, Encoded::Bool(false));
        assert_eq!((value.value.status, value.value.source_timestamp), (None, None), "a plain value");
    }
}
