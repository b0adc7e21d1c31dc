//! Members of structures that the PLC has as one node: `MAIN.stMotor#fCurrent`, nested ones as `MAIN.stMotor#stPump.fFlow`.
//!
//! Most PLCs have each member as a node of its own, which needs none of this. Where only the whole structure is a node, its value comes as
//! bytes: what they mean is read from the PLC's data types (attribute DataTypeDefinition, OPC UA 1.04) at the beginning of a session.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::Session;
use opcua::client::browser::BrowserConfig;
use opcua::client::custom_types::DataTypeTreeBuilder;
use opcua::types::custom::{DynamicStructure, DynamicTypeLoader};
use opcua::types::{DataValue, Error, NodeId, StatusCode, TypeLoaderCollection, Variant};

use super::request;

/// Types per request: small controllers are many times slower with more.
const PER_REQUEST: usize = 100;
/// A PLC that takes longer to tell its types is not waited for.
const LEARN_TIME: Duration = Duration::from_secs(10);

/// The node's part of an address, and the member's. A `#` in quotation marks belongs to the node; so does one that is followed by anything
/// but a name.
pub(super) fn split(address: &str) -> (&str, Option<&str>) {
    let whole = (address, None);
    let Some((node, member)) = address.rsplit_once('#') else { return whole };
    let name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let quoted = node.bytes().filter(|b| *b == b'"').count() % 2 == 1;
    if quoted || node.is_empty() || !member.split('.').all(name) { whole } else { (node, Some(member)) }
}

/// The value of the member that the address names, with status and times of the whole; Bad_TypeMismatch where there is none.
pub(super) fn of_address(address: &str, data: DataValue) -> DataValue {
    let Some(member) = split(address).1 else { return data };
    if data.status.is_some_and(|status| status.is_bad()) {
        return data;
    }
    let value = data.value.as_ref().and_then(|whole| pick(whole, member)).cloned();
    let status = if value.is_some() { data.status } else { Some(StatusCode::BadTypeMismatch) };
    DataValue { value, status, ..data }
}

fn pick<'a>(whole: &'a Variant, member: &str) -> Option<&'a Variant> {
    member.split('.').try_fold(whole, |whole, name| match whole {
        Variant::ExtensionObject(object) => object.inner_as::<DynamicStructure>()?.get_field_by_name(name),
        _ => None,
    })
}

/// What is known of members in one session.
#[derive(Default)]
pub(super) struct Members {
    learned: bool,
}

impl Members {
    /// Those of the wanted members that cannot be read, each with why and what to do. Learns the PLC's own types first; without any wanted
    /// member nothing is asked.
    pub async fn faults(&mut self, session: &Session, wanted: &[(usize, NodeId, &str)], limit: &mut usize) -> Vec<(usize, String)> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let refused = |e: &dyn std::fmt::Display| {
            let reason = format!("the PLC does not tell its types: {e}; let it offer the members as nodes of their own");
            wanted.iter().map(|(tag, ..)| (*tag, reason.clone())).collect()
        };
        if !self.learned {
            match tokio::time::timeout(LEARN_TIME, learn_types(session)).await {
                Ok(Ok(())) => self.learned = true,
                Ok(Err(e)) => return refused(&e.status()),
                Err(_) => return refused(&format!("nothing within {} s", LEARN_TIME.as_secs())),
            }
        }
        let nodes: Vec<_> = wanted.iter().map(|(_, node, _)| request::value_of(node.clone())).collect();
        let answers = match request::read_all(session, &nodes, limit).await {
            Ok(answers) => answers,
            Err(e) => return refused(&e.status()),
        };
        let fault = |((tag, node, member), answer): (&(usize, NodeId, &str), DataValue)| Some((*tag, explain(node, member, &answer)?));
        wanted.iter().zip(answers).filter_map(fault).collect()
    }
}

/// In place of those of an earlier connection: a program that was loaded since may have changed them.
async fn learn_types(session: &Session) -> Result<(), Error> {
    let config = BrowserConfig::new().max_nodes_per_request(PER_REQUEST);
    let own = DataTypeTreeBuilder::new(|id: &NodeId| id.namespace != 0).config(config).values_per_read(PER_REQUEST);
    let types = own.build(session).await?;
    let mut loaders = TypeLoaderCollection::new();
    loaders.add(Arc::new(DynamicTypeLoader::new(Arc::new(types))));
    *session.encoding_context().write().loaders_mut() = loaders;
    Ok(())
}

/// `None` where the member is there, or where the PLC has no value at the moment: its status comes with the samples.
fn explain(node: &NodeId, member: &str, answer: &DataValue) -> Option<String> {
    if answer.status.is_some_and(|status| status.is_bad()) {
        return None;
    }
    let whole = answer.value.as_ref()?;
    if pick(whole, member).is_some() {
        return None;
    }
    Some(match whole {
        Variant::ExtensionObject(object) if object.inner_is::<DynamicStructure>() => {
            format!("the structure `{node}` has no member `{member}`: see its names and upper and lower case")
        }
        Variant::ExtensionObject(_) => {
            format!(
                "the PLC does not say what the structure `{node}` is made of: let it offer the members as nodes of their own, and name `{member}` so"
            )
        }
        _ => format!("`{node}` is no structure: leave `#{member}` out"),
    })
}

#[cfg(test)]
mod tests {
    use opcua::types::ExtensionObject;

    use super::*;

    #[test]
    fn the_member_is_behind_the_last_sign() {
        assert_eq!(split("MAIN.stMotor#fCurrent"), ("MAIN.stMotor", Some("fCurrent")));
        assert_eq!(split("ns=4;s=MAIN.a#b#stPump.fFlow"), ("ns=4;s=MAIN.a#b", Some("stPump.fFlow")));
        assert_eq!(split("\"DB\".\"st\"#x"), ("\"DB\".\"st\"", Some("x")));
        for whole in ["MAIN.fSpeed", "\"DB\".\"a#b\"", "ns=4;s=Motor#3", "ns=4;s=Motor#", "#x", "MAIN.a#b..c"] {
            assert_eq!(split(whole), (whole, None));
        }
    }

    #[test]
    fn what_is_no_structure_has_no_members() {
        let number = DataValue::value_only(1.5);
        assert_eq!(of_address("MAIN.a", number.clone()), number);
        let none = of_address("MAIN.a#b", number.clone());
        assert_eq!((none.value, none.status), (None, Some(StatusCode::BadTypeMismatch)));
        let bad = DataValue { status: Some(StatusCode::BadSensorFailure), ..DataValue::null() };
        assert_eq!(of_address("MAIN.a#b", bad.clone()), bad);
        let node = NodeId::new(2, "MAIN.a");
        assert!(explain(&node, "b", &number).unwrap().contains("no structure"));
        let unknown = DataValue::value_only(Variant::from(ExtensionObject::null()));
        assert!(explain(&node, "b", &unknown).unwrap().contains("nodes of their own"));
        assert_eq!(explain(&node, "b", &bad), None);
    }
}
