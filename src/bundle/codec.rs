//! A bundle as bytes: one line of JSON with the format's version and the SHA-256 of the rest, then the bundle as JSON.
//! Readable with any text tool; the hash names the bundle.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Bundle;

const FORMAT: &str = "driftgate-bundle";
/// 2: continuous settings; 3: references changed at the machine. Each bundle is written as the oldest version that can say it all.
const VERSION: u32 = 3;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    sha256: String,
}

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not a driftgate bundle: {0}")]
    NotABundle(String),
    #[error("a bundle of version `{0}`; this program reads up to {VERSION}")]
    Version(u32),
    #[error("the bundle is damaged: its SHA-256 is `{found}`, its head says `{said}`; fetch it again")]
    Hash { found: String, said: String },
}

/// The bytes of a bundle and their SHA-256 (hex).
pub fn encode(bundle: &Bundle) -> Result<(Vec<u8>, String), serde_json::Error> {
    let body = serde_json::to_vec(bundle)?;
    let sha256 = hex(&Sha256::digest(&body));
    let version = match (bundle.is_changed(), bundle.envelope.continuous()) {
        (true, _) => VERSION,
        (false, 0) => 1,
        (false, _) => 2,
    };
    let mut bytes = serde_json::to_vec(&Head { format: FORMAT.into(), version, sha256: sha256.clone() })?;
    bytes.push(b'\n');
    bytes.extend(body);
    Ok((bytes, sha256))
}

/// Reads a bundle; also returns its SHA-256 (hex).
pub fn decode(bytes: &[u8]) -> Result<(Bundle, String), DecodeError> {
    let not = |e: &dyn std::fmt::Display| DecodeError::NotABundle(e.to_string());
    let newline = bytes.iter().take(1000).position(|b| *b == b'\n').ok_or_else(|| not(&"it has no head line"))?;
    let head: Head = serde_json::from_slice(&bytes[..newline]).map_err(|e| not(&e))?;
    if head.format != FORMAT {
        return Err(not(&format!("its head names the format `{}`", head.format)));
    }
    if head.version > VERSION {
        return Err(DecodeError::Version(head.version));
    }
    let body = &bytes[newline + 1..];
    let found = hex(&Sha256::digest(body));
    if found != head.sha256 {
        return Err(DecodeError::Hash { found, said: head.sha256 });
    }
    Ok((serde_json::from_slice(body).map_err(|e| not(&e))?, found))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Training, TrainingRow};
    use crate::config::Config;
    use crate::regime::{Cell, Support};
    use crate::types::Timestamp;

    const CHARTS: &str = "[machines.data_drift]\ntests = [\"ewma_t2\", \"cusum\"]\nbudget = \"1 per 1000 evaluations\"\n";

    /// Trained at speeds from 1,000 to 2,000 rpm; the second feature has no value at all.
    fn bundle(conditioning: &str) -> (Config, Bundle) {
        let settings = format!("settings = [{{ name = \"Speed\", {conditioning} }}]");
        let config = Config::parse(&format!("[[machines]]\nname = \"M\"\nsignals = [\"a\", \"b\"]\n{settings}\n{CHARTS}")).unwrap();
        let row = |i: u16| {
            let speed = 1000.0 + f64::from(i);
            let cell = if conditioning.contains("regression") { Cell::Value(speed) } else { Cell::Centre(speed) };
            TrainingRow { time: Timestamp::EPOCH, cells: vec![cell], features: vec![speed / 10.0 + f64::from(i % 7), f64::NAN] }
        };
        let training = Training { rows: (0..1000).map(row).collect(), ..Training::default() };
        let bundle = training.train(&config.machines[0], "hash").unwrap();
        (config, bundle)
    }

    #[test]
    fn a_bundle_comes_back_and_older_programs_are_told() {
        for (conditioning, version) in [("tolerance = 2000.0", 1), ("regression = 50.0", 2)] {
            let (config, bundle) = bundle(conditioning);
            let (bytes, hash) = encode(&bundle).unwrap();
            let head: Head = serde_json::from_slice(bytes.split(|b| *b == b'\n').next().unwrap()).unwrap();
            assert_eq!(head.version, version, "{conditioning}");
            let (back, found) = decode(&bytes).unwrap();
            assert_eq!(found, hash);
            assert_eq!(back.check(&config.machines[0]), Ok(()));
            assert_eq!(encode(&back).unwrap().0, bytes);
        }
    }

    #[test]
    fn tables_of_continuous_settings_are_checked() {
        let (config, good) = bundle("regression = 50.0");
        let check = |change: &dyn Fn(&mut Bundle)| {
            let mut bundle = good.clone();
            change(&mut bundle);
            bundle.check(&config.machines[0]).unwrap_err().to_string()
        };
        assert!(check(&|b| b.envelope.regimes[0].support = None).contains("trained places"));
        assert!(check(&|b| b.envelope.regimes[0].support = Some(Support::learn(2, [].iter()))).contains("trained places"));
        assert!(check(&|b| b.regimes[0].regression = None).contains("regression"));
        let (other, _) = bundle("regression = 60.0");
        let refused = good.check(&other.machines[0]).unwrap_err().to_string();
        assert!(refused.contains("`Speed` (Regression(50.0))") && refused.contains("Regression(60.0)"), "{refused}");
    }

    #[test]
    fn each_kind_of_model_is_trained_kept_and_finds_what_is_strange() {
        for kind in ["isolation_forest", "kmeans", "gaussian_mixture", "pca", "one_class_svm"] {
            let text = format!(
                "[[machines]]\nname = \"M\"\nsignals = [\"a\", \"b\"]\n[machines.data_drift]\ntests = [\"kolmogorov_smirnov\"]\n\
                 [[machines.models]]\nname = \"Wear\"\nkind = \"{kind}\"\nclusters = 2\ncontamination = 0.01\n"
            );
            let config = Config::parse(&text).unwrap();
            let row = |i: u16| {
                let (x, e) = (f64::from(i % 41), f64::from(i % 7) / 10.0);
                TrainingRow { time: Timestamp::EPOCH, cells: vec![], features: vec![x, 2.0 * x + e] }
            };
            let training = Training { rows: (0..1000).map(row).collect(), ..Training::default() };
            let (bytes, _) = encode(&training.train(&config.machines[0], "hash").unwrap()).unwrap();
            let model = decode(&bytes).unwrap().0.models.remove(0);
            assert_eq!((model.model.kind(), model.model.inputs()), (kind, 2));
            // In standard deviations: ordinary one by one, but not together.
            assert!(model.model.score(&[0.1, 0.1]) < model.threshold, "{kind}");
            assert!(model.model.score(&[6.0, -6.0]) > model.threshold, "{kind}: {}", model.threshold);
        }
    }
}
