//! `driftgate`: arguments -> telemetry -> command -> exit code.

use std::process::ExitCode;

use clap::Parser;
use driftgate::cli::{Cli, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    driftgate::cli::init_log(&cli);
    match cli.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(driftgate::cli::exit_code(&error))
        }
    }
}
