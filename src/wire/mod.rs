//! Vendor types end here: conversions between the wire and the project's words, one function a pair.

pub mod application_uri;
pub mod modbus;
pub mod opcua;
