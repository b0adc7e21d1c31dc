//! Which bundle of a machine is active, which one waits to be, and which one is kept to fall back to. Pure: times come in, bytes lie
//! elsewhere.
//!
//! ```text
//!            offer                activate                    confirm
//!  (upload) ───────▶ Candidate ────────────▶ awaits ──────────────────────▶ active, the old one stays as Fallback
//!     │ unfit           ▲                       │ roll back, or nobody confirms in time
//!     ▼                 └──── RolledBack ◀──────┘ the Fallback is active again
//!   Failed
//! ```
//! A change gives another [`BundleLife`]: it is stored first, then takes effect.

use serde::{Deserialize, Serialize};

use crate::types::{CommandCode, Refusal, Timestamp};

/// Digits of a hash that make a version.
const VERSION_DIGITS: usize = 12;

/// A bundle that is kept, and what is known of it without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Number of the place where it lies; 0 is the place of a machine that has only ever had one.
    pub place: u32,
    /// SHA-256 of the bundle as it was brought, hex.
    pub hash: String,
    /// Bytes, as it was brought.
    pub size: u32,
    /// When it came to the gateway.
    pub received: Timestamp,
    /// When it was activated, and by whom.
    #[serde(default)]
    pub activated: Option<(Timestamp, String)>,
}

impl Kept {
    /// What people call it: the first digits of its hash.
    pub fn version(&self) -> &str {
        self.hash.get(..VERSION_DIGITS).unwrap_or(&self.hash)
    }
}

/// The bundle that came last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Candidate {
    #[default]
    Empty,
    /// It has passed its checks.
    Ready(Kept),
    /// It was active, and was taken back.
    RolledBack { kept: Kept, reason: String },
    /// It did not pass its checks, and was not kept.
    Failed { reason: String, time: Timestamp, seen: bool },
}

impl Candidate {
    /// The bundle, where it could be activated.
    pub fn kept(&self) -> Option<&Kept> {
        match self {
            Self::Ready(kept) | Self::RolledBack { kept, .. } => Some(kept),
            Self::Empty | Self::Failed { .. } => None,
        }
    }
}

/// The bundles of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleLife {
    /// Places given so far.
    places: u32,
    /// Exchanges so far: what a machine remembers of its rows belongs to one of them.
    pub generation: u32,
    pub active: Option<Kept>,
    /// What was active before.
    pub fallback: Option<Kept>,
    pub candidate: Candidate,
    /// Until when the active one has to be confirmed.
    pub until: Option<Timestamp>,
}

/// A change of versions, for those who want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// Versions; empty where there was, or is, no bundle.
    pub old: String,
    pub new: String,
    /// SHA-256 of the new one, hex.
    pub hash: String,
}

impl BundleLife {
    /// Of a machine that has had one bundle, or none.
    pub fn new(active: Option<Kept>) -> Self {
        Self { active, ..Self::default() }
    }

    /// The place for a bundle that comes next.
    pub fn next_place(&self) -> u32 {
        self.places + 1
    }

    /// Places in use.
    pub fn places(&self) -> impl Iterator<Item = u32> + '_ {
        let kept = [self.active.as_ref(), self.fallback.as_ref(), self.candidate.kept()];
        kept.into_iter().flatten().map(|kept| kept.place)
    }

    /// With a bundle that has passed its checks; it lies at its place already.
    pub fn offered(&self, kept: Kept) -> Self {
        Self { places: self.places.max(kept.place), candidate: Candidate::Ready(kept), ..self.clone() }
    }

    /// With one that has not.
    pub fn failed(&self, reason: &str, time: Timestamp) -> Self {
        Self { candidate: Candidate::Failed { reason: reason.into(), time, seen: false }, ..self.clone() }
    }

    /// Somebody has acknowledged that a bundle failed its checks.
    pub fn seen(&self) -> Self {
        let mut life = self.clone();
        if let Candidate::Failed { seen, .. } = &mut life.candidate {
            *seen = true;
        }
        life
    }

    /// With the candidate active, to be confirmed until a time.
    ///
    /// # Errors
    /// There is no candidate, it is another one than is meant, or an activation awaits its confirmation. `hash` is `None` where only a
    /// version can be said.
    pub fn activated(
        &self,
        version: &str,
        hash: Option<&str>,
        who: (Timestamp, &str),
        until: Timestamp,
    ) -> Result<(Self, Exchanged), Refusal> {
        let kept = match &self.candidate {
            _ if self.until.is_some() => return invalid("an activation awaits its confirmation; confirm it or roll it back first"),
            Candidate::Empty => return invalid("there is no candidate; upload a bundle first"),
            Candidate::Failed { reason, .. } => return invalid(format!("the candidate has failed its checks: {reason}")),
            Candidate::Ready(kept) | Candidate::RolledBack { kept, .. } => kept,
        };
        if version != kept.version() {
            let text = format!("the candidate has the version `{}`, not `{}`", kept.version(), shortened(version));
            return Err(Refusal::Argument { index: 0, text });
        }
        if let Some(hash) = hash.filter(|hash| !hash.eq_ignore_ascii_case(&kept.hash)) {
            let text = format!("the candidate has the hash `{}`, not `{}`", kept.hash, shortened(hash));
            return Err(Refusal::Argument { index: 1, text });
        }
        let active = Kept { activated: Some((who.0, who.1.into())), ..kept.clone() };
        let life = Self {
            generation: self.generation + 1,
            fallback: self.active.clone(),
            active: Some(active),
            candidate: Candidate::Empty,
            until: Some(until),
            ..self.clone()
        };
        let exchanged = life.since(self);
        Ok((life, exchanged))
    }

    /// With the active one confirmed.
    ///
    /// # Errors
    /// Nothing awaits a confirmation.
    pub fn confirmed(&self) -> Result<Self, Refusal> {
        match self.until {
            Some(_) => Ok(Self { until: None, ..self.clone() }),
            None => invalid("no activation awaits a confirmation"),
        }
    }

    /// With the active one left as it is, although nobody has confirmed it.
    pub fn kept_on(&self) -> Self {
        Self { until: None, ..self.clone() }
    }

    /// With the fallback active again, and the active one as a candidate that was taken back, where no newer one is there.
    ///
    /// # Errors
    /// There is nothing to fall back to.
    pub fn rolled_back(&self, reason: &str, who: (Timestamp, &str)) -> Result<(Self, Exchanged), Refusal> {
        if !self.can_roll_back() {
            return invalid("there is no fallback");
        }
        let candidate = match (&self.candidate, self.active.clone()) {
            // It came since, and is what people want next.
            (ready @ Candidate::Ready(_), _) => ready.clone(),
            (_, Some(kept)) => Candidate::RolledBack { kept: Kept { activated: None, ..kept }, reason: reason.into() },
            (_, None) => Candidate::Empty,
        };
        let active = self.fallback.clone().map(|kept| Kept { activated: Some((who.0, who.1.into())), ..kept });
        let life = Self { generation: self.generation + 1, active, fallback: None, candidate, until: None, ..self.clone() };
        let exchanged = life.since(self);
        Ok((life, exchanged))
    }

    /// The active one was learned at the machine.
    pub fn learned(&self, hash: &str, size: u32, time: Timestamp) -> Self {
        let place = self.active.as_ref().map_or(0, |kept| kept.place);
        let kept = Kept { place, hash: hash.into(), size, received: time, activated: Some((time, String::new())) };
        Self { active: Some(kept), ..self.clone() }
    }

    /// Whether nobody has confirmed in time.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now >= until)
    }

    /// Whether there is something to go back to: also a machine without a bundle, which learns again.
    pub fn can_roll_back(&self) -> bool {
        self.until.is_some() || self.fallback.is_some()
    }

    /// Seconds that are left to confirm; 0 where nothing awaits it.
    pub fn remaining(&self, now: Timestamp) -> f64 {
        self.until.filter(|until| *until > now).map_or(0.0, |until| until.since(now).as_secs_f64().ceil())
    }

    /// Whether a bundle has failed its checks, and nobody has acknowledged it yet.
    pub fn is_failing(&self) -> bool {
        matches!(self.candidate, Candidate::Failed { seen: false, .. })
    }

    /// The codes that are possible now, a bit each.
    pub fn allowed(&self) -> u32 {
        let possible = [
            (CommandCode::ActivateCandidate, self.candidate.kept().is_some() && self.until.is_none()),
            (CommandCode::ConfirmModel, self.until.is_some()),
            (CommandCode::RollbackModel, self.can_roll_back()),
        ];
        possible.iter().filter(|(_, possible)| *possible).fold(0, |bits, (code, _)| bits | code.bit())
    }

    fn since(&self, before: &Self) -> Exchanged {
        let version = |life: &Self| life.active.as_ref().map_or("", |kept| kept.version()).to_string();
        Exchanged { old: version(before), new: version(self), hash: self.active.as_ref().map_or_else(String::new, |k| k.hash.clone()) }
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::InvalidState(why.into()))
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(place: u32) -> Kept {
        let hash = format!("{place:064x}").chars().rev().collect();
        Kept { place, hash, size: 100, received: at(1.0), activated: None }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_secs_f64(seconds)
    }

    fn activated(life: &BundleLife) -> (BundleLife, Exchanged) {
        let candidate = life.candidate.kept().unwrap().clone();
        life.activated(candidate.version(), Some(&candidate.hash), (at(10.0), "eva"), at(70.0)).unwrap()
    }

    fn bits(codes: &[CommandCode]) -> u32 {
        codes.iter().fold(0, |bits, code| bits | code.bit())
    }

    #[test]
    fn a_candidate_becomes_active_and_the_old_one_is_kept() {
        let life = BundleLife::new(Some(kept(0)));
        assert_eq!((life.next_place(), life.allowed()), (1, 0));
        let life = life.offered(kept(1));
        assert_eq!((life.next_place(), life.allowed()), (2, bits(&[CommandCode::ActivateCandidate])));
        let (life, exchanged) = activated(&life);
        assert_eq!((exchanged.old.as_str(), exchanged.new.as_str()), (kept(0).version(), kept(1).version()));
        assert_eq!(exchanged.hash, kept(1).hash);
        assert_eq!((life.active.as_ref().unwrap().place, life.fallback.as_ref().unwrap().place), (1, 0));
        assert_eq!(life.active.as_ref().unwrap().activated, Some((at(10.0), "eva".into())));
        assert_eq!((life.candidate.clone(), life.generation), (Candidate::Empty, 1));
        assert_eq!(life.allowed(), bits(&[CommandCode::ConfirmModel, CommandCode::RollbackModel]));
        assert_eq!((life.remaining(at(10.5)), life.remaining(at(70.0)), life.remaining(at(99.0))), (60.0, 0.0, 0.0));
        let life = life.confirmed().unwrap();
        assert_eq!((life.remaining(at(20.0)), life.is_overdue(at(99.0))), (0.0, false));
        assert_eq!(life.allowed(), bits(&[CommandCode::RollbackModel]), "the old one is still there");
        assert!(matches!(life.confirmed(), Err(Refusal::InvalidState(_))));
    }

    #[test]
    fn another_one_than_is_meant_is_refused() {
        let life = BundleLife::new(Some(kept(0))).offered(kept(1));
        let (version, hash) = (kept(1).version().to_string(), kept(1).hash);
        let activate = |version: &str, hash: Option<&str>| life.activated(version, hash, (at(10.0), "eva"), at(70.0));
        assert!(matches!(activate("", None), Err(Refusal::Argument { index: 0, .. })));
        assert!(matches!(activate(kept(0).version(), Some(&hash)), Err(Refusal::Argument { index: 0, .. })));
        assert!(matches!(activate(&version, Some("")), Err(Refusal::Argument { index: 1, .. })));
        assert!(matches!(activate(&version, Some(&kept(0).hash)), Err(Refusal::Argument { index: 1, .. })));
        assert!(activate(&version, Some(&hash.to_uppercase())).is_ok());
        assert!(activate(&version, None).is_ok(), "a screen says the version alone");
    }

    #[test]
    fn nothing_else_is_activated_while_one_awaits() {
        let (life, _) = activated(&BundleLife::new(Some(kept(0))).offered(kept(1)));
        let life = life.offered(kept(2));
        let refused = life.activated(kept(2).version(), None, (at(11.0), "eva"), at(71.0));
        assert!(matches!(refused, Err(Refusal::InvalidState(_))));
        assert_eq!(life.places().collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!(activated(&life.confirmed().unwrap()).0.fallback.unwrap().place, 1);
        let (back, _) = life.rolled_back("", (at(20.0), "eva")).unwrap();
        assert_eq!((back.active.unwrap().place, back.candidate), (0, Candidate::Ready(kept(2))), "the newest one stays");
    }

    #[test]
    fn what_is_not_confirmed_goes_back() {
        let (life, _) = activated(&BundleLife::new(Some(kept(0))).offered(kept(1)));
        assert_eq!((life.is_overdue(at(69.9)), life.is_overdue(at(70.0))), (false, true));
        let (life, exchanged) = life.rolled_back("not confirmed in time", (at(70.0), "")).unwrap();
        assert_eq!((exchanged.old.as_str(), exchanged.new.as_str()), (kept(1).version(), kept(0).version()));
        assert_eq!((life.active.as_ref().unwrap().place, &life.fallback, life.until, life.generation), (0, &None, None, 2));
        assert!(matches!(&life.candidate, Candidate::RolledBack { kept, .. } if kept.place == 1));
        assert!(matches!(life.rolled_back("again", (at(71.0), "eva")), Err(Refusal::InvalidState(_))));
        let (life, _) = activated(&life);
        assert_eq!(life.active.unwrap().place, 1, "a person may try again");
    }

    #[test]
    fn a_machine_without_a_bundle_can_have_one_and_lose_it_again() {
        let (life, exchanged) = activated(&BundleLife::new(None).offered(kept(1)));
        assert_eq!((exchanged.old.as_str(), life.can_roll_back()), ("", true));
        let (life, exchanged) = life.rolled_back("no good", (at(20.0), "eva")).unwrap();
        assert_eq!((exchanged.new.as_str(), life.active.is_none(), life.can_roll_back()), ("", true, false));
        let life = life.learned("abc", 7, at(30.0));
        assert_eq!(life.active.unwrap().version(), "abc");
    }

    #[test]
    fn a_bundle_that_fails_is_told_of_until_somebody_has_seen_it() {
        let life = BundleLife::new(Some(kept(0))).failed("not a bundle", at(5.0));
        assert!(life.is_failing() && life.allowed() == 0 && life.active.is_some());
        assert!(matches!(life.activated("", None, (at(6.0), "eva"), at(66.0)), Err(Refusal::InvalidState(_))));
        assert!(!life.seen().is_failing());
        assert!(!life.offered(kept(1)).is_failing());
    }

    #[test]
    fn it_comes_back_from_what_is_kept() {
        let (life, _) = activated(&BundleLife::new(Some(kept(0))).offered(kept(1)));
        for life in [life.clone(), life.failed("why", at(1.0)), life.rolled_back("r", (at(2.0), "eva")).unwrap().0] {
            assert_eq!(serde_json::from_slice::<BundleLife>(&serde_json::to_vec(&life).unwrap()).unwrap(), life);
        }
    }
}
