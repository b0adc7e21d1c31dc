//! HistoryRead: what variables were, from the store's rings.
//!
//! ```text
//! HistoryRead ─▶ mod: checks, one job a node ─▶ blocking thread (two at a time): store ─▶ history (pure) ─▶ encode
//! updates ─▶ recorder ─▶ store
//! ```
//! Signals, settings and scores come from the rings of rows, at the rate of the machine's rows; all other variables from the ring of
//! changes, which the recorder fills. Nothing is locked while rows are read.

mod encode;
mod recorder;
mod sources;

use std::sync::Arc;

use opcua::server::ContinuationPoint;
use opcua::server::node_manager::HistoryNode;
use opcua::types::{
    AggregateConfiguration, DateTime, HistoryData, NodeId, ObjectId, ReadProcessedDetails, ReadRawModifiedDetails, StatusCode,
    TimestampsToReturn,
};
use tokio::sync::Semaphore;

pub(super) use self::recorder::Recorder;
use self::sources::{Failure, Reading};
pub(super) use self::sources::{Kept, kept};
use super::node_manager::instance_path;
use super::publish::now;
use crate::history::{Aggregate, Cursor, Extent, Intervals, RawRequest, Rules};
use crate::store::Store;
use crate::types::Timestamp;
use crate::wire::opcua::from_date_time;

/// Values of one node in one answer.
pub(super) const MAX_VALUES: u32 = 10_000;
/// Values of one answer, over all its nodes: keeps it below the size of a message.
const MAX_VALUES_OF_ANSWER: usize = 100_000;
/// Reads at the same time, over all sessions.
const READS: usize = 2;
/// The functions that are offered.
pub(super) const AGGREGATES: [ObjectId; 5] = [
    ObjectId::AggregateFunction_Average,
    ObjectId::AggregateFunction_Minimum,
    ObjectId::AggregateFunction_Maximum,
    ObjectId::AggregateFunction_Count,
    ObjectId::AggregateFunction_TimeAverage,
];

/// The past of all variables that have one.
pub(super) struct Histories {
    store: Arc<dyn Store>,
    kept: Arc<Kept>,
    reads: Arc<Semaphore>,
}

/// What a continuation point stands for.
struct Continuation {
    node: NodeId,
    job: Job,
}

/// One node's part of a request.
#[derive(Clone)]
enum Job {
    Raw {
        request: RawRequest,
        cursor: Option<Cursor>,
    },
    /// From interval number `from` on.
    Processed {
        aggregate: Aggregate,
        intervals: Intervals,
        rules: AskedRules,
        from: u64,
    },
}

/// The client's own configuration of aggregates; `None`: the server's.
#[derive(Copy, Clone)]
struct AskedRules(Option<Rules>);

impl AskedRules {
    fn of(asked: &AggregateConfiguration) -> Result<Self, StatusCode> {
        if asked.use_server_capabilities_defaults {
            return Ok(Self(None));
        }
        let (percent_bad, percent_good) = (asked.percent_data_bad, asked.percent_data_good);
        // The two must not overlap.
        if percent_bad > 100 || percent_good > 100 || u16::from(percent_bad) + u16::from(percent_good) < 100 {
            return Err(StatusCode::BadAggregateConfigurationRejected);
        }
        let rules = Rules {
            uncertain_is_bad: asked.treat_uncertain_as_bad,
            percent_bad,
            percent_good,
            sloped: asked.use_sloped_extrapolation,
            stepped: false,
        };
        Ok(Self(Some(rules)))
    }

    fn with(self, stepped: bool) -> Rules {
        self.0.map_or(Rules::standard(stepped), |rules| Rules { stepped, ..rules })
    }
}

impl Histories {
    pub(super) fn new(store: Arc<dyn Store>, kept: Kept) -> Self {
        Self { store, kept: Arc::new(kept), reads: Arc::new(Semaphore::new(READS)) }
    }

    pub(super) async fn raw(
        &self,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        check_timestamps(timestamps)?;
        if details.is_read_modified {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        }
        let count = usize::try_from(details.num_values_per_node).unwrap_or(usize::MAX);
        let request = RawRequest::new(time(&details.start_time), time(&details.end_time), count, details.return_bounds)
            .map_err(|_| StatusCode::BadHistoryOperationInvalid)?;
        let jobs = nodes.iter().map(|_| Ok(Job::Raw { request: request.clone(), cursor: None })).collect();
        self.run(nodes, jobs).await;
        Ok(())
    }

    pub(super) async fn processed(
        &self,
        details: &ReadProcessedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        check_timestamps(timestamps)?;
        let rules = AskedRules::of(&details.aggregate_configuration)?;
        let interval = details.processing_interval;
        let (Some(start), Some(end)) = (time(&details.start_time), time(&details.end_time)) else {
            return Err(StatusCode::BadInvalidArgument);
        };
        if !(interval >= 0.0 && interval.is_finite()) {
            return Err(StatusCode::BadAggregateInvalidInputs);
        }
        // Saturates: longer than all time is all time.
        let intervals = Intervals::new(start, end, (interval * 1e6) as u64).ok_or(StatusCode::BadInvalidArgument)?;
        let aggregates = aggregates(details.aggregate_type.as_deref().unwrap_or_default(), nodes.len())?;
        let job = |aggregate: Result<Aggregate, StatusCode>| {
            aggregate.map(|aggregate| Job::Processed { aggregate, intervals: intervals.clone(), rules, from: 0 })
        };
        self.run(nodes, aggregates.into_iter().map(job).collect()).await;
        Ok(())
    }

    /// One job after the other: a request with many nodes takes no more threads than one with a single node.
    async fn run(&self, nodes: &mut [&mut &mut HistoryNode], jobs: Vec<Result<Job, StatusCode>>) {
        let most = (MAX_VALUES_OF_ANSWER / nodes.len().max(1)).clamp(1, MAX_VALUES as usize);
        for (node, job) in nodes.iter_mut().zip(jobs) {
            let done = match job.and_then(|job| resumed(node, job)) {
                Ok(job) => self.one(node, job, most).await,
                Err(status) => Err(status),
            };
            match done {
                Ok(status) => node.set_status(status),
                Err(status) => node.set_status(status),
            }
        }
    }

    async fn one(&self, node: &mut HistoryNode, job: Job, most: usize) -> Result<StatusCode, StatusCode> {
        if node.index_range().has_range() {
            return Err(StatusCode::BadIndexRangeNoData);
        }
        if !node.data_encoding().name.is_empty() {
            return Err(StatusCode::BadDataEncodingInvalid);
        }
        let path = instance_path(node.node_id()).ok_or(StatusCode::BadHistoryOperationUnsupported)?;
        let reading = self.kept.reading(path, Arc::clone(&self.store)).ok_or(StatusCode::BadHistoryOperationUnsupported)?;
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| StatusCode::BadShutdown)?;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&reading, &job, most, now())
        });
        let Answer { data, next } = read.await.map_err(|_| StatusCode::BadInternalError)??;
        let empty = data.data_values.as_ref().is_none_or(Vec::is_empty);
        node.set_result(data);
        let id = node.node_id().clone();
        node.set_next_continuation_point(next.map(|job| ContinuationPoint::new(Box::new(Continuation { node: id, job }))));
        Ok(if empty { StatusCode::GoodNoData } else { StatusCode::Good })
    }
}

/// The job where it was left off, if the client goes on.
fn resumed(node: &HistoryNode, job: Job) -> Result<Job, StatusCode> {
    let Some(point) = node.continuation_point() else { return Ok(job) };
    match point.get::<Continuation>() {
        Some(continuation) if continuation.node == *node.node_id() => Ok(continuation.job.clone()),
        _ => Err(StatusCode::BadContinuationPointInvalid),
    }
}

struct Answer {
    data: HistoryData,
    next: Option<Job>,
}

fn read(reading: &Reading, job: &Job, most: usize, now: Timestamp) -> Result<Answer, StatusCode> {
    match job {
        Job::Raw { request, cursor } => {
            let page = reading.raw(request, cursor.as_ref(), most).map_err(status)?;
            let next = page.next.map(|cursor| Job::Raw { request: request.clone(), cursor: Some(cursor) });
            Ok(Answer { data: encode::raw(page.values), next })
        }
        Job::Processed { aggregate, intervals, rules, from } => {
            let rules = rules.with(reading.stepped());
            let (results, done) = reading.processed(*aggregate, intervals, *from, most, &rules, now).map_err(status)?;
            let next = (done < intervals.len()).then(|| match job.clone() {
                Job::Processed { aggregate, intervals, rules, .. } => Job::Processed { aggregate, intervals, rules, from: done },
                raw => raw,
            });
            Ok(Answer { data: encode::processed(*aggregate, reading.kind(), results), next })
        }
    }
}

fn status(failure: Failure) -> StatusCode {
    match failure {
        Failure::Store(error) => {
            tracing::warn!("a history cannot be read: {error}");
            StatusCode::BadUnexpectedError
        }
        Failure::NotNumeric => StatusCode::BadAggregateInvalidInputs,
        Failure::TooMuch => StatusCode::BadRequestTooLarge,
    }
}

/// Only source times are kept.
fn check_timestamps(timestamps: TimestampsToReturn) -> Result<(), StatusCode> {
    match timestamps {
        TimestampsToReturn::Source | TimestampsToReturn::Both => Ok(()),
        TimestampsToReturn::Server => Err(StatusCode::BadTimestampNotSupported),
        _ => Err(StatusCode::BadTimestampsToReturnInvalid),
    }
}

/// A time that is given. Clients leave one out as null or as the smallest time.
fn time(time: &DateTime) -> Option<Timestamp> {
    (!time.is_null()).then(|| from_date_time(time))
}

/// One function a node. The stack gives us only the nodes that may be read: where some are missing, it cannot be told which function
/// belongs to which, unless all are the same.
fn aggregates(asked: &[NodeId], nodes: usize) -> Result<Vec<Result<Aggregate, StatusCode>>, StatusCode> {
    let found: Vec<_> = asked.iter().map(|id| aggregate(id).ok_or(StatusCode::BadAggregateNotSupported)).collect();
    match found.first() {
        Some(first) if found.len() != nodes && asked.iter().all(|id| *id == asked[0]) => Ok(vec![*first; nodes]),
        Some(_) if found.len() == nodes => Ok(found),
        _ => Err(StatusCode::BadAggregateListMismatch),
    }
}

fn aggregate(id: &NodeId) -> Option<Aggregate> {
    let all = [Aggregate::Average, Aggregate::Minimum, Aggregate::Maximum, Aggregate::Count, Aggregate::TimeAverage];
    AGGREGATES.iter().position(|function| id == function).map(|k| all[k])
}

/// From the first to the last value that is kept; a value that changes in steps holds until `now`.
fn extent(first: Option<Timestamp>, last: Option<Timestamp>, until: Option<Timestamp>) -> Option<Extent> {
    let (first, last) = (first?, last?);
    Some(Extent { first, last: until.map_or(last, |now| now.max(last)) })
}

#[cfg(test)]
mod tests;
