//! Where clauses of event filters (OPC 10000-4, 7.7): three-valued, with the conversions that clients rely on.

use std::cmp::Ordering;

use opcua::nodes::TypeTree;
use opcua::types::{ContentFilterElement, ExtensionObject, FilterOperator, NodeId, Operand, Variant, VariantTypeId};

use super::occurrence::Occurrence;

/// Elements refer to each other; a filter that goes deeper than that is one in a circle.
const DEPTH: u32 = 32;
/// Elements looked at for one event at most: with few elements, shared operands can still cost without end.
const STEPS: u32 = 2_000;
/// Comparisons of a character with a piece of a pattern that count as one of them.
const CHARACTERS_A_STEP: usize = 200;

/// Whether the event passes. An empty clause lets all pass; an answer that is not known does not.
pub(super) fn passes(elements: &[ContentFilterElement], event: &Occurrence, types: &dyn TypeTree) -> bool {
    let mut evaluation = Evaluation { elements, event, types, steps: 0 };
    elements.is_empty() || evaluation.element(0, 0) == Variant::Boolean(true)
}

struct Evaluation<'a> {
    elements: &'a [ContentFilterElement],
    event: &'a Occurrence,
    types: &'a dyn TypeTree,
    steps: u32,
}

impl Evaluation<'_> {
    fn operand(&mut self, operand: &ExtensionObject, depth: u32) -> Variant {
        match Operand::try_from(operand.clone()) {
            Ok(Operand::ElementOperand(element)) => self.element(element.index, depth + 1),
            Ok(Operand::LiteralOperand(literal)) => literal.value,
            Ok(Operand::SimpleAttributeOperand(clause)) => self.event.field(&clause),
            Ok(Operand::AttributeOperand(_)) | Err(_) => Variant::Empty,
        }
    }

    /// Empty: not known.
    fn element(&mut self, index: u32, depth: u32) -> Variant {
        self.steps += 1;
        let elements = self.elements;
        let Some(element) = elements.get(index as usize).filter(|_| depth < DEPTH && self.steps < STEPS) else { return Variant::Empty };
        let operands = element.filter_operands.as_deref().unwrap_or_default();
        let values: Vec<Variant> = operands.iter().map(|o| self.operand(o, depth)).collect();
        let (a, b) = (values.first().unwrap_or(&Variant::Empty), values.get(1).unwrap_or(&Variant::Empty));
        let ordered = |accept: fn(Ordering) -> bool| answer(compare(a, b).map(accept));
        match element.filter_operator {
            FilterOperator::Equals => answer(equal(a, b)),
            FilterOperator::IsNull => matches!(a, Variant::Empty).into(),
            FilterOperator::GreaterThan => ordered(Ordering::is_gt),
            FilterOperator::LessThan => ordered(Ordering::is_lt),
            FilterOperator::GreaterThanOrEqual => ordered(Ordering::is_ge),
            FilterOperator::LessThanOrEqual => ordered(Ordering::is_le),
            FilterOperator::Between => {
                let above = compare(a, b).map(Ordering::is_ge);
                let below = values.get(2).and_then(|c| compare(a, c)).map(Ordering::is_le);
                answer(above.zip(below).map(|(above, below)| above && below))
            }
            FilterOperator::InList => values.iter().skip(1).any(|item| equal(a, item) == Some(true)).into(),
            FilterOperator::Not => answer(boolean(a).map(|a| !a)),
            FilterOperator::And => answer(match (boolean(a), boolean(b)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            }),
            FilterOperator::Or => answer(match (boolean(a), boolean(b)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            }),
            FilterOperator::OfType => answer(node(a).map(|wanted| self.is_of(&wanted))),
            FilterOperator::Like => answer(text(a).zip(text(b)).and_then(|(text, pattern)| self.like(&text, &pattern))),
            FilterOperator::Cast => match b {
                Variant::NodeId(id) => VariantTypeId::try_from(&**id).map_or(Variant::Empty, |wanted| a.cast(wanted)),
                _ => Variant::Empty,
            },
            FilterOperator::BitwiseAnd => bits(a, b, |a, b| a & b),
            FilterOperator::BitwiseOr => bits(a, b, |a, b| a | b),
            FilterOperator::InView | FilterOperator::RelatedTo => Variant::Empty,
        }
    }

    /// `None` where it would take too long.
    fn like(&mut self, text: &str, pattern: &str) -> Option<bool> {
        let cost = text.len().saturating_mul(pattern.len()) / CHARACTERS_A_STEP;
        self.steps = self.steps.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
        (self.steps < STEPS).then(|| like(text, pattern))
    }

    fn is_of(&self, wanted: &NodeId) -> bool {
        self.event.type_id() == wanted || self.types.is_subtype_of(self.event.type_id(), wanted)
    }
}

fn answer(known: Option<bool>) -> Variant {
    known.map_or(Variant::Empty, Variant::from)
}

fn boolean(value: &Variant) -> Option<bool> {
    if let Variant::Boolean(value) = value { Some(*value) } else { None }
}

fn integer(value: &Variant) -> Option<i128> {
    Some(match value {
        Variant::Boolean(x) => i128::from(*x),
        Variant::SByte(x) => i128::from(*x),
        Variant::Byte(x) => i128::from(*x),
        Variant::Int16(x) => i128::from(*x),
        Variant::UInt16(x) => i128::from(*x),
        Variant::Int32(x) => i128::from(*x),
        Variant::UInt32(x) => i128::from(*x),
        Variant::Int64(x) => i128::from(*x),
        Variant::UInt64(x) => i128::from(*x),
        Variant::StatusCode(x) => i128::from(x.bits()),
        _ => return None,
    })
}

fn number(value: &Variant) -> Option<f64> {
    match value {
        Variant::Double(x) => Some(*x),
        Variant::Float(x) => Some(f64::from(*x)),
        Variant::String(text) => text.as_ref().parse().ok(),
        other => integer(other).map(|x| x as f64),
    }
}

fn text(value: &Variant) -> Option<String> {
    match value {
        Variant::String(text) if !text.is_null() => Some(text.to_string()),
        Variant::LocalizedText(text) => Some(text.text.to_string()),
        Variant::QualifiedName(name) => Some(name.name.to_string()),
        Variant::Guid(guid) => Some(guid.to_string()),
        _ => None,
    }
}

fn node(value: &Variant) -> Option<NodeId> {
    match value {
        Variant::NodeId(id) => Some((**id).clone()),
        Variant::ExpandedNodeId(id) if id.server_index == 0 && id.namespace_uri.is_null() => Some(id.node_id.clone()),
        Variant::String(text) => text.as_ref().parse().ok(),
        _ => None,
    }
}

fn is_node(value: &Variant) -> bool {
    matches!(value, Variant::NodeId(_) | Variant::ExpandedNodeId(_))
}

fn equal(a: &Variant, b: &Variant) -> Option<bool> {
    match (a, b) {
        (Variant::Empty, _) | (_, Variant::Empty) => None,
        (a, b) if a == b => Some(true),
        (a, b) if is_node(a) || is_node(b) => Some(node(a)? == node(b)?),
        (a, b) => compare(a, b).map(Ordering::is_eq),
    }
}

fn compare(a: &Variant, b: &Variant) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return Some(a.cmp(&b));
    }
    match (a, b) {
        (Variant::DateTime(a), Variant::DateTime(b)) => Some(a.cmp(b)),
        (Variant::ByteString(a), Variant::ByteString(b)) => Some(a.as_ref().cmp(b.as_ref())),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => Some(text(a)?.cmp(&text(b)?)),
        },
    }
}

fn bits(a: &Variant, b: &Variant, combine: fn(i64, i64) -> i64) -> Variant {
    let of = |value| integer(value).and_then(|x| i64::try_from(x).ok());
    of(a).zip(of(b)).map_or(Variant::Empty, |(a, b)| combine(a, b).into())
}

/// `%` any text, `_` one character, `[a-z]` one of these, `[^a-z]` none of these, `\` takes the next one as it is.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<Piece>) = (text.chars().collect(), pieces(pattern));
    // Which prefixes of the text the pieces so far can have eaten: one walk over the text for each piece.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for piece in &pattern {
        let Some(first) = reached.iter().position(|at| *at) else { return false };
        let mut next = vec![false; text.len() + 1];
        match piece {
            Piece::Any => next[first..].fill(true),
            piece => (first..text.len()).filter(|at| reached[*at] && piece.takes(text[*at])).for_each(|at| next[at + 1] = true),
        }
        reached = next;
    }
    reached[text.len()]
}

enum Piece {
    /// Any number of characters.
    Any,
    One,
    Exactly(char),
    /// Ranges of characters, and whether they are those that do not fit.
    Set(Vec<(char, char)>, bool),
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Exactly(wanted) => c == *wanted,
            Self::Set(ranges, negated) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let (mut rest, mut found) = (pattern.chars().peekable(), Vec::new());
    while let Some(c) = rest.next() {
        found.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Exactly(rest.next().unwrap_or('\\')),
            '[' => {
                let negated = rest.next_if_eq(&'^').is_some();
                let inside: Vec<char> = rest.by_ref().take_while(|c| *c != ']').collect();
                Piece::Set(ranges(&inside), negated)
            }
            c => Piece::Exactly(c),
        });
    }
    found
}

fn ranges(mut inside: &[char]) -> Vec<(char, char)> {
    let mut found = Vec::new();
    loop {
        inside = match inside {
            [] => return found,
            [from, '-', to, rest @ ..] => {
                found.push((*from, *to));
                rest
            }
            [one, rest @ ..] => {
                found.push((*one, *one));
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::EventId;
    use crate::server::events::occurrence::{Audience, Base};
    use crate::types::Timestamp;
    use opcua::nodes::DefaultTypeTree;
    use opcua::types::{
        AttributeId, ContentFilterElement, ElementOperand, LiteralOperand, NodeClass, NumericRange, ObjectTypeId, SimpleAttributeOperand,
    };

    fn field(path: &str) -> ExtensionObject {
        let node_id = path.is_empty();
        ExtensionObject::from_message(SimpleAttributeOperand {
            type_definition_id: ObjectTypeId::BaseEventType.into(),
            browse_path: Some(path.split('/').filter(|p| !p.is_empty()).map(Into::into).collect()),
            attribute_id: if node_id { AttributeId::NodeId } else { AttributeId::Value } as u32,
            index_range: NumericRange::None,
        })
    }

    fn literal(value: impl Into<Variant>) -> ExtensionObject {
        ExtensionObject::from_message(LiteralOperand { value: value.into() })
    }

    fn refer(index: u32) -> ExtensionObject {
        ExtensionObject::from_message(ElementOperand { index })
    }

    fn element(filter_operator: FilterOperator, operands: Vec<ExtensionObject>) -> ContentFilterElement {
        ContentFilterElement { filter_operator, filter_operands: Some(operands) }
    }

    fn event() -> Occurrence {
        let base = Base {
            id: EventId::default(),
            type_id: NodeId::new(3, 1101),
            source: NodeId::new(2, "Motor1.Drift.DataDrift"),
            source_name: "Motor1.Drift.DataDrift",
            time: Timestamp::EPOCH,
            message: "drift",
            severity: 600,
        };
        let mut event =
            Occurrence::new(base, Audience::Machines(Vec::new())).condition(NodeId::new(2, "Motor1.Drift.DataDrift.DriftAlarm"));
        event.set("ActiveState/Id", true);
        event
    }

    fn check(elements: Vec<ContentFilterElement>) -> bool {
        let mut types = DefaultTypeTree::new();
        let alarm = ObjectTypeId::AlarmConditionType.into();
        types.add_type_node(&alarm, &ObjectTypeId::BaseEventType.into(), NodeClass::ObjectType);
        types.add_type_node(&NodeId::new(3, 1101), &alarm, NodeClass::ObjectType);
        passes(&elements, &event(), &types)
    }

    #[test]
    fn clauses_as_clients_write_them() {
        use FilterOperator::*;
        let alarm = NodeId::from(ObjectTypeId::AlarmConditionType);
        assert!(check(vec![]));
        assert!(check(vec![element(OfType, vec![literal(alarm.clone())])]));
        assert!(check(vec![element(OfType, vec![literal(NodeId::new(3, 1101))])]));
        assert!(!check(vec![element(OfType, vec![literal(NodeId::from(ObjectTypeId::AuditEventType))])]));
        let list = vec![field("EventType"), literal(NodeId::new(3, 5)), literal(NodeId::new(3, 1101))];
        assert!(check(vec![element(InList, list)]), "as asyncua does by default");
        assert!(check(vec![
            element(And, vec![refer(1), refer(2)]),
            element(OfType, vec![literal(alarm)]),
            element(Equals, vec![field("SourceNode"), literal(NodeId::new(2, "Motor1.Drift.DataDrift"))]),
        ]));
        assert!(check(vec![element(Equals, vec![field(""), literal(NodeId::new(2, "Motor1.Drift.DataDrift.DriftAlarm"))])]));
        assert!(check(vec![element(GreaterThanOrEqual, vec![field("Severity"), literal(600i32)])]));
        assert!(!check(vec![element(GreaterThan, vec![field("Severity"), literal(600u16)])]));
        assert!(check(vec![element(Between, vec![field("Severity"), literal(1u16), literal(1000u16)])]));
        assert!(check(vec![element(Like, vec![field("SourceName"), literal("Motor1%")])]));
        assert!(check(vec![element(Equals, vec![field("SourceName"), literal("Motor1.Drift.DataDrift")])]));
        assert!(!check(vec![element(Not, vec![refer(1)]), element(Equals, vec![field("ActiveState/Id"), literal(true)])]));
        assert!(check(vec![element(IsNull, vec![field("Nothing")])]));
    }

    #[test]
    fn what_is_not_known_does_not_pass() {
        use FilterOperator::*;
        let unknown = || element(Equals, vec![field("Nothing"), literal(1u16)]);
        assert!(!check(vec![unknown()]));
        assert!(!check(vec![element(Not, vec![refer(1)]), unknown()]));
        assert!(check(vec![element(Or, vec![refer(1), literal(true)]), unknown()]));
        assert!(!check(vec![element(And, vec![refer(0), refer(0)])]), "a circle ends");
        assert!(!check(vec![element(Equals, vec![])]));
    }

    #[test]
    fn patterns() {
        for (text, pattern) in [("Main", "M%"), ("Main", "%ai_"), ("a%b", "a\\%b"), ("c3", "c[0-9]"), ("cx", "c[^0-9]"), ("", "%")] {
            assert!(like(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [("Main", "m%"), ("Main", "Mai"), ("ab", "a\\%b"), ("c3", "c[^0-9]"), ("c", "c[0-9]"), ("", "_")] {
            assert!(!like(text, pattern), "{text} {pattern}");
        }
        assert!(!like(&"a".repeat(2_000), &"%a".repeat(200).replace('a', "b")));
        // Quadratic at most: this would take minutes otherwise.
        assert!(!like(&"a".repeat(4_000), &format!("{}b", "%".repeat(4_000))));
    }
}
