//! What must hold of every metric on any input: no panic, no NaN, the same verdict in another unit or direction.

use driftgate::drift::metric::{
    Metric, NotApplicable, Outcome, Reference, Scratch, categorical, evidently, exceeded, index, numerical, sort_finite,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Inputs that failed once; tried first.
const REGRESSIONS: FileFailurePersistence = FileFailurePersistence::Direct("tests/metric_properties.proptest-regressions");

/// Anything a PLC could send.
fn wild() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e3..1e3f64,
        2 => (-5i32..5).prop_map(f64::from),
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324]),
    ]
}

fn wild_sample() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        6 => prop::collection::vec(wild(), 0..60),
        1 => (wild(), 0usize..40).prop_map(|(v, n)| vec![v; n]),
        1 => prop::collection::vec((-3i32..3).prop_map(f64::from), 0..60),
    ]
}

/// Measured values on a grid, so that a change of unit keeps what is equal and what is larger.
fn measured() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        prop::collection::vec((-20_000i32..20_000).prop_map(|v| f64::from(v) / 1000.0), 5..80),
        prop::collection::vec((-8i32..8).prop_map(|v| f64::from(v) / 4.0), 5..80),
    ]
}

fn ask(metric: Metric, reference: &[f64], current: &[f64]) -> Result<Outcome, NotApplicable> {
    let mut sorted = Vec::new();
    sort_finite(current, &mut sorted);
    numerical(metric, &Reference::new(reference)?, &sorted, &mut Scratch::new())
}

fn sane(metric: Metric, answer: Result<Outcome, NotApplicable>) -> Result<(), TestCaseError> {
    match answer {
        Ok(o) => {
            prop_assert!(o.statistic.is_finite() && o.score.is_finite() && o.score >= 0.0, "{metric}: {o:?}");
            prop_assert!(o.p_value.is_none_or(|p| (0.0..=1.0).contains(&p)), "{metric}: {o:?}");
            prop_assert_eq!(o.p_value.is_some(), metric.is_p_value(), "{}", metric);
            prop_assert!(index(metric, o.score, metric.default_threshold()).is_finite());
        }
        Err(reason) => prop_assert!(!reason.to_string().is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: Some(Box::new(REGRESSIONS)), ..ProptestConfig::default() })]

    #[test]
    fn any_numbers_have_an_answer_or_a_reason(reference in wild_sample(), current in wild_sample()) {
        let mut sorted = Vec::new();
        sort_finite(&current, &mut sorted);
        for metric in Metric::all() {
            sane(metric, ask(metric, &reference, &current))?;
            if let Ok(reference) = Reference::new(&reference) {
                // wider than any that Evidently could work on: only numbers of a usual size
                let usual = |v: &[f64]| v.iter().all(|v| v.abs() < 1e12);
                if usual(reference.sorted()) && usual(&sorted) {
                    for dtype in [evidently::Dtype::Float, evidently::Dtype::Integer] {
                        let answer = evidently::numerical(metric, &reference, &sorted, dtype, &mut Scratch::new());
                        if let Ok(o) = answer {
                            prop_assert!(o.score.is_finite() && o.statistic.is_finite(), "{metric}: {o:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn unsorted_or_infinite_samples_are_refused(reference in measured(), current in wild_sample()) {
        let reference = Reference::new(&reference).unwrap();
        for metric in Metric::all().filter(|m| m.is_numerical()) {
            sane(metric, numerical(metric, &reference, &current, &mut Scratch::new()))?;
        }
    }

    #[test]
    fn any_counts_have_an_answer_or_a_reason(
        counts in prop::collection::vec((prop_oneof![0u64..5, 0u64..300], prop_oneof![0u64..5, 0u64..300]), 0..12),
        odd in 0usize..3,
    ) {
        let reference: Vec<u64> = counts.iter().map(|c| c.0).collect();
        let current: Vec<u64> = counts.iter().skip(odd / 2).map(|c| c.1).collect();
        for metric in Metric::all() {
            sane(metric, categorical(metric, &reference, &current))?;
            if let Ok(o) = evidently::categorical(metric, &reference, &current) {
                prop_assert!(o.score.is_finite() && o.statistic.is_finite(), "{metric}: {o:?}");
            }
        }
    }

    #[test]
    fn verdicts_are_free_of_unit_and_direction(
        reference in measured(), current in measured(), exponent in -9.0..9.0f64, flip in any::<bool>(), shift in 0u8..3,
    ) {
        // On the grid again: else two values differ by the last digit, and are one in another unit.
        let current: Vec<f64> = current.iter().map(|v| ((v + f64::from(shift)) * 1000.0).round() / 1000.0).collect();
        let factor = 10f64.powf(exponent) * if flip { -1.0 } else { 1.0 };
        let scaled = |v: &[f64]| v.iter().map(|v| v * factor).collect::<Vec<_>>();
        for metric in Metric::all().filter(|m| m.is_numerical()) {
            let threshold = metric.default_threshold();
            match (ask(metric, &reference, &current), ask(metric, &scaled(&reference), &scaled(&current))) {
                (Ok(a), Ok(b)) => {
                    prop_assert!((a.score - b.score).abs() <= 1e-7 + 1e-6 * a.score, "{metric}: {a:?} and {b:?}");
                    if (a.score / threshold - 1.0).abs() > 1e-6 {
                        prop_assert_eq!(exceeded(metric, &a, threshold), exceeded(metric, &b, threshold), "{}", metric);
                    }
                }
                (Err(a), Err(b)) => prop_assert_eq!(a, b),
                (a, b) => prop_assert!(false, "{metric}: {a:?} and {b:?}"),
            }
        }
    }

    #[test]
    fn the_order_of_the_values_does_not_matter(mut reference in measured(), mut current in measured()) {
        let before: Vec<_> = Metric::all().map(|m| ask(m, &reference, &current)).collect();
        reference.reverse();
        current.reverse();
        let after: Vec<_> = Metric::all().map(|m| ask(m, &reference, &current)).collect();
        prop_assert_eq!(before, after);
    }

    #[test]
    fn a_sample_has_not_drifted_from_itself(sample in measured()) {
        for metric in Metric::all().filter(|m| m.is_numerical()) {
            if let Ok(o) = ask(metric, &sample, &sample) {
                prop_assert!(!exceeded(metric, &o, metric.default_threshold()), "{metric}: {o:?}");
            }
        }
    }

    #[test]
    fn swapped_classes_give_the_same_verdict(counts in prop::collection::vec((0u64..80, 0u64..80), 2..6)) {
        let side = |f: fn(&(u64, u64)) -> u64| counts.iter().map(f).collect::<Vec<_>>();
        let turned = |mut v: Vec<u64>| { v.reverse(); v };
        let (r, c) = (side(|p| p.0), side(|p| p.1));
        for metric in Metric::all().filter(|m| m.is_categorical() && *m != Metric::TotalVariation && *m != Metric::FisherExact) {
            match (categorical(metric, &r, &c), categorical(metric, &turned(r.clone()), &turned(c.clone()))) {
                (Ok(a), Ok(b)) => prop_assert!((a.score - b.score).abs() <= 1e-9, "{metric}: {a:?} and {b:?}"),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }
}
