//! Against values worked out by hand. The series, in seconds:
//!
//! ```text
//! time     0   2   5   6   10   12     15   18   20
//! value   10  20  30 Bad   40   uncertain 100  50  60  70
//! ```

use super::*;
use crate::types::Cause;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn value(seconds: f64, x: f64, quality: Quality) -> Historic {
    Historic { time: at(seconds), value: quality.is_usable().then_some(Scalar::F64(x)), quality }
}

fn series() -> Vec<Historic> {
    let good = |s, x| value(s, x, Quality::Good);
    vec![
        good(0.0, 10.0),
        good(2.0, 20.0),
        good(5.0, 30.0),
        value(6.0, 0.0, Quality::Bad(Cause::Stale)),
        good(10.0, 40.0),
        value(12.0, 100.0, Quality::Uncertain(Cause::LastUsable)),
        good(15.0, 50.0),
        good(18.0, 60.0),
        good(20.0, 70.0),
    ]
}

const EXTENT: Extent = Extent { first: Timestamp::from_nanos(0), last: Timestamp::from_nanos(20_000_000_000) };

fn run_with(aggregate: Aggregate, start: f64, end: f64, step: f64, rules: &Rules) -> Vec<Processed> {
    let intervals = Intervals::new(at(start), at(end), (step * 1e9) as u64).unwrap();
    let intervals: Vec<_> = (0..intervals.len()).map(|k| intervals.get(k)).collect();
    process(aggregate, &series(), &intervals, Some(EXTENT), rules)
}

fn run(aggregate: Aggregate, start: f64, end: f64, step: f64) -> Vec<Processed> {
    run_with(aggregate, start, end, step, &Rules::standard(false))
}

type Row = (f64, Option<f64>, Grade, bool);

/// Start, value rounded to six places, grade, partial.
fn rows(results: &[Processed]) -> Vec<Row> {
    let round = |x: f64| (x * 1e6).round() / 1e6;
    results.iter().map(|r| (r.time.as_secs_f64(), r.value.map(round), r.grade, r.partial)).collect()
}

#[test]
fn averages_are_of_the_good_values() {
    use Grade::*;
    // 0..5: 10, 20. 5..10: 30 and a Bad. 10..15: 40 and an uncertain. 15..20: 50, 60. 20..25: 70, the last one.
    let expected = [
        (0.0, Some(15.0), Good, false),
        (5.0, Some(30.0), Uncertain, false),
        (10.0, Some(40.0), Uncertain, false),
        (15.0, Some(55.0), Good, false),
        (20.0, Some(70.0), Good, true),
    ];
    assert_eq!(rows(&run(Aggregate::Average, 0.0, 25.0, 5.0)), expected);
    let lenient = Rules { uncertain_is_bad: false, ..Rules::standard(false) };
    assert_eq!(rows(&run_with(Aggregate::Average, 10.0, 15.0, 5.0, &lenient)), [(10.0, Some(70.0), Good, false)]);
}

#[test]
fn counts_are_zero_within_the_data_and_nothing_beyond_it() {
    use Grade::*;
    let expected = [
        (-5.0, None, NoData, false),
        (0.0, Some(2.0), Good, false),
        (5.0, Some(1.0), Uncertain, false),
        (10.0, Some(1.0), Uncertain, false),
        (15.0, Some(2.0), Good, false),
        (20.0, Some(1.0), Good, true),
        (25.0, None, NoData, false),
    ];
    assert_eq!(rows(&run(Aggregate::Count, -5.0, 30.0, 5.0)), expected);
    // Nothing, and nothing but a Bad one.
    assert_eq!(rows(&run(Aggregate::Count, 3.0, 4.0, 1.0)), [(3.0, Some(0.0), Good, false)]);
    assert_eq!(rows(&run(Aggregate::Count, 6.0, 7.0, 1.0)), [(6.0, None, Bad, false)]);
    assert_eq!(rows(&run(Aggregate::Average, 3.0, 4.0, 1.0)), [(3.0, None, NoData, false)]);
}

#[test]
fn percentages_decide_between_bad_uncertain_and_good() {
    let half = |percent_bad, percent_good| Rules { percent_bad, percent_good, ..Rules::standard(false) };
    // One good, one Bad.
    for (rules, grade) in
        [(half(50, 100), Grade::Bad), (half(51, 100), Grade::Uncertain), (half(51, 50), Grade::Good), (half(100, 51), Grade::Uncertain)]
    {
        assert_eq!(run_with(Aggregate::Average, 5.0, 10.0, 5.0, &rules)[0].grade, grade, "{rules:?}");
    }
}

#[test]
fn extremes_say_whether_they_lie_at_the_start() {
    use Grade::*;
    let low = run(Aggregate::Minimum, 0.0, 20.0, 5.0);
    let expected = [
        (0.0, Some(10.0), Good, false),
        (5.0, Some(30.0), Uncertain, false),
        (10.0, Some(40.0), Uncertain, false),
        (15.0, Some(50.0), Good, false),
    ];
    assert_eq!(rows(&low), expected);
    assert_eq!(low.iter().map(|r| r.raw).collect::<Vec<_>>(), [true, true, true, true]);
    let high = run(Aggregate::Maximum, 0.0, 20.0, 5.0);
    assert_eq!(high.iter().map(|r| r.value.unwrap()).collect::<Vec<_>>(), [20.0, 30.0, 40.0, 60.0]);
    assert_eq!(high.iter().map(|r| r.raw).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(rows(&run(Aggregate::Minimum, 3.0, 4.0, 1.0)), [(3.0, None, NoData, false)]);
}

#[test]
fn time_averages_are_areas() {
    use Grade::*;
    // 0..2: (10+20)/2*2 = 30; 2..5: (20+30)/2*3 = 75: 105 by 5.
    // 5..10: straight from 30 to 40 over the Bad one: 35, uncertain.
    // 10..15: 45, straight over the uncertain one.
    // 15..20: 3*55 + 2*65 = 295 by 5.
    // 20..25: 70 holds, nothing comes after it.
    let expected = [
        (0.0, Some(21.0), Good, false),
        (5.0, Some(35.0), Uncertain, false),
        (10.0, Some(45.0), Uncertain, false),
        (15.0, Some(59.0), Good, false),
        (20.0, Some(70.0), Uncertain, true),
    ];
    assert_eq!(rows(&run(Aggregate::TimeAverage, 0.0, 25.0, 5.0)), expected);
    // The ends are interpolated: 15 at 1 s, 23.333 at 3 s; 1*17.5 + 1*21.667.
    assert_eq!(rows(&run(Aggregate::TimeAverage, 1.0, 3.0, 2.0)), [(1.0, Some(19.583333), Good, false)]);
    // Nothing is known before 0 s: the part from 0 to 2 s counts.
    assert_eq!(rows(&run(Aggregate::TimeAverage, -2.0, 2.0, 4.0)), [(-2.0, Some(15.0), Good, true)]);
}

#[test]
fn the_slope_goes_on_if_wanted() {
    let rules = Rules { sloped: true, ..Rules::standard(false) };
    // 5 a second from 70 at 20 s: 95 at 25 s.
    assert_eq!(rows(&run_with(Aggregate::TimeAverage, 20.0, 25.0, 5.0, &rules)), [(20.0, Some(82.5), Grade::Uncertain, true)]);
}

#[test]
fn steps_hold() {
    use Grade::*;
    let rules = Rules::standard(true);
    // 0..5: 2*10 + 3*20 = 80. 5..10: 30, the Bad one passed over. 15..20: 3*50 + 2*60 = 270.
    let expected = [
        (0.0, Some(16.0), Good, false),
        (5.0, Some(30.0), Uncertain, false),
        (10.0, Some(40.0), Uncertain, false),
        (15.0, Some(54.0), Good, false),
    ];
    assert_eq!(rows(&run_with(Aggregate::TimeAverage, 0.0, 20.0, 5.0, &rules)), expected);
}

#[test]
fn a_step_holds_as_long_as_it_is_known_to() {
    let rules = Rules::standard(true);
    let intervals = Intervals::new(at(20.0), at(40.0), 10_000_000_000).unwrap();
    let intervals: Vec<_> = (0..intervals.len()).map(|k| intervals.get(k)).collect();
    // Nothing has changed since 20 s, and it is 35 s now.
    let results = process(Aggregate::TimeAverage, &series(), &intervals, Some(Extent { last: at(35.0), ..EXTENT }), &rules);
    assert_eq!(rows(&results), [(20.0, Some(70.0), Grade::Good, false), (30.0, Some(70.0), Grade::Uncertain, true)]);
}

#[test]
fn backwards_intervals_have_their_later_end() {
    use Grade::*;
    // (15, 20]: 60, 70. (10, 15]: 50 and an uncertain. (5, 10]: 40 and a Bad. (3, 5]: 30, cut short.
    let expected = [
        (20.0, Some(65.0), Good, false),
        (15.0, Some(50.0), Uncertain, false),
        (10.0, Some(40.0), Uncertain, false),
        (5.0, Some(30.0), Good, true),
    ];
    assert_eq!(rows(&run(Aggregate::Average, 20.0, 3.0, 5.0)), expected);
    // An area has no direction.
    assert_eq!(rows(&run(Aggregate::TimeAverage, 5.0, 0.0, 5.0)), [(5.0, Some(21.0), Good, false)]);
}

#[test]
fn the_last_interval_may_be_cut_short() {
    let results = run(Aggregate::Count, 0.0, 12.0, 5.0);
    assert_eq!(results.iter().map(|r| r.partial).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(Intervals::new(at(1.0), at(1.0), 5), None);
    let whole = Intervals::new(at(0.0), at(12.0), 0).unwrap();
    assert_eq!((whole.len(), whole.get(0).late), (1, at(12.0)));
    // No overflow at the ends of time.
    let wide = Intervals::new(Timestamp::MIN, Timestamp::from_nanos(i64::MAX), 1).unwrap();
    assert_eq!(wide.get(wide.len() - 1).late, Timestamp::from_nanos(i64::MAX));
}

#[test]
fn without_any_value_there_is_no_data() {
    let interval = [Intervals::new(at(0.0), at(1.0), 0).unwrap().get(0)];
    for aggregate in [Aggregate::Count, Aggregate::Average, Aggregate::Minimum, Aggregate::Maximum, Aggregate::TimeAverage] {
        let results = process(aggregate, &[], &interval, None, &Rules::standard(false));
        assert_eq!(results[0].grade, Grade::NoData);
    }
}
