use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Outcome, load_config};
use crate::pipeline::alarm_desk;
use crate::{app, server};

/// Arguments of `nodeset`.
#[derive(Args, Debug)]
pub struct NodesetArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where to write to; without it standard output.
    #[arg(long, value_name = "F.xml")]
    out: Option<PathBuf>,
}

/// Writes the address space of a configuration as NodeSet2 XML, for import into other tools.
pub fn run(args: &NodesetArgs) -> anyhow::Result<Outcome> {
    let config = load_config(&args.config)?;
    let xml = server::nodeset_xml(&config, &app::parameters_of(&config), &alarm_desk::specs(&config))?;
    match &args.out {
        Some(path) => std::fs::write(path, xml).with_context(|| format!("`{}` cannot be written", path.display()))?,
        None => say!("{}", xml.trim_end())?,
    }
    Ok(Outcome::Done)
}
