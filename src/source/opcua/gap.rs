//! The gap that an outage leaves: filled from the history that the PLC itself keeps, where it keeps one, and from what it has queued.
//!
//! ```text
//! loss: time of the last value ─▶ new session: items, their news held back ─▶ HistoryRead, queue ─▶ past values, then the news, in order
//! ```
//! Only values of nodes with a history are held back, all where there is a queue, for [`FILL_TIME`] at most. A filled value is Uncertain: rows are judged with it, in
//! order, but no prediction is trusted.

use std::time::Duration;

use opcua::client::{HistoryReadAction, Session};
use opcua::types::{
    AttributeId, ByteString, DataValue, Error, HistoryData, HistoryReadValueId, NodeId, QualifiedName, ReadRawModifiedDetails, ReadValueId,
    TimestampsToReturn, Variant,
};

use super::queue::Old;
use super::receive::Receiver;
use super::request;
use crate::types::Timestamp;
use crate::wire::opcua as wire;

/// Longer a PLC is not waited for, and no news held back.
const FILL_TIME: Duration = Duration::from_secs(2);
/// A history lags behind a little: what has just happened gets so much time to come into it.
const SETTLE: Duration = Duration::from_millis(500);
/// Up to so long after the PLC's present time is asked for: some show their clock in steps of a second or more.
const CLOCK_STEPS: Duration = Duration::from_secs(10);
/// Values that are filled in at one time, all nodes together: fewer than the machines' channels hold.
const MOST_VALUES: usize = 4_000;
/// The machines take the values before in that time.
const BETWEEN_PIECES: Duration = Duration::from_millis(40);
/// Nodes in one request.
const NODES_PER_READ: usize = 50;
/// Bit of the access level.
const HISTORY: u8 = 4;

/// Past values of one tag, oldest first.
pub(super) type Filled = (usize, Vec<DataValue>);

/// Fills what the last loss of the connection has left, and lets the news go on. Whatever goes wrong: the gap stays marked as it is.
/// `nodes`: of all tags that have one; `old`: the subscriptions of before, which may have queued values.
pub(super) async fn fill(session: &Session, mut nodes: Vec<(usize, NodeId)>, limit: &mut usize, receiver: &Receiver, old: &[Old]) {
    let gaps = receiver.gaps();
    if gaps.is_empty() {
        return;
    }
    let made = receiver.plc_now();
    nodes.retain(|(tag, _)| gaps.iter().any(|(with_gap, _)| with_gap == tag));
    let read = tokio::time::timeout(FILL_TIME, past(session, &nodes, &gaps, receiver, limit, !old.is_empty())).await;
    let (mut filled, why) = match read {
        Ok(Ok(filled)) => (filled, None),
        Ok(Err(e)) => (Vec::new(), Some(format!("the PLC refuses to read its history: {}", e.status()))),
        Err(_) => (Vec::new(), Some(format!("no history within {} s", FILL_TIME.as_secs()))),
    };
    for old in old {
        filled.extend(old.drain(made).await);
    }
    let past = receiver.past(filled);
    let (pieces, count) = (past.chunks(MOST_VALUES), past.len());
    for (number, piece) in pieces.enumerate() {
        if number > 0 {
            tokio::time::sleep(BETWEEN_PIECES).await;
        }
        receiver.send_past(piece);
    }
    receiver.let_all_go();
    match why {
        _ if count > 0 => tracing::info!("the gap of the lost connection is filled with {count} values that the PLC has kept"),
        Some(why) => tracing::info!("the gap of the lost connection is not filled: {why}"),
        None => {}
    }
}

async fn past(
    session: &Session,
    nodes: &[(usize, NodeId)],
    gaps: &[(usize, Timestamp)],
    receiver: &Receiver,
    limit: &mut usize,
    queued: bool,
) -> Result<Vec<Filled>, Error> {
    let access =
        |(_, node): &(usize, NodeId)| ReadValueId { attribute_id: AttributeId::UserAccessLevel as u32, ..request::value_of(node.clone()) };
    let levels = request::read_all(session, &nodes.iter().map(access).collect::<Vec<_>>(), limit).await?;
    let kept = |level: &DataValue| matches!(level.value, Some(Variant::Byte(level)) if level & HISTORY != 0);
    let (with, without): (Vec<_>, Vec<_>) = nodes.iter().zip(levels).partition(|(_, level)| kept(level));
    if !queued {
        receiver.let_go(&without.into_iter().map(|((tag, _), _)| *tag).collect::<Vec<_>>());
    }
    let wanted: Vec<&(usize, NodeId)> = with.into_iter().map(|(node, _)| node).collect();
    let each = u32::try_from(MOST_VALUES / wanted.len().max(1)).unwrap_or(u32::MAX).max(1);
    if !wanted.is_empty() {
        tokio::time::sleep(SETTLE).await;
    }
    let from = |tags: &[&(usize, NodeId)]| gaps.iter().filter(|(tag, _)| tags.iter().any(|(t, _)| t == tag)).map(|(_, from)| *from).min();
    let mut filled = Vec::new();
    for piece in wanted.chunks(NODES_PER_READ) {
        let Some(start) = from(piece) else { continue };
        filled.extend(read(session, piece, start, receiver.plc_now().plus(CLOCK_STEPS), each).await?);
    }
    Ok(filled)
}

async fn read(session: &Session, nodes: &[&(usize, NodeId)], start: Timestamp, end: Timestamp, each: u32) -> Result<Vec<Filled>, Error> {
    let details = ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: wire::to_date_time(start),
        end_time: wire::to_date_time(end),
        num_values_per_node: each,
        return_bounds: false,
    };
    let ids: Vec<HistoryReadValueId> = nodes.iter().map(|(_, node)| history_of(node, ByteString::null())).collect();
    let action = HistoryReadAction::ReadRawModifiedDetails(details.clone());
    let answers = session.history_read(action, TimestampsToReturn::Both, false, &ids).await?;
    let (mut filled, mut open) = (Vec::new(), Vec::new());
    for ((tag, node), answer) in nodes.iter().zip(answers) {
        if !answer.continuation_point.is_null() {
            open.push(history_of(node, answer.continuation_point));
        }
        if answer.status_code.is_good()
            && let Some(data) = answer.history_data.inner_as::<HistoryData>()
        {
            filled.push((*tag, data.data_values.clone().unwrap_or_default()));
        }
    }
    if !open.is_empty() {
        // More than is wanted: the PLC need not keep it ready.
        let action = HistoryReadAction::ReadRawModifiedDetails(details);
        session.history_read(action, TimestampsToReturn::Both, true, &open).await?;
    }
    Ok(filled)
}

fn history_of(node: &NodeId, continuation_point: ByteString) -> HistoryReadValueId {
    HistoryReadValueId { node_id: node.clone(), index_range: Default::default(), data_encoding: QualifiedName::null(), continuation_point }
}
