//! Every value of `tests/golden/golden.json` (scipy 1.17.1, Evidently 0.7.23) against the metrics.
//!
//! Each result of the file is either compared or skipped for a stated reason, and both numbers are asserted: nothing is left out in silence.

use std::collections::BTreeMap;

use driftgate::drift::metric::{
    Kind, Metric, NotApplicable, Outcome, Reference, Scratch, anderson_darling, categorical, cramer_von_mises, energy_distance,
    epps_singleton, evidently, kolmogorov_smirnov, mann_whitney_u, mmd, numerical, sort_finite, t_test, total_variation, wasserstein,
    z_test,
};
use serde_json::Value;

/// Results in the file, comparisons made of them, results that are skipped.
const RESULTS: usize = 4_562;
const COMPARISONS: usize = 10_965;
const SKIPPED: usize = 123;

/// `|a - b| <= absolute + relative * |b|`
#[derive(Copy, Clone)]
struct Tolerance {
    relative: f64,
    absolute: f64,
}

const fn within(relative: f64, absolute: f64) -> Tolerance {
    Tolerance { relative, absolute }
}

/// A p-value by resampling: four standard errors of the file's and of ours.
fn resampled(p: f64, theirs: f64, ours: f64) -> Tolerance {
    let error = |draws: f64| (p * (1.0 - p) / draws + 1.0 / (draws * draws)).sqrt();
    within(0.0, 4.0 * error(theirs) + 4.0 * error(ours))
}

#[derive(Default)]
struct Tally {
    results: usize,
    comparisons: usize,
    by_kind: BTreeMap<String, usize>,
    skipped: BTreeMap<&'static str, Vec<String>>,
    failures: Vec<String>,
}

impl Tally {
    fn compare(&mut self, place: &str, ours: f64, theirs: f64, tolerance: Tolerance) {
        self.count(place);
        let good = (ours - theirs).abs() <= tolerance.absolute + tolerance.relative * theirs.abs();
        if !good {
            self.failures.push(format!("{place}: {ours:e} is not {theirs:e}"));
        }
    }

    fn check(&mut self, place: &str, good: bool, what: &str) {
        self.count(place);
        if !good {
            self.failures.push(format!("{place}: {what}"));
        }
    }

    fn count(&mut self, place: &str) {
        self.comparisons += 1;
        let kind = place.split_once(' ').map_or(place, |(_, rest)| rest);
        *self.by_kind.entry(kind.to_string()).or_default() += 1;
    }

    fn skip(&mut self, place: &str, why: &'static str) {
        self.skipped.entry(why).or_default().push(place.to_string());
    }

    /// A statistic and a p-value, or a refusal where the library has none.
    fn outcome(&mut self, place: &str, ours: Result<Outcome, NotApplicable>, theirs: &Value, statistic: Tolerance, p: Tolerance) {
        match (ours, theirs.get("error")) {
            (Err(_), Some(_)) => self.check(place, true, ""),
            (Ok(o), Some(error)) => self.check(place, false, &format!("{o:?}, but the library says {error}")),
            (Err(reason), None) => {
                let nan = ["statistic", "pvalue"].iter().all(|f| theirs.get(*f).is_none_or(|v| !number(v).is_finite() || number(v) == 0.0));
                self.check(place, nan, &format!("{reason}, but the library says {theirs}"));
            }
            (Ok(o), None) => {
                for (field, ours, tolerance) in [("statistic", Some(o.statistic), statistic), ("pvalue", o.p_value, p)] {
                    if let Some(value) = theirs.get(field) {
                        let ours = ours.unwrap_or(f64::NAN);
                        self.compare(&format!("{place}.{field}"), ours, number(value), tolerance);
                    }
                }
            }
        }
    }

    fn distance(&mut self, place: &str, ours: Result<f64, NotApplicable>, theirs: &Value, tolerance: Tolerance) {
        match ours {
            Ok(d) => self.compare(place, d, number(&theirs["statistic"]), tolerance),
            Err(reason) => self.check(place, !number(&theirs["statistic"]).is_finite(), &reason.to_string()),
        }
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(s) if s == "inf" => f64::INFINITY,
        Value::String(s) if s == "-inf" => f64::NEG_INFINITY,
        other => other.as_f64().expect("a number"),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(number).collect()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[test]
fn all_golden_values() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/golden.json")).expect("golden.json");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let cases = document["cases"].as_array().expect("cases");
    let mut tally = Tally::default();
    for case in cases {
        match case["kind"].as_str() {
            Some("num") => numerical_case(case, &mut tally),
            _ => categorical_case(case, &mut tally),
        }
    }
    let skipped: usize = tally.skipped.values().map(Vec::len).sum();
    println!(
        "{} cases, {} results, {} comparisons, {} failed, {skipped} skipped",
        cases.len(),
        tally.results,
        tally.comparisons,
        tally.failures.len()
    );
    for (kind, count) in &tally.by_kind {
        println!("  {count:5} {kind}");
    }
    for (why, places) in &tally.skipped {
        println!("  skipped {:4}: {why} ({} ..)", places.len(), places[0]);
    }
    assert!(tally.failures.is_empty(), "{} failures:\n{}", tally.failures.len(), tally.failures.join("\n"));
    assert_eq!((cases.len(), tally.results, tally.comparisons, skipped), (179, RESULTS, COMPARISONS, SKIPPED));
}

struct Num<'a> {
    id: &'a str,
    reference: Reference,
    current: Vec<f64>,
    dtype: evidently::Dtype,
    tags: Vec<&'a str>,
    /// Largest absolute value.
    scale: f64,
}

fn numerical_case(case: &Value, tally: &mut Tally) {
    let id = case["id"].as_str().expect("id");
    let expected = &case["expected"];
    let mut current = Vec::new();
    sort_finite(&numbers(&case["cur"]), &mut current);
    let reference = Reference::new(&numbers(&case["ref"])).expect("no reference is empty");
    tally.check(&format!("{id} sizes"), Some(reference.len() as u64) == expected["n_ref_used"].as_u64(), "reference");
    tally.check(&format!("{id} sizes"), Some(current.len() as u64) == expected["n_cur_used"].as_u64(), "current");
    let scale = reference.sorted().iter().chain(&current).fold(0.0f64, |s, v| s.max(v.abs()));
    let num = Num {
        id,
        reference,
        current,
        dtype: if case["dtype"] == "int64" { evidently::Dtype::Integer } else { evidently::Dtype::Float },
        tags: case["tags"].as_array().expect("tags").iter().filter_map(Value::as_str).collect(),
        scale,
    };
    for (call, theirs) in entries(&expected["scipy"]) {
        tally.results += 1;
        scipy_numerical(&num, call, theirs, tally);
    }
    for (test, theirs) in entries(&expected["evidently"]) {
        tally.results += 1;
        evidently_numerical(&num, test, theirs, expected, tally);
    }
    if expected.get("mmd").is_some() {
        tally.results += 1;
        mmd_values(&num, &expected["mmd"], tally);
    }
}

fn scipy_numerical(num: &Num, call: &str, theirs: &Value, tally: &mut Tally) {
    let Num { reference, current, .. } = num;
    let place = format!("{} scipy.{call}", num.id);
    let mut scratch = Scratch::new();
    let rank = within(1e-9, 1e-12);
    let distance = within(1e-9, 1e-13 * num.scale);
    match call {
        "ks_auto" | "ks_exact" | "ks_asymp" => {
            use kolmogorov_smirnov::Method::{Asymptotic, Exact};
            let exact = call == "ks_exact" || call == "ks_auto" && reference.len().max(current.len()) <= 10_000;
            let (method, p) = if exact { (Exact, within(1e-7, 1e-12)) } else { (Asymptotic, within(1e-6, 1e-12)) };
            tally.outcome(&place, kolmogorov_smirnov::test(reference, current, method, &mut scratch), theirs, rank, p);
        }
        "wasserstein" => tally.distance(&place, wasserstein::unscaled(reference, current), theirs, distance),
        "wasserstein_norm_ref_std0" => {
            let ours = numerical(Metric::Wasserstein, reference, current, &mut scratch).map(|o| o.score);
            tally.distance(&place, ours, theirs, within(1e-9, 1e-13 * num.scale / reference.sd_population()));
            tally.compare(&format!("{place}.sd"), reference.sd_population(), number(&theirs["ref_std_ddof0"]), within(1e-9, 1e-12));
        }
        "energy" => tally.distance(&place, energy_distance::unscaled(reference, current), theirs, distance),
        "anderson_midrank" => {
            let ours = anderson_darling::test(reference, current, &mut scratch);
            let capped = evidently::numerical(Metric::AndersonDarling, reference, current, num.dtype, &mut scratch);
            if let (Ok(o), Ok(c)) = (ours, capped) {
                tally.compare(&format!("{place}.statistic"), o.statistic, number(&theirs["statistic"]), within(1e-8, 1e-8));
                tally.compare(&format!("{place}.pvalue_capped"), c.score, number(&theirs["pvalue_capped"]), within(1e-6, 1e-8));
            } else {
                tally.check(&place, theirs.get("error").is_some() && ours.is_err() && capped.is_err(), "an answer is missing");
            }
        }
        "cvm_auto" | "cvm_asymptotic" => {
            use cramer_von_mises::Method::{Asymptotic, Exact};
            let exact = theirs.get("method").is_some_and(|m| m == "exact");
            let (method, p) = if exact { (Exact, within(1e-9, 0.0)) } else { (Asymptotic, within(0.0, 2e-7)) };
            tally.outcome(&place, cramer_von_mises::test(reference, current, method), theirs, rank, p);
        }
        "mannwhitney_two-sided" | "mannwhitney_less" | "mannwhitney_two-sided_asymptotic" => {
            use mann_whitney_u::{Alternative, Method};
            let side = if call.contains("less") { Alternative::CurrentLarger } else { Alternative::TwoSided };
            let method = if call.contains("asymptotic") { Method::Asymptotic } else { Method::Auto };
            let ours = mann_whitney_u::test(reference, current, side, method).expect("an answer");
            tally.compare(&format!("{place}.statistic_u1"), ours.statistic, number(&theirs["statistic_u1"]), rank);
            tally.compare(&format!("{place}.pvalue"), ours.score, number(&theirs["pvalue"]), within(1e-8, 1e-14));
        }
        "epps_singleton" if theirs["warn"].to_string().contains("rank") => {
            tally.skip(&place, "singular covariance: the library warns of its rank")
        }
        "epps_singleton" => {
            let tolerance = if num.tags.contains(&"precision") { within(1e-5, 1e-10) } else { within(1e-6, 1e-10) };
            tally.outcome(&place, epps_singleton::test(reference, current), theirs, tolerance, tolerance);
        }
        "t_student" | "t_welch" => {
            let variances = if call == "t_student" { t_test::Variances::Equal } else { t_test::Variances::Any };
            let tolerance = if num.tags.contains(&"precision") { within(1e-5, 1e-12) } else { within(1e-8, 1e-12) };
            tally.outcome(&place, t_test::test(reference, current, variances), theirs, tolerance, tolerance);
        }
        other => panic!("unknown call: `{other}`"),
    }
}

fn evidently_numerical(num: &Num, test: &str, theirs: &Value, expected: &Value, tally: &mut Tally) {
    let Num { reference, current, .. } = num;
    let place = format!("{} evidently.{test}", num.id);
    let mut scratch = Scratch::new();
    let metric: Metric = if test == "_default" {
        let mut all: Vec<f64> = reference.sorted().iter().chain(current).copied().collect();
        all.sort_unstable_by(f64::total_cmp);
        all.dedup();
        let Some(name) = theirs.get("test").and_then(Value::as_str) else {
            let refused = evidently::numerical(Metric::KolmogorovSmirnov, reference, current, num.dtype, &mut scratch);
            return tally.check(&place, refused == Err(NotApplicable::Empty), "an empty sample must be refused");
        };
        let metric = evidently::default_metric(Kind::Numerical, reference.len(), all.len());
        tally.check(&place, name.parse() == Ok(metric), &format!("{metric} is not {name}"));
        metric
    } else {
        test.parse().expect("a known name")
    };
    let ours = evidently::numerical(metric, reference, current, num.dtype, &mut scratch);
    let score = number(theirs.get("score").unwrap_or(&Value::Null));
    let exact_cvm = reference.len().max(current.len()) <= 20;
    let tolerance = match metric {
        Metric::KolmogorovSmirnov if reference.len().max(current.len()) <= 10_000 => within(1e-7, 1e-12),
        Metric::KolmogorovSmirnov => within(1e-6, 1e-12),
        Metric::Wasserstein => within(1e-9, 1e-13 * num.scale / reference.sd_population().max(0.001)),
        Metric::EnergyDistance => within(1e-9, 1e-13 * num.scale),
        Metric::AndersonDarling => within(1e-6, 1e-8),
        // single precision in the library
        Metric::CramerVonMises if exact_cvm => within(1e-6, 0.0),
        Metric::CramerVonMises => within(0.0, 2e-7),
        Metric::MannWhitneyU => within(1e-8, 1e-14),
        Metric::EppsSingleton | Metric::TTest if num.tags.contains(&"precision") => within(1e-5, 1e-10),
        Metric::EppsSingleton if theirs["warn"].to_string().contains("rank") => {
            return tally.skip(&place, "singular covariance: the library warns of its rank");
        }
        Metric::EppsSingleton => within(1e-6, 1e-10),
        Metric::TTest => within(1e-8, 1e-12),
        Metric::Mmd if num.tags.contains(&"precision") => {
            return tally.skip(&place, "the library's distances cancel at an offset of 1e9 (MMD^2 = -4e51)");
        }
        Metric::Mmd => resampled(number(expected["mmd"].get("p_mc").unwrap_or(&Value::Null)), 100.0, 100.0),
        Metric::JensenShannon => within(1e-8, 3e-8),
        Metric::Hellinger => within(1e-7, 1e-6),
        Metric::ChiSquared => within(1e-7, 1e-15),
        Metric::ZTest => within(1e-6, 4e-16),
        _ => within(1e-9, 1e-12),
    };
    verdict(&place, metric, ours, theirs, score, tolerance, metric == Metric::Mmd, tally);
}

/// Score, threshold and flag of one Evidently test.
#[allow(clippy::too_many_arguments, reason = "what a comparison needs")]
fn verdict(
    place: &str,
    metric: Metric,
    ours: Result<Outcome, NotApplicable>,
    theirs: &Value,
    score: f64,
    tolerance: Tolerance,
    random: bool,
    tally: &mut Tally,
) {
    if theirs.get("error").is_some() || score.is_nan() {
        return tally.check(place, ours.is_err(), &format!("{ours:?}, but the library refuses: {theirs}"));
    }
    let outcome = match ours {
        Ok(outcome) => outcome,
        Err(reason) => return tally.check(place, false, &format!("{reason}, but the library says {theirs}")),
    };
    tally.compare(&format!("{place}.score"), outcome.score, score, tolerance);
    let threshold = number(&theirs["threshold"]);
    tally.check(place, evidently::default_threshold(metric) == threshold, "threshold");
    let margin = if random { tolerance.absolute } else { 1e-6 * threshold };
    if (score - threshold).abs() <= margin {
        tally.skip(&format!("{place}.drifted"), "a score too near to its threshold for the flag to be certain");
    } else {
        let drifted = evidently::exceeded(metric, &outcome, threshold);
        tally.check(
            &format!("{place}.drifted"),
            Some(drifted) == theirs["drifted"].as_bool(),
            &format!("drifted: {drifted}, score {score}"),
        );
    }
}

fn mmd_values(num: &Num, theirs: &Value, tally: &mut Tally) {
    let place = format!("{} mmd", num.id);
    if num.tags.contains(&"precision") {
        return tally.skip(&place, "the library's distances cancel at an offset of 1e9 (MMD^2 = -4e51)");
    }
    let ours = evidently::numerical(Metric::Mmd, &num.reference, &num.current, num.dtype, &mut Scratch::new()).expect("an answer");
    tally.compare(&format!("{place}.statistic"), ours.statistic, number(&theirs["statistic_unbiased"]), within(1e-8, 1e-10));
    if let Some(p) = theirs.get("p_mc") {
        let options = mmd::Options { cap: usize::MAX, draws: 1_999 };
        let default = mmd::test(&num.reference, &num.current, options).expect("an answer");
        let p = number(p);
        if (default.statistic - ours.statistic).abs() < 1e-12 {
            tally.compare(&format!("{place}.p_mc"), default.score, p, resampled(p, 2_000.0, 1_999.0));
        } else {
            tally.skip(&format!("{place}.p_mc"), "median distance 0: the default kernel is free of the unit, the library's is not");
        }
    }
}

fn categorical_case(case: &Value, tally: &mut Tally) {
    let id = case["id"].as_str().expect("id");
    let expected = &case["expected"];
    let counts =
        |side: &str| -> BTreeMap<String, u64> { entries(&case[side]).map(|(k, v)| (k.clone(), v.as_u64().expect("a count"))).collect() };
    let (r, c) = (counts("ref_counts"), counts("cur_counts"));
    let keys: std::collections::BTreeSet<&String> = r.keys().chain(c.keys()).collect();
    let of = |counts: &BTreeMap<String, u64>| -> Vec<u64> { keys.iter().map(|k| counts.get(*k).copied().unwrap_or(0)).collect() };
    let (reference, current) = (of(&r), of(&c));
    let theirs: Vec<&str> = expected["scipy"]["keys"].as_array().expect("keys").iter().filter_map(Value::as_str).collect();
    tally.check(&format!("{id} keys"), keys.iter().map(|k| k.as_str()).eq(theirs), "order of the classes");
    for (call, theirs) in entries(&expected["scipy"]).filter(|(_, v)| v.is_object()) {
        tally.results += 1;
        scipy_categorical(id, call, theirs, &reference, &current, tally);
    }
    for (test, theirs) in entries(&expected["evidently"]) {
        tally.results += 1;
        evidently_categorical(id, test, theirs, expected, &reference, &current, tally);
    }
}

fn scipy_categorical(id: &str, call: &str, theirs: &Value, r: &[u64], c: &[u64], tally: &mut Tally) {
    let place = format!("{id} scipy.{call}");
    let (statistic, p) = (within(1e-9, 1e-12), within(1e-7, 1e-15));
    let equal_sizes = r.iter().sum::<u64>() == c.iter().sum::<u64>();
    match call {
        "chi2_homogeneity" => tally.outcome(&place, categorical(Metric::ChiSquared, r, c), theirs, statistic, p),
        "g_homogeneity" => tally.outcome(&place, categorical(Metric::GTest, r, c), theirs, statistic, p),
        "chi2_homogeneity_yates" => tally.skip(&place, "Yates' correction is not offered"),
        "chi2_gof_ref_as_expected" => {
            tally.outcome(&place, evidently::categorical(Metric::ChiSquared, r, c), &finite(theirs), statistic, p)
        }
        "g_gof_scaled_ref_as_expected" if equal_sizes => {
            tally.outcome(&place, evidently::categorical(Metric::GTest, r, c), &finite(theirs), statistic, p);
        }
        "g_gof_scaled_ref_as_expected" => tally.skip(&place, "a G fit to a scaled reference is not offered"),
        "fisher" => {
            let ours = categorical(Metric::FisherExact, r, c).expect("an answer");
            tally.compare(&format!("{place}.pvalue"), ours.score, number(&theirs["pvalue"]), p);
        }
        "hellinger" => {
            let ours = categorical(Metric::Hellinger, r, c).map(|o| o.score);
            tally.distance(&place, ours, theirs, within(1e-7, 1e-6));
        }
        "js_distance_ln" => {
            let ours = categorical(Metric::JensenShannon, r, c).map(|o| o.score);
            tally.distance(&place, ours, theirs, within(1e-8, 3e-8));
        }
        "kl_ref_cur_nofill" => {
            let one_sided = r.iter().zip(c).any(|(r, c)| (*r == 0) != (*c == 0));
            if one_sided {
                return tally.skip(&place, "a class on one side only: the default fills it");
            }
            let ours = categorical(Metric::KullbackLeibler, r, c).map(|o| o.score);
            tally.distance(&place, ours, theirs, within(1e-9, 1e-12));
        }
        "tvd" => {
            let ours = total_variation::test(r, c, 1_999).expect("an answer");
            let theirs_p = number(&theirs["p_mc"]);
            tally.compare(&format!("{place}.statistic"), ours.statistic, number(&theirs["statistic"]), statistic);
            tally.compare(&format!("{place}.p_mc"), ours.score, theirs_p, resampled(theirs_p, 20_000.0, 1_999.0));
        }
        "z_second_key" => {
            for (name, variance) in [("pooled", z_test::Variance::Pooled), ("unpooled", z_test::Variance::Unpooled)] {
                let z = number(&theirs[format!("z_{name}")]);
                match z_test::test(r, c, variance) {
                    Ok(o) => {
                        tally.compare(&format!("{place}.z_{name}"), o.statistic, z, statistic);
                        tally.compare(&format!("{place}.p_{name}"), o.score, number(&theirs[format!("p_{name}")]), p);
                    }
                    Err(reason) => tally.check(&format!("{place}.z_{name}"), !z.is_finite(), &reason.to_string()),
                }
            }
        }
        other => panic!("unknown call: `{other}`"),
    }
}

/// An infinite statistic as the largest number, which stands for it.
fn finite(theirs: &Value) -> Value {
    let mut theirs = theirs.clone();
    if number(&theirs["statistic"]) == f64::INFINITY {
        theirs["statistic"] = f64::MAX.into();
    }
    theirs
}

/// Where the library's answer depends on the hash seed of its process.
const UNSTABLE: &[(&str, &str)] = &[
    ("P-C-007 evidently.TVD", "equal distances that differ in the last place: the library's sums follow the order of a set"),
    ("P-C-057 evidently.fisher_exact", "three classes over both sides: the library's 2 x 2 table follows the order of a set"),
];

fn evidently_categorical(id: &str, test: &str, theirs: &Value, expected: &Value, r: &[u64], c: &[u64], tally: &mut Tally) {
    let place = format!("{id} evidently.{test}");
    let metric: Metric = if test == "_default" {
        let metric = evidently::default_metric(Kind::Categorical, r.iter().sum::<u64>() as usize, r.len());
        let name = theirs["test"].as_str().expect("a name");
        tally.check(&place, name.parse() == Ok(metric), &format!("{metric} is not {name}"));
        metric
    } else {
        test.parse().expect("a known name")
    };
    let score = number(theirs.get("score").unwrap_or(&Value::Null));
    let tolerance = match metric {
        Metric::ChiSquared | Metric::GTest | Metric::FisherExact => within(1e-7, 1e-15),
        Metric::ZTest => within(1e-6, 4e-16),
        Metric::TotalVariation => resampled(number(&expected["scipy"]["tvd"]["p_mc"]), 1_000.0, 1_000.0),
        Metric::JensenShannon => within(1e-8, 3e-8),
        Metric::Hellinger => within(1e-7, 1e-6),
        _ => within(1e-9, 1e-12),
    };
    if let Some((_, why)) = UNSTABLE.iter().find(|(unstable, _)| *unstable == place) {
        return tally.skip(&place, why);
    }
    verdict(&place, metric, evidently::categorical(metric, r, c), theirs, score, tolerance, metric == Metric::TotalVariation, tally);
}
