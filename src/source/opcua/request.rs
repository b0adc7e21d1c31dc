//! Requests in pieces that the server takes.

use opcua::client::Session;
use opcua::types::{
    DataValue, Error, MonitoredItemCreateRequest, MonitoredItemCreateResult, NodeId, ReadValueId, StatusCode, TimestampsToReturn,
    VariableId, Variant,
};

use crate::types::Timestamp;
use crate::wire::opcua as wire;

/// Where the server names no limit, or none that is lower.
const MOST_PER_CALL: usize = 1_000;

/// Operations per call. Lowered further where the server refuses a call of that size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    pub read: usize,
    pub items: usize,
}

/// What is asked of a server at the beginning of each session.
#[derive(Debug)]
pub(super) struct ServerFacts {
    pub namespaces: Vec<String>,
    pub limits: Limits,
    pub time: Option<Timestamp>,
    /// When the server was started.
    pub started: Option<Timestamp>,
}

pub(super) fn value_of(node: impl Into<NodeId>) -> ReadValueId {
    ReadValueId::from(node.into())
}

/// The server's clock.
pub(super) fn current_time() -> ReadValueId {
    value_of(VariableId::Server_ServerStatus_CurrentTime)
}

pub(super) fn as_time(data: &DataValue) -> Option<Timestamp> {
    match &data.value {
        Some(Variant::DateTime(time)) if data.status.is_none_or(|s| s.is_good()) => Some(wire::from_date_time(time)),
        _ => None,
    }
}

/// Asks for namespaces, limits, clock and start.
pub(super) async fn server_facts(session: &Session) -> Result<ServerFacts, Error> {
    let nodes = [
        value_of(VariableId::Server_NamespaceArray),
        value_of(VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead),
        value_of(VariableId::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall),
        current_time(),
        value_of(VariableId::Server_ServerStatus_StartTime),
    ];
    let answers = read_all(session, &nodes, &mut nodes.len()).await?;
    let [namespaces, read, items, time, started] = answers.as_slice() else {
        return Err(Error::new(StatusCode::BadUnknownResponse, "the server answers another number of values than asked for"));
    };
    let Some(namespaces) = as_texts(namespaces) else {
        return Err(Error::new(StatusCode::BadNoValue, "the server has no namespace array"));
    };
    let limits = Limits { read: as_limit(read), items: as_limit(items) };
    Ok(ServerFacts { namespaces, limits, time: as_time(time), started: as_time(started) })
}

fn as_texts(data: &DataValue) -> Option<Vec<String>> {
    let Some(Variant::Array(array)) = &data.value else { return None };
    let text = |v: &Variant| if let Variant::String(s) = v { s.as_ref().to_string() } else { String::new() };
    Some(array.values.iter().map(text).collect())
}

/// 0 and what is not there are no limit.
fn as_limit(data: &DataValue) -> usize {
    match data.value {
        Some(Variant::UInt32(limit)) if limit > 0 => (limit as usize).min(MOST_PER_CALL),
        _ => MOST_PER_CALL,
    }
}

/// Whether a smaller request may succeed.
pub(super) fn is_too_large(error: &Error) -> bool {
    matches!(
        error.status(),
        StatusCode::BadTooManyOperations
            | StatusCode::BadRequestTooLarge
            | StatusCode::BadResponseTooLarge
            | StatusCode::BadEncodingLimitsExceeded
            | StatusCode::BadTcpMessageTooLarge
    )
}

/// Reads all nodes, in as many calls as needed; `limit` is lowered where the server refuses.
pub(super) async fn read_all(session: &Session, nodes: &[ReadValueId], limit: &mut usize) -> Result<Vec<DataValue>, Error> {
    let mut answers = Vec::with_capacity(nodes.len());
    while answers.len() < nodes.len() {
        let rest = &nodes[answers.len()..];
        let piece = &rest[..rest.len().min(*limit)];
        match session.read(piece, TimestampsToReturn::Both, 0.0).await {
            Ok(values) if values.len() == piece.len() => answers.extend(values),
            Ok(_) => return Err(Error::new(StatusCode::BadUnknownResponse, "the server answers another number of values than asked for")),
            Err(e) if is_too_large(&e) && piece.len() > 1 => *limit = piece.len() / 2,
            Err(e) => return Err(e),
        }
    }
    Ok(answers)
}

/// Creates all items, in as many calls as needed; `limit` is lowered where the server refuses. Items that the subscription has no room
/// for are BadTooManyMonitoredItems, also where the server refuses the whole call for them.
pub(super) async fn create_items(
    session: &Session,
    subscription: u32,
    items: &[MonitoredItemCreateRequest],
    limit: &mut usize,
) -> Result<Vec<MonitoredItemCreateResult>, Error> {
    let mut results = Vec::with_capacity(items.len());
    let mut room = usize::MAX;
    while results.len() < items.len() {
        let rest = &items[results.len()..];
        let piece = &rest[..rest.len().min(*limit).min(room)];
        match session.create_monitored_items(subscription, TimestampsToReturn::Both, piece.to_vec()).await {
            Ok(created) => results.extend(created.into_iter().map(|c| c.result)),
            Err(e) if e.status() == StatusCode::BadTooManyMonitoredItems => {
                room = piece.len() / 2;
                if room == 0 {
                    let refused = MonitoredItemCreateResult { status_code: e.status(), ..MonitoredItemCreateResult::default() };
                    results.resize(items.len(), refused);
                }
            }
            Err(e) if is_too_large(&e) && piece.len() > 1 => *limit = piece.len() / 2,
            Err(e) => return Err(e),
        }
    }
    Ok(results)
}
