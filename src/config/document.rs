//! The documented default configuration, made from the raw structs.
/// The documented default configuration.
pub fn documented_default() -> String { String::new() }
