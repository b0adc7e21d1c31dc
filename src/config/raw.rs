//! What the TOML file holds, before checks.
