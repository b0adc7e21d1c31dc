//! Bundles on their way into a machine's candidate slot: read and checked by whoever brings them, on a thread of its own.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::bundle::{self, Bundle, ContractError, DecodeError};
use crate::config::MachineConfig;

/// Where bundles are offered: a place for each machine, in the order of the configuration.
pub type OfferSenders = Arc<[mpsc::Sender<Offer>]>;

/// A bundle for a machine, or why it is none.
#[derive(Debug)]
pub struct Offer {
    pub bundle: Result<Offered, String>,
    /// Who has brought it.
    pub user: Arc<str>,
    /// Whether it is the candidate now, or why not.
    pub reply: oneshot::Sender<Result<(), String>>,
}

/// A bundle that fits the machine.
#[derive(Debug)]
pub struct Offered {
    pub bundle: Arc<Bundle>,
    /// SHA-256, hex.
    pub hash: Arc<str>,
    pub bytes: Arc<[u8]>,
}

/// Why a bundle cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{0}")]
    Unreadable(#[from] DecodeError),
    #[error("{0}")]
    Contract(#[from] ContractError),
}

impl Offered {
    /// Reads a bundle, and holds it against the machine.
    ///
    /// # Errors
    /// The bytes are no bundle, or not one for this machine.
    pub fn read(bytes: Vec<u8>, machine: &MachineConfig) -> Result<Self, Unfit> {
        let (bundle, hash) = bundle::decode(&bytes)?;
        bundle.check(machine)?;
        Ok(Self { bundle: Arc::new(bundle), hash: hash.into(), bytes: bytes.into() })
    }
}

/// Hands an offer to its machine, and waits for the answer.
///
/// # Errors
/// The bundle is not the candidate, and why.
pub async fn offer(to: &mpsc::Sender<Offer>, bundle: Result<Offered, String>, user: Arc<str>) -> Result<(), String> {
    let (reply, answer) = oneshot::channel();
    let ended = || "the gateway is stopping".to_string();
    to.send(Offer { bundle, user, reply }).await.map_err(|_| ended())?;
    answer.await.map_err(|_| ended())?
}
