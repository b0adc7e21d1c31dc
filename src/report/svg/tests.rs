use super::super::check::well_formed;
use super::*;

fn scale(low: f64, high: f64) -> Scale {
    Scale { low, high, from: 0.0, to: 100.0, log: false }
}

#[test]
fn ticks_are_round_and_told_apart() {
    let labels = |low, high| scale(low, high).ticks(4).into_iter().map(|t| t.1).collect::<Vec<_>>();
    assert_eq!(labels(0.0, 1.0), ["0", "0.5", "1"]);
    assert_eq!(labels(-3.0, 5.0), ["-2", "0", "2", "4"]);
    assert_eq!(labels(163.98, 164.02), ["163.98", "163.99", "164", "164.01", "164.02"]);
    assert_eq!(labels(1e-9, 4e-9), ["1e-9", "2e-9", "3e-9", "4e-9"]);
    for (low, high) in [(-1e308, 1e308), (1e-320, 2e-320), (f64::MIN, f64::MAX)] {
        assert!(scale(low, high).ticks(4).iter().all(|(x, _)| x.is_finite() && (0.0..=100.0).contains(&scale(low, high).at(*x))));
    }
}

#[test]
fn a_histogram_has_an_area_a_line_and_its_means() {
    let h = Histogram {
        title: "a < b",
        range: (0.0, 4.0),
        reference: &[0.5, 0.5, 0.0, 0.0],
        current: &[0.0, 0.25, 0.5, 0.25],
        reference_mean: Some(1.0),
        current_mean: Some(f64::NAN),
        beyond: (0, 3),
    };
    let svg = histogram(&h);
    well_formed(&svg).unwrap();
    assert!(svg.contains("class=\"r\" d=\"M6 96V6H88H170V96H252H334V96z\""), "{svg}");
    assert!(svg.contains("class=\"rm\" d=\"M88 2V96\"") && !svg.contains("class=\"cm\"") && svg.contains("3 beyond"), "{svg}");
    assert!(histogram(&Histogram::default()).contains("no values"));
}

#[test]
fn histories_are_thinned_but_keep_their_extremes() {
    let point = |i: usize| {
        let y = if i == 777 { 9.0 } else { 0.5 };
        Point { x: i as f64, low: y, mean: y, high: y }
    };
    let points: Vec<Point> = (0..1_000).map(point).collect();
    let thin = thinned(&points, 100);
    assert_eq!((thin.len(), thin.iter().map(|p| p.high).fold(0.0, f64::max)), (100, 9.0));
    let svg = history(&History { points: &points, range: (0.0, 1_000.0), threshold: Some(1.0), index: true, ..History::default() });
    well_formed(&svg).unwrap();
    assert!(svg.len() < 6_000 && svg.contains("class=\"th\"") && svg.contains(">10<"), "logarithmic: {svg}");
}

#[test]
fn gaps_are_not_bridged_and_nothing_is_an_answer() {
    let at = |x: f64| Point { x, low: 1.0, mean: 1.0, high: 1.0 };
    let points: Vec<Point> = (0..50).chain(150..200).map(|i| at(f64::from(i))).collect();
    let svg = history(&History { points: &points, range: (0.0, 200.0), ..History::default() });
    assert_eq!(svg.matches("class=\"cl\"").count(), 2);
    let nan = Point { x: 1.0, low: f64::NAN, mean: 1.0, high: 1.0 };
    for points in [&[][..], &[nan]] {
        let svg = history(&History { points, range: (0.0, 0.0), band: Some((f64::NAN, 1.0)), ..History::default() });
        assert!(svg.contains("not evaluated") && !svg.contains("NaN"), "{svg}");
    }
}

#[test]
fn strips_bars_and_maps_are_well_formed() {
    let lane = Lane { label: "Drift", tone: Tone::Drift, shares: vec![0.0, 0.0, 1.0, 1.0, 0.3] };
    let strip = strip("s", &[lane], ("row 1", "row 5"));
    assert!(strip.contains("M2 17h2v-14h-2zM4 17h1v-7h-1z"), "{strip}");
    let bar = Bar { label: "<a>".into(), value: f64::NAN, note: "n".into(), tone: Tone::Ok };
    let bars = bars("b", &[bar], Some(1.0));
    let category = Category { label: "x & y".into(), reference: 0.5, current: f64::NAN };
    let categories = categories("c", &[category]);
    let names = ["<x>".to_string(), "y".to_string()];
    let value = |i: usize, j: usize| Some(if i == j { 1.0 } else { -0.5 });
    let map = heat_map(&HeatMap { title: "m", rows: &names, columns: &names, value: &value, word: &|_, _| "w".into() });
    for svg in [&strip, &bars, &categories, &map] {
        well_formed(svg).unwrap();
        assert!(!svg.contains("NaN"), "{svg}");
    }
    assert!(map.contains("hn4") && map.contains("hp8") && map.contains("hh"));
    let many: Vec<String> = (0..50).map(|i| format!("column {i}")).collect();
    let map = heat_map(&HeatMap { title: "m", rows: &many, columns: &many, value: &value, word: &|_, _| String::new() });
    assert!(map.len() < 65_000, "{}", map.len());
}
