//! Which requests read the wanted values: sorted, merged over small gaps, split at the device's limit.
//!
//! A value that fits into one request is never split over two, so that its words belong together. A block of more registers than
//! one request may have is split between elements: its parts may be from different scans of the PLC.

use std::collections::BTreeSet;
use std::ops::Range;

use super::address::Table;

/// Most bits in one request.
const MOST_BITS: u32 = 2_000;

/// The registers (or bits) of one tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub tag: usize,
    pub table: Table,
    /// `start..end`, at most 65,536.
    pub registers: Range<u32>,
    /// Registers of one element.
    pub width: u32,
}

/// What a device allows.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Limits {
    pub max_registers: u16,
    pub max_gap: u16,
}

/// What has been learned of a device: places that must not be read together, and registers that cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Learned {
    /// A request must not reach over this place from below.
    pub cuts: BTreeSet<(Table, u32)>,
    pub unreadable: Vec<(Table, Range<u32>)>,
}

/// One read request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub table: Table,
    pub registers: Range<u32>,
    /// By their first register.
    pub parts: Vec<Part>,
}

/// Registers of a tag within a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub tag: usize,
    pub registers: Range<u32>,
    /// Where they belong in the tag, in registers.
    pub offset: u32,
    /// Registers of one element.
    pub width: u32,
}

impl Request {
    fn of(table: Table, parts: Vec<Part>) -> Option<Self> {
        let start = parts.iter().map(|p| p.registers.start).min()?;
        let end = parts.iter().map(|p| p.registers.end).max()?;
        Some(Self { table, registers: start..end, parts })
    }

    /// Whether every register is wanted.
    pub fn has_no_gaps(&self) -> bool {
        let reach = |end: u32, part: &Part| (part.registers.start <= end).then(|| end.max(part.registers.end));
        self.parts.iter().try_fold(self.registers.start, reach).is_some()
    }

    /// Two requests for half of the parts each, or for half of the elements of a single part; `None` where there is only one.
    pub fn halves(&self) -> Option<(Self, Self)> {
        if let [part] = self.parts.as_slice() {
            let (low, high) = part.halves()?;
            return Some((Self::of(self.table, vec![low])?, Self::of(self.table, vec![high])?));
        }
        let (low, high) = self.parts.split_at(self.parts.len() / 2);
        Some((Self::of(self.table, low.to_vec())?, Self::of(self.table, high.to_vec())?))
    }
}

impl Part {
    fn halves(&self) -> Option<(Self, Self)> {
        let width = self.width.max(1);
        let low = (self.registers.end - self.registers.start) / width / 2 * width;
        let middle = self.registers.start + low;
        let high = Self { registers: middle..self.registers.end, offset: self.offset + low, ..self.clone() };
        (low > 0).then(|| (Self { registers: self.registers.start..middle, ..self.clone() }, high))
    }
}

/// The requests for these fields.
pub(super) fn plan(fields: &[Field], limits: Limits, learned: &Learned) -> Vec<Request> {
    let mut parts: Vec<(Table, Part)> = fields.iter().flat_map(|f| split(f, limits).into_iter().map(|p| (f.table, p))).collect();
    parts.sort_by_key(|(table, part)| (*table, part.registers.start, part.registers.end));
    let mut requests: Vec<Request> = Vec::new();
    for (table, part) in parts {
        match requests.last_mut().filter(|r| r.table == table && joins(r, &part, limits, learned)) {
            Some(request) => {
                request.registers.end = request.registers.end.max(part.registers.end);
                request.parts.push(part);
            }
            None => requests.extend(Request::of(table, vec![part])),
        }
    }
    requests
}

fn most(table: Table, limits: Limits) -> u32 {
    let registers = u32::from(limits.max_registers.max(1));
    if table.is_bits() { (registers * 16).min(MOST_BITS) } else { registers }
}

/// A field in pieces of whole elements.
fn split(field: &Field, limits: Limits) -> Vec<Part> {
    let width = field.width.max(1);
    let step = (most(field.table, limits) / width).max(1) * width;
    let pieces = field.registers.clone().step_by(step as usize);
    pieces
        .map(|start| Part {
            tag: field.tag,
            registers: start..(start + step).min(field.registers.end),
            offset: start - field.registers.start,
            width,
        })
        .collect()
}

fn joins(request: &Request, part: &Part, limits: Limits, learned: &Learned) -> bool {
    let (have, want) = (&request.registers, &part.registers);
    let gap = have.end..want.start;
    want.start <= have.end + u32::from(limits.max_gap)
        && have.end.max(want.end) - have.start <= most(request.table, limits)
        && !learned.cuts.contains(&(request.table, want.start))
        && !learned.unreadable.iter().any(|(table, r)| *table == request.table && r.start < gap.end && gap.start < r.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_registers: 10, max_gap: 2 };

    fn field(tag: usize, registers: Range<u32>, width: u32) -> Field {
        Field { tag, table: Table::Holding, registers, width }
    }

    fn ranges(fields: &[Field], learned: &Learned) -> Vec<Range<u32>> {
        plan(fields, LIMITS, learned).into_iter().map(|r| r.registers).collect()
    }

    #[test]
    fn merges_over_small_gaps_and_splits_at_the_limit() {
        let fields = [field(0, 4..6, 2), field(1, 0..2, 2), field(2, 9..11, 2), field(3, 11..13, 2)];
        // 2..4 is a gap of two and is read along; 6..9 is one of three; nothing exceeds ten registers.
        assert_eq!(ranges(&fields, &Learned::default()), [0..6, 9..13]);
        let long: Vec<Field> = (0..6).map(|i| field(i, i as u32 * 4..i as u32 * 4 + 4, 4)).collect();
        assert_eq!(ranges(&long, &Learned::default()), [0..8, 8..16, 16..24], "values of four registers stay whole");
    }

    #[test]
    fn long_blocks_are_split_between_elements() {
        let requests = plan(&[field(7, 100..124, 4)], LIMITS, &Learned::default());
        let parts: Vec<_> = requests.iter().flat_map(|r| r.parts.iter().map(|p| (p.registers.clone(), p.offset))).collect();
        assert_eq!(parts, [(100..108, 0), (108..116, 8), (116..124, 16)]);
    }

    #[test]
    fn tables_are_apart_and_bits_may_be_more() {
        let coils = Field { tag: 0, table: Table::Coil, registers: 0..160, width: 1 };
        let input = Field { tag: 1, table: Table::Input, registers: 0..2, width: 2 };
        let requests = plan(&[coils, input, field(2, 0..2, 2)], LIMITS, &Learned::default());
        assert_eq!(
            requests.iter().map(|r| (r.table, r.registers.clone())).collect::<Vec<_>>(),
            [(Table::Holding, 0..2), (Table::Input, 0..2), (Table::Coil, 0..160)]
        );
    }

    #[test]
    fn keeps_away_from_what_cannot_be_read() {
        let fields = [field(0, 0..2, 2), field(1, 4..6, 2), field(2, 6..8, 2)];
        let unreadable = Learned { unreadable: vec![(Table::Holding, 2..4)], ..Learned::default() };
        assert_eq!(ranges(&fields, &unreadable), [0..2, 4..8]);
        let cut = Learned { cuts: [(Table::Holding, 6)].into(), ..Learned::default() };
        assert_eq!(ranges(&fields, &cut), [0..6, 6..8]);
    }

    #[test]
    fn halves_until_one_is_left() {
        let fields = [field(0, 0..2, 2), field(1, 4..6, 2), field(2, 6..8, 2)];
        let [request] = plan(&fields, LIMITS, &Learned::default()).try_into().unwrap();
        let (low, high) = request.halves().unwrap();
        assert_eq!((low.registers.clone(), high.registers.clone()), (0..2, 4..8));
        assert_eq!(low.halves(), None);
        assert_eq!(high.halves().map(|(a, b)| (a.registers, b.registers)), Some((4..6, 6..8)));
    }

    #[test]
    fn a_single_block_is_halved_between_its_elements() {
        let [request] = plan(&[field(0, 0..6, 2)], LIMITS, &Learned::default()).try_into().unwrap();
        let (low, high) = request.halves().unwrap();
        assert_eq!((low.registers.clone(), high.registers.clone(), high.parts[0].offset), (0..2, 2..6, 2));
        assert_eq!((low.halves(), high.halves().map(|(a, b)| (a.registers, b.registers))), (None, Some((2..4, 4..6))));
    }

    #[test]
    fn knows_whether_it_reads_along_what_nobody_wants() {
        let of = |fields: &[Field]| plan(fields, LIMITS, &Learned::default())[0].has_no_gaps();
        assert!(of(&[field(0, 0..4, 2), field(1, 2..4, 2), field(2, 4..6, 2)]));
        assert!(!of(&[field(0, 0..2, 2), field(1, 3..5, 2)]));
    }

    #[test]
    fn overlapping_fields_are_read_once() {
        let fields = [field(0, 0..4, 2), field(1, 2..4, 2), field(2, 2..6, 2)];
        assert_eq!(ranges(&fields, &Learned::default()), vec![0..6; 1]);
    }
}
