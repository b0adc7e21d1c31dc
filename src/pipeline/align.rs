//! Samples -> frames.
