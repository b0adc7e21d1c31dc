use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Outcome, RecordedArgs, print_json, rows_progress};
use crate::bundle::{self, Bundle, calibration_text, performance_text};
use crate::drift::calibrate::Calibration;
use crate::pipeline::recorded::Input;
use crate::pipeline::replay;

/// Arguments of `train`.
#[derive(Args, Debug)]
pub struct TrainArgs {
    #[command(flatten)]
    recorded: RecordedArgs,
    /// Healthy data that nothing is learned from, to calibrate thresholds to the budget; without it, the input is resampled.
    #[arg(long, value_name = "HEALTHY", num_args = 1..)]
    calibrate: Vec<Input>,
    /// The bundle to write.
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

/// Trains, writes the bundle, says what is in it.
pub fn run(args: &TrainArgs) -> anyhow::Result<Outcome> {
    let recorded = args.recorded.load()?;
    let bar = rows_progress("reading");
    let bundle = replay::train(&recorded, &args.recorded.input, &args.calibrate, &mut |rows| bar.set_position(rows))?;
    bar.finish_and_clear();
    let sha256 = bundle::save(&bundle, &args.out)?;
    let regimes = || bundle.envelope.regimes.iter().zip(&bundle.regimes);
    if args.json {
        let regimes: Vec<_> = regimes().map(|(r, reference)| json!({ "key": &*r.key, "rows": reference.rows })).collect();
        let models: Vec<_> =
            bundle.models.iter().map(|m| json!({ "name": &*m.name, "kind": m.model.kind(), "threshold": m.threshold, "labels": m.performance.as_ref().map(performance_text) })).collect();
        let rows = bundle.provenance.rows;
        print_json(
            &json!({ "bundle": args.out, "sha256": sha256, "rows": rows, "regimes": regimes, "models": models, "data_drift": calibrated(bundle.data_drift.as_ref(), &bundle) }),
        )?;
        return Ok(Outcome::Done);
    }
    say!("{}: {} rows, SHA-256 {sha256}", args.out.display(), bundle.provenance.rows)?;
    for (regime, reference) in regimes() {
        say!("  regime {:<40} {:>9} rows", regime.key, reference.rows)?;
    }
    if let Some(text) = calibrated(bundle.data_drift.as_ref(), &bundle) {
        say!("  data drift {text}")?;
    }
    for model in &bundle.models {
        say!("  model {} ({}), threshold {:.4}", model.name, model.model.kind(), model.threshold)?;
        if let Some(text) = calibrated(model.prediction_drift.as_ref(), &bundle) {
            say!("    prediction drift {text}")?;
        }
        if let Some(reference) = &model.performance {
            say!("    {}", performance_text(reference))?;
        }
    }
    Ok(Outcome::Done)
}

/// What a calibration came to; `None` where none was asked for.
fn calibrated(calibration: Option<&Calibration>, bundle: &Bundle) -> Option<String> {
    let names: Vec<String> = bundle.features.iter().map(|f| f.name.to_string()).collect();
    calibration.map(|c| calibration_text(c, &names))
}
