//! Addresses as the configuration has them -> node ids of the present session.
//!
//! Namespace indexes may move whenever a new program is loaded into the PLC: nothing here outlives a session but the meaning
//! of `ns=N`, which is bound to the URI that the index had when the gateway first connected.

use std::str::FromStr;

use opcua::types::{Identifier, NodeId};

const BECKHOFF: &str = "urn:BeckhoffAutomation:Ua:PLC1";
const SIEMENS: &str = "http://www.siemens.com/simatic-s7-opcua";

/// Why an address has no node.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("not an address: `{0}`; write ns=4;s=..., nsu=URI;s=..., or the PLC's own name of the variable")]
    Malformed(String),
    #[error("the PLC has no namespace `{0}`; take one of: {1}")]
    NoNamespace(String, String),
    #[error("the PLC has no namespace that is known for `{0}`; set `namespace` of the source to one of: {1}")]
    NoKnownNamespace(String, String),
}

/// The namespace array of the present session, and the one at the first connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Namespaces {
    now: Vec<String>,
    first: Vec<String>,
}

impl Namespaces {
    /// Takes the namespace array of a new session.
    pub fn update(&mut self, uris: Vec<String>) {
        if self.first.is_empty() {
            self.first.clone_from(&uris);
        }
        self.now = uris;
    }

    fn index(&self, wanted: impl Fn(&str) -> bool) -> Option<u16> {
        self.now.iter().position(|uri| wanted(uri)).and_then(|i| u16::try_from(i).ok())
    }

    /// Older TF6100 versions put the host name into the URI: `urn:CX-12AB34:BeckhoffAutomation:Ua:PLC1`.
    fn by_uri(&self, uri: &str) -> Option<u16> {
        let with_host = uri.strip_prefix("urn:").filter(|rest| rest.starts_with("BeckhoffAutomation:Ua:"));
        self.index(|u| u == uri).or_else(|| self.index(|u| with_host.is_some_and(|rest| u.starts_with("urn:") && u.ends_with(rest))))
    }

    /// The index that the namespace has now which was `index` at first.
    fn by_index(&self, index: u16) -> Option<u16> {
        match self.first.get(usize::from(index)) {
            Some(uri) => self.index(|u| u == uri),
            None => (usize::from(index) < self.now.len()).then_some(index),
        }
    }

    /// Where the PLC's own names belong without a configured namespace.
    fn well_known(&self, symbol: &str) -> Option<u16> {
        let (beckhoff, siemens) = (self.by_uri(BECKHOFF), self.by_uri(SIEMENS));
        if symbol.starts_with('"') { siemens.or(beckhoff) } else { beckhoff.or(siemens) }
    }

    /// For messages: all but the standard's and the server's own.
    fn listed(&self) -> String {
        let uris: Vec<&str> = self.now.iter().skip(1).map(String::as_str).collect();
        uris.join(", ")
    }
}

/// Where in the text the namespace is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place<'a> {
    Index(u16),
    Uri(&'a str),
    Default,
}

/// The node id that an address means in this session.
///
/// `configured` is the namespace URI of addresses that carry none.
pub(super) fn resolve(address: &str, configured: Option<&str>, namespaces: &Namespaces) -> Result<NodeId, AddressError> {
    let (place, rest) = split(address)?;
    let (identifier, symbol) = match identifier(rest) {
        Some(Ok(identifier)) => (identifier, None),
        None if place == Place::Default && !rest.is_empty() => (Identifier::from(rest), Some(rest)),
        Some(Err(())) | None => return Err(AddressError::Malformed(address.into())),
    };
    let missing = |namespace: String| AddressError::NoNamespace(namespace, namespaces.listed());
    let index = match (place, configured) {
        (Place::Index(0), _) => 0,
        (Place::Index(index), _) => namespaces.by_index(index).ok_or_else(|| missing(index.to_string()))?,
        (Place::Uri(uri), _) | (Place::Default, Some(uri)) => namespaces.by_uri(uri).ok_or_else(|| missing(uri.into()))?,
        (Place::Default, None) if matches!(identifier, Identifier::Numeric(_)) => 0,
        (Place::Default, None) => namespaces
            .well_known(symbol.unwrap_or(rest))
            .ok_or_else(|| AddressError::NoKnownNamespace(address.into(), namespaces.listed()))?,
    };
    Ok(NodeId::new(index, identifier))
}

/// Takes `ns=N;` or `nsu=URI;` off.
fn split(address: &str) -> Result<(Place<'_>, &str), AddressError> {
    let malformed = || AddressError::Malformed(address.into());
    if let Some(rest) = address.strip_prefix("nsu=") {
        // A URI may hold a semicolon: the identifier begins at the last `;x=`.
        let end = [";s=", ";i=", ";g=", ";b="].iter().filter_map(|mark| rest.find(mark)).min().ok_or_else(malformed)?;
        return Ok((Place::Uri(&rest[..end]), &rest[end + 1..]));
    }
    if let Some(rest) = address.strip_prefix("ns=") {
        let (index, rest) = rest.split_once(';').ok_or_else(malformed)?;
        return Ok((Place::Index(index.parse().map_err(|_| malformed())?), rest));
    }
    Ok((Place::Default, address))
}

/// `s=...` and so on; `None` where the text is no identifier of the standard's notation.
fn identifier(text: &str) -> Option<Result<Identifier, ()>> {
    ["i=", "s=", "g=", "b="].iter().any(|mark| text.starts_with(mark) && text.len() > 2).then(|| Identifier::from_str(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(uris: &[&str]) -> Namespaces {
        let mut namespaces = Namespaces::default();
        namespaces.update(uris.iter().map(|u| (*u).to_string()).collect());
        namespaces
    }

    const UA: &str = "http://opcfoundation.org/UA/";

    #[test]
    fn texts_of_the_standard() {
        let ns = namespaces(&[UA, "urn:server", "urn:a;s", SIEMENS]);
        let node = |text: &str| resolve(text, None, &ns).unwrap().to_string();
        assert_eq!(node("ns=3;s=\"DB_Machine\".\"rSpeed\""), "ns=3;s=\"DB_Machine\".\"rSpeed\"");
        assert_eq!(node("nsu=http://www.siemens.com/simatic-s7-opcua;i=5"), "ns=3;i=5");
        assert_eq!(node("nsu=urn:server;s=a;s=b"), "ns=1;s=a;s=b");
        assert_eq!(node("i=2258"), "i=2258");
        for wrong in ["", "ns=x;s=a", "ns=1", "ns=1;rSpeed", "nsu=urn:server", "i=motor", "ns=1;s="] {
            assert!(matches!(resolve(wrong, None, &ns), Err(AddressError::Malformed(_))), "{wrong}");
        }
        assert!(matches!(resolve("nsu=urn:other;i=1", None, &ns), Err(AddressError::NoNamespace(..))));
    }

    #[test]
    fn the_plc_s_own_names() {
        let beckhoff = namespaces(&[UA, "urn:server", BECKHOFF]);
        assert_eq!(resolve("MAIN.fbMotor.rSpeed", None, &beckhoff).unwrap().to_string(), "ns=2;s=MAIN.fbMotor.rSpeed");
        let old = namespaces(&[UA, "urn:CX:BeckhoffAutomation:Ua:PLC1"]);
        assert_eq!(resolve("MAIN.a", None, &old).unwrap().to_string(), "ns=1;s=MAIN.a");
        assert_eq!(resolve("MAIN.a", Some(BECKHOFF), &old).unwrap().to_string(), "ns=1;s=MAIN.a");
        let siemens = namespaces(&[UA, "urn:server", "urn:di", SIEMENS]);
        assert_eq!(resolve("\"DB\".\"a\"", None, &siemens).unwrap().to_string(), "ns=3;s=\"DB\".\"a\"");
        assert_eq!(resolve("a", Some("urn:di"), &siemens).unwrap().to_string(), "ns=2;s=a");
        let other = namespaces(&[UA, "urn:server"]);
        assert!(matches!(resolve("MAIN.a", None, &other), Err(AddressError::NoKnownNamespace(..))));
    }

    #[test]
    fn an_index_follows_its_namespace() {
        let mut ns = namespaces(&[UA, "urn:server", SIEMENS]);
        ns.update([UA, "urn:server", "urn:new", SIEMENS].map(String::from).to_vec());
        assert_eq!(resolve("ns=2;s=a", None, &ns).unwrap().to_string(), "ns=3;s=a");
        ns.update([UA, "urn:server"].map(String::from).to_vec());
        assert!(resolve("ns=2;s=a", None, &ns).is_err());
    }
}
