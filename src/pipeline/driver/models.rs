//! The life of a machine's bundles: offered, activated, confirmed, rolled back. Between two rows, stored first, then in force.
//!
//! ```text
//! activate: bundle at its place ─▶ state of the next generation ─▶ life (from here on it counts) ─▶ core of the next row
//! ```
//! A crash before the life is stored leaves all as it was, after it the new bundle is active and awaits its confirmation.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::commands::not_stored;
use super::{Running, delays, describe, keys, wall_clock};
use crate::alarm::{MODEL_AWAITING, MODEL_FAILURE};
use crate::bundle::{self, Bundle, BundleLife, Exchanged, Kept};
use crate::pipeline::core::MachineCore;
use crate::server::view::ModelSlots;
use crate::server::{Offer, Offered};
use crate::store::Record;
use crate::types::{Answer, Command, EventKind, Refusal, Scalar, Timestamp, Via};

/// Longest reason that is kept, bytes.
const MAX_REASON: usize = 600;

/// The bundles of a machine besides the active one, which its core has.
pub struct ModelKeeper {
    pub life: BundleLife,
    pub candidate: Option<Arc<Bundle>>,
    pub fallback: Option<Arc<Bundle>>,
    /// Bundles that have been uploaded or dropped.
    pub offers: mpsc::Receiver<Offer>,
    /// Bits of the alarm word.
    pub flags: watch::Sender<u16>,
    /// The bit of a model that fails was acknowledged.
    pub seen: Arc<Notify>,
    /// The last judged row has no score.
    pub unscored: bool,
}

impl ModelKeeper {
    pub(super) fn scoring_fails(&mut self, fails: bool) {
        self.unscored = fails;
    }

    /// Tells how things stand; seconds left to confirm.
    pub(super) fn publish(&self, now: Timestamp) -> f64 {
        let awaiting = if self.life.until.is_some() { MODEL_AWAITING } else { 0 };
        let failing = if self.unscored || self.life.is_failing() { MODEL_FAILURE } else { 0 };
        self.flags.send_if_modified(|flags| std::mem::replace(flags, awaiting | failing) != awaiting | failing);
        self.life.remaining(now)
    }
}

/// What an exchange of bundles is told of with.
struct Told<'a> {
    /// What was done.
    word: &'static str,
    /// What people say to it.
    comment: &'a str,
    user: &'a Arc<str>,
}

impl Running {
    /// Takes an uploaded bundle as the candidate, or notes why it is none.
    pub(super) async fn offered(&mut self, offer: Offer) {
        let Offer { bundle, user, reply } = offer;
        let result = match bundle {
            Ok(offered) => self.take_candidate(offered, &user).await,
            Err(why) => {
                self.refuse_candidate(&why, &user).await;
                Err(why)
            }
        };
        self.publish();
        // Whoever has brought it may have gone.
        let _ = reply.send(result);
    }

    async fn take_candidate(&mut self, offered: Offered, user: &Arc<str>) -> Result<(), String> {
        let place = self.d.models.life.next_place();
        let size = u32::try_from(offered.bytes.len()).unwrap_or(u32::MAX);
        let kept = Kept { place, hash: offered.hash.to_string(), size, received: wall_clock(), activated: None };
        let text = format!("{}: bundle {} is ready to be activated, brought by {user}", self.d.from_file.name, kept.version());
        let life = self.d.models.life.offered(kept);
        self.durable(Record::PutBlob { key: self.bundle_key(place), value: offered.bytes }).await?;
        self.keep_life(life).await?;
        self.d.models.candidate = Some(offered.bundle);
        self.show_bundles();
        self.tell(EventKind::Note { text });
        Ok(())
    }

    async fn refuse_candidate(&mut self, why: &str, user: &Arc<str>) {
        let why = &why[..why.floor_char_boundary(MAX_REASON)];
        let life = self.d.models.life.failed(why, wall_clock());
        if let Err(error) = self.keep_life(life.clone()).await {
            tracing::warn!("that a bundle was refused cannot be kept: {error}");
            self.put_life(life);
        }
        self.d.models.candidate = None;
        self.show_bundles();
        self.tell(EventKind::Note { text: format!("{}: a bundle brought by {user} is refused: {why}", self.d.from_file.name) });
    }

    /// Somebody has acknowledged the bit of a model that fails.
    pub(super) async fn see_failure(&mut self) {
        if self.d.models.life.is_failing() {
            let seen = self.d.models.life.seen();
            if let Err(error) = self.keep_life(seen).await {
                tracing::warn!("an acknowledgement cannot be kept: {error}");
            }
        }
    }

    pub(super) async fn change_model(&mut self, command: &Command, via: Via, user: &Arc<str>) -> Result<Answer, Refusal> {
        let now = wall_clock();
        match command {
            Command::ActivateModel { model, version, hash, comment } => {
                let timeout = self.confirmation_timeout(model)?;
                // A screen has no place for a hash.
                let hash = Some(&**hash).filter(|_| via != Via::Variables);
                let (life, exchanged) = self.d.models.life.activated(version, hash, (now, user), now.plus(timeout))?;
                let bundle = self.d.models.candidate.clone();
                self.exchange(life, &exchanged, bundle, &Told { word: "activated", comment, user }).await?;
                let text = format!("{} is active; confirm it within {} s", exchanged.new, timeout.as_secs());
                Ok(Answer { outputs: Vec::new(), text, old: exchanged.old, new: exchanged.new })
            }
            Command::ConfirmModel { model, comment } => {
                self.confirmation_timeout(model)?;
                let life = self.d.models.life.confirmed()?;
                let active = life.active.clone();
                self.keep_life(life).await.map_err(|why| not_stored(&why))?;
                self.show_bundles();
                let (version, hash) = active.map_or_else(Default::default, |k| (k.version().to_string(), k.hash));
                let exchanged = Exchanged { old: version.clone(), new: version, hash };
                self.tell_of(&exchanged, &Told { word: "confirmed", comment, user });
                Ok(Answer { text: format!("{} is confirmed", exchanged.new), ..Answer::default() })
            }
            Command::RollbackModel { model, reason } => {
                self.confirmation_timeout(model)?;
                let kept = said("rolled back", reason);
                let (life, exchanged) = self.d.models.life.rolled_back(&kept, (now, user))?;
                let bundle = self.d.models.fallback.clone();
                self.exchange(life, &exchanged, bundle, &Told { word: "rolled back", comment: reason, user }).await?;
                let text = match exchanged.new.as_str() {
                    "" => "no model is active".into(),
                    version => format!("{version} is active again"),
                };
                let outputs = vec![Scalar::Text(exchanged.new.as_str().into())];
                Ok(Answer { outputs, text, old: exchanged.old, new: exchanged.new })
            }
            other => Err(Refusal::NotSupported(format!("{} is not for a model", other.name()))),
        }
    }

    /// At each tick: what nobody has confirmed in time goes back, also where that cannot be stored.
    pub(super) async fn roll_back_if_overdue(&mut self) {
        let now = wall_clock();
        if !self.d.models.life.is_overdue(now) {
            return;
        }
        let told = Told { word: "not confirmed in time", comment: "", user: &"".into() };
        let Ok((life, exchanged)) = self.d.models.life.rolled_back(told.word, (now, "")) else { return };
        let bundle = self.d.models.fallback.clone();
        match self.next_core(&life, bundle) {
            Ok((core, stored)) => {
                if let Err(why) = self.keep_exchange(&life, &core, stored).await {
                    tracing::error!("the roll-back cannot be stored: {why}; after a restart it is done again");
                }
                self.put_in_force(life, core, &exchanged, &told);
            }
            Err(why) => {
                // The old bundle fitted when it was replaced: this cannot be, but must not be tried for ever.
                tracing::error!("{}: the fallback cannot be restored: {why}", self.d.from_file.name);
                self.put_life(self.d.models.life.kept_on());
                self.show_bundles();
            }
        }
    }

    async fn exchange(
        &mut self,
        life: BundleLife,
        exchanged: &Exchanged,
        bundle: Option<Arc<Bundle>>,
        told: &Told<'_>,
    ) -> Result<(), Refusal> {
        let (core, stored) = self.next_core(&life, bundle).map_err(Refusal::InvalidState)?;
        if let Err(why) = self.keep_exchange(&life, &core, stored).await {
            // It may have been stored all the same: that would be the old one again.
            self.record(self.life_record(&self.d.models.life).into_iter().collect());
            return Err(not_stored(&why));
        }
        self.put_in_force(life, core, exchanged, told);
        Ok(())
    }

    /// The machine with another bundle, and the bundle's bytes where its regimes had to be put in order.
    fn next_core(&self, life: &BundleLife, bundle: Option<Arc<Bundle>>) -> Result<(MachineCore, Option<Record>), String> {
        tokio::task::block_in_place(|| {
            let (mut bundle, mut stored) = (bundle, None);
            let kept = life.active.as_ref();
            let mut hash: Arc<str> = kept.map_or("", |k| &k.hash).into();
            if life.active.is_some() && bundle.is_none() {
                return Err("the bundle is not there any more; upload it again".into());
            }
            let arranged = bundle.as_ref().zip(self.d.core.bundle()).and_then(|(new, old)| new.in_order_of(old));
            if let (Some(mut arranged), Some(kept)) = (arranged, kept) {
                if arranged.provenance.base.is_empty() {
                    arranged.provenance.base.clone_from(&kept.hash);
                }
                let (bytes, changed) = bundle::encode(&arranged).map_err(|e| e.to_string())?;
                hash = changed.into();
                stored = Some(Record::PutBlob { key: self.bundle_key(kept.place), value: bytes.into() });
                bundle = Some(Arc::new(arranged));
            }
            let core = self.d.core.successor(bundle, hash).map_err(|e| e.to_string())?;
            Ok((core, stored))
        })
    }

    /// On disk, in the order in which a crash does no harm.
    async fn keep_exchange(&self, life: &BundleLife, core: &MachineCore, bundle: Option<Record>) -> Result<(), String> {
        let state = postcard::to_stdvec(&core.state()).map_err(|e| e.to_string())?;
        let key = keys::state(&self.d.from_file.name, life.generation);
        let life = self.life_record(life).ok_or("the state of the models cannot be written")?;
        for record in bundle.into_iter().chain([Record::PutBlob { key, value: state.into() }, life]) {
            self.durable(record).await?;
        }
        Ok(())
    }

    fn put_in_force(&mut self, life: BundleLife, core: MachineCore, exchanged: &Exchanged, told: &Told<'_>) {
        let old = std::mem::replace(&mut self.d.core, core);
        let (was, is) = (old.bundle().cloned(), self.d.core.bundle().cloned());
        self.d.bundle_hash = is.map(|_| self.d.core.bundle_hash().clone());
        let models = &mut self.d.models;
        // The one that was active is what one can go back to, or what was taken back.
        let place = models.life.active.as_ref().map(|kept| kept.place);
        models.candidate = match life.candidate.kept().map(|kept| kept.place) {
            None => None,
            wanted if wanted == place => was.clone(),
            Some(_) => models.candidate.take(),
        };
        models.fallback = was.filter(|_| life.fallback.is_some());
        let generation = models.life.generation;
        self.put_life(life);
        self.record(vec![Record::Remove { key: keys::state(&self.d.from_file.name, generation) }]);
        self.changed = true;
        self.show_bundles();
        self.tell_of(exchanged, told);
    }

    fn tell_of(&mut self, exchanged: &Exchanged, told: &Told<'_>) {
        self.tell(EventKind::ModelChanged {
            old: exchanged.old.as_str().into(),
            new: exchanged.new.as_str().into(),
            hash: exchanged.hash.as_str().into(),
            reason: said(told.word, told.comment),
            user: told.user.clone(),
        });
    }

    /// Stores another life, then it counts.
    async fn keep_life(&mut self, life: BundleLife) -> Result<(), String> {
        let record = self.life_record(&life).ok_or("the state of the models cannot be written")?;
        self.durable(record).await?;
        self.put_life(life);
        Ok(())
    }

    /// Another life counts from now on; what it does not name any more is removed.
    fn put_life(&mut self, life: BundleLife) {
        let old = std::mem::replace(&mut self.d.models.life, life);
        let life = &self.d.models.life;
        let gone = old.places().filter(|place| life.places().all(|kept| kept != *place));
        let gone: Vec<Record> = gone.map(|place| Record::Remove { key: self.bundle_key(place) }).collect();
        self.record(gone);
    }

    pub(super) fn life_record(&self, life: &BundleLife) -> Option<Record> {
        Some(Record::Put { key: keys::life(&self.d.from_file.name), value: serde_json::to_vec(life).ok()? })
    }

    fn bundle_key(&self, place: u32) -> String {
        keys::bundle(&self.d.from_file.name, place)
    }

    /// Where the active bundle lies.
    pub(super) fn active_key(&self) -> String {
        self.bundle_key(self.d.models.life.active.as_ref().map_or(0, |kept| kept.place))
    }

    /// All models of a machine are in one bundle; an empty name means any of them.
    fn confirmation_timeout(&self, model: &str) -> Result<Duration, Refusal> {
        let models = &self.d.core.config().models;
        let named = if model.is_empty() { models.first() } else { models.iter().find(|m| *m.name == *model) };
        named.map(|m| m.confirmation_timeout).ok_or_else(|| {
            let known: Vec<&str> = models.iter().map(|m| &*m.name).collect();
            Refusal::OutOfRange(format!("no model `{}`; there are {}", &model[..model.floor_char_boundary(80)], known.join(", ")))
        })
    }

    /// What nodes show of the bundles.
    pub(super) fn show_bundles(&mut self) {
        let (core, models) = (&self.d.core, &self.d.models);
        let hash = self.d.bundle_hash.clone();
        self.beside.bundle = describe(core.bundle(), hash.as_ref());
        self.beside.bundle_hash = hash.unwrap_or_else(|| "".into());
        self.beside.delays = delays(&self.d.from_file, core.bundle());
        let bundles = [core.bundle(), models.candidate.as_ref(), models.fallback.as_ref()].map(|b| b.map(|b| &**b));
        self.beside.slots = ModelSlots::of(&models.life, bundles, core.config());
    }
}

/// What was done, and why.
fn said(word: &str, comment: &str) -> String {
    let comment = &comment[..comment.floor_char_boundary(MAX_REASON)];
    if comment.is_empty() { word.into() } else { format!("{word}: {comment}") }
}
