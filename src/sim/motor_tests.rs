use super::*;

const CALM: Condition = Condition::healthy(164.0, 50.0);

/// Features of a row as a gateway sees them.
#[derive(Clone, Copy, Debug)]
struct Row {
    flux_rms: f64,
    fundamental: f64,
    third: f64,
    fifth: f64,
    vibration_rms: f64,
    vibration_crest: f64,
    currents: [f64; 3],
    temperature: f64,
    speed: f64,
}

fn rms(block: &[f64]) -> f64 {
    (block.iter().map(|x| x * x).sum::<f64>() / block.len() as f64).sqrt()
}

/// Power at one frequency (Hz), by the definition of the Fourier transform.
fn power(block: &[f64], frequency: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, x) in block.iter().enumerate() {
        let (sin, cos) = (TAU * frequency * i as f64 / BLOCK_RATE).sin_cos();
        re += x * cos;
        im += x * sin;
    }
    (re * re + im * im) / (block.len() as f64).powi(2)
}

fn row(cycle: &Cycle) -> Row {
    let vibration_rms = rms(&cycle.vibration);
    Row {
        flux_rms: rms(&cycle.flux),
        fundamental: power(&cycle.flux, 50.0),
        third: power(&cycle.flux, 150.0),
        fifth: power(&cycle.flux, 250.0),
        vibration_rms,
        vibration_crest: cycle.vibration.iter().fold(0f64, |m, x| m.max(x.abs())) / vibration_rms,
        currents: cycle.currents,
        temperature: cycle.temperature,
        speed: cycle.speed,
    }
}

fn rows(condition: Condition, n: usize) -> Vec<Row> {
    let mut motor = Motor::new(1, &condition);
    (0..n).map(|_| row(&motor.cycle(&condition))).collect()
}

fn mean(rows: &[Row], of: impl Fn(&Row) -> f64) -> f64 {
    rows.iter().map(of).sum::<f64>() / rows.len() as f64
}

fn sd(rows: &[Row], of: impl Fn(&Row) -> f64) -> f64 {
    let m = mean(rows, &of);
    (rows.iter().map(|r| (of(r) - m).powi(2)).sum::<f64>() / (rows.len() - 1) as f64).sqrt()
}

/// Shift of a feature from sound to changed, in standard deviations of a sound row.
fn shift(changed: Condition, of: impl Fn(&Row) -> f64 + Copy) -> f64 {
    let sound = rows(CALM, 1000);
    (mean(&rows(changed, 300), of) - mean(&sound, of)) / sd(&sound, of)
}

#[test]
fn plausible_at_rest_settings() {
    let rows = rows(CALM, 500);
    assert!((0.2..0.4).contains(&mean(&rows, |r| r.flux_rms)), "mWb");
    assert!((0.4..1.0).contains(&mean(&rows, |r| r.vibration_rms)), "mm/s");
    assert!((2.0..3.0).contains(&mean(&rows, |r| r.currents[0])), "A");
    assert!((50.0..75.0).contains(&mean(&rows, |r| r.temperature)), "degC");
    assert!((1350.0..1480.0).contains(&mean(&rows, |r| r.speed)), "1/min");
}

#[test]
fn flux_follows_the_voltage_and_slip_the_load() {
    let (low, high) = (rows(CALM, 100), rows(Condition::healthy(289.0, 50.0), 100));
    let ratio = mean(&high, |r| r.flux_rms) / mean(&low, |r| r.flux_rms);
    assert!((1.7..2.0).contains(&ratio), "{ratio}");
    assert!(mean(&high, |r| r.speed) > mean(&low, |r| r.speed) + 30.0);

    let loaded = rows(Condition::healthy(164.0, 80.0), 100);
    assert!(mean(&loaded, |r| r.temperature) > mean(&low, |r| r.temperature) + 10.0);
    assert!(mean(&loaded, |r| r.currents[1]) > 1.2 * mean(&low, |r| r.currents[1]));
    assert!(mean(&loaded, |r| r.speed) < mean(&low, |r| r.speed) - 30.0);
}

#[test]
fn the_slow_change_ends_several_deviations_away_but_not_absurdly_far() {
    let worn = Condition { sensor_ageing: 0.06, friction: 1.0, ..CALM };
    let flux = shift(worn, |r| r.flux_rms);
    assert!((-7.0..-3.5).contains(&flux), "flux rms: {flux}");
    let vibration = shift(worn, |r| r.vibration_rms);
    assert!((3.5..7.0).contains(&vibration), "vibration rms: {vibration}");
    for phase in 0..3 {
        let current = shift(worn, |r| r.currents[phase]);
        assert!((0.5..3.5).contains(&current), "current {phase}: {current}");
    }
    let temperature = shift(worn, |r| r.temperature);
    assert!((0.5..3.5).contains(&temperature), "temperature: {temperature}");
    // The ratio of the harmonics tells ageing of the sensor from a fault.
    let third = mean(&rows(worn, 300), |r| (r.third / r.fundamental).ln()) - mean(&rows(CALM, 300), |r| (r.third / r.fundamental).ln());
    assert!(third.abs() < 0.1, "{third}");
}

#[test]
fn an_inter_turn_short_is_a_clear_step() {
    let (sound, short) = (rows(CALM, 300), rows(Condition { inter_turn: 1.0, ..CALM }, 300));
    assert!(mean(&short, |r| r.third) > 10.0 * mean(&sound, |r| r.third));
    assert!(mean(&short, |r| r.fifth) > 10.0 * mean(&sound, |r| r.fifth));
    assert!(mean(&short, |r| r.temperature) > mean(&sound, |r| r.temperature) + 10.0);
    let unbalance = |r: &Row| r.currents[0] / r.currents[1];
    assert!(mean(&short, unbalance) > mean(&sound, unbalance) + 6.0 * sd(&sound, unbalance));
}

#[test]
fn temperature_ramps_with_its_time_constant() {
    let mut motor = Motor::new(3, &CALM);
    let fault = Condition { inter_turn: 1.0, ..CALM };
    let heat: Vec<f64> = (0..400).map(|_| motor.cycle(&fault).temperature).collect();
    let (start, end) = (equilibrium(&CALM), equilibrium(&fault));
    let after_tau = heat[38..43].iter().sum::<f64>() / 5.0;
    assert!((after_tau - (start + (end - start) * 0.632)).abs() < 1.5, "{after_tau}");
    assert!((heat[350..].iter().sum::<f64>() / 50.0 - end).abs() < 0.3);
}

#[test]
fn normal_is_stationary_from_the_first_row() {
    let rows = rows(CALM, 3000);
    type Feature = (&'static str, fn(&Row) -> f64);
    let features: [Feature; 6] = [
        ("flux rms", |r| r.flux_rms),
        ("third", |r| r.third.ln()),
        ("vibration rms", |r| r.vibration_rms),
        ("current", |r| r.currents[2]),
        ("temperature", |r| r.temperature),
        ("speed", |r| r.speed),
    ];
    for (name, of) in features {
        let (m, s) = (mean(&rows, of), sd(&rows, of));
        for (i, window) in rows.chunks(200).enumerate() {
            let z = (mean(window, of) - m) / s;
            assert!(z.abs() < 0.45, "{name}, window {i}: mean off by {z} deviations");
            assert!((0.6..1.5).contains(&(sd(window, of) / s)), "{name}, window {i}: spread");
        }
        let lag = rows.windows(2).map(|w| (of(&w[0]) - m) * (of(&w[1]) - m)).sum::<f64>() / (s * s * rows.len() as f64);
        assert!((-0.4..0.7).contains(&lag), "{name}: mildly autocorrelated: {lag}");
    }
}

#[test]
fn waveforms_continue_over_the_cycles() {
    let mut motor = Motor::new(5, &CALM);
    let step = |motor: &mut Motor| motor.cycle(&CALM).flux;
    let (a, b) = (step(&mut motor), step(&mut motor));
    // A sample is at most 2 pi 50 / 2560 of the peak away from its neighbour, plus harmonics.
    let peak = 2f64.sqrt() * rms(&a);
    assert!((b[0] - a[BLOCK_LENGTH - 1]).abs() < 0.35 * peak);
}

#[test]
fn standstill_is_quiet_and_the_motor_comes_back_warm() {
    let stop = Condition { running: false, ..CALM };
    let mut motor = Motor::new(2, &CALM);
    let stopped: Vec<Cycle> = (0..100).map(|_| motor.cycle(&stop)).collect();
    let last = row(&stopped[99]);
    assert!(!stopped[0].running && last.speed < 1.0 && last.flux_rms < 0.01 && last.currents[0] < 0.1);
    assert!(last.temperature < row(&stopped[0]).temperature - 10.0);
    assert!((motor.cycle(&CALM).temperature - equilibrium(&CALM)).abs() < 3.0);
}

#[test]
fn a_spike_disturbs_one_row_only() {
    for spike in Spike::ALL {
        let mut disturbed = Motor::new(4, &CALM);
        let mut calm = disturbed.clone();
        let (a, b) = (disturbed.cycle(&Condition { spike: Some(spike), ..CALM }), calm.cycle(&CALM));
        assert_ne!(a, b, "{spike:?}");
        let next = row(&disturbed.cycle(&CALM));
        assert!(next.vibration_crest < 4.5 && (next.temperature - row(&b).temperature).abs() < 4.0, "{spike:?}");
        assert!((next.currents[0] / b.currents[0] - 1.0).abs() < 0.1 && (next.speed / b.speed - 1.0).abs() < 0.05, "{spike:?}");
    }
    let hit = Motor::new(4, &CALM).cycle(&Condition { spike: Some(Spike::Vibration), ..CALM });
    assert!(row(&hit).vibration_crest > 4.5);
}

#[test]
fn settings_are_read_back_with_a_little_noise() {
    let mut motor = Motor::new(9, &CALM);
    for _ in 0..500 {
        let cycle = motor.cycle(&CALM);
        assert!((cycle.voltage - 164.0).abs() < 2.0 && (cycle.load - 50.0).abs() < 3.0);
    }
}

#[test]
fn a_frame_has_signals_then_settings() {
    let cycle = Motor::new(1, &CALM).cycle(&CALM);
    let frame = cycle.frame(Timestamp::from_nanos(5));
    assert_eq!(frame.channels.len(), SIGNALS.len() + SETTINGS.len());
    let usable = |i: usize| frame.channels[i].usable().cloned();
    assert_eq!(usable(0).and_then(|v| v.block().map(<[f64]>::len)), Some(BLOCK_LENGTH));
    assert_eq!(usable(6), Some(Value::Real(cycle.speed)));
    assert_eq!(usable(7), Some(Value::Real(cycle.voltage)));
}
