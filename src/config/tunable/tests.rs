use super::*;
use crate::config::Config;

fn machine() -> MachineConfig {
    let text = r#"
        [[machines]]
        name = "Motor1"
        learn_rows = 500
        settings = [{ name = "Voltage", tolerance = 5.0 }]
        signals = ["Current", "Speed"]
        [[machines.models]]
        name = "Stator"
        [machines.models.prediction_drift]
        tests = ["wasserstein"]
        [machines.models.label]
        [machines.data_drift]
        tests = [{ metric = "kolmogorov_smirnov", threshold = 0.001 }, "psi"]
    "#;
    MachineConfig::clone(&Config::parse(text).unwrap().machines[0])
}

#[test]
fn the_list_has_a_node_for_each_parameter() {
    let machine = machine();
    let list = tunables(&machine);
    let mut paths: Vec<&str> = list.iter().map(|t| &*t.path).collect();
    paths.sort_unstable();
    let expected = [
        "Motor1.Buffers.B01.AutoExport",
        "Motor1.Buffers.B01.ExportFormat",
        "Motor1.Buffers.B01.TargetRows",
        "Motor1.Buffers.B02.AutoExport",
        "Motor1.Buffers.B02.ExportFormat",
        "Motor1.Buffers.B02.TargetRows",
        "Motor1.Buffers.B03.AutoExport",
        "Motor1.Buffers.B03.ExportFormat",
        "Motor1.Buffers.B03.TargetRows",
        "Motor1.Buffers.B04.AutoExport",
        "Motor1.Buffers.B04.ExportFormat",
        "Motor1.Buffers.B04.TargetRows",
        "Motor1.Drift.DataDrift.Budget",
        "Motor1.Drift.DataDrift.ConsecutiveLimit",
        "Motor1.Drift.DataDrift.Enabled",
        "Motor1.Drift.DataDrift.Hop",
        "Motor1.Drift.DataDrift.T1.Name",
        "Motor1.Drift.DataDrift.T1.Threshold",
        "Motor1.Drift.DataDrift.T2.Name",
        "Motor1.Drift.DataDrift.T2.Threshold",
        "Motor1.Drift.DataDrift.WindowRows",
        "Motor1.Models.Stator.ConfirmationTimeout",
        "Motor1.Models.Stator.Inference.LatencyBudget",
        "Motor1.Models.Stator.Inference.ScoreThreshold",
        "Motor1.Models.Stator.PerformanceDrift.ConsecutiveLimit",
        "Motor1.Models.Stator.PerformanceDrift.Enabled",
        "Motor1.Models.Stator.PerformanceDrift.Hop",
        "Motor1.Models.Stator.PerformanceDrift.T1.Name",
        "Motor1.Models.Stator.PerformanceDrift.T1.Threshold",
        "Motor1.Models.Stator.PerformanceDrift.WindowRows",
        "Motor1.Models.Stator.PredictionDrift.Budget",
        "Motor1.Models.Stator.PredictionDrift.ConsecutiveLimit",
        "Motor1.Models.Stator.PredictionDrift.Enabled",
        "Motor1.Models.Stator.PredictionDrift.Hop",
        "Motor1.Models.Stator.PredictionDrift.T1.Name",
        "Motor1.Models.Stator.PredictionDrift.T1.Threshold",
        "Motor1.Models.Stator.PredictionDrift.WindowRows",
        "Motor1.Regimes.AutoLearnNewRegime",
        "Motor1.Regimes.FreezeAfterLearning",
        "Motor1.Regimes.MinReferenceRows",
        "Motor1.Report.Interval",
        "Motor1.Settings.Voltage.Tolerance",
    ];
    assert_eq!(paths, expected);
}

/// Another valid value than the present one.
fn other(tunable: &Tunable, machine: &MachineConfig) -> Scalar {
    match tunable.get(machine) {
        Scalar::Bool(v) => Scalar::Bool(!v),
        Scalar::U16(v) => Scalar::U16(v + 1),
        Scalar::U32(v) => Scalar::U32(v + 1),
        Scalar::Text(_) if tunable.path.ends_with("Budget") => "1 per 7d".into(),
        Scalar::Text(_) if tunable.path.ends_with("Name") => "jensen_shannon".into(),
        Scalar::Text(_) => "csv".into(),
        Scalar::F64(v) if tunable.unit == "h" => Scalar::F64(v + 0.5),
        Scalar::F64(v) => Scalar::F64(v + 0.01),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_parameter_is_changed_alone() {
    let machine = machine();
    for tunable in tunables(&machine) {
        let value = other(&tunable, &machine);
        let changed = check(&machine, &tunable.path, &value).unwrap();
        assert_eq!(read(&changed, &tunable.path), Some(value), "{}", tunable.path);
        assert_eq!(tunable.get(&machine).kind(), tunable.kind);
        let along = tunable.takes_along();
        for same in tunables(&machine).iter().filter(|t| t.kept_as != tunable.kept_as && along.as_deref() != Some(&*t.path)) {
            assert_eq!(same.get(&changed), same.get(&machine), "{} changed {}", tunable.path, same.path);
        }
        // Back again is the machine from the file, except for thresholds that nobody had set.
        let back = check(&changed, &tunable.path, &tunable.get(&machine)).unwrap();
        assert_eq!(tunable.get(&back), tunable.get(&machine));
    }
}

#[test]
fn unset_thresholds_read_as_defaults() {
    let machine = machine();
    assert_eq!(read(&machine, "Motor1.Drift.DataDrift.T1.Threshold"), Some(Scalar::F64(0.001)));
    assert_eq!(read(&machine, "Motor1.Drift.DataDrift.T2.Threshold"), Some(Scalar::F64(0.1)));
    assert_eq!(read(&machine, "Motor1.Drift.DataDrift.T3.Threshold"), None);
    let path = "Motor1.Models.Stator.Inference.ScoreThreshold";
    assert_eq!(read(&machine, path), Some(Scalar::F64(0.0)));
    let fixed = check(&machine, path, &Scalar::F64(0.6)).unwrap();
    assert_eq!(fixed.models[0].score_threshold, Some(0.6));
    assert_eq!(check(&fixed, path, &Scalar::F64(0.0)).unwrap(), machine);
}

#[test]
fn a_reset_leaves_open_what_the_file_leaves_open() {
    let file = machine();
    let path = "Motor1.Drift.DataDrift.T2.Threshold";
    let written = check(&file, path, &Scalar::F64(0.3)).unwrap();
    assert_eq!(reset(&written, &file, &[path.into()]).unwrap(), file);
    assert!(matches!(reset(&file, &file, &["Motor1.Nothing".into()]), Err(TunableError::Unknown(_))));
}

#[test]
fn a_newer_file_wins_where_it_differs_and_nowhere_else() {
    let before = machine();
    let written = check(&before, "Motor1.Drift.DataDrift.ConsecutiveLimit", &Scalar::U16(9)).unwrap();
    let mut file = before.clone();
    (file.data_drift.hop, file.data_drift.tests[1].threshold, file.auto_learn_new_regime) = (7, Some(0.1), true);
    assert!(same_but_tunables(&before, &file));
    let (adopted, paths) = adopt(&written, &before, &file).unwrap();
    let names = ["Regimes.AutoLearnNewRegime", "Drift.DataDrift.Hop", "Drift.DataDrift.T2.Threshold"];
    assert_eq!(paths, names.map(|n| Arc::from(format!("Motor1.{n}"))));
    assert_eq!((adopted.data_drift.hop, adopted.data_drift.consecutive_limit), (7, 9), "what was written stays");
    // The file's hop is larger than the window that somebody has written.
    let small = check(&before, "Motor1.Drift.DataDrift.WindowRows", &Scalar::U32(50)).unwrap();
    file.data_drift.hop = 100;
    assert!(matches!(adopt(&small, &before, &file), Err(TunableError::InvalidState(_))));
    file.settle = Duration::from_secs(1);
    assert!(!same_but_tunables(&before, &file));
    file.settle = before.settle;
    file.data_drift.tests.pop();
    assert!(!same_but_tunables(&before, &file));
}

#[test]
fn wrong_values_are_refused_with_their_reason() {
    let machine = machine();
    let refused = |path: &str, value: Scalar| check(&machine, path, &value).unwrap_err();
    let text = |s: &str| s.to_string();
    assert_eq!(
        refused("Motor1.Drift.DataDrift.WindowRows", Scalar::U32(10)),
        TunableError::OutOfRange(text("Motor1.Drift.DataDrift.WindowRows: out of range: `10`; from 20 to 10000"))
    );
    assert_eq!(
        refused("Motor1.Drift.DataDrift.WindowRows", Scalar::U16(200)),
        TunableError::TypeMismatch(text("Motor1.Drift.DataDrift.WindowRows: expected UInt32, got UInt16: `200`"))
    );
    assert_eq!(
        refused("Motor1.Drift.DataDrift.Hop", Scalar::U32(201)),
        TunableError::InvalidState(text("Motor1.Drift.DataDrift.Hop: the hop is larger than the window: `201`; WindowRows is 200"))
    );
    assert_eq!(
        refused("Motor1.Drift.DataDrift.Hopp", Scalar::U32(20)),
        TunableError::Unknown(text("no such parameter: `Motor1.Drift.DataDrift.Hopp`; did you mean `Motor1.Drift.DataDrift.Hop`?"))
    );
    let threshold = |v| refused("Motor1.Drift.DataDrift.T1.Threshold", Scalar::F64(v));
    for value in [0.0, -0.1, 1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(threshold(value), TunableError::OutOfRange(_)), "{value}");
    }
    let min_rows = |v| check(&machine, "Motor1.Regimes.MinReferenceRows", &Scalar::U32(v));
    assert!(matches!(min_rows(501), Err(TunableError::InvalidState(_))));
    assert_eq!(min_rows(500).unwrap().min_reference_rows, 500);
}

#[test]
fn texts_are_checked() {
    let machine = machine();
    let (budget, format) = ("Motor1.Drift.DataDrift.Budget", "Motor1.Buffers.B02.ExportFormat");
    let written = check(&machine, budget, &"2 per 10000 evaluations".into()).unwrap();
    assert_eq!(read(&written, budget), Some("2 per 10000 evaluations".into()));
    assert_eq!(check(&written, budget, &"".into()).unwrap(), machine, "empty is none");
    for (path, wrong, hint) in [(budget, "often", "1 per 30d"), (budget, "1 per 0d", "1 per 30d"), (format, "xlsx", "parquet, csv")] {
        match check(&machine, path, &wrong.into()) {
            Err(TunableError::OutOfRange(text)) => {
                assert!(text.contains(wrong) && text.contains(hint) && text.contains(path), "{text}")
            }
            other => panic!("{wrong}: {other:?}"),
        }
    }
}

#[test]
fn buffers_share_one_target() {
    let machine = machine();
    let changed = check(&machine, "Motor1.Buffers.B03.TargetRows", &Scalar::U32(77)).unwrap();
    assert_eq!(read(&changed, "Motor1.Buffers.B01.TargetRows"), Some(Scalar::U32(77)));
    let kept: Vec<_> = tunables(&machine).into_iter().filter(|t| t.path.contains("TargetRows")).map(|t| t.kept_as).collect();
    assert!(kept.iter().all(|k| &**k == "Motor1.Buffers.B01.TargetRows"));
}

#[test]
fn another_test_begins_with_its_own_threshold() {
    let file = machine();
    let (name, threshold) = ("Motor1.Drift.DataDrift.T1.Name", "Motor1.Drift.DataDrift.T1.Threshold");
    assert_eq!(check(&file, name, &"kolmogorov_smirnov".into()).unwrap(), file, "the same one changes nothing");
    let changed = check(&file, name, &"wasserstein".into()).unwrap();
    assert_eq!(changed.data_drift.tests[0], TestConfig { metric: "wasserstein".parse().unwrap(), threshold: None });
    assert_eq!(read(&changed, threshold), Some(Scalar::F64(0.1)));
    // Its range is that of the new metric.
    let wide = check(&changed, threshold, &Scalar::F64(7.0)).unwrap();
    assert!(matches!(check(&file, threshold, &Scalar::F64(7.0)), Err(TunableError::OutOfRange(_))));
    // Back to the file: the threshold alone is that of the present metric, the name brings the file's along.
    assert_eq!(default_of(&wide, &file, threshold), Some(Scalar::F64(0.1)));
    assert_eq!(reset(&wide, &file, &[threshold.into()]).unwrap(), changed);
    assert_eq!(reset(&wide, &file, &[name.into()]).unwrap(), file);
    assert_eq!(reset(&wide, &file, &[threshold.into(), name.into()]).unwrap(), file);
    assert!(same_but_tunables(&file, &wide));
    assert_eq!(adopt(&file, &file, &changed).unwrap().0, changed);
    assert_eq!(tunables(&file).iter().find(|t| &*t.path == name).unwrap().takes_along().as_deref(), Some(threshold));
}

#[test]
fn tests_that_do_not_fit_are_refused() {
    let machine = machine();
    for (path, wrong, why) in [
        ("Motor1.Drift.DataDrift.T1.Name", "kolmogorow", "unknown metric or chart: `kolmogorow`"),
        ("Motor1.Drift.DataDrift.T1.Name", "", "unknown"),
        ("Motor1.Drift.DataDrift.T1.Name", "fisher_exact", "only for categories"),
        ("Motor1.Models.Stator.PerformanceDrift.T1.Name", "wasserstein", "only for numbers"),
        ("Motor1.Models.Stator.PerformanceDrift.T1.Name", "cusum", "only for numbers"),
    ] {
        match check(&machine, path, &wrong.into()) {
            Err(TunableError::OutOfRange(text)) => assert!(text.contains(why) && text.contains("psi"), "{text}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
    assert!(matches!(check(&machine, "Motor1.Drift.DataDrift.T1.Name", &"psi".into()), Err(TunableError::InvalidState(_))), "T2 has it");
}

#[test]
fn what_was_written_comes_back_in_any_order() {
    let file = machine();
    let hop = ("Motor1.Drift.DataDrift.Hop".into(), Scalar::U32(500));
    let window = ("Motor1.Drift.DataDrift.WindowRows".into(), Scalar::U32(800));
    // T1 and T2 have changed places, and T1 has a threshold that only its new metric may have.
    let threshold = ("Motor1.Drift.DataDrift.T1.Threshold".into(), Scalar::F64(3.0));
    let names = [("T1", "psi"), ("T2", "kolmogorov_smirnov")];
    let mut written: Vec<_> = vec![hop.clone(), threshold, window];
    written.extend(names.map(|(test, name)| (Arc::from(format!("Motor1.Drift.DataDrift.{test}.Name")), Scalar::from(name))));
    let (machine, refused) = restore(&file, written.clone());
    assert_eq!(refused, []);
    for (path, value) in &written {
        assert_eq!(read(&machine, path).as_ref(), Some(value), "{path}");
    }
    // Alone the hop does not go with the file's window; what goes stays.
    let fine = ("Motor1.Drift.DataDrift.ConsecutiveLimit".into(), Scalar::U16(9));
    let (machine, refused) = restore(&file, vec![hop, fine]);
    assert!(matches!(&refused[..], [(path, TunableError::InvalidState(_))] if path.ends_with("Hop")));
    assert_eq!((machine.data_drift.hop, machine.data_drift.consecutive_limit), (20, 9));
}

#[test]
fn only_settings_with_a_tolerance_have_one() {
    let machine = machine();
    let path = "Motor1.Settings.Voltage.Tolerance";
    let changed = check(&machine, path, &Scalar::F64(12.5)).unwrap();
    assert_eq!(changed.settings[0].conditioning, Conditioning::Tolerance(12.5));
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(check(&machine, path, &Scalar::F64(wrong)), Err(TunableError::OutOfRange(_))), "{wrong}");
    }
    let mut other = machine.clone();
    other.settings[0].conditioning = Conditioning::Category;
    assert!(!tunables(&other).iter().any(|t| t.path.contains("Tolerance")));
    assert!(!same_but_tunables(&machine, &other));
}
