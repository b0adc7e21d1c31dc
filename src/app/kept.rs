//! The bundles of a machine as they were left.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};

use super::AppError;
use crate::bundle::{self, Bundle, BundleLife, Candidate, Kept};
use crate::pipeline::alarm_desk::ModelLink;
use crate::pipeline::driver::{ModelKeeper, keys};
use crate::server::Offer;
use crate::store::{Record, Store, StoreError};
use crate::types::Timestamp;

/// What is kept besides the active bundle.
pub(super) struct KeptBundles {
    pub(super) life: BundleLife,
    candidate: Option<Arc<Bundle>>,
    fallback: Option<Arc<Bundle>>,
}

/// What is kept, the active bundle, and its SHA-256 (hex).
type Opened = (KeptBundles, Option<Arc<Bundle>>, Option<Arc<str>>);

/// Which bundles a machine has; `None` where nobody has ever exchanged them.
///
/// # Errors
/// Also where it cannot be read: guessing would run another bundle than was activated, and remove that one.
pub(super) fn life(machine: &Arc<str>, store: &dyn Store) -> Result<Option<BundleLife>, AppError> {
    let Some(bytes) = store.get(&keys::life(machine))? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes);
    read.map(Some).map_err(|cause| AppError::Life { machine: machine.clone(), cause })
}

impl KeptBundles {
    /// Also the active bundle and its SHA-256 (hex). What a crash has left behind is removed.
    pub(super) fn open(machine: &Arc<str>, store: &dyn Store, notes: &mut Vec<String>) -> Result<Opened, AppError> {
        let life = life(machine, store)?;
        let place = life.as_ref().map_or(Some(0), |life| life.active.as_ref().map(|kept| kept.place));
        let bytes = match place {
            Some(place) => store.get_blob(&keys::bundle(machine, place))?,
            None => None,
        };
        let read = bytes.as_ref().map(|bytes| bundle::decode(bytes).map(|(bundle, hash)| (bundle, hash, bytes.len())));
        let read = read.transpose().map_err(|cause| AppError::Bundle { machine: machine.clone(), cause })?;
        let mut life = life.unwrap_or_default();
        if let (None, Some((bundle, hash, size))) = (&life.active, &read) {
            let base = Some(&bundle.provenance.base).filter(|base| !base.is_empty()).unwrap_or(hash);
            let size = u32::try_from(*size).unwrap_or(u32::MAX);
            life.active = Some(Kept { place: 0, hash: base.clone(), size, received: Timestamp::EPOCH, activated: None });
        }
        let other = |kept: Option<&Kept>, notes: &mut Vec<String>| -> Result<Option<Arc<Bundle>>, AppError> {
            let Some(kept) = kept else { return Ok(None) };
            let bytes = store.get_blob(&keys::bundle(machine, kept.place))?;
            let bundle = bytes.and_then(|bytes| bundle::decode(&bytes).ok()).map(|(bundle, _)| Arc::new(bundle));
            if bundle.is_none() {
                notes.push(format!("machine `{machine}`: the kept bundle {} cannot be read; it is left out", kept.version()));
            }
            Ok(bundle)
        };
        let candidate = other(life.candidate.kept(), notes)?;
        if candidate.is_none() && life.candidate.kept().is_some() {
            life.candidate = Candidate::Empty;
        }
        let fallback = other(life.fallback.as_ref(), notes)?;
        if fallback.is_none() {
            life.fallback = None;
        }
        tidy(machine, &life, store)?;
        let (bundle, hash) = read.map(|(bundle, hash, _)| (Arc::new(bundle), hash.into())).unzip();
        Ok((Self { life, candidate, fallback }, bundle, hash))
    }

    /// For the driver; and for the alarm desk.
    pub(super) fn keeper(self, offers: mpsc::Receiver<Offer>) -> (ModelKeeper, ModelLink) {
        let Self { life, candidate, fallback } = self;
        let (flags, shown) = watch::channel(0);
        let seen = Arc::new(Notify::new());
        let link = ModelLink { flags: shown, seen: seen.clone() };
        (ModelKeeper { life, candidate, fallback, offers, flags, seen, unscored: false }, link)
    }
}

/// Removes bundles and states that nothing names.
fn tidy(machine: &str, life: &BundleLife, store: &dyn Store) -> Result<(), StoreError> {
    let mut named: Vec<String> = life.places().map(|place| keys::bundle(machine, place)).collect();
    named.push(keys::state(machine, life.generation));
    for prefix in [keys::bundles(machine), keys::states(machine)] {
        for key in store.keys(&prefix)?.into_iter().filter(|key| !named.contains(key)) {
            store.apply(Record::Remove { key })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::store::MemoryStore;

    #[test]
    fn nothing_is_guessed_or_removed_where_the_record_cannot_be_read() {
        let config = Config::parse("[[machines]]\nname = \"M\"\nsignals = [\"a\"]\n[machines.data_drift]\ntests = [\"psi\"]\n").unwrap();
        let (store, machine): (_, Arc<str>) = (MemoryStore::new(&config.store, 1), "M".into());
        let put = |key: String, value: &[u8]| store.apply(Record::Put { key, value: value.into() }).unwrap();
        put(keys::life(&machine), b"{\"active\": 7}");
        store.apply(Record::PutBlob { key: keys::bundle(&machine, 1), value: b"a bundle".as_slice().into() }).unwrap();
        let opened = KeptBundles::open(&machine, &store, &mut Vec::new());
        assert!(matches!(opened, Err(AppError::Life { .. })));
        assert!(store.get_blob(&keys::bundle(&machine, 1)).unwrap().is_some());
    }
}
