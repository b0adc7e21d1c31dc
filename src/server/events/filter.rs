//! The way round the stack's event filters, all in this file: it rests on the order of type loaders and on how the stack checks
//! and evaluates filters, so it holds for the pinned version only, and the tests below run it through the stack's own code.
//!
//! 1. [`FilterLoader`] stands before the stack's own loader and sees each EventFilter while its request is decoded. The filter is
//!    kept as it was sent; the stack gets one with as many select clauses, which always passes its checks:
//!    `select[i] = BaseEventType/["\u{1}s", id, i]`, `where = InList(BaseEventType/["\u{1}w", id], true, Keeper)`.
//! 2. [`Row`] is the event that the stack then evaluates: it answers those paths from what was computed before.
//! 3. [`Keeper`], inside a literal of the where clause, keeps the filter alive as long as the stack keeps its monitored item.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use opcua::nodes::{Event, EventField};
use opcua::server::ServerInfo;
use opcua::sync::Mutex;
use opcua::types::{
    AttributeId, BinaryDecodable, BinaryEncodable, ContentFilter, ContentFilterElement, Context, DateTime, DynEncodable, EncodingResult,
    EventFilter, ExpandedMessageInfo, ExpandedNodeId, ExtensionObject, FilterOperator, LiteralOperand, NodeId, NumericRange, ObjectId,
    ObjectTypeId, Operand, QualifiedName, SimpleAttributeOperand, TypeLoader, TypeLoaderCollection, TypeLoaderPriority, UaNullable,
    Variant, xml,
};

const SELECT: &str = "\u{1}s";
const WHERE: &str = "\u{1}w";

/// A filter as the client sent it.
#[derive(Debug)]
pub(super) struct RawFilter {
    pub(super) filter: EventFilter,
}

/// The filters in use, by number.
#[derive(Default)]
pub(super) struct Filters {
    known: Mutex<HashMap<u64, Weak<RawFilter>>>,
    last: AtomicU64,
}

impl Filters {
    pub(super) fn get(&self, id: u64) -> Option<Arc<RawFilter>> {
        self.known.lock().get(&id)?.upgrade()
    }

    /// Keeps the filter; the one that takes its place. One with a clause that no event filter may have is left as it is: the stack
    /// then refuses it with the right status codes.
    fn replace(&self, filter: EventFilter) -> EventFilter {
        if !is_understood(&filter.where_clause) {
            return filter;
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let clauses = filter.select_clauses.as_ref().map_or(0, Vec::len);
        let raw = Arc::new(RawFilter { filter });
        let mut known = self.known.lock();
        known.retain(|_, filter| filter.strong_count() > 0);
        known.insert(id, Arc::downgrade(&raw));
        let literal = |value: Variant| ExtensionObject::from_message(LiteralOperand { value });
        let gate = ContentFilterElement {
            filter_operator: FilterOperator::InList,
            filter_operands: Some(vec![
                ExtensionObject::from_message(clause(&[WHERE, &id.to_string()])),
                literal(true.into()),
                literal(ExtensionObject::new(Keeper(raw)).into()),
            ]),
        };
        EventFilter {
            select_clauses: Some((0..clauses).map(|k| clause(&[SELECT, &id.to_string(), &k.to_string()])).collect()),
            where_clause: ContentFilter { elements: Some(vec![gate]) },
        }
    }
}

fn is_understood(clause: &ContentFilter) -> bool {
    clause.elements.iter().flatten().all(|element| {
        let operator = !matches!(element.filter_operator, FilterOperator::InView | FilterOperator::RelatedTo);
        let operands = element.filter_operands.iter().flatten();
        let known = |o: &ExtensionObject| Operand::try_from(o.clone()).is_ok_and(|o| !matches!(o, Operand::AttributeOperand(_)));
        operator && operands.into_iter().all(known)
    })
}

fn clause(path: &[&str]) -> SimpleAttributeOperand {
    SimpleAttributeOperand {
        type_definition_id: ObjectTypeId::BaseEventType.into(),
        browse_path: Some(path.iter().map(|name| QualifiedName::new(0, *name)).collect()),
        attribute_id: AttributeId::Value as u32,
        index_range: NumericRange::None,
    }
}

/// Sees event filters before the stack does.
struct FilterLoader(Arc<Filters>);

impl TypeLoader for FilterLoader {
    fn load_from_binary(
        &self,
        id: &NodeId,
        stream: &mut dyn Read,
        context: &Context<'_>,
        _length: Option<usize>,
    ) -> Option<EncodingResult<Box<dyn DynEncodable>>> {
        if *id != ObjectId::EventFilter_Encoding_DefaultBinary {
            return None;
        }
        let filter = EventFilter::decode(stream, context);
        Some(filter.map(|filter| Box::new(self.0.replace(filter)) as Box<dyn DynEncodable>))
    }

    fn load_from_xml(
        &self,
        _id: &NodeId,
        _stream: &mut xml::XmlStreamReader<&mut dyn Read>,
        _context: &Context<'_>,
        _tag: &str,
    ) -> Option<EncodingResult<Box<dyn DynEncodable>>> {
        None
    }

    fn priority(&self) -> TypeLoaderPriority {
        TypeLoaderPriority::Core
    }
}

/// Puts our loader before the stack's.
pub(super) fn install(filters: &Arc<Filters>, info: &ServerInfo) {
    let mut loaders = info.type_loaders.write();
    *loaders = before(filters, &loaders);
}

fn before(filters: &Arc<Filters>, loaders: &TypeLoaderCollection) -> TypeLoaderCollection {
    let mut with_ours = TypeLoaderCollection::new_empty();
    with_ours.add(Arc::new(FilterLoader(Arc::clone(filters))));
    for loader in loaders {
        with_ours.add(loader.clone());
    }
    with_ours
}

/// Values of the select clauses of one filter, given to an item that has it.
#[derive(Debug)]
pub(super) struct Row {
    filter: u64,
    values: Vec<Variant>,
    time: DateTime,
    type_id: NodeId,
}

impl Row {
    pub(super) fn new(filter: u64, values: Vec<Variant>) -> Self {
        Self { filter, values, time: DateTime::null(), type_id: NodeId::null() }
    }
}

impl EventField for Row {
    fn get_value(&self, _attribute: AttributeId, _range: &NumericRange, path: &[QualifiedName]) -> Variant {
        let Some((what, id, index)) = read(path) else { return Variant::Empty };
        match what {
            WHERE => (id == self.filter).into(),
            SELECT if id == self.filter => index.and_then(|k| self.values.get(k)).cloned().unwrap_or_default(),
            _ => Variant::Empty,
        }
    }
}

impl Event for Row {
    fn get_field(&self, _type: &NodeId, attribute: AttributeId, range: &NumericRange, path: &[QualifiedName]) -> Variant {
        self.get_value(attribute, range, path)
    }

    fn time(&self) -> &DateTime {
        &self.time
    }

    fn event_type_id(&self) -> &NodeId {
        &self.type_id
    }
}

fn read(path: &[QualifiedName]) -> Option<(&str, u64, Option<usize>)> {
    let name = |k: usize| path.get(k).map(|name| name.name.as_ref());
    Some((name(0)?, name(1)?.parse().ok()?, name(2).and_then(|index| index.parse().ok())))
}

/// Finds out which filter an item has, also after it was modified: the stack asks it by number. Never passes.
#[derive(Debug, Default)]
pub(super) struct Probe {
    asked: AtomicU64,
    time: DateTime,
    type_id: NodeId,
}

impl Probe {
    /// 0: the item has none of ours.
    pub(super) fn filter(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl EventField for Probe {
    fn get_value(&self, _attribute: AttributeId, _range: &NumericRange, path: &[QualifiedName]) -> Variant {
        if let Some((WHERE, id, _)) = read(path) {
            self.asked.store(id, Ordering::Relaxed);
        }
        Variant::Empty
    }
}

impl Event for Probe {
    fn get_field(&self, _type: &NodeId, attribute: AttributeId, range: &NumericRange, path: &[QualifiedName]) -> Variant {
        self.get_value(attribute, range, path)
    }

    fn time(&self) -> &DateTime {
        &self.time
    }

    fn event_type_id(&self) -> &NodeId {
        &self.type_id
    }
}

/// Holds a filter from within a literal. Never leaves the server: the stack never encodes the filters it was given.
#[derive(Debug, Clone)]
struct Keeper(Arc<RawFilter>);

impl PartialEq for Keeper {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl UaNullable for Keeper {}

impl BinaryEncodable for Keeper {
    fn byte_len(&self, _context: &Context<'_>) -> usize {
        0
    }

    fn encode<S: Write + ?Sized>(&self, _stream: &mut S, _context: &Context<'_>) -> EncodingResult<()> {
        Ok(())
    }
}

impl xml::XmlType for Keeper {
    const TAG: &'static str = "Keeper";
}

impl xml::XmlEncodable for Keeper {
    fn encode(&self, _stream: &mut xml::XmlStreamWriter<&mut dyn Write>, _context: &Context<'_>) -> EncodingResult<()> {
        Ok(())
    }
}

impl ExpandedMessageInfo for Keeper {
    fn full_type_id(&self) -> ExpandedNodeId {
        ExpandedNodeId::null()
    }

    fn full_json_type_id(&self) -> ExpandedNodeId {
        ExpandedNodeId::null()
    }

    fn full_xml_type_id(&self) -> ExpandedNodeId {
        ExpandedNodeId::null()
    }

    fn full_data_type_id(&self) -> ExpandedNodeId {
        ExpandedNodeId::null()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opcua::nodes::{DefaultTypeTree, ParsedEventFilter};
    use opcua::types::{ContextOwned, StatusCode};

    fn sent() -> EventFilter {
        let equals = ContentFilterElement {
            filter_operator: FilterOperator::Equals,
            filter_operands: Some(vec![
                ExtensionObject::from_message(clause(&["SourceName"])),
                ExtensionObject::from_message(LiteralOperand { value: "Motor1".into() }),
            ]),
        };
        let condition = SimpleAttributeOperand {
            type_definition_id: ObjectTypeId::ConditionType.into(),
            browse_path: None,
            attribute_id: AttributeId::NodeId as u32,
            index_range: NumericRange::None,
        };
        EventFilter {
            select_clauses: Some(vec![clause(&["EventId"]), condition, clause(&["Message"])]),
            where_clause: ContentFilter { elements: Some(vec![equals]) },
        }
    }

    /// As the stack decodes it from a request, and then checks it.
    fn received(filters: &Arc<Filters>, filter: &EventFilter) -> Result<ParsedEventFilter, StatusCode> {
        let mut owned = ContextOwned::default();
        let loaders = before(filters, owned.loaders_mut());
        *owned.loaders_mut() = loaders;
        let context = owned.context();
        let object = ExtensionObject::from_message(filter.clone());
        let mut bytes = Vec::new();
        object.encode(&mut bytes, &context).unwrap();
        let decoded = ExtensionObject::decode(&mut bytes.as_slice(), &context).unwrap();
        let rewritten = decoded.inner_as::<EventFilter>().unwrap().clone();
        drop(decoded);
        let (result, parsed) = ParsedEventFilter::new(rewritten, &DefaultTypeTree::new());
        assert!(parsed.is_err() || result.select_clause_results.iter().flatten().all(|s| s.is_good()));
        parsed
    }

    #[test]
    fn the_stack_takes_what_it_is_given_and_gives_it_back_in_order() {
        let (filters, types) = (Arc::new(Filters::default()), DefaultTypeTree::new());
        let first = received(&filters, &sent()).unwrap();
        let second = received(&filters, &sent()).unwrap();
        let probe = Probe::default();
        assert!(second.evaluate(&probe, 7, &types).is_none());
        let id = probe.filter();
        let raw = filters.get(id).unwrap();
        assert_eq!(raw.filter, sent());

        let row = Row::new(id, vec![1u16.into(), Variant::Empty, "text".into()]);
        let fields = second.evaluate(&row, 7, &types).unwrap();
        assert_eq!(fields.client_handle, 7);
        assert_eq!(fields.event_fields.unwrap(), [Variant::from(1u16), Variant::Empty, "text".into()]);
        assert!(first.evaluate(&row, 7, &types).is_none(), "a row is for one filter");
    }

    #[test]
    fn a_filter_lives_as_long_as_its_item() {
        let (filters, types) = (Arc::new(Filters::default()), DefaultTypeTree::new());
        let parsed = received(&filters, &sent()).unwrap();
        let probe = Probe::default();
        parsed.evaluate(&probe, 1, &types);
        assert!(filters.get(probe.filter()).is_some());
        drop(parsed.clone());
        assert!(filters.get(probe.filter()).is_some());
        drop(parsed);
        assert!(filters.get(probe.filter()).is_none());
        let other = received(&filters, &sent()).unwrap();
        assert_eq!(filters.known.lock().len(), 1);
        drop(other);
    }

    #[test]
    fn a_filter_that_no_event_can_have_is_refused() {
        let mut filter = sent();
        filter.where_clause.elements.as_mut().unwrap()[0].filter_operator = FilterOperator::InView;
        assert!(received(&Arc::new(Filters::default()), &filter).is_err());
    }
}
