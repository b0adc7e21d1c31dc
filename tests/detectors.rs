//! Detectors beside scikit-learn's, on the same rows: `tests/detectors/make.py` has made rows and figures.

use std::fs;
use std::path::Path;

use driftgate::model::{GaussianMixture, IsolationForest, KMeans, Model, OneClassSvm, Pca};

const FIT: usize = 400;
const HEALTHY: usize = 200;
/// Of the area under the curve.
const TOLERANCE: f64 = 0.01;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detectors").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Share of pairs of a faulty and a healthy row that are in the right order (Mann-Whitney); ties are half of one.
fn area_under_the_curve(healthy: &[f64], faulty: &[f64]) -> f64 {
    let pair = |h: f64, f: f64| if f > h { 1.0 } else { f64::from(u8::from(f == h)) / 2.0 };
    let pairs = faulty.iter().flat_map(|f| healthy.iter().map(|h| pair(*h, *f)));
    pairs.sum::<f64>() / (healthy.len() * faulty.len()) as f64
}

/// The mean over five seeds, as the figures are a mean over seeds.
fn area(fit: &dyn Fn(u64) -> Model, rows: &[Vec<f64>]) -> f64 {
    let one = |seed| {
        let model = fit(seed);
        assert!(model.is_sound());
        let scores: Vec<f64> = rows.iter().map(|row| model.score(row)).collect();
        let (healthy, faulty) = scores.split_at(HEALTHY);
        area_under_the_curve(healthy, faulty)
    };
    (1..=5).map(one).sum::<f64>() / 5.0
}

#[test]
fn detectors_find_what_those_of_scikit_learn_find() {
    let figures: serde_json::Value = serde_json::from_str(&file("figures.json")).unwrap();
    for set in ["clusters", "plane"] {
        let text = file(&format!("{set}.csv"));
        let rows: Vec<Vec<f64>> = text.lines().map(|l| l.split(',').map(|x| x.parse().unwrap()).collect()).collect();
        let (width, (fit, test)) = (rows[0].len(), rows.split_at(FIT));
        let fit = fit.concat();
        let detectors: [(&str, &dyn Fn(u64) -> Model); 5] = [
            ("isolation_forest", &|seed| Model::IsolationForest(IsolationForest::fit(&fit, width, 100, 256, seed).unwrap())),
            ("kmeans", &|seed| Model::KMeans(KMeans::fit(&fit, width, 2, seed).unwrap())),
            ("gaussian_mixture", &|seed| Model::GaussianMixture(GaussianMixture::fit(&fit, width, 2, seed).unwrap())),
            ("one_class_svm", &|seed| Model::OneClassSvm(OneClassSvm::fit(&fit, width, 0.05, seed).unwrap())),
            ("pca", &|_| Model::Pca(Pca::fit(&fit, width, 0.9).unwrap())),
        ];
        for (kind, detector) in detectors {
            let (ours, theirs) = (area(detector, test), figures[set][kind].as_f64().unwrap());
            println!("{set} {kind}: {ours:.4}, scikit-learn {theirs:.4}");
            assert_eq!(detector(1).kind(), kind);
            assert!((ours - theirs).abs() <= TOLERANCE, "{set} {kind}: {ours} is not {theirs}");
            assert!(theirs > 0.6, "{set} {kind}: nothing to find");
        }
    }
}
