//! A simulated electric motor with its PLC: what `driftgate demo` runs on, and healthy, drifting and faulty rows for tests.
//!
//! ```text
//!  Story ──Condition──▶ Motor ──Cycle──▶ plc_opcua  (Beckhoff-like namespace)
//!  (what happens)       (circuit, waveform)  plc_modbus (register map)
//! ```
//!
//! [`Motor`], [`Story`] and [`Simulation`] are pure: no clock, no I/O, the same seed gives the same rows. The servers need the
//! feature `gateway`.

pub mod circuit;
mod motor;
mod simulation;
mod story;
mod waveform;

#[cfg(feature = "gateway")]
mod pace;
#[cfg(feature = "gateway")]
mod plc;
#[cfg(feature = "gateway")]
pub mod plc_modbus;
#[cfg(feature = "gateway")]
pub mod plc_opcua;

pub use motor::{BLOCK_LENGTH, BLOCK_RATE, CYCLE_SECONDS, Condition, Cycle, Motor, SETTINGS, SIGNALS, Spike};
pub use simulation::Simulation;
pub use story::{Actual, Phase, Ramp, Story, StoryPoint};

#[cfg(feature = "gateway")]
pub use plc::{PlcError, PlcOptions, RunningPlc};
#[cfg(feature = "gateway")]
pub use plc_modbus::{register_map, start_modbus_plc};
#[cfg(feature = "gateway")]
pub use plc_opcua::start_opcua_plc;
