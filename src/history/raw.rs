//! Raw values of a time range: which ones, in which order, in pages (OPC 10000-11, 6.4.3).
//!
//! Both times: from the start (included) to the end (left out), backwards where the start is later. One time and a number: so many
//! values forward from the start, or backward from the end. With bounds also the values at or around both ends.

use super::{FOREVER, Past, after, tick};
use crate::types::{Cause, End, Historic, Quality, Timestamp};

/// BadBoundNotFound.
const BOUND_NOT_FOUND: u32 = 0x80D7_0000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRequest {
    backward: bool,
    /// Where reading begins.
    from: Timestamp,
    /// Where it ends; `None`: after `count` values.
    to: Option<Timestamp>,
    /// Values at most; with both times: of one page. 0: no maximum.
    count: usize,
    bounds: bool,
}

/// Fewer than two of start, end and number of values are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Time of the last value that was returned; `None`: only the bound before the start was.
    last: Option<Timestamp>,
    /// Values of that time that have been returned.
    skip: usize,
    /// Only the bound at the end is missing.
    at_end: bool,
}

/// Values in the order that was asked for, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub values: Vec<Historic>,
    pub next: Option<Cursor>,
}

impl RawRequest {
    /// `None` where a time is not given, 0 where no number is.
    pub fn new(start: Option<Timestamp>, end: Option<Timestamp>, count: usize, bounds: bool) -> Result<Self, Invalid> {
        let (backward, from, to) = match (start, end) {
            (Some(start), Some(end)) => (start > end, start, Some(end)),
            (Some(start), None) if count > 0 => (false, start, None),
            (None, Some(end)) if count > 0 => (true, end, None),
            _ => return Err(Invalid),
        };
        Ok(Self { backward, from: tick(from), to: to.map(tick), count, bounds })
    }

    /// The page at `cursor` (`None`: the first), of `most` values at most.
    pub fn page<P: Past>(&self, past: &P, cursor: Option<&Cursor>, most: usize) -> Result<Page, P::Error> {
        let most = if self.count > 0 { self.count.min(most) } else { most }.max(1);
        let mut values = Vec::new();
        if cursor.is_none() && self.bounds {
            values.extend(self.start_bound(past)?);
        }
        let at_end = cursor.is_some_and(|c| c.at_end);
        if !at_end {
            let next = self.inner(past, cursor, most, &mut values)?;
            if next.is_some() {
                return Ok(Page { next: next.filter(|_| self.goes_on()), values });
            }
        }
        if let Some(bound) = self.end_bound(past)? {
            if values.len() >= most {
                let next = Some(Cursor { last: None, skip: 0, at_end: true });
                return Ok(Page { values, next: next.filter(|_| self.goes_on()) });
            }
            values.push(bound);
        }
        Ok(Page { values, next: None })
    }

    /// With one time alone the number is the end.
    fn goes_on(&self) -> bool {
        self.to.is_some() || self.count == 0
    }

    /// Fills up with values between the ends; tells where to go on if they do not fit.
    fn inner<P: Past>(
        &self,
        past: &P,
        cursor: Option<&Cursor>,
        most: usize,
        values: &mut Vec<Historic>,
    ) -> Result<Option<Cursor>, P::Error> {
        let (last, skip) = cursor.map_or((None, 0), |c| (c.last, c.skip));
        let room = most.saturating_sub(values.len());
        let range = self.range(last);
        let end = if self.backward { End::Newest } else { End::Oldest };
        let mut found = past.values(range, room + skip + 1, end)?;
        if self.backward {
            found.reverse();
        }
        let same = found.iter().take_while(|v| Some(v.time) == last).count();
        found.drain(..same.min(skip));
        let more = found.len() > room;
        found.truncate(room);
        let returned = found.last().map(|v| v.time).or(last);
        let again = found.iter().rev().take_while(|v| Some(v.time) == returned).count();
        let skip = if returned == last { skip + again } else { again };
        values.append(&mut found);
        Ok(more.then_some(Cursor { last: returned, skip, at_end: false }))
    }

    /// What is left to be read; the time of the last value included.
    fn range(&self, last: Option<Timestamp>) -> std::ops::Range<Timestamp> {
        let from = last.unwrap_or(self.from);
        match (self.backward, self.to) {
            (false, Some(to)) if to == self.from => from..after(to),
            (false, to) => from..to.unwrap_or(FOREVER),
            (true, to) => to.map_or(Timestamp::MIN, after)..after(from),
        }
    }

    /// The value before the first one, unless there is one just at the start.
    fn start_bound<P: Past>(&self, past: &P) -> Result<Option<Historic>, P::Error> {
        self.bound(past, self.from, if self.backward { End::Oldest } else { End::Newest })
            .map(|bound| bound.filter(|b| b.time != self.from || is_missing(b)))
    }

    /// The value at the end or after it.
    fn end_bound<P: Past>(&self, past: &P) -> Result<Option<Historic>, P::Error> {
        let Some(to) = self.to.filter(|_| self.bounds) else { return Ok(None) };
        let bound = self.bound(past, to, if self.backward { End::Newest } else { End::Oldest })?;
        // Of a moment that has a value, that value is all.
        Ok(bound.filter(|b| to != self.from || b.time != to || is_missing(b)))
    }

    /// The value at `time`, or the next one before (`Newest`) or after it; Bad where there is none.
    fn bound<P: Past>(&self, past: &P, time: Timestamp, end: End) -> Result<Option<Historic>, P::Error> {
        let range = match end {
            End::Newest => Timestamp::MIN..after(time),
            End::Oldest => time..FOREVER,
        };
        let missing = || Historic { time, value: None, quality: Quality::Bad(Cause::Status(BOUND_NOT_FOUND)) };
        Ok(Some(past.values(range, 1, end)?.pop().unwrap_or_else(missing)))
    }
}

fn is_missing(bound: &Historic) -> bool {
    bound.quality == Quality::Bad(Cause::Status(BOUND_NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;
    use crate::types::Scalar;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    /// Values 10, 20, ... 50 at these seconds, two of them at 30.
    fn past() -> Memory {
        let good = |s: i64| Historic { time: at(s), value: Some(Scalar::F64(s as f64)), quality: Quality::Good };
        Memory([10, 20, 30, 30, 40, 50].map(good).to_vec())
    }

    /// Seconds of all values, page by page; negative where it is Bad.
    fn pages(request: &RawRequest, most: usize) -> Vec<Vec<i64>> {
        let (mut out, mut cursor) = (Vec::new(), None);
        loop {
            let page = request.page(&past(), cursor.as_ref(), most).unwrap();
            let sign = |v: &Historic| if v.quality.is_good() { 1 } else { -1 };
            out.push(page.values.iter().map(|v| sign(v) * v.time.as_nanos() / 1_000_000_000).collect());
            cursor = page.next;
            assert!(out.len() < 20, "no end: {out:?}");
            if cursor.is_none() {
                return out;
            }
        }
    }

    fn both(start: i64, end: i64, count: usize, bounds: bool) -> RawRequest {
        RawRequest::new(Some(at(start)), Some(at(end)), count, bounds).unwrap()
    }

    #[test]
    fn the_end_is_left_out_in_both_directions() {
        assert_eq!(pages(&both(20, 40, 0, false), 100), [[20, 30, 30]]);
        assert_eq!(pages(&both(40, 20, 0, false), 100), [[40, 30, 30]]);
        assert_eq!(pages(&both(30, 30, 0, false), 100), [[30, 30]]);
        assert_eq!(pages(&both(31, 39, 0, false), 100), [Vec::<i64>::new()]);
    }

    #[test]
    fn bounds_are_at_or_around_the_ends() {
        assert_eq!(pages(&both(20, 40, 0, true), 100), [[20, 30, 30, 40]]);
        assert_eq!(pages(&both(15, 35, 0, true), 100), [[10, 20, 30, 30, 40]]);
        assert_eq!(pages(&both(35, 15, 0, true), 100), [[40, 30, 30, 20, 10]]);
        assert_eq!(pages(&both(5, 15, 0, true), 100), [[-5, 10, 20]]);
        assert_eq!(pages(&both(45, 60, 0, true), 100), [[40, 50, -60]]);
        assert_eq!(pages(&both(35, 35, 0, true), 100), [[30, 40]]);
        assert_eq!(pages(&both(30, 30, 0, true), 100), [[30, 30]]);
    }

    #[test]
    fn pages_lose_and_repeat_nothing() {
        for most in 1..8 {
            for (request, expected) in [
                (both(10, 60, 0, false), vec![10, 20, 30, 30, 40, 50]),
                (both(60, 10, 0, false), vec![50, 40, 30, 30, 20]),
                (both(15, 45, 0, true), vec![10, 20, 30, 30, 40, 50]),
                (both(45, 15, 0, true), vec![50, 40, 30, 30, 20, 10]),
            ] {
                let pages = pages(&request, most);
                assert!(pages.iter().all(|p| p.len() <= most), "{pages:?}");
                assert_eq!(pages.concat(), expected, "{most} a page");
            }
        }
    }

    #[test]
    fn a_number_is_a_page_of_a_range_and_the_end_of_an_open_one() {
        assert_eq!(pages(&both(10, 60, 4, false), 100), [vec![10, 20, 30, 30], vec![40, 50]]);
        let forward = RawRequest::new(Some(at(15)), None, 2, false).unwrap();
        assert_eq!(pages(&forward, 100), [[20, 30]]);
        let backward = RawRequest::new(None, Some(at(40)), 3, false).unwrap();
        assert_eq!(pages(&backward, 100), [[40, 30, 30]]);
        let bound = RawRequest::new(Some(at(15)), None, 2, true).unwrap();
        assert_eq!(pages(&bound, 100), [[10, 20]]);
    }

    #[test]
    fn two_of_three_are_needed() {
        for (start, end, count) in [(None, None, 5), (Some(at(1)), None, 0), (None, Some(at(1)), 0), (None, None, 0)] {
            assert_eq!(RawRequest::new(start, end, count, false), Err(Invalid));
        }
    }
}
