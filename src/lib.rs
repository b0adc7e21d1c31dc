//! driftgate: reads signals and settings of PLCs, runs fault-detection models, watches data and predictions for drift
//! conditioned on the machine settings, and gives the verdicts back as OPC UA nodes.
//!
//! ```text
//!  source ──Sample──▶ align ──Frame──▶ core: regime ▶ feature ▶ model ▶ drift ──Verdict, Events──▶ store, server
//!  (OPC UA, Modbus,    └────────── pipeline: pure step, the same live, in replay and in tests ─────────┘
//!   recorded data)
//! ```
//!
//! Rooms. Pure (no async, clock, I/O): [`types`], [`alarm`], [`regime`], [`feature`], [`model`], [`drift`], [`checks`], [`bundle`], [`comparison`], [`profile`], [`history`],
//! [`pipeline::core`], [`report`].
//! Around them: [`config`], [`pipeline`], and with the feature `gateway` the shell: `source`, `store`, `dataset`, `announce`, `users`, `server`, `sim`, `wire`, `app`.
//!
//! The README tells how to run it, `docs/` how a verdict comes about.

pub mod alarm;
pub mod bundle;
pub mod checks;
pub mod cli;
pub mod comparison;
pub mod config;
pub mod drift;
pub mod feature;
pub mod history;
pub mod model;
pub mod pipeline;
pub mod profile;
pub mod regime;
pub mod report;
pub mod sim;
pub mod types;

#[cfg(feature = "gateway")]
pub mod announce;
#[cfg(feature = "gateway")]
pub mod app;
#[cfg(feature = "gateway")]
pub mod dataset;
#[cfg(feature = "gateway")]
pub mod reload;
#[cfg(feature = "gateway")]
pub mod server;
#[cfg(feature = "gateway")]
pub mod source;
#[cfg(feature = "gateway")]
pub mod store;
#[cfg(feature = "gateway")]
pub mod switches;
#[cfg(feature = "gateway")]
pub mod users;
#[cfg(feature = "gateway")]
pub mod wire;
