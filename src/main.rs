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
        Err(error) if driftgate::cli::reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(driftgate::cli::exit_code(&error))
        }
    }
}
