//! Engineering units: the text of the configuration to OPC UA's EUInformation.

use opcua::types::{EUInformation, ExtensionObject, LocalizedText, Variant};

/// Common symbols with their UNECE code (Recommendation 20), as OPC 10000-8 wants them.
const CODES: &[(&str, &str)] = &[
    ("%", "P1"),
    ("1/min", "RPM"),
    ("A", "AMP"),
    ("Hz", "HTZ"),
    ("J", "JOU"),
    ("K", "KEL"),
    ("N", "NEW"),
    ("Nm", "NU"),
    ("Ohm", "OHM"),
    ("Pa", "PAL"),
    ("T", "D33"),
    ("V", "VLT"),
    ("W", "WTT"),
    ("Wb", "WEB"),
    ("bar", "BAR"),
    ("dB", "2N"),
    ("degC", "CEL"),
    ("°C", "CEL"),
    ("h", "HUR"),
    ("kHz", "KHZ"),
    ("kN", "B47"),
    ("kPa", "KPA"),
    ("kV", "KVT"),
    ("kW", "KWT"),
    ("kg", "KGM"),
    ("l/min", "L2"),
    ("m", "MTR"),
    ("m/s", "MTS"),
    ("m/s2", "MSK"),
    ("mA", "4K"),
    ("mT", "C29"),
    ("mV", "2Z"),
    ("mWb", "C33"),
    ("min", "MIN"),
    ("mm", "MMT"),
    ("mm/s", "C16"),
    ("ms", "C26"),
    ("rpm", "RPM"),
    ("s", "SEC"),
    ("um", "4H"),
];

/// Characters of the code as a big-endian number; -1 where the unit is not known.
fn unit_id(symbol: &str) -> i32 {
    CODES.iter().find(|(s, _)| *s == symbol).map_or(-1, |(_, code)| code.bytes().fold(0, |id, byte| (id << 8) | i32::from(byte)))
}

/// Value of an `EngineeringUnits` property.
pub(super) fn engineering_units(symbol: &str) -> Variant {
    ExtensionObject::from_message(EUInformation {
        namespace_uri: "http://www.opcfoundation.org/UA/units/un/cefact".into(),
        unit_id: unit_id(symbol),
        display_name: LocalizedText::from(symbol),
        description: LocalizedText::from(symbol),
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_opc_foundation() {
        // From the table of OPC 10000-8, which maps UNECE codes to ids.
        assert_eq!((unit_id("%"), unit_id("ms"), unit_id("s"), unit_id("W")), (20_529, 4_403_766, 5_457_219, 5_723_220));
        assert_eq!(unit_id("furlong"), -1);
    }
}
