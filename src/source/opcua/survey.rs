//! What a PLC has: its variables with types, units, values, and how often they come.
//!
//! ```text
//! session ─▶ browse (below Objects) ─▶ read attributes ─▶ watch for a while ─▶ PlcVariable
//! ```

mod observe;

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use opcua::client::{Session, SessionPollResult};
use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMask, DataValue, EUInformation, Error, Identifier, NodeClass, NodeId,
    ObjectId, QualifiedName, Range, ReadValueId, ReferenceDescription, ReferenceTypeId, StatusCode, Variant,
};

use super::address::{self, Namespaces};
use super::connect::{self, ConnectError, Link};
use super::{close, request};
use crate::config::OpcUaConfig;
use crate::profile::{PlcKind, PlcVariable};
use crate::types::{Quality, Value};
use crate::wire::opcua as wire;

/// From TCP to the activated session.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Nodes per request: small controllers are many times slower with more than 200.
const NODES_PER_BROWSE: usize = 100;
/// Values per request: some are long arrays.
const VALUES_PER_READ: usize = 100;

/// What is wanted of a survey.
#[derive(Clone, Debug)]
pub struct SurveyOptions {
    /// Variables at most.
    pub most: usize,
    /// How long values are watched; zero: not at all.
    pub watch: Duration,
    /// Only variables whose path or address contains this, in any case.
    pub filter: Option<String>,
}

/// A PLC's variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// URIs, by index.
    pub namespaces: Vec<String>,
    /// In the order of the tree.
    pub variables: Vec<PlcVariable>,
    /// There are more than were asked for.
    pub cut: bool,
    /// Something about the connection that ought to be put right.
    pub remark: Option<String>,
}

/// Why there is no survey.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SurveyError(String);

impl From<ConnectError> for SurveyError {
    fn from(error: ConnectError) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for SurveyError {
    fn from(error: Error) -> Self {
        Self(format!("the PLC refuses a request: {error}"))
    }
}

/// Connects, lists the variables below the objects' folder, watches them, and closes the session. `progress` is told what is being
/// done, with a count.
///
/// # Errors
/// Where there is no session (each with what to do), or where the PLC refuses to be browsed.
pub async fn survey(
    config: &OpcUaConfig,
    pki_dir: &Path,
    options: &SurveyOptions,
    progress: &(dyn Fn(&str, usize) + Sync),
) -> Result<Survey, SurveyError> {
    let Link { session, events, remark } = connect::prepare(config, pki_dir).await?;
    let mut events = pin!(events.enter());
    tokio::time::timeout(CONNECT_TIME, connected(&mut events)).await.map_err(|_| {
        SurveyError(format!("`{}` accepts connections but opens no session within {} s", config.endpoint, CONNECT_TIME.as_secs()))
    })??;
    let outcome = tokio::select! {
        outcome = look(&session, config, options, progress) => outcome,
        status = lost(&mut events) => Err(SurveyError(format!("connection lost: {}", connect::explain(status).1))),
    };
    close(&session, events).await;
    outcome.map(|survey| Survey { remark, ..survey })
}

async fn connected<S>(events: &mut S) -> Result<(), SurveyError>
where
    S: Stream<Item = Result<SessionPollResult, StatusCode>> + Unpin,
{
    loop {
        match events.next().await {
            Some(Ok(SessionPollResult::Reconnected(_))) => return Ok(()),
            Some(Ok(SessionPollResult::ReconnectFailed(status)) | Err(status)) => {
                return Err(SurveyError(format!("no session: {}", connect::explain(status).1)));
            }
            Some(Ok(_)) => {}
            None => return Err(SurveyError("no session: the connection was closed".into())),
        }
    }
}

/// Keeps the session going; ready where it is lost.
async fn lost<S>(events: &mut S) -> StatusCode
where
    S: Stream<Item = Result<SessionPollResult, StatusCode>> + Unpin,
{
    loop {
        match events.next().await {
            Some(Ok(SessionPollResult::ConnectionLost(status)) | Err(status)) => return status,
            Some(Ok(_)) => {}
            None => return StatusCode::BadConnectionClosed,
        }
    }
}

async fn look(
    session: &Session,
    config: &OpcUaConfig,
    options: &SurveyOptions,
    progress: &(dyn Fn(&str, usize) + Sync),
) -> Result<Survey, SurveyError> {
    let mut facts = request::server_facts(session).await?;
    let mut namespaces = Namespaces::default();
    namespaces.update(facts.namespaces.clone());
    let (mut found, cut) = browse(session, options.most, progress).await?;
    let address = |node: &NodeId| in_words(node, &facts.namespaces, config.namespace.as_deref(), &namespaces);
    if let Some(wanted) = options.filter.as_ref().map(|f| f.to_lowercase()) {
        found.retain(|f| format!("{}\n{}", f.path.join("/"), address(&f.node)).to_lowercase().contains(&wanted));
    }
    progress("reading values", found.len());
    facts.limits.read = facts.limits.read.min(VALUES_PER_READ);
    let mut variables = read(session, &found, &mut facts.limits.read, &address).await?;
    if !options.watch.is_zero() {
        progress("watching values", found.len());
        let wanted: Vec<(usize, NodeId)> =
            (0..found.len()).filter(|k| variables[*k].kind.is_some()).map(|k| (k, found[k].node.clone())).collect();
        for (k, activity) in observe::observe(session, &wanted, options.watch, &mut facts.limits.items).await? {
            variables[k].activity = Some(activity);
        }
    }
    Ok(Survey { namespaces: facts.namespaces, variables, cut, remark: None })
}

/// A variable, and the nodes of its properties.
struct Found {
    node: NodeId,
    path: Vec<String>,
    range: Option<NodeId>,
    unit: Option<NodeId>,
}

/// Variables below the objects' folder, in the order of the tree; what the standard itself brings is left out.
async fn browse(session: &Session, most: usize, progress: &(dyn Fn(&str, usize) + Sync)) -> Result<(Vec<Found>, bool), Error> {
    let next = |item: &opcua::client::browser::BrowseResultItem| -> Vec<BrowseDescription> {
        item.references().iter().filter(|r| is_own(r) && !is_property(r)).map(|r| below(r.node_id.node_id.clone())).collect()
    };
    let browser = session.browser().max_nodes_per_request(NODES_PER_BROWSE).handler(next);
    let mut children: HashMap<NodeId, Vec<ReferenceDescription>> = HashMap::new();
    let (mut count, mut cut) = (0, false);
    {
        let mut results = pin!(browser.run(vec![below(ObjectId::ObjectsFolder.into())]));
        while let Some(item) = results.try_next().await? {
            let parent = item.parent_id().clone();
            let references = item.into_results().1;
            count += references.iter().filter(|r| is_own(r) && !is_property(r) && r.node_class == NodeClass::Variable).count();
            children.entry(parent).or_default().extend(references);
            progress("browsing", count);
            if count > most {
                cut = true;
                break;
            }
        }
    }
    let mut found = Vec::new();
    walk(&children, &ObjectId::ObjectsFolder.into(), &mut Vec::new(), &mut found);
    found.truncate(most);
    Ok((found, cut))
}

/// Each node once, where it is met first: several folders may organize one node, and references may go round.
fn walk(children: &HashMap<NodeId, Vec<ReferenceDescription>>, root: &NodeId, path: &mut Vec<String>, found: &mut Vec<Found>) {
    let mut seen = std::collections::HashSet::from([root.clone()]);
    let mut stack = vec![(root.clone(), 0)];
    while let Some((node, next)) = stack.pop() {
        let references = children.get(&node).map(Vec::as_slice).unwrap_or_default();
        let Some((at, reference)) =
            references.iter().enumerate().skip(next).find(|(_, r)| is_own(r) && !is_property(r) && !seen.contains(&r.node_id.node_id))
        else {
            path.pop();
            continue;
        };
        stack.push((node, at + 1));
        let child = reference.node_id.node_id.clone();
        seen.insert(child.clone());
        path.push(reference.browse_name.name.to_string());
        if reference.node_class == NodeClass::Variable {
            let property = |name: &str| {
                let all = children.get(&child)?;
                all.iter().find(|r| is_property(r) && r.browse_name == QualifiedName::new(0, name)).map(|r| r.node_id.node_id.clone())
            };
            found.push(Found { path: path.clone(), range: property("EURange"), unit: property("EngineeringUnits"), node: child.clone() });
        }
        stack.push((child, 0));
    }
}

/// Not the standard's own, and on this server.
fn is_own(reference: &ReferenceDescription) -> bool {
    reference.node_id.node_id.namespace != 0
        && reference.node_id.server_index == 0
        && matches!(reference.node_class, NodeClass::Object | NodeClass::Variable)
}

fn is_property(reference: &ReferenceDescription) -> bool {
    reference.reference_type_id == ReferenceTypeId::HasProperty
}

fn below(node_id: NodeId) -> BrowseDescription {
    BrowseDescription {
        node_id,
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: NodeClass::Object as u32 | NodeClass::Variable as u32,
        result_mask: BrowseResultMask::All as u32,
    }
}

/// The shortest text that means this node in the configuration.
fn in_words(node: &NodeId, uris: &[String], configured: Option<&str>, namespaces: &Namespaces) -> String {
    let means = |text: &String| address::resolve(text, configured, namespaces).is_ok_and(|n| n == *node);
    let short = match &node.identifier {
        Identifier::String(symbol) => Some(symbol.to_string()),
        _ => None,
    };
    let full = node.to_string();
    let identifier = full.split_once(';').map_or(full.as_str(), |(_, rest)| rest);
    let by_uri = uris.get(usize::from(node.namespace)).map(|uri| format!("nsu={uri};{identifier}"));
    [short, by_uri].into_iter().flatten().find(means).unwrap_or(full)
}

/// What is asked of each variable, besides its properties.
const ATTRIBUTES: [AttributeId; 3] = [AttributeId::Value, AttributeId::DataType, AttributeId::UserAccessLevel];
/// Answers of each variable: its attributes, range and unit.
const ANSWERS: usize = ATTRIBUTES.len() + 2;
/// Bit of the access level.
const WRITABLE: u8 = 2;

async fn read(
    session: &Session,
    found: &[Found],
    limit: &mut usize,
    address: &dyn Fn(&NodeId) -> String,
) -> Result<Vec<PlcVariable>, Error> {
    let mut wanted = Vec::new();
    for f in found {
        wanted.extend(ATTRIBUTES.map(|a| ReadValueId { attribute_id: a as u32, ..request::value_of(f.node.clone()) }));
        wanted.extend([&f.range, &f.unit].map(|p| request::value_of(p.clone().unwrap_or_else(|| f.node.clone()))));
    }
    let answers = request::read_all(session, &wanted, limit).await?;
    Ok(found.iter().zip(answers.as_chunks::<ANSWERS>().0).map(|(f, a)| variable(f, a, address(&f.node))).collect())
}

fn variable(found: &Found, [value, data_type, access, range, unit]: &[DataValue; ANSWERS], address: String) -> PlcVariable {
    let quality = wire::to_quality(value.status.unwrap_or(StatusCode::Good));
    let read = value.value.as_ref().filter(|_| quality.is_usable());
    let usable = read.and_then(wire::to_value);
    PlcVariable {
        path: found.path.clone(),
        address,
        data_type: type_name(read, data_type),
        kind: usable.as_ref().and_then(kind),
        unit: found.unit.as_ref().and_then(|_| structure::<EUInformation>(unit)).map(|u| u.display_name.text.to_string()),
        range: found.range.as_ref().and_then(|_| structure::<Range>(range)).map(|r| (r.low, r.high)),
        value: usable.as_ref().map(Value::short).unwrap_or_default(),
        quality: if quality == Quality::Good { "Good".into() } else { quality.to_string() },
        writable: matches!(access.value, Some(Variant::Byte(level)) if level & WRITABLE != 0),
        activity: None,
    }
}

fn kind(value: &Value) -> Option<PlcKind> {
    Some(match value {
        Value::Bool(_) => PlcKind::Flag,
        Value::Integer(_) => PlcKind::Integer,
        Value::Real(_) => PlcKind::Real,
        Value::Text(_) => PlcKind::Text,
        Value::Block(values) if values.is_empty() => return None,
        Value::Block(values) => PlcKind::Block(values.len()),
    })
}

fn structure<T: Clone + Send + Sync + 'static>(data: &DataValue) -> Option<T> {
    match &data.value {
        Some(Variant::ExtensionObject(object)) => object.inner_as::<T>().cloned(),
        _ => None,
    }
}

/// `Float`, `Float[512]`, or the node id of the type where there is no value.
fn type_name(value: Option<&Variant>, data_type: &DataValue) -> String {
    let of_node = || match &data_type.value {
        Some(Variant::NodeId(id)) => match (id.namespace, &id.identifier) {
            (0, Identifier::Numeric(number)) => {
                opcua::types::VariantScalarTypeId::try_from(*number).map_or_else(|_| id.to_string(), |builtin| builtin.to_string())
            }
            _ => id.to_string(),
        },
        _ => "?".into(),
    };
    match value {
        Some(Variant::Array(array)) => format!("{}[{}]", array.value_type, array.values.len()),
        Some(variant) => match variant.scalar_type_id() {
            Some(opcua::types::VariantScalarTypeId::ExtensionObject) | None => of_node(),
            Some(scalar) => scalar.to_string(),
        },
        None => of_node(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(id: u32, name: &str, class: NodeClass, kind: ReferenceTypeId) -> ReferenceDescription {
        ReferenceDescription {
            reference_type_id: kind.into(),
            is_forward: true,
            node_id: NodeId::new(2, id).into(),
            browse_name: QualifiedName::new(if kind == ReferenceTypeId::HasProperty { 0 } else { 2 }, name),
            node_class: class,
            ..ReferenceDescription::default()
        }
    }

    #[test]
    fn the_tree_is_walked_once_whatever_refers_to_what() {
        use NodeClass::{Object, Variable};
        use ReferenceTypeId::{HasComponent, HasProperty, Organizes};
        let root: NodeId = ObjectId::ObjectsFolder.into();
        let children = HashMap::from([
            (root.clone(), vec![reference(1, "DB", Object, Organizes), reference(2, "Other", Object, Organizes)]),
            (NodeId::new(2, 1), vec![reference(10, "st", Variable, HasComponent), reference(12, "b", Variable, HasComponent)]),
            (NodeId::new(2, 10), vec![reference(11, "a", Variable, HasComponent), reference(20, "EURange", Variable, HasProperty)]),
            // Round, and a second time.
            (NodeId::new(2, 2), vec![reference(1, "DB", Object, Organizes), reference(12, "b", Variable, HasComponent)]),
            (NodeId::new(2, 12), vec![reference(2, "Other", Object, Organizes)]),
        ]);
        let mut found = Vec::new();
        walk(&children, &root, &mut Vec::new(), &mut found);
        let paths: Vec<String> = found.iter().map(|f| f.path.join("/")).collect();
        assert_eq!(paths, ["DB/st", "DB/st/a", "DB/b"]);
        assert_eq!(found[0].range, Some(NodeId::new(2, 20)));
    }

    #[test]
    fn addresses_are_as_short_as_they_can_be() {
        let uris: Vec<String> = ["http://opcfoundation.org/UA/", "urn:a", "urn:BeckhoffAutomation:Ua:PLC1"].map(String::from).to_vec();
        let mut namespaces = Namespaces::default();
        namespaces.update(uris.clone());
        let words = |node: NodeId| in_words(&node, &uris, None, &namespaces);
        assert_eq!(words(NodeId::new(2, "MAIN.rSpeed")), "MAIN.rSpeed");
        assert_eq!(words(NodeId::new(1, "MAIN.rSpeed")), "nsu=urn:a;s=MAIN.rSpeed");
        assert_eq!(words(NodeId::new(2, 5_u32)), "nsu=urn:BeckhoffAutomation:Ua:PLC1;i=5");
        assert_eq!(words(NodeId::new(9, 5_u32)), "ns=9;i=5");
    }

    #[test]
    fn types_are_named() {
        assert_eq!(type_name(Some(&Variant::from(vec![1.0f32; 4])), &DataValue::null()), "Float[4]");
        assert_eq!(type_name(None, &DataValue::value_only(Variant::from(NodeId::new(0, 10_u32)))), "Float");
    }
}
