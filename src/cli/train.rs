use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Outcome, RecordedArgs, print_json, rows_progress};
use crate::bundle;
use crate::pipeline::replay;

#[derive(Args, Debug)]
pub struct TrainArgs {
    #[command(flatten)]
    recorded: RecordedArgs,
    /// The bundle to write.
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Machine-readable result on stdout.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &TrainArgs) -> anyhow::Result<Outcome> {
    let recorded = args.recorded.load()?;
    let bar = rows_progress("reading");
    let bundle = replay::train(&recorded, &args.recorded.input, &mut |rows| bar.set_position(rows))?;
    bar.finish_and_clear();
    let sha256 = bundle::save(&bundle, &args.out)?;
    let regimes = || bundle.envelope.regimes.iter().zip(&bundle.regimes);
    if args.json {
        let regimes: Vec<_> = regimes().map(|(r, reference)| json!({ "key": &*r.key, "rows": reference.rows })).collect();
        let models: Vec<_> =
            bundle.models.iter().map(|m| json!({ "name": &*m.name, "kind": m.model.kind(), "threshold": m.threshold })).collect();
        let rows = bundle.provenance.rows;
        print_json(&json!({ "bundle": args.out, "sha256": sha256, "rows": rows, "regimes": regimes, "models": models }))?;
        return Ok(Outcome::Done);
    }
    println!("{}: {} rows, SHA-256 {sha256}", args.out.display(), bundle.provenance.rows);
    for (regime, reference) in regimes() {
        println!("  regime {:<40} {:>9} rows", regime.key, reference.rows);
    }
    for model in &bundle.models {
        println!("  model {} ({}), threshold {:.4}", model.name, model.model.kind(), model.threshold);
    }
    Ok(Outcome::Done)
}
