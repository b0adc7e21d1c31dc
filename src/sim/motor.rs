//! The motor: one [`Cycle`] of 100 ms at a time.
//!
//! | quantity | formula | source |
//! |---|---|---|
//! | slip, current, tooth flux, losses | equivalent circuit, `E = 4.44 f N k Φ` | [`circuit`] |
//! | 3rd harmonic of the flux | grows with the square of the magnetisation (saturated teeth) | Chapman |
//! | slot harmonics of the flux | `f ((R/p)(1-s) ± 1)` with R rotor bars and p pole pairs | P. Vas, *Parameter Estimation, Condition Monitoring, and Diagnosis of Electrical Machines* |
//! | eccentricity | `f (1 ± (1-s)/p)` | Vas |
//! | inter-turn short | `f (k ± n(1-s)/p)`, k = 1, 3, 5: a weaker fundamental, odd harmonics and sidebands, unequal currents, heat | J. Penman et al., *Detection and location of interturn short circuits in the stator windings of operating motors* |
//! | winding temperature | first order: `tau dT/dt = ambient + Rth · losses - T` | Fitzgerald |
//! | vibration | unbalance at the rotation frequency with its square, misalignment at twice, magnetic pull at `2 f` with the flux squared, bearing (outer race) tones | R. B. Randall, *Vibration-based Condition Monitoring* |
//!
//! Load, supply voltage and level of vibration fluctuate as first-order autoregressions: mildly autocorrelated and stationary.
//! The thermal time constant is 4 s instead of the minutes of a real motor, so that a story of minutes reaches its steady
//! states. A motor that starts again is in thermal equilibrium: the story leaves out repair and warm-up.

use std::f64::consts::TAU;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::circuit::{self, Operating, POLE_PAIRS, RATED_TORQUE, ROTOR_BARS};
use super::waveform::{Component, render};
use crate::types::{Channel, Frame, Timestamp, Value};

/// Samples of a waveform block.
pub const BLOCK_LENGTH: usize = 256;
/// Samples of a waveform in a second, Hz.
pub const BLOCK_RATE: f64 = 2560.0;
/// Length of a cycle, s.
pub const CYCLE_SECONDS: f64 = 0.1;
/// Signals in the order of [`Cycle::frame`], as `configs/demo.toml` has them.
pub const SIGNALS: [&str; 7] = ["Flux", "Vibration", "Current1", "Current2", "Current3", "TempWinding", "Speed"];
/// Settings in the order of [`Cycle::frame`], after the signals.
pub const SETTINGS: [&str; 2] = ["Voltage", "Load"];

/// Supply frequency, Hz.
const FREQUENCY: f64 = 50.0;
/// Temperature around the motor, degC.
const AMBIENT: f64 = 25.0;
/// Heating per loss, K/W.
const THERMAL_RESISTANCE: f64 = 0.35;
/// Thermal time constant of the running motor, s; at standstill the fan stands too and it is five times as long.
const THERMAL_TIME_CONSTANT: f64 = 4.0;
/// Additional torque of full friction, share of the rated torque.
const FRICTION_TORQUE: f64 = 0.007;
/// Additional loss of a full inter-turn short, W.
const INTER_TURN_LOSS: f64 = 40.0;
/// Outer-race ball pass frequency over the rotation frequency.
const BALL_PASS: f64 = 3.58;
/// Inherent unbalance of the three currents.
const PHASE_UNBALANCE: [f64; 3] = [0.005, -0.008, 0.003];
/// Change of the three currents at a full inter-turn short.
const PHASE_INTER_TURN: [f64; 3] = [0.16, -0.1, 0.08];

/// What is done to the motor, and what is wrong with it.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Condition {
    /// False: standstill.
    pub running: bool,
    /// Set stator voltage, V rms between phases.
    pub voltage: f64,
    /// Set load, %.
    pub load: f64,
    /// Lost gain of the flux sensor: 0.06 reads 6 % too little.
    pub sensor_ageing: f64,
    /// Worn bearing, 0..1: more vibration, a little more current and heat.
    pub friction: f64,
    /// Inter-turn short of the stator winding, 0..1.
    pub inter_turn: f64,
    /// Disturbance of this one cycle.
    pub spike: Option<Spike>,
}

impl Condition {
    /// A sound motor at this voltage (V) and load (%).
    pub const fn healthy(voltage: f64, load: f64) -> Self {
        Self { running: true, voltage, load, sensor_ageing: 0.0, friction: 0.0, inter_turn: 0.0, spike: None }
    }
}

/// A single wrong row.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Spike {
    /// The currents read a quarter too much.
    Current,
    /// The temperature reads 12 K too much.
    Temperature,
    /// A knock on the vibration sensor: one sample of 4 mm/s.
    Vibration,
    /// The flux sensor is saturated: clipped at 80 % of its peak.
    Flux,
}

impl Spike {
    pub const ALL: [Self; 4] = [Self::Current, Self::Temperature, Self::Vibration, Self::Flux];
}

/// All values of one cycle.
#[derive(Clone, Debug, PartialEq)]
pub struct Cycle {
    pub running: bool,
    /// Flux in a stator tooth, mWb, [`BLOCK_LENGTH`] samples at [`BLOCK_RATE`].
    pub flux: Arc<[f64]>,
    /// Velocity of the bearing housing, mm/s, as `flux`.
    pub vibration: Arc<[f64]>,
    /// A rms
    pub currents: [f64; 3],
    /// degC
    pub temperature: f64,
    /// 1/min
    pub speed: f64,
    /// Read back, V rms between phases.
    pub voltage: f64,
    /// Read back, %.
    pub load: f64,
}

impl Cycle {
    /// The scalar signals and settings, in the order of [`SIGNALS`] and [`SETTINGS`] without the waveforms.
    pub fn scalars(&self) -> [f64; 7] {
        let [i1, i2, i3] = self.currents;
        [i1, i2, i3, self.temperature, self.speed, self.voltage, self.load]
    }

    /// As the frame of a machine with [`SIGNALS`] and [`SETTINGS`], all values good and of this time.
    pub fn frame(&self, time: Timestamp) -> Frame {
        let blocks = [&self.flux, &self.vibration].map(|block| Value::Block(block.clone()));
        let values = blocks.into_iter().chain(self.scalars().map(Value::Real));
        Frame { time, channels: values.map(|value| Channel::good(value, time)).collect() }
    }
}

/// A stationary fluctuation: `x' = phi x + sqrt(1 - phi²) sd e`.
#[derive(Copy, Clone, Debug, Default)]
struct Fluctuation(f64);

impl Fluctuation {
    fn next(&mut self, rng: &mut ChaCha8Rng, phi: f64, sd: f64) -> f64 {
        self.0 = phi * self.0 + (1.0 - phi * phi).sqrt() * sd * normal(rng);
        self.0
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

/// The motor. The same seed and conditions give the same cycles.
#[derive(Clone, Debug)]
pub struct Motor {
    rng: ChaCha8Rng,
    /// Angle of the supply and of the shaft at the start of the cycle, rad.
    electrical: f64,
    mechanical: f64,
    winding: f64,
    was_running: bool,
    supply: Fluctuation,
    frequency: Fluctuation,
    load: Fluctuation,
    vibration: Fluctuation,
    air: Fluctuation,
}

impl Motor {
    /// A motor in thermal equilibrium at this condition.
    pub fn new(seed: u64, condition: &Condition) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            electrical: rng.gen_range(0.0..TAU),
            mechanical: rng.gen_range(0.0..TAU),
            winding: equilibrium(condition),
            was_running: condition.running,
            supply: Fluctuation::default(),
            frequency: Fluctuation::default(),
            load: Fluctuation::default(),
            vibration: Fluctuation::default(),
            air: Fluctuation::default(),
            rng,
        }
    }

    /// The next 100 ms.
    pub fn cycle(&mut self, condition: &Condition) -> Cycle {
        let mut cycle = if condition.running { self.run(condition) } else { self.stand() };
        self.heat(condition);
        let rng = &mut self.rng;
        cycle.voltage = condition.voltage + 0.3 * normal(rng);
        cycle.load = condition.load + 0.5 * normal(rng);
        cycle.temperature = self.winding + self.air.next(rng, 0.8, 0.15) + 0.5 * normal(rng);
        if let Some(spike) = condition.spike {
            self.disturb(spike, &mut cycle);
        }
        cycle
    }

    fn run(&mut self, condition: &Condition) -> Cycle {
        let supply = 1.0 + self.supply.next(&mut self.rng, 0.3, 0.013);
        let frequency = FREQUENCY + self.frequency.next(&mut self.rng, 0.5, 0.01);
        let load = condition.load + self.load.next(&mut self.rng, 0.3, 0.6);
        let state = circuit::operate(condition.voltage * supply, frequency, torque(load, condition));
        let flux = self.flux(condition, &state, frequency);
        let vibration = self.vibration(condition, &state, frequency);
        self.electrical = (self.electrical + TAU * frequency * CYCLE_SECONDS) % TAU;
        self.mechanical = (self.mechanical + TAU * state.speed / 60.0 * CYCLE_SECONDS) % (TAU * 100.0);
        let currents = [0, 1, 2].map(|phase| {
            let unbalance = PHASE_UNBALANCE[phase] + condition.inter_turn * PHASE_INTER_TURN[phase];
            state.current * (1.0 + unbalance + 0.003 * normal(&mut self.rng))
        });
        let speed = state.speed + 0.5 * normal(&mut self.rng);
        Cycle { running: true, flux, vibration, currents, speed, temperature: 0.0, voltage: 0.0, load: 0.0 }
    }

    /// Standstill: the sensors see nothing but their own noise.
    fn stand(&mut self) -> Cycle {
        let flux = self.noise(0.002).into();
        let vibration = self.noise(0.02).into();
        let currents = [0.01; 3].map(|sd| (sd * normal(&mut self.rng)).abs());
        let speed = (0.1 * normal(&mut self.rng)).abs();
        Cycle { running: false, flux, vibration, currents, speed, temperature: 0.0, voltage: 0.0, load: 0.0 }
    }

    fn noise(&mut self, sd: f64) -> Vec<f64> {
        (0..BLOCK_LENGTH).map(|_| sd * normal(&mut self.rng)).collect()
    }

    /// A component at `electrical` times the supply and `mechanical` times the shaft angle.
    fn component(&self, amplitude: f64, electrical: f64, mechanical: f64, frequency: f64, speed: f64) -> Component {
        Component {
            amplitude,
            phase: electrical * self.electrical + mechanical * self.mechanical,
            frequency: electrical * frequency + mechanical * speed / 60.0,
        }
    }

    fn flux(&mut self, condition: &Condition, state: &Operating, frequency: f64) -> Arc<[f64]> {
        let short = condition.inter_turn;
        let magnetisation = state.magnetisation();
        // amplitude over the fundamental; multiples of the supply and of the shaft angle
        let parts = [
            (1.0 - 0.1 * short, 1.0, 0.0),
            (0.02 + 0.04 * magnetisation.powi(2) + 0.1 * short, 3.0, 0.0),
            (0.012 + 0.05 * short, 5.0, 0.0),
            (0.006 + 0.015 * short, 7.0, 0.0),
            (0.02, 1.0, ROTOR_BARS),
            (0.02, -1.0, ROTOR_BARS),
            (0.004 + 0.03 * short, 1.0, 1.0),
            (0.004 + 0.03 * short, 1.0, -1.0),
            (0.02 * short, 3.0, 1.0),
            (0.02 * short, 3.0, -1.0),
        ];
        let gain = (1.0 - condition.sensor_ageing) * state.tooth_flux;
        let components = parts.map(|(part, electrical, mechanical)| {
            // The fundamental fluctuates with the supply alone, the small parts on their own as well.
            let own = if (electrical, mechanical) == (1.0, 0.0) { 1.0 } else { 1.0 + 0.05 * normal(&mut self.rng) };
            self.component(gain * part * own, electrical, mechanical, frequency, state.speed)
        });
        let mut block = self.noise(0.002);
        render(&components, BLOCK_RATE, &mut block);
        block.into()
    }

    fn vibration(&mut self, condition: &Condition, state: &Operating, frequency: f64) -> Arc<[f64]> {
        let friction = condition.friction;
        let unbalance = 0.8 * (state.speed * POLE_PAIRS / (60.0 * FREQUENCY)).powi(2);
        let magnetic = 0.5 * state.magnetisation().powi(2) * (1.0 + condition.inter_turn);
        let parts = [
            (unbalance, 0.0, 1.0),
            (0.25, 0.0, 2.0),
            (magnetic, 2.0, 0.0),
            (0.15 * (1.0 + 2.0 * friction), 0.0, BALL_PASS),
            (0.08 * (1.0 + 2.0 * friction), 0.0, 2.0 * BALL_PASS),
            (0.05, 0.0, ROTOR_BARS),
        ];
        let level = self.vibration.next(&mut self.rng, 0.3, 0.06).exp();
        let components = parts.map(|(a, e, m)| self.component(level * a, e, m, frequency, state.speed));
        let mut block = self.noise(0.3 * level * (1.0 + 0.8 * friction));
        render(&components, BLOCK_RATE, &mut block);
        block.into()
    }

    fn heat(&mut self, condition: &Condition) {
        if condition.running && !self.was_running {
            self.winding = equilibrium(condition);
        }
        self.was_running = condition.running;
        let tau = if condition.running { THERMAL_TIME_CONSTANT } else { 5.0 * THERMAL_TIME_CONSTANT };
        self.winding += (equilibrium(condition) - self.winding) * -(-CYCLE_SECONDS / tau).exp_m1();
    }

    fn disturb(&mut self, spike: Spike, cycle: &mut Cycle) {
        match spike {
            Spike::Current => cycle.currents = cycle.currents.map(|current| 1.25 * current),
            Spike::Temperature => cycle.temperature += 12.0,
            Spike::Vibration => {
                let at = self.rng.gen_range(0..BLOCK_LENGTH);
                cycle.vibration = cycle.vibration.iter().enumerate().map(|(i, x)| if i == at { 4.0 } else { *x }).collect();
            }
            Spike::Flux => {
                let limit = 0.8 * cycle.flux.iter().fold(0f64, |peak, x| peak.max(x.abs()));
                cycle.flux = cycle.flux.iter().map(|x| x.clamp(-limit, limit)).collect();
            }
        }
    }
}

/// Torque at the shaft, N m.
fn torque(load: f64, condition: &Condition) -> f64 {
    RATED_TORQUE * (load / 100.0 + FRICTION_TORQUE * condition.friction)
}

/// Winding temperature that this condition leads to, degC. Fluctuations are too quick to matter.
fn equilibrium(condition: &Condition) -> f64 {
    if !condition.running {
        return AMBIENT;
    }
    let state = circuit::operate(condition.voltage, FREQUENCY, torque(condition.load, condition));
    AMBIENT + THERMAL_RESISTANCE * (state.losses + INTER_TURN_LOSS * condition.inter_turn)
}

#[cfg(test)]
#[path = "motor_tests.rs"]
mod tests;
