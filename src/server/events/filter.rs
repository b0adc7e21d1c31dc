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
/// Bytes of a where clause: it is looked at for every event. What panels send is a tenth of it.
const LONGEST_WHERE: usize = 16 << 10;
/// Filters in use at most, over all clients.
const MOST_FILTERS: usize = 1_000;

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

    /// Keeps the filter; the one that takes its place. Of one with a clause that no event filter may have the stack gets another that it
    /// refuses.
    fn replace(&self, filter: EventFilter, length: usize) -> EventFilter {
        if length > LONGEST_WHERE || !is_understood(&filter.where_clause) {
            return refused(filter.select_clauses);
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let clauses = filter.select_clauses.as_ref().map_or(0, Vec::len);
        let mut known = self.known.lock();
        known.retain(|_, filter| filter.strong_count() > 0);
        if known.len() >= MOST_FILTERS {
            return refused(filter.select_clauses);
        }
        let raw = Arc::new(RawFilter { filter });
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

/// What the stack refuses at a glance: its own checks of a clause can take for ever.
fn refused(select_clauses: Option<Vec<SimpleAttributeOperand>>) -> EventFilter {
    let element = ContentFilterElement { filter_operator: FilterOperator::InView, filter_operands: None };
    EventFilter { select_clauses, where_clause: ContentFilter { elements: Some(vec![element]) } }
}

/// Whether each element has operands that its operator takes, and none leads back to itself.
fn is_understood(clause: &ContentFilter) -> bool {
    let elements = clause.elements.as_deref().unwrap_or_default();
    let mut references = Vec::with_capacity(elements.len());
    for element in elements {
        let operands = element.filter_operands.as_deref().unwrap_or_default();
        if !takes(element.filter_operator, operands.len()) {
            return false;
        }
        let mut of_element = Vec::new();
        for operand in operands {
            match Operand::try_from(operand.clone()) {
                Ok(Operand::ElementOperand(to)) if (to.index as usize) < elements.len() => of_element.push(to.index as usize),
                Ok(Operand::ElementOperand(_) | Operand::AttributeOperand(_)) | Err(_) => return false,
                Ok(Operand::LiteralOperand(_) | Operand::SimpleAttributeOperand(_)) => {}
            }
        }
        references.push(of_element);
    }
    !has_circle(&references)
}

/// OPC 10000-4, 7.7.3, tables of the operators. InView and RelatedTo are for queries.
const fn takes(operator: FilterOperator, operands: usize) -> bool {
    match operator {
        FilterOperator::IsNull | FilterOperator::Not | FilterOperator::OfType => operands == 1,
        FilterOperator::Between => operands == 3,
        FilterOperator::InList => operands >= 2,
        FilterOperator::InView | FilterOperator::RelatedTo => false,
        _ => operands == 2,
    }
}

/// Each element is looked at once, however many lead to it.
fn has_circle(references: &[Vec<usize>]) -> bool {
    // Elements that nothing open leads to are taken away, until none is left or all that are left lead to each other.
    let mut leading = vec![0_usize; references.len()];
    references.iter().flatten().for_each(|to| leading[*to] += 1);
    let mut free: Vec<usize> = (0..references.len()).filter(|i| leading[*i] == 0).collect();
    let mut taken = 0;
    while let Some(i) = free.pop() {
        taken += 1;
        for &to in &references[i] {
            leading[to] -= 1;
            if leading[to] == 0 {
                free.push(to);
            }
        }
    }
    taken < references.len()
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
        let length = |filter: &EventFilter| filter.where_clause.byte_len(context);
        Some(filter.map(|filter| {
            let length = length(&filter);
            Box::new(self.0.replace(filter, length)) as Box<dyn DynEncodable>
        }))
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

    fn element(filter_operator: FilterOperator, operands: Vec<ExtensionObject>) -> ContentFilterElement {
        ContentFilterElement { filter_operator, filter_operands: Some(operands) }
    }

    fn to(index: u32) -> ExtensionObject {
        ExtensionObject::from_message(opcua::types::ElementOperand { index })
    }

    fn with(elements: Vec<ContentFilterElement>) -> EventFilter {
        EventFilter { where_clause: ContentFilter { elements: Some(elements) }, ..sent() }
    }

    #[test]
    fn a_filter_that_no_event_can_have_is_refused() {
        use FilterOperator::{And, Equals, InView, Not, Or};
        let literal = || ExtensionObject::from_message(LiteralOperand { value: 1u16.into() });
        for elements in [
            vec![element(InView, vec![literal()])],
            vec![element(Equals, vec![literal()])],
            vec![ContentFilterElement { filter_operator: Not, filter_operands: None }],
            vec![element(Not, vec![to(1)])],
            vec![element(Not, vec![to(0)])],
            vec![element(Or, vec![to(1), to(1)]), element(Or, vec![to(0), to(0)])],
            // Nothing leads to the circle.
            vec![element(Not, vec![literal()]), element(Not, vec![to(2)]), element(Not, vec![to(1)])],
        ] {
            let told = format!("{elements:?}");
            assert_eq!(received(&Arc::new(Filters::default()), &with(elements)).err(), Some(StatusCode::BadEventFilterInvalid), "{told}");
        }
        let fine = vec![element(And, vec![to(2), to(1)]), element(Not, vec![to(2)]), element(Equals, vec![literal(), literal()])];
        assert!(received(&Arc::new(Filters::default()), &with(fine)).is_ok());
    }

    /// Each element leads twice to the next one: the ways through them double with each.
    #[test]
    fn a_filter_of_many_ways_is_judged_at_once() {
        let ways = |last: FilterOperator| {
            let literal = ExtensionObject::from_message(LiteralOperand { value: true.into() });
            let mut elements: Vec<_> = (1..200).map(|i| element(FilterOperator::And, vec![to(i), to(i)])).collect();
            elements.push(element(last, vec![literal]));
            with(elements)
        };
        let filters = Arc::new(Filters::default());
        assert!(received(&filters, &ways(FilterOperator::Not)).is_ok());
        assert!(received(&filters, &ways(FilterOperator::InView)).is_err());
    }

    #[test]
    fn long_clauses_and_too_many_filters_are_refused() {
        let like = |length: usize| {
            let text = |c: &str| ExtensionObject::from_message(LiteralOperand { value: c.repeat(length).into() });
            with(vec![element(FilterOperator::Like, vec![text("a"), text("%")])])
        };
        let filters = Arc::new(Filters::default());
        assert!(received(&filters, &like(4_000)).is_ok());
        assert!(received(&filters, &like(20_000)).is_err());
        let mut kept: Vec<_> = (0..MOST_FILTERS).map(|_| received(&filters, &sent()).unwrap()).collect();
        assert!(received(&filters, &sent()).is_err());
        kept.pop();
        assert!(received(&filters, &sent()).is_ok(), "one has gone");
    }
}
