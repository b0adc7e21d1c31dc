//! The application URIs in a certificate.
//!
//! OPC 10000-6 wants the URI among the subject's alternative names, at any place. The stack compares with the first name only, of whatever
//! kind: it takes the host name that node-opcua writes first for a wrong URI. So the names are read here, from the DER.

use opcua::crypto::X509;

/// Object identifier 2.5.29.17, subjectAltName.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The extensions in the part that is signed.
const EXTENSIONS: u8 = 0xa3;
/// uniformResourceIdentifier, one of the kinds of names.
const URI: u8 = 0x86;

/// All URIs of the certificate, in its order; none of one that cannot be read.
pub fn of(certificate: &X509) -> Vec<String> {
    certificate.to_der().ok().and_then(|der| names(&der)).unwrap_or_default()
}

/// Whether the certificate is one of the application with this URI.
pub fn belongs_to(certificate: &X509, uri: &str) -> bool {
    of(certificate).iter().any(|u| u == uri)
}

fn names(der: &[u8]) -> Option<Vec<String>> {
    let certificate = within(der, SEQUENCE)?;
    let signed = within(certificate, SEQUENCE)?;
    let extensions = within(within(signed, EXTENSIONS)?, SEQUENCE)?;
    let names = fields(extensions).find_map(|(_, extension)| value_of(extension))?;
    Some(fields(names).filter(|(tag, _)| *tag == URI).filter_map(|(_, text)| String::from_utf8(text.to_vec()).ok()).collect())
}

/// The list of names, if the extension is that.
fn value_of(extension: &[u8]) -> Option<&[u8]> {
    let mut parts = fields(extension).filter(|(tag, _)| *tag != BOOLEAN);
    match (parts.next()?, parts.next()?) {
        ((OBJECT_IDENTIFIER, ALTERNATIVE_NAMES), (OCTET_STRING, value)) => within(value, SEQUENCE),
        _ => None,
    }
}

/// Content of the first field with this tag.
fn within(der: &[u8], tag: u8) -> Option<&[u8]> {
    fields(der).find(|(t, _)| *t == tag).map(|(_, content)| content)
}

/// The fields side by side in `der`, with tag and content; ends at what cannot be read.
fn fields(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = field(der)?;
        der = rest;
        Some((tag, content))
    })
}

fn field(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The length is in so many bytes; more than four no certificate needs.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use opcua::crypto::X509Data;

    use super::*;

    fn certificate(uri: &str, host_first: bool) -> X509 {
        let mut data = X509Data {
            key_size: 2048,
            common_name: "urn:not:this".into(),
            organization: "-".into(),
            organizational_unit: "-".into(),
            country: "ZZ".into(),
            state: "-".into(),
            alt_host_names: X509Data::alt_host_names(uri, Some(vec!["panel".into(), "192.168.0.7".into()]), false, false, false),
            certificate_duration_days: 1,
        };
        if host_first {
            data.alt_host_names.names.0.reverse();
        }
        X509::cert_and_pkey(&data).unwrap().0
    }

    #[test]
    fn the_uri_counts_wherever_it_stands() {
        for host_first in [false, true] {
            let certificate = certificate("urn:panel:hmi", host_first);
            assert_eq!(of(&certificate), ["urn:panel:hmi"]);
            assert!(belongs_to(&certificate, "urn:panel:hmi"));
            for other in ["urn:panel:hm", "urn:panel:hmi2", "panel", "urn:not:this", ""] {
                assert!(!belongs_to(&certificate, other), "{other}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_has_no_names_and_does_not_panic() {
        let der = certificate("urn:panel:hmi", true).to_der().unwrap();
        for length in 0..der.len() {
            assert_eq!(names(&der[..length]), None, "{length} bytes");
        }
        // A length of 2^32 - 1, and one in nine bytes.
        assert_eq!(names(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]), None);
        assert_eq!(names(&[0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x30]), None);
    }
}
