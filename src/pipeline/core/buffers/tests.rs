use super::*;
use DriftStatus::{Drift, OK, Warning};

fn buffers(target_rows: u32, enough: u32) -> Buffers {
    Buffers { machine: "M".into(), target_rows, rows_before: 2, enough, slots: vec![Slot::idle(); SLOTS], recent: vec![VecDeque::new(); 2] }
}

/// States of B01 after each row of regime 0.
fn run(b: &mut Buffers, statuses: &[DriftStatus]) -> Vec<BufferState> {
    let key: Arc<str> = "V=164".into();
    let mut changes = vec![];
    let each = statuses.iter().enumerate().map(|(i, status)| {
        let time = Timestamp::from_nanos(i as i64);
        let row = BufferRow { row: i as u64, time, regime: 0, regime_key: &key, status: *status, reason: BufferReason::DataDrift };
        b.step(&row, &mut changes);
        b.slots[0].state
    });
    each.collect()
}

#[test]
fn collects_from_before_the_warning_and_is_ready_at_the_drift() {
    let mut b = buffers(100, 5);
    let states = run(&mut b, &[OK, OK, OK, Warning, Warning, Drift, Drift]);
    assert_eq!(states[3], BufferState::Collecting);
    assert_eq!(states[5], BufferState::Ready);
    let report = &b.reports()[0];
    assert_eq!((report.rows, report.oldest), (5, Timestamp::from_nanos(1)), "two rows from before");
    assert_eq!(&*report.dataset_id, "M-R01-DataDrift-3");
    assert!(b.release(0) && !b.release(0));
}

#[test]
fn what_was_asked_for_is_collected_to_its_target_without_any_warning() {
    let mut b = buffers(100, 2);
    let key: Arc<str> = "V=164".into();
    let order = Order { row: 7, time: Timestamp::EPOCH, regime: 0, regime_key: &key, target_rows: 3 };
    assert!(b.start_asked(0, &order) && !b.start_asked(0, &order), "taken");
    assert!(!b.acknowledge(0, &"eva".into()), "nothing to fetch yet");
    let states = run(&mut b, &[OK, Drift, OK, OK]);
    assert_eq!(states, [BufferState::Collecting, BufferState::Collecting, BufferState::Ready, BufferState::Ready]);
    assert_eq!((b.slots[0].oldest, b.slots[0].newest), (Timestamp::EPOCH, Timestamp::from_nanos(2)));
    assert_eq!((b.reports()[0].rows, b.reports()[0].target_rows), (3, 3));
    assert!(b.acknowledge(0, &"eva".into()) && !b.acknowledge(0, &"eva".into()));
    assert_eq!(&*b.reports()[0].acknowledged_by, "eva");
    let (kept, extras) = (b.clone(), b.extras());
    let mut again = buffers(100, 2);
    again.restore(&serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap());
    again.restore_extras(&extras);
    assert_eq!(again.reports(), b.reports());
    assert!(b.release(0) && b.start_asked(0, &order) && b.release(0), "what was asked for can be called off");
    // A warning has a buffer of its own beside it.
    assert!(b.start_asked(1, &order));
    run(&mut b, &[Warning, Warning]);
    let rows: Vec<_> = b.reports().iter().map(|r| (r.state, r.reason, r.rows)).collect();
    assert_eq!(rows[0], (BufferState::Collecting, BufferReason::DataDrift, 4));
    assert_eq!(rows[1], (BufferState::Collecting, BufferReason::OperatorRequest, 2));
}

#[test]
fn a_fading_warning_lets_go_and_a_ready_buffer_is_frozen() {
    assert_eq!(run(&mut buffers(100, 5), &[Warning, Warning, OK])[2], BufferState::Idle);
    let mut b = buffers(4, 4);
    let states = run(&mut b, &[Warning, Warning, Warning, Warning, Warning, OK, Warning]);
    assert_eq!(states[3..], vec![BufferState::Ready; 4][..]);
    assert_eq!(b.reports()[0].rows, 4);
}

#[test]
fn an_export_goes_on_or_back() {
    let mut b = buffers(2, 2);
    assert!(!b.start_export(0), "nothing to write");
    assert_eq!(b.unexported().count(), 0);
    run(&mut b, &[Warning, Warning]);
    let id = b.reports()[0].dataset_id.clone();
    assert_eq!(b.unexported().collect::<Vec<_>>(), [(0, id.clone())]);
    let states = |b: &Buffers| (b.slots[0].state, b.reports()[0].trouble.to_string());
    assert!(b.start_export(0) && !b.start_export(0) && !b.release(0) && !b.acknowledge(0, &"eva".into()));
    assert!(b.end_export(0, &id, Err("disk full".into())));
    assert_eq!(states(&b), (BufferState::Ready, "disk full".into()), "nothing is lost");
    assert_eq!(b.unexported().count(), 1, "to be tried again");
    assert!(b.start_export(0));
    let export = ExportReport { file: "f".into(), rows: 2, ..ExportReport::default() };
    assert!(b.end_export(0, &id, Ok(export)));
    assert_eq!(states(&b), (BufferState::Exported, String::new()));
    assert_eq!(b.unexported().count(), 0, "once is enough");
    // Again, and the gateway ends meanwhile.
    assert!(b.start_export(0));
    b.forget_exports();
    assert_eq!(b.slots[0].state, BufferState::Exported);
    assert!(b.acknowledge(0, &"eva".into()) && b.release(0));
    assert!(!b.end_export(0, &id, Ok(ExportReport::default())), "another data set");
    assert_eq!(b.reports()[0].export, None);
}

/// Rows (number, key) outside; states, keys and rows of all slots after them.
fn outside(b: &mut Buffers, rows: impl IntoIterator<Item = (u64, &'static str)>) -> Vec<(BufferState, String, u32)> {
    let mut changes = vec![];
    for (row, key) in rows {
        b.step_outside(row, Timestamp::from_nanos(row as i64), &key.into(), &mut changes);
    }
    b.reports().iter().map(|r| (r.state, r.regime_key.to_string(), r.rows)).collect()
}

#[test]
fn what_was_never_trained_is_collected_over_all_its_visits() {
    let mut b = buffers(5, 3);
    let slots = outside(&mut b, (10..13).map(|r| (r, "V=289")).chain([(20, "V=350"), (30, "V=289")]));
    assert_eq!(slots[3], (BufferState::Collecting, "V=289".into(), 4), "from the last slot on");
    assert_eq!(slots[2], (BufferState::Collecting, "V=350".into(), 1));
    assert_eq!(slots[..2], vec![(BufferState::Idle, String::new(), 0); 2]);
    assert_eq!(outside(&mut b, [(40, "V=400")])[2], (BufferState::Collecting, "V=400".into(), 1), "one row of 350 V was passing");
    assert_eq!(outside(&mut b, [(41, "V=289"), (42, "V=289")])[3], (BufferState::Ready, "V=289".into(), 5), "frozen");
    assert_eq!(b.stretches(3), [(10, 12), (30, 30), (41, 41)]);
    let reports = b.reports();
    assert_eq!((reports[3].reason, &*reports[3].dataset_id), (BufferReason::OutOfEnvelope, "M-OutOfEnvelope-10"));
    assert_eq!((reports[3].oldest, reports[3].newest), (Timestamp::from_nanos(10), Timestamp::from_nanos(41)));
    // A drift takes a free slot, and then that of one that still collects.
    let order = Order { row: 7, time: Timestamp::EPOCH, regime: 1, regime_key: &"V".into(), target_rows: 3 };
    assert!(b.start_asked(0, &order) && b.start_asked(1, &order));
    run(&mut b, &[Warning]);
    let reasons: Vec<_> = b.reports().iter().map(|r| r.reason).collect();
    assert_eq!(reasons[2..], [BufferReason::DataDrift, BufferReason::OutOfEnvelope]);
}

#[test]
fn what_is_learned_is_not_outside_any_more() {
    let mut b = buffers(50, 3);
    outside(&mut b, [(1, "V=289"), (2, "V=350")]);
    b.close_foreign(|key| (key == "V=289").then_some(1));
    let states: Vec<_> = b.reports().iter().map(|r| r.state).collect();
    assert_eq!(states[2..], [BufferState::Collecting, BufferState::Ready]);
    let kept = serde_json::to_string(&b).unwrap();
    let mut again = buffers(50, 3);
    again.restore(&serde_json::from_str(&kept).unwrap());
    again.restore_extras(&b.extras());
    again.restore_stretches(b.all_stretches());
    assert_eq!((again.reports(), again.stretches(2)), (b.reports(), &[(2, 2)][..]));
    assert_eq!(outside(&mut again, [(3, "V=350")])[2].2, 2, "it goes on after a restart");
}

#[test]
fn two_regimes_do_not_share_a_slot() {
    let mut b = buffers(100, 50);
    let key: Arc<str> = "V".into();
    let mut changes = vec![];
    for regime in [0, 1, 0] {
        let time = Timestamp::EPOCH;
        let row = BufferRow { row: 1, time, regime, regime_key: &key, status: Warning, reason: BufferReason::DataDrift };
        b.step(&row, &mut changes);
    }
    assert_eq!(changes.len(), 2);
    assert_eq!((b.slots[0].regime, b.slots[1].regime), (0, 1));
}

#[test]
fn samples_take_a_slot_until_the_next_ones_or_a_drift_need_it() {
    let mut b = buffers(100, 5);
    let mut changes = vec![];
    let sampled = Sampled { rows: 7, oldest: Timestamp::from_nanos(1), newest: Timestamp::from_nanos(9) };
    assert!(b.start_sampled(10, Timestamp::from_nanos(9), &sampled, &mut changes));
    let report = b.reports().swap_remove(3);
    assert_eq!((report.state, report.reason, &*report.dataset_id), (BufferState::Ready, BufferReason::Scheduled, "M-Scheduled-10"));
    assert_eq!((report.rows, report.target_rows, report.oldest), (7, 7, Timestamp::from_nanos(1)));
    assert!(b.holds_samples() && !b.start_sampled(11, Timestamp::EPOCH, &sampled, &mut changes), "not before it is exported");
    b.close_foreign(|_| None);
    assert!(b.start_export(3) && b.holds_samples());
    assert!(b.end_export(3, "M-Scheduled-10", Ok(ExportReport::default())));
    assert!(!b.holds_samples() && b.start_sampled(20, Timestamp::EPOCH, &sampled, &mut changes));
    assert_eq!(&*b.reports()[3].dataset_id, "M-Scheduled-20");
    let told: Vec<_> = changes.iter().map(|c| (c.slot, c.report.state, &*c.report.dataset_id)).collect();
    let [first, second] = ["M-Scheduled-10", "M-Scheduled-20"];
    assert_eq!(told, [(3, BufferState::Ready, first), (3, BufferState::Idle, first), (3, BufferState::Ready, second)]);
    // All others are taken: a drift finds room once the file is there, not before.
    let order = Order { row: 7, time: Timestamp::EPOCH, regime: 1, regime_key: &"V".into(), target_rows: 3 };
    assert!((0..3).all(|k| b.start_asked(k, &order)));
    run(&mut b, &[Warning]);
    assert_eq!(b.reports()[3].reason, BufferReason::Scheduled);
    assert!(b.start_export(3) && b.end_export(3, second, Ok(ExportReport::default())));
    run(&mut b, &[Warning]);
    assert_eq!(b.reports()[3].reason, BufferReason::DataDrift);
    assert!(!b.start_sampled(30, Timestamp::EPOCH, &sampled, &mut changes), "no slot");
}
