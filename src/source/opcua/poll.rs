//! Values that are read at an interval, in place of a subscription: for servers that have none, or none that is any good.

use std::collections::BTreeMap;
use std::time::Instant;

use opcua::client::Session;
use opcua::types::{Error, NodeId, StatusCode};

use super::address;
use super::members::{self, Members};
use super::receive::Receiver;
use super::request::{self, Limits};
use super::subscribe::{Addresses, Failed};
use crate::source::Tag;
use crate::types::{Cause, Quality};
use crate::wire::opcua as wire;

/// What is read in one session.
pub(super) struct Polled<'a> {
    tags: &'a [Tag],
    receiver: &'a Receiver,
    pub limits: Limits,
    /// The node of each tag whose address means one, and when it is to be read next.
    nodes: Vec<(usize, NodeId, Instant)>,
    failed: BTreeMap<usize, Failed>,
}

impl<'a> Polled<'a> {
    /// Finds the nodes. Those that are none are sent as Bad.
    pub async fn prepare(session: &Session, place: &Addresses<'_>, (tags, receiver): (&'a [Tag], &'a Receiver), limits: Limits) -> Self {
        receiver.begin();
        let mut polled = Self { tags, receiver, limits, nodes: Vec::new(), failed: BTreeMap::new() };
        let mut of_structures = Vec::new();
        for (tag, of) in tags.iter().enumerate() {
            let (address, member) = members::split(&of.address);
            match address::resolve(address, place.namespace, place.namespaces) {
                Ok(node) => {
                    of_structures.extend(member.map(|member| (tag, node.clone(), member)));
                    polled.nodes.push((tag, node, Instant::now()));
                }
                Err(e) => polled.fail(tag, Cause::UnknownAddress, e.to_string()),
            }
        }
        for (tag, reason) in Members::default().faults(session, &of_structures, &mut polled.limits.read).await {
            polled.nodes.retain(|(known, ..)| *known != tag);
            polled.fail(tag, Cause::WrongType, reason);
        }
        polled
    }

    fn fail(&mut self, tag: usize, cause: Cause, reason: String) {
        self.receiver.failed(tag, cause);
        self.failed.insert(tag, Failed { tag, cause, reason });
    }

    pub fn nodes(&self) -> Vec<(usize, NodeId)> {
        self.nodes.iter().map(|(tag, node, _)| (*tag, node.clone())).collect()
    }

    /// Reads what is due; a signal's own `sampling` may be longer than the interval.
    pub async fn read_due(&mut self, session: &Session) -> Result<(), Error> {
        let begun = Instant::now();
        let mut due = Vec::new();
        for (tag, node, next) in self.nodes.iter_mut().filter(|(.., next)| *next <= begun) {
            *next = begun + self.tags[*tag].sampling.unwrap_or_default();
            due.push((*tag, node.clone()));
        }
        let wanted: Vec<_> = due.iter().map(|(_, node)| request::value_of(node.clone())).collect();
        let answers = request::read_all(session, &wanted, &mut self.limits.read).await?;
        for ((tag, _), answer) in due.into_iter().zip(answers) {
            let status = answer.status.unwrap_or(StatusCode::Good);
            match wire::to_quality(status) {
                Quality::Bad(cause) if is_refused(status) => {
                    let reason = format!("`{}`: {status}", self.tags[tag].address);
                    self.failed.insert(tag, Failed { tag, cause, reason });
                }
                _ => drop(self.failed.remove(&tag)),
            }
            self.receiver.polled(tag, answer);
        }
        Ok(())
    }

    /// Says again that tags without a node have no value.
    pub fn repeat_failed(&self) {
        let read = |tag: usize| self.nodes.iter().any(|(known, ..)| *known == tag);
        self.failed.values().filter(|f| !read(f.tag)).for_each(|f| self.receiver.still_failed(f.tag, f.cause));
    }

    pub fn failed(&self) -> Vec<Failed> {
        self.failed.values().cloned().collect()
    }
}

/// Whether the node cannot be read, rather than its value being bad.
fn is_refused(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadNodeIdUnknown
            | StatusCode::BadNodeIdInvalid
            | StatusCode::BadAttributeIdInvalid
            | StatusCode::BadNotReadable
            | StatusCode::BadUserAccessDenied
    )
}

/// Whether a server that answers this to a subscription has none.
pub(super) fn has_no_subscriptions(error: &Error) -> bool {
    matches!(error.status(), StatusCode::BadServiceUnsupported | StatusCode::BadNotImplemented | StatusCode::BadNotSupported)
}
