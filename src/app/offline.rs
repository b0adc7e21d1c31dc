//! What the store of a stopped gateway says of a machine, without changing anything in it.

use std::sync::Arc;

use super::{AppError, kept, written_over};
use crate::bundle;
use crate::config::MachineConfig;
use crate::pipeline::driver::keys;
use crate::store::Store;

/// A machine as its gateway has left it.
pub struct Stored {
    /// The configuration with what people have tuned.
    pub config: MachineConfig,
    /// Regimes by slot; none where nothing was learned, or with other signals or settings.
    pub regimes: Vec<Arc<str>>,
    /// Score beyond which a model says fault, one a model; NaN where that is not known.
    pub thresholds: Vec<f64>,
    /// The active bundle.
    pub trained: Option<Arc<bundle::Bundle>>,
    /// SHA-256 of the active bundle, hex; empty where there is none.
    pub bundle: Arc<str>,
}

/// Reads it.
///
/// # Errors
/// The store or the bundle in it cannot be read.
pub fn stored(machine: &Arc<MachineConfig>, store: &dyn Store) -> Result<Stored, AppError> {
    let (config, _) = written_over(machine, store)?;
    let life = kept::life(&machine.name, store)?;
    let place = life.as_ref().map_or(Some(0), |life| life.active.as_ref().map(|kept| kept.place));
    let bytes = place.map(|place| store.get_blob(&keys::bundle(&machine.name, place))).transpose()?.flatten();
    let read = bytes.map(|bytes| bundle::decode(&bytes)).transpose();
    let read = read.map_err(|cause| AppError::Bundle { machine: machine.name.clone(), cause })?;
    let (bundle, hash) = read.filter(|(bundle, _)| bundle.check(machine).is_ok()).unzip();
    let of_bundle = |name: &str| bundle.as_ref().and_then(|b| b.model(name)).map_or(f64::NAN, |model| model.threshold);
    let thresholds = config.models.iter().map(|model| model.score_threshold.unwrap_or_else(|| of_bundle(&model.name))).collect();
    let regimes = bundle.iter().flat_map(|b| &b.envelope.regimes).map(|regime| Arc::from(&*regime.key)).collect();
    Ok(Stored { thresholds, regimes, trained: bundle.map(Arc::new), bundle: hash.unwrap_or_default().into(), config })
}
