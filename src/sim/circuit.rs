//! The steady state of a small three-phase induction motor: the approximate equivalent circuit of one phase, with the
//! magnetising branch moved to the terminals.
//!
//! ```text
//!      ┌── I2 ── R1 + jX1 ──┬── jX2 ── R2/s
//!  V1 ─┤                    E (air-gap voltage)
//!      └── Im ── jXm(E)
//! ```
//!
//! Sources: S. J. Chapman, *Electric Machinery Fundamentals*, chapter "Induction Motors" (circuit, torque, slip);
//! A. E. Fitzgerald et al., *Electric Machinery*, chapter "Polyphase Induction Machines" (losses).

use std::f64::consts::{FRAC_PI_2, PI, SQRT_2};

/// Stator resistance of a phase, ohm.
const R1: f64 = 3.0;
/// Rotor resistance of a phase, referred to the stator, ohm.
const R2: f64 = 2.4;
/// Leakage reactances of stator and rotor at 50 Hz, ohm.
const X1: f64 = 3.5;
const X2: f64 = 3.5;
/// Magnetising reactance at 50 Hz, unsaturated, ohm.
const XM: f64 = 90.0;
/// Growth of the magnetising current by saturation at the rated air-gap voltage.
const SATURATION: f64 = 0.3;
/// Air-gap voltage at which the iron saturates, V.
const RATED_AIRGAP_VOLTAGE: f64 = 167.0;
/// Frequency that the reactances hold for, Hz.
const RATED_FREQUENCY: f64 = 50.0;
/// Iron loss over the square of the air-gap voltage, W/V².
const IRON_LOSS: f64 = 0.00226;
/// Turns of a phase times the winding factor.
const EFFECTIVE_TURNS: f64 = 167.0;
/// Stator slots (and teeth) over one pole.
const TEETH_PER_POLE: f64 = 9.0;

/// Pole pairs: 1,500 1/min synchronous at 50 Hz.
pub const POLE_PAIRS: f64 = 2.0;
/// Bars of the rotor cage.
pub const ROTOR_BARS: f64 = 28.0;
/// Torque at 100 % load, N m.
pub const RATED_TORQUE: f64 = 7.0;

/// One steady state of the motor.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Operating {
    /// 0 synchronous .. 1 standstill.
    pub slip: f64,
    /// 1/min
    pub speed: f64,
    /// Stator current of a phase, A rms.
    pub current: f64,
    /// Voltage over the magnetising branch, V rms.
    pub airgap_voltage: f64,
    /// Peak of the flux in one stator tooth, mWb.
    pub tooth_flux: f64,
    /// Copper and iron losses together, W.
    pub losses: f64,
}

impl Operating {
    /// How far the iron is magnetised: 1 at the rated air-gap voltage.
    pub fn magnetisation(&self) -> f64 {
        self.airgap_voltage / RATED_AIRGAP_VOLTAGE
    }
}

/// The steady state at `voltage` (V rms between phases, star connection), `frequency` (Hz) and `torque` (N m).
///
/// - Slip: the torque `T = 3 V1² y / (w ((R1 + y)² + X²))` with `y = R2 / s` and the synchronous speed `w`, solved for `y`
///   (the stable root). A torque beyond the breakdown torque gives the breakdown slip.
/// - Flux of a pole from `E = 4.44 f N k Φ`; a tooth carries `Φ · (pi/2) / teeth per pole` at its peak.
/// - Losses: `3 I1² R1 + 3 I2² R2` and iron losses with `E²`.
pub fn operate(voltage: f64, frequency: f64, torque: f64) -> Operating {
    let v1 = voltage / 3f64.sqrt();
    let ratio = frequency / RATED_FREQUENCY;
    let (x1, x2, xm) = (X1 * ratio, X2 * ratio, XM * ratio);
    let x = x1 + x2;
    let synchronous = 2.0 * PI * frequency / POLE_PAIRS;

    let y = rotor_branch(v1, synchronous, torque, x);
    let slip = R2 / y;
    let rotor_current = v1 / (R1 + y).hypot(x);
    let (active, reactive) = (rotor_current * (R1 + y) / (R1 + y).hypot(x), rotor_current * x / (R1 + y).hypot(x));
    let airgap_voltage = rotor_current * y.hypot(x2);
    let saturation = 1.0 + SATURATION * (airgap_voltage / RATED_AIRGAP_VOLTAGE / ratio).powi(4);
    let current = active.hypot(reactive + airgap_voltage / xm * saturation);
    // 4.44 is 2 pi / sqrt 2.
    let pole_flux = airgap_voltage * SQRT_2 / (2.0 * PI * frequency * EFFECTIVE_TURNS);
    Operating {
        slip,
        speed: 60.0 * frequency / POLE_PAIRS * (1.0 - slip),
        current,
        airgap_voltage,
        tooth_flux: 1e3 * pole_flux * FRAC_PI_2 / TEETH_PER_POLE,
        losses: 3.0 * (current.powi(2) * R1 + rotor_current.powi(2) * R2) + IRON_LOSS * airgap_voltage.powi(2),
    }
}

/// `R2 / s` at this torque: the larger root of `k y² + (2 k R1 - 1) y + k (R1² + X²) = 0` with `k = w T / (3 V1²)`.
fn rotor_branch(v1: f64, synchronous: f64, torque: f64, x: f64) -> f64 {
    let k = synchronous * torque.max(1e-3) / (3.0 * v1.powi(2));
    let b = 1.0 - 2.0 * k * R1;
    let discriminant = b.powi(2) - 4.0 * k.powi(2) * (R1.powi(2) + x.powi(2));
    if b <= 0.0 || discriminant < 0.0 { R1.hypot(x) } else { (b + discriminant.sqrt()) / (2.0 * k) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_torque_at_the_solved_slip_is_the_load() {
        for (voltage, torque) in [(164.0, 3.5), (289.0, 3.5), (289.0, 7.0), (164.0, 0.5)] {
            let y = R2 / operate(voltage, 50.0, torque).slip;
            let back = voltage.powi(2) * y / (157.079_632_679 * ((R1 + y).powi(2) + 49.0));
            assert!((back - torque).abs() < 1e-6, "{voltage} V, {torque} N m: {back}");
        }
    }

    #[test]
    fn slip_and_current_grow_with_load_and_flux_with_voltage() {
        let at = |v, t| operate(v, 50.0, t);
        assert!(at(164.0, 5.0).slip > at(164.0, 3.0).slip && at(164.0, 3.0).slip > at(289.0, 3.0).slip);
        assert!(at(164.0, 5.0).current > at(164.0, 3.0).current);
        let ratio = at(289.0, 3.5).tooth_flux / at(164.0, 3.5).tooth_flux;
        assert!((1.7..2.0).contains(&ratio), "flux follows the voltage: {ratio}");
        let ratio = operate(164.0, 40.0, 2.0).tooth_flux / operate(164.0, 50.0, 2.0).tooth_flux;
        assert!((1.15..1.3).contains(&ratio), "and one over the frequency: {ratio}");
    }

    #[test]
    fn beyond_the_breakdown_torque_the_slip_is_the_breakdown_slip() {
        let stalled = operate(100.0, 50.0, 50.0);
        assert!((stalled.slip - R2 / R1.hypot(X1 + X2)).abs() < 1e-12 && stalled.current.is_finite());
    }
}
