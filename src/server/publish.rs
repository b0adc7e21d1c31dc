//! Brings new values into the address space and to the clients that subscribe to them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use opcua::nodes::Variable;
use opcua::server::address_space::{AddressSpace, NodeType};
use opcua::server::{MonitoredItemHandle, SubscriptionCache};
use opcua::sync::{Mutex, RwLock};
use opcua::types::{AttributeId, DataEncoding, DataValue, NodeId, NumericRange, TimestampsToReturn, Variant};

use super::commands::{Interfaces, MethodInfo};
use super::files::Files;
use super::history::Recorder;
use super::instantiate::{VariableInfo, node_id};
use super::items::{Items, is_null};
use super::{INSTANCES, NodeUpdate, ParameterSpec};
use crate::types::{Cause, Quality, Scalar, Timestamp};
use crate::wire::opcua::{data_value, from_date_time};

/// What the node manager and the publisher both need.
pub(super) struct Shared {
    pub(super) variables: HashMap<Arc<str>, VariableInfo>,
    pub(super) parameters: HashMap<Arc<str>, ParameterSpec>,
    /// Methods of ours, by the path of their instance.
    pub(super) methods: HashMap<Arc<str>, MethodInfo>,
    pub(super) interfaces: Interfaces,
    /// Taken after the lock of the address space, never before.
    pub(super) items: Mutex<Items>,
    pub(super) recorder: Recorder,
    pub(super) files: Arc<Files>,
}

impl Shared {
    /// Whether a refused write of this variable has an event already: parameters and requests.
    pub(super) fn tells_of(&self, path: &str) -> bool {
        self.parameters.contains_key(path) || path.ends_with(".Command.Request")
    }
}

/// The values of the address space: one way in for the pipeline, for written parameters and for the server's own.
pub(super) struct Values<'a> {
    pub(super) space: &'a RwLock<AddressSpace>,
    pub(super) subscriptions: &'a SubscriptionCache,
    pub(super) shared: &'a Shared,
}

/// What subscribers are to be told of one node.
struct Notice {
    id: NodeId,
    value: DataValue,
    /// The value is the old one.
    status_only: bool,
}

/// Why an update did not reach its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Unknown,
    WrongType,
}

impl Values<'_> {
    /// Sets all values under one lock, then tells the subscribers, in order. Returns the updates that fit no variable.
    pub(super) fn set<'u>(&self, updates: &'u [NodeUpdate]) -> Vec<(&'u Arc<str>, Misfit)> {
        let (mut changes, mut misfits) = (Vec::with_capacity(updates.len()), Vec::new());
        for update in updates {
            match expand(&self.shared.variables, update, &mut changes) {
                Ok(()) => self.record(update),
                Err(misfit) => misfits.push((&update.path, misfit)),
            }
        }
        let notices = self.store(changes);
        self.notify(&notices);
        misfits
    }

    fn record(&self, update: &NodeUpdate) {
        if self.shared.variables.get(&update.path).is_some_and(|info| info.recorded) {
            self.shared.recorder.record(update);
        }
    }

    /// Sets values that are no plain scalars; those without a variable are left out.
    pub(super) fn set_as_they_are(&self, values: Vec<(String, DataValue)>) {
        let known = values.into_iter().filter_map(|(path, value)| Some((&**self.shared.variables.get_key_value(&*path)?.0, value)));
        let notices = self.store(known.collect());
        self.notify(&notices);
    }

    /// Puts the values into the address space; what comes back is what subscribers are to be told.
    fn store(&self, changes: Vec<(&str, DataValue)>) -> Vec<Notice> {
        let mut space = self.space.write();
        let mut items = self.shared.items.lock();
        let mut notices = Vec::with_capacity(changes.len());
        for (path, value) in changes {
            let Some(NodeType::Variable(variable)) = space.find_mut((INSTANCES, path)) else { continue };
            let id = node_id(path);
            let last = current(variable);
            let mut notice = items.distinct(&id, &last, value.clone());
            if value.source_timestamp < last.source_timestamp {
                // A clock was set back: the stack would hold the value until its own time is reached.
                notice.source_timestamp = None;
            }
            // A value that is not there is kept as a null value: without one the stack forgets the status.
            let status_only = !is_null(&last) && last.value == value.value && last.status() != value.status();
            variable.set_data_value(DataValue { value: value.value.or(Some(Variant::Empty)), ..value });
            notices.push(Notice { id, value: notice, status_only });
        }
        notices
    }

    fn notify(&self, notices: &[Notice]) {
        let mut items = self.shared.items.lock();
        let mut notifier = self.subscriptions.data_notifier();
        for Notice { id, value, status_only } in notices {
            if let Some(mut batch) = notifier.notify_for(id, AttributeId::Value) {
                for (handle, _) in batch.entries() {
                    let (between, value) = items.forms(handle, value, *status_only);
                    if let Some(between) = between {
                        batch.data_value_to_item(between, handle);
                    }
                    batch.data_value_to_item(value, handle);
                }
            }
        }
    }

    /// Gives the present value to items that may have missed it.
    pub(super) fn recheck(&self) {
        let due = self.shared.items.lock().due();
        if due.is_empty() {
            return;
        }
        let space = self.space.read();
        let items = self.shared.items.lock();
        let mut notifier = self.subscriptions.data_notifier();
        // By node: one may have very many items, and each is to be looked at once.
        let mut waiting: HashMap<NodeId, HashSet<MonitoredItemHandle>> = HashMap::new();
        for (handle, id) in due {
            waiting.entry(id).or_default().insert(handle);
        }
        for (id, waiting) in waiting {
            let Some(NodeType::Variable(variable)) = space.find(&id) else { continue };
            let Some(mut batch) = notifier.notify_for(&id, AttributeId::Value) else { continue };
            let value = items.present(&id, current(variable));
            for (handle, _) in batch.entries().filter(|(handle, _)| waiting.contains(handle)) {
                batch.data_value_to_item(items.adapt(handle, &value), handle);
            }
        }
    }
}

/// One update as values of nodes: its own, and those that follow it.
pub(super) fn expand<'a>(
    variables: &'a HashMap<Arc<str>, VariableInfo>,
    update: &'a NodeUpdate,
    changes: &mut Vec<(&'a str, DataValue)>,
) -> Result<(), Misfit> {
    let info = variables.get(&update.path).ok_or(Misfit::Unknown)?;
    if let (Some(wanted), Some(value)) = (info.kind, &update.value)
        && value.kind() != wanted
    {
        return Err(Misfit::WrongType);
    }
    let value = to_data_value(update);
    if let Some(effective) = &info.effective {
        changes.push((effective, value.clone()));
    }
    if let Some(codes) = &info.codes {
        let text = value.value.as_ref().and_then(code).map(|code| codes.text(code).into());
        changes.push((&codes.text_path, DataValue { value: text, ..value.clone() }));
    }
    changes.push((&update.path, value));
    Ok(())
}

fn code(value: &Variant) -> Option<i64> {
    match value {
        Variant::UInt16(code) => Some(i64::from(*code)),
        Variant::UInt32(code) => Some(i64::from(*code)),
        _ => None,
    }
}

/// NaN and infinity are no values that a screen could show: they are sent as "no data".
fn to_data_value(update: &NodeUpdate) -> DataValue {
    let finite = !matches!(update.value, Some(Scalar::F64(v)) if !v.is_finite());
    let present = update.value.is_some() && finite;
    let quality = if present || !update.quality.is_usable() { update.quality } else { Quality::Bad(Cause::NoData) };
    data_value(update.value.as_ref(), quality, update.time)
}

/// The whole value of a variable.
pub(super) fn current(variable: &Variable) -> DataValue {
    variable.value(TimestampsToReturn::Both, &NumericRange::None, &DataEncoding::Binary, 0.0)
}

/// A Good value as of now, for what the server itself knows.
pub(super) fn own(path: impl Into<Arc<str>>, value: impl Into<Scalar>) -> NodeUpdate {
    NodeUpdate { path: path.into(), value: Some(value.into()), quality: Quality::Good, time: now() }
}

pub(super) fn now() -> Timestamp {
    from_date_time(&opcua::types::DateTime::now())
}

/// Says each misfit once, so that a wrong path at 10 Hz does not fill the log; counts them all.
#[derive(Default)]
pub(super) struct Misfits {
    said: HashSet<Arc<str>>,
    pub(super) count: u64,
}

impl Misfits {
    /// Paths remembered at most; further ones are only counted.
    const REMEMBERED: usize = 1_000;

    pub(super) fn note(&mut self, misfits: &[(&Arc<str>, Misfit)]) {
        self.count += misfits.len() as u64;
        for (path, misfit) in misfits {
            if self.said.len() < Self::REMEMBERED && self.said.insert(Arc::clone(path)) {
                match misfit {
                    Misfit::Unknown => tracing::warn!("no such node: `{path}`; its values are not published"),
                    Misfit::WrongType => tracing::warn!("a value of the wrong type for `{path}` is not published"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ScalarKind;
    use opcua::types::StatusCode;

    fn update(value: Option<Scalar>, quality: Quality) -> NodeUpdate {
        NodeUpdate { path: "a".into(), value, quality, time: Timestamp::from_nanos(1_700_000_000_000_000_000) }
    }

    fn variables(info: VariableInfo) -> HashMap<Arc<str>, VariableInfo> {
        HashMap::from([(Arc::from("a"), info)])
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let known = variables(VariableInfo { kind: Some(ScalarKind::U16), ..VariableInfo::default() });
        let (wrong, fits, none) =
            (update(Some(Scalar::F64(1.0)), Quality::Good), update(Some(Scalar::U16(1)), Quality::Good), HashMap::new());
        let mut changes = Vec::new();
        assert_eq!(expand(&known, &wrong, &mut changes), Err(Misfit::WrongType));
        assert_eq!(expand(&none, &fits, &mut changes), Err(Misfit::Unknown));
        assert!(changes.is_empty());
        expand(&known, &fits, &mut changes).unwrap();
        assert_eq!(changes[0].1.value, Some(Variant::UInt16(1)));
        assert_eq!(from_date_time(&changes[0].1.source_timestamp.unwrap()), fits.time);
    }

    #[test]
    fn what_follows_a_value_changes_with_it() {
        let codes = super::super::instantiate::CodeList { text_path: "a.ValueAsText".into(), names: Arc::new([(3, "Warning".into())]) };
        let parameter =
            variables(VariableInfo { effective: Some("a.EffectiveValue".into()), codes: Some(codes), ..VariableInfo::default() });
        let warning = update(Some(Scalar::U16(3)), Quality::Good);
        let mut changes = Vec::new();
        expand(&parameter, &warning, &mut changes).unwrap();
        let paths: Vec<_> = changes.iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, ["a.EffectiveValue", "a.ValueAsText", "a"]);
        assert!(matches!(&changes[1].1.value, Some(Variant::LocalizedText(t)) if t.text.as_ref() == "Warning"));
    }

    #[test]
    fn a_value_that_is_none_is_never_good() {
        for (value, quality, status) in [
            (Some(Scalar::F64(f64::NAN)), Quality::Good, StatusCode::BadWaitingForInitialData),
            (None, Quality::Good, StatusCode::BadWaitingForInitialData),
            (None, Quality::Bad(Cause::ConnectionLost), StatusCode::BadCommunicationError),
            (Some(Scalar::F64(1.0)), Quality::Bad(Cause::Stale), StatusCode::BadNoCommunication),
        ] {
            let sent = to_data_value(&update(value, quality));
            assert_eq!((sent.value, sent.status), (None, Some(status)));
        }
    }

    #[test]
    fn misfits_are_all_counted() {
        let mut misfits = Misfits::default();
        let path: Arc<str> = "a".into();
        misfits.note(&[(&path, Misfit::Unknown), (&path, Misfit::Unknown)]);
        assert_eq!((misfits.count, misfits.said.len()), (2, 1));
    }
}
