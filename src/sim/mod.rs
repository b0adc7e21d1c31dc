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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, MachineConfig};

    fn demo(file: &str) -> MachineConfig {
        let config = Config::load(format!("{}/configs/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        MachineConfig::clone(&config.machines[0])
    }

    #[test]
    fn the_shipped_configurations_are_of_this_motor() {
        for file in ["demo.toml", "demo-modbus.toml"] {
            let machine = demo(file);
            assert!(machine.signals.iter().map(|s| &*s.name).eq(SIGNALS), "{file}");
            assert!(machine.settings.iter().map(|s| &*s.name).eq(SETTINGS), "{file}");
            assert_eq!(machine.features.len(), 7 + 5 + 5);
            assert_eq!((&*machine.name, &*machine.models[0].name, machine.models[0].inputs.len()), ("Motor1", "Stator", 9));
            assert_eq!(machine.learn_rows, 1500);
        }
        let addressless = |file| MachineConfig {
            signals: demo(file).signals.into_iter().map(|s| crate::config::SignalConfig { origin: None, ..s }).collect(),
            settings: demo(file).settings.into_iter().map(|s| crate::config::SettingConfig { origin: None, ..s }).collect(),
            ..demo(file)
        };
        assert_eq!(addressless("demo.toml"), addressless("demo-modbus.toml"), "they differ in their addresses alone");
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn the_shipped_addresses_are_in_the_register_map() {
        let machine = demo("demo-modbus.toml");
        let origins = machine.signals.iter().map(|s| (&s.name, &s.origin)).chain(machine.settings.iter().map(|s| (&s.name, &s.origin)));
        for (name, origin) in origins {
            let register = register_map().into_iter().find(|r| r.name == &**name).unwrap();
            let address = origin.as_ref().map(|o| o.address.as_str());
            assert_eq!(address, Some(format!("holding:{}", register.address).as_str()), "{name}");
        }
    }
}
