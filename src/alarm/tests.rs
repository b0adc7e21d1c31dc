use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::types::{DriftStatus, RegimeReport, RegimeState, SourceState, Timestamp};

const DRIFT: &str = "M.Drift.DataDrift.DriftAlarm";
const FAULT: &str = "M.Models.A.Inference.FaultDetectedAlarm";
const SOURCE: &str = "Gateway.Sources.P.SourceDownAlarm";

fn specs() -> Vec<Arc<AlarmSpec>> {
    let mut layout = AlarmLayout::default();
    layout.machine(0, "M", [("A", false)].into_iter());
    layout.machine(1, "N", [("A", true)].into_iter());
    layout.source("P", vec![0, 1]);
    layout.finish()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_nanos(second * 1_000_000_000)
}

/// For comparison: a number that is not known equals none.
fn text(state: &AlarmState) -> String {
    format!("{state:?}")
}

/// Alarms with a hand on the clock.
struct Bench {
    alarms: Alarms,
    second: i64,
}

impl Bench {
    fn new() -> Self {
        Self { alarms: Alarms::new(&specs(), at(0)), second: 0 }
    }

    fn observe(&mut self, path: &str, reading: Reading) -> bool {
        self.second += 1;
        let index = self.alarms.all().iter().position(|a| &*a.spec.path == path).unwrap();
        self.alarms.observe(index, reading, at(self.second)).is_some()
    }

    fn drift(&mut self, status: DriftStatus) -> bool {
        self.observe(DRIFT, drift("M DataDrift", status, None, Detail::default()))
    }

    fn comment(&mut self, text: &str) -> Comment {
        self.second += 1;
        Comment { text: text.into(), locale: "en".into(), user: "anna".into(), time: at(self.second) }
    }

    fn acknowledge(&mut self, path: &str, event: EventId) -> Result<(), AlarmError> {
        let comment = self.comment("seen");
        self.alarms.acknowledge(path, &event, comment).map(|_| ())
    }

    fn state(&self, path: &str) -> &AlarmState {
        &self.alarms.find(path).unwrap().state
    }

    fn words(&self) -> Words {
        self.alarms.words(Scope::Machine(0), 0)
    }
}

#[test]
fn ids_are_the_published_ones() {
    let paths: Vec<String> = specs().iter().map(|s| s.path.to_string()).collect();
    assert_eq!(
        paths,
        [
            DRIFT,
            "M.Models.A.PredictionDrift.DriftAlarm",
            FAULT,
            "M.Regimes.OutOfEnvelopeAlarm",
            "N.Drift.DataDrift.DriftAlarm",
            "N.Models.A.PredictionDrift.DriftAlarm",
            "N.Models.A.PerformanceDrift.DriftAlarm",
            "N.Models.A.Inference.FaultDetectedAlarm",
            "N.Regimes.OutOfEnvelopeAlarm",
            SOURCE,
            "Gateway.GatewayAlarm",
        ]
    );
}

#[test]
fn an_id_that_told_of_something_as_bad_stays_valid_until_it_is_used() {
    let mut b = Bench::new();
    b.drift(DriftStatus::Warning);
    let warning = b.state(DRIFT).event_id;
    b.drift(DriftStatus::Drift);
    let drift = b.state(DRIFT).event_id;
    // Over and back again, before the operator's answer has arrived: nothing is worse than what was seen.
    b.drift(DriftStatus::OK);
    b.drift(DriftStatus::Warning);
    b.drift(DriftStatus::Drift);
    assert_eq!(b.acknowledge(DRIFT, warning), Err(AlarmError::EventUnknown), "a warning does not tell of a drift");
    assert_eq!(b.acknowledge(DRIFT, drift), Ok(()));
    // What comes after an acknowledgement is new.
    b.drift(DriftStatus::OK);
    b.drift(DriftStatus::Drift);
    assert_eq!(b.acknowledge(DRIFT, drift), Err(AlarmError::EventUnknown));
}

#[test]
fn a_drift_becomes_worse_is_seen_and_ends() {
    let mut b = Bench::new();
    assert!(b.drift(DriftStatus::Warning));
    let warning = b.state(DRIFT).event_id;
    assert_eq!((b.state(DRIFT).severity, b.state(DRIFT).acked, b.words().active, b.words().unacked), (400, false, 1, 1));
    assert_eq!(b.acknowledge(DRIFT, warning), Ok(()));
    assert!(b.state(DRIFT).retain(), "active");
    // Worse: to be seen again, and not by the event of the warning.
    assert!(b.drift(DriftStatus::Drift));
    let s = b.state(DRIFT);
    assert_eq!((s.severity, s.last_severity, s.acked, s.active), (600, 400, false, true));
    assert_eq!(s.active_changed, at(1));
    assert_eq!((b.words().active, b.words().unacked, b.words().highest), (2, 2, 600));
    assert_eq!(b.acknowledge(DRIFT, warning), Err(AlarmError::EventUnknown));
    assert!(b.drift(DriftStatus::OK));
    assert!(b.state(DRIFT).retain(), "over, but nobody has seen it");
    assert_eq!((b.words().active, b.words().unacked, b.words().any_active()), (0, 2, false));
    let over = b.state(DRIFT).event_id;
    assert_eq!(b.acknowledge(DRIFT, over), Ok(()));
    assert!(!b.state(DRIFT).retain());
    assert_eq!(b.acknowledge(DRIFT, over), Err(AlarmError::EventUnknown).or(Err(AlarmError::AlreadyAcknowledged)));
    assert_eq!((b.state(DRIFT).comment.text.as_str(), b.state(DRIFT).comment.user.as_str()), ("seen", "anna"));
}

#[test]
fn the_same_again_and_what_is_not_evaluated_are_no_news() {
    let mut b = Bench::new();
    assert!(!b.drift(DriftStatus::OK));
    assert!(b.drift(DriftStatus::Drift));
    let before = b.alarms.clone();
    for status in [DriftStatus::Drift, DriftStatus::NotEvaluated, DriftStatus::Suspended, DriftStatus::Error, DriftStatus::Drift] {
        assert!(!b.drift(status), "{status}");
    }
    assert_eq!(text(&before.find(DRIFT).unwrap().state), text(b.state(DRIFT)));
    // Less bad: news, but nothing new to be seen.
    let event = b.state(DRIFT).event_id;
    b.acknowledge(DRIFT, event).unwrap();
    assert!(b.drift(DriftStatus::Warning));
    assert!(b.state(DRIFT).acked);
    assert!(b.drift(DriftStatus::Learning), "a new reference ends it");
    assert!(!b.state(DRIFT).active);
}

#[test]
fn an_event_is_known_until_it_becomes_worse() {
    let mut b = Bench::new();
    b.drift(DriftStatus::Drift);
    let first = b.state(DRIFT).event_id;
    assert_eq!(b.alarms.comment(DRIFT, &EventId::default(), Comment::default()).map(|_| ()), Err(AlarmError::EventUnknown));
    for n in 0..3 {
        let comment = b.comment(&format!("note {n}"));
        b.alarms.comment(DRIFT, &first, comment).unwrap();
    }
    assert!(!b.state(DRIFT).acked, "a comment is no acknowledgement");
    assert_eq!(b.acknowledge(DRIFT, first), Ok(()), "a comment of somebody else does not stand in the way");
    assert_eq!(b.acknowledge(DRIFT, first), Err(AlarmError::AlreadyAcknowledged));
    assert_eq!(b.acknowledge("M.Nothing", first), Err(AlarmError::Unknown));
    let empty = Comment { text: String::new(), user: "otto".into(), ..Comment::default() };
    b.alarms.comment(DRIFT, &first, empty).unwrap();
    assert_eq!((b.state(DRIFT).comment.text.as_str(), b.state(DRIFT).comment.user.as_str()), ("seen", "otto"));
}

#[test]
fn words_and_alarms_are_one_state() {
    let mut b = Bench::new();
    b.drift(DriftStatus::Drift);
    b.observe(FAULT, fault("M A", true, None, Detail::default()));
    b.observe(SOURCE, source_down("source P", SourceState::Down, "refused", at(0)));
    let words = b.words();
    assert_eq!((words.active, words.unacked, words.count, words.highest), (0b10_1010, 0b1010, 3, 800));
    assert_eq!(b.alarms.words(Scope::Machine(1), BUFFER_READY).active, 0b1010_0000, "the source is also the other machine's");
    assert!(words.text.contains("refused"), "{}", words.text);
    let comment = b.comment("");
    assert_eq!(b.alarms.acknowledge_all(Scope::Machine(1), u16::MAX, &comment), Vec::<Arc<str>>::new());
    assert_eq!(b.alarms.acknowledge_all(Scope::Machine(0), 1 << 3, &comment), [Arc::from(FAULT)]);
    assert!(b.state(FAULT).acked && !b.state(DRIFT).acked);
    assert_eq!(b.words().unacked, 0b10);
    assert_eq!(b.alarms.acknowledge_all(Scope::Gateway, u16::MAX, &comment), [Arc::from(DRIFT)]);
    assert_eq!(b.words().unacked, 0);
}

#[test]
fn a_source_that_is_tried_again_stays_down() {
    let mut b = Bench::new();
    let reading = |state| source_down("source P", state, "", at(0));
    assert!(!b.observe(SOURCE, reading(SourceState::Connecting)));
    assert!(b.observe(SOURCE, reading(SourceState::Down)));
    for state in [SourceState::Connecting, SourceState::Down, SourceState::Connecting, SourceState::Stale] {
        assert!(!b.observe(SOURCE, reading(state)), "{state}");
    }
    assert!(b.state(SOURCE).acked, "acknowledged by itself");
    assert!(b.observe(SOURCE, reading(SourceState::Connected)));
    assert!(!b.state(SOURCE).retain());
}

#[test]
fn settings_on_their_way_change_nothing() {
    let regime = |state| RegimeReport { state, slot: None, key: "V=9".into(), since: at(0), distance: 4.0 };
    let active = |state| matches!(envelope("M", &regime(state)), Reading::Active { severity: 300, .. });
    assert!(active(RegimeState::OutOfEnvelope));
    assert_eq!(envelope("M", &regime(RegimeState::Transient)), Reading::Hold);
    assert!(matches!(envelope("M", &regime(RegimeState::NotProducing)), Reading::Normal { .. }));
}

#[test]
fn a_disabled_alarm_is_silent_and_says_what_holds_when_enabled() {
    let mut b = Bench::new();
    b.drift(DriftStatus::Drift);
    let event = b.state(DRIFT).event_id;
    let state = b.alarms.enable(DRIFT, false, at(50)).unwrap().state.clone();
    assert!(!state.retain() && !state.active && !state.enabled);
    assert_eq!(b.alarms.enable(DRIFT, false, at(51)).map(|_| ()), Err(AlarmError::AlreadyDisabled));
    assert_eq!(b.acknowledge(DRIFT, event), Err(AlarmError::Disabled));
    assert!(!b.drift(DriftStatus::OK) && !b.drift(DriftStatus::Warning));
    assert_eq!(b.words().active, 0);
    let state = &b.alarms.enable(DRIFT, true, at(60)).unwrap().state;
    assert_eq!((state.active, state.severity, state.acked), (true, 400, false));
    assert_eq!(b.alarms.enable(DRIFT, true, at(61)).map(|_| ()), Err(AlarmError::AlreadyEnabled));
}

#[test]
fn what_was_not_seen_is_not_seen_after_a_restart() {
    let mut b = Bench::new();
    b.drift(DriftStatus::Drift);
    b.observe(FAULT, fault("M A", true, None, Detail::default()));
    b.observe(FAULT, fault("M A", false, None, Detail::default()));
    let (event, kept) = (b.state(FAULT).event_id, b.alarms.keep());
    let mut again = Bench { alarms: Alarms::new(&specs(), at(1_000)), second: 1_000 };
    again.alarms.restore(kept);
    assert_eq!(text(again.state(FAULT)), text(b.state(FAULT)));
    assert_eq!(again.words(), b.words());
    assert!(!again.drift(DriftStatus::Drift), "no news after a restart");
    assert_eq!(again.acknowledge(FAULT, event), Ok(()), "by the event that was sent before");
}

#[test]
fn whatever_happens_the_state_makes_sense() {
    // A small generator of its own: the same steps at each run.
    let mut seed = 7u64;
    let mut next = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut b = Bench::new();
    let mut ids = HashSet::new();
    for _ in 0..5_000 {
        let before = b.state(DRIFT).clone();
        let news = match next(10) {
            0..=5 => b.drift(DriftStatus::ALL[next(7) as usize]),
            6 => b.acknowledge(DRIFT, before.event_id).is_ok(),
            7 => {
                let comment = b.comment("x");
                !b.alarms.acknowledge_all(Scope::Machine(0), next(16) as u16, &comment).is_empty()
            }
            8 => b.alarms.enable(DRIFT, next(2) == 0, at(b.second)).is_ok(),
            _ => {
                let comment = b.comment("x");
                b.alarms.comment(DRIFT, &before.event_id, comment).is_ok()
            }
        };
        let s = b.state(DRIFT);
        assert_eq!(news, s.event_id != before.event_id, "an event for each change, and none without");
        assert!(news || text(s) == text(&before));
        if news {
            assert!(ids.insert(s.event_id), "no id twice");
        }
        assert!(s.enabled || !s.retain());
        assert!([400, 600].contains(&s.severity));
        let words = b.words();
        assert_eq!(words.unacked != 0, s.enabled && !s.acked);
        assert_eq!(words.active, if s.active { if s.severity == 600 { 2 } else { 1 } } else { 0 });
    }
}
