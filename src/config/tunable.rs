//! The parameters that people tune: from the file, then by OPC UA.
