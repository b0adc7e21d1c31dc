//! A ring: the newest rows of one kind, in blocks at fixed slots.
//!
//! A block has a number that ascends without end, and lies in a slot: key `r<name>\0<slot>`. Slots are used again once all rows of
//! their block are older than the newest `capacity` rows, so that keys do not grow and the database stays in place. The newest block
//! is open: its rows are in memory too, and it is written anew, longer, at each flush. A block that has been written only ever gets
//! rows added; where it would become too large, a new one begins.
//!
//! After a restart with another capacity, the rows in its range are there. Rows of another layout (the machine's signals or features
//! have other names now) stay until they are too old, but are not given out: their columns mean something else.

use std::collections::VecDeque;
use std::ops::Range;

use super::codec::{BlockRow, MAX_ROWS, decode, encode, read_header};
use super::disk::Disk;
use super::{MAX_VALUE, StoreError};
use crate::types::Timestamp;

/// A block is closed when it is expected to grow beyond it.
const WANTED_BYTES: usize = MAX_VALUE * 9 / 10;

/// A closed block.
#[derive(Clone, Debug)]
struct Block {
    slot: u32,
    number: u64,
    rows: usize,
    /// Of the present layout.
    visible: bool,
    first: Timestamp,
    last: Timestamp,
    bytes: usize,
}

/// One block to be read for a query.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub key: Vec<u8>,
    pub number: u64,
    /// Rows at its beginning that have left the ring.
    pub skip: usize,
    /// Smallest and largest time of its rows.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// What a query needs.
pub(super) struct Plan<R> {
    /// Newest first.
    pub blocks: Vec<Step>,
    /// Rows of the open block that match, oldest first: newer than all blocks.
    pub open: Vec<R>,
}

/// What was found at opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub rows: u64,
    pub damaged_blocks: u64,
    pub other_layout_rows: u64,
}

/// Extent of the rows that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub rows: u64,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    pub bytes: u64,
}

pub(super) struct Ring<R> {
    /// Name in keys and messages.
    name: String,
    layout: u32,
    capacity: usize,
    /// Oldest first.
    blocks: VecDeque<Block>,
    /// Rows of `blocks`.
    closed_rows: usize,
    /// Slots to be used next; those with the oldest blocks first.
    free: VecDeque<u32>,
    /// Slots used at any time.
    slots: u32,
    /// Rows of the open block.
    open: Vec<R>,
    open_number: u64,
    /// From its first writing on.
    open_slot: Option<u32>,
    open_bytes: usize,
    /// Rows of the open block that are in its slot.
    written: usize,
    /// Rows at which the open block is closed: so many are expected to fit.
    full_at: usize,
}

pub(super) fn prefix(name: &str) -> Vec<u8> {
    [b"r", name.as_bytes(), b"\0"].concat()
}

impl<R: BlockRow> Ring<R> {
    /// Reads the headers of its blocks; removes blocks that are damaged or out of the capacity.
    pub fn open(disk: &Disk, name: &str, layout: u32, capacity: u32) -> Result<(Self, Found), StoreError> {
        let mut ring = Self {
            name: name.to_string(),
            layout,
            capacity: capacity.max(1) as usize,
            blocks: VecDeque::new(),
            closed_rows: 0,
            free: VecDeque::new(),
            slots: 0,
            open: Vec::new(),
            open_number: 0,
            open_slot: None,
            open_bytes: 0,
            written: 0,
            full_at: MAX_ROWS,
        };
        let mut found = Found::default();
        let mut unusable = Vec::new();
        let prefix = prefix(name);
        disk.scan(&prefix, &prefix, |key, value| {
            let slot = key[prefix.len()..].try_into().map(u32::from_be_bytes);
            match (slot, read_header::<R>(value)) {
                (Ok(slot), Ok(header)) => ring.blocks.push_back(Block {
                    slot,
                    number: header.number,
                    rows: usize::from(header.rows),
                    visible: header.layout == layout,
                    first: header.first,
                    last: header.last,
                    bytes: value.len(),
                }),
                (_, header) => {
                    let cause = header.err().map_or_else(|| "unknown key".into(), |e| e.to_string());
                    tracing::warn!("a block of the ring `{name}` is damaged and left out: {cause}");
                    found.damaged_blocks += 1;
                    unusable.push(key.to_vec());
                }
            }
            true
        })?;
        ring.blocks.make_contiguous().sort_unstable_by_key(|block| block.number);
        ring.closed_rows = ring.blocks.iter().map(|b| b.rows).sum();
        ring.trim();
        unusable.extend(std::mem::take(&mut ring.free).into_iter().map(|slot| ring.key(slot)));
        unusable.into_iter().for_each(|key| disk.change(key, None));
        ring.find_free_slots();
        ring.continue_newest(disk)?;
        found.rows = ring.extent().rows;
        found.other_layout_rows = ring.blocks.iter().filter(|b| !b.visible).map(|b| b.rows as u64).sum();
        Ok((ring, found))
    }

    /// Appends a row; the oldest go where there are too many.
    pub fn push(&mut self, disk: &Disk, row: R) -> Result<(), StoreError> {
        self.check_width(&row)?;
        if self.open.first().is_some_and(|first| first.shape() != row.shape()) {
            self.settle(disk);
            self.close();
        }
        self.open.push(row);
        if self.open.len() >= self.full_at {
            self.settle(disk);
        }
        self.trim();
        Ok(())
    }

    /// Hands all rows to the database.
    pub fn settle(&mut self, disk: &Disk) {
        let mut later = Vec::new();
        loop {
            if self.written < self.open.len() {
                let block = encode(self.open_number, self.layout, &self.open);
                if block.len() > MAX_VALUE && self.open.len() > 1 {
                    // What has been written fits, and stays as it is: it may have been acknowledged.
                    let keep = if self.written > 0 { self.written } else { self.open.len() / 2 };
                    later.push(self.open.split_off(keep));
                    continue;
                }
                self.write(disk, block);
            }
            let Some(rest) = later.pop() else { break };
            self.close();
            self.open = rest;
        }
        if self.open.len() >= self.full_at {
            self.close();
        }
    }

    /// The blocks and rows in which the newest `limit` rows with a time in the range are to be found.
    pub fn plan(&self, time: &Range<Timestamp>, limit: usize) -> Plan<R> {
        let (skips, open_skip) = self.skips();
        let mut open: Vec<R> = self.open.iter().skip(open_skip).filter(|r| time.contains(&r.time())).cloned().collect();
        open.drain(..open.len().saturating_sub(limit));
        let mut blocks = Vec::new();
        let mut certain = open.len();
        for (block, skip) in self.blocks.iter().zip(skips).rev() {
            if certain >= limit {
                break;
            }
            if !block.visible || block.last < time.start || block.first >= time.end {
                continue;
            }
            blocks.push(Step { key: self.key(block.slot), number: block.number, skip, first: block.first, last: block.last });
            if block.first >= time.start && block.last < time.end {
                certain += block.rows - skip;
            }
        }
        Plan { blocks, open }
    }

    /// Leaves out a block that turned out to be damaged; `false` where it is not in the ring (any more).
    pub fn forget(&mut self, number: u64) -> bool {
        let Ok(at) = self.blocks.binary_search_by_key(&number, |b| b.number) else { return false };
        if let Some(block) = self.blocks.remove(at) {
            self.closed_rows -= block.rows;
            self.free.push_back(block.slot);
        }
        true
    }

    pub fn extent(&self) -> Extent {
        let visible = || self.blocks.iter().filter(|b| b.visible);
        let (skips, open_skip) = self.skips();
        let shown = self.blocks.iter().zip(skips).filter(|(b, _)| b.visible).map(|(b, skip)| b.rows - skip);
        let rows = shown.sum::<usize>() + self.open.len() - open_skip;
        let open = || self.open.iter().map(BlockRow::time);
        Extent {
            rows: rows as u64,
            oldest: visible().map(|b| b.first).chain(open()).min(),
            newest: visible().map(|b| b.last).chain(open()).max(),
            bytes: self.bytes(),
        }
    }

    /// Compressed bytes of all its blocks.
    pub fn bytes(&self) -> u64 {
        (self.blocks.iter().map(|b| b.bytes).sum::<usize>() + self.open_bytes) as u64
    }

    /// Time of the newest row of the oldest closed block; `None` where there is only the open one.
    pub fn oldest_block(&self) -> Option<Timestamp> {
        self.blocks.front().map(|b| b.last)
    }

    /// Time of its newest row.
    pub fn newest(&self) -> Option<Timestamp> {
        self.open.last().map(BlockRow::time).or_else(|| self.blocks.back().map(|b| b.last))
    }

    /// Removes the oldest closed block, from the disk, too.
    pub fn drop_oldest(&mut self, disk: &Disk) {
        if let Some(block) = self.blocks.pop_front() {
            self.closed_rows -= block.rows;
            self.free.push_back(block.slot);
            disk.change(self.key(block.slot), None);
        }
    }

    /// Removes the oldest closed blocks as long as their rows are all from before. One with rows from after `now`, of a clock that was
    /// wrong, goes with the one after it.
    pub fn drop_before(&mut self, disk: &Disk, time: Timestamp, now: Timestamp) {
        while let Some(k) = self.blocks.iter().position(|b| b.last <= now)
            && self.blocks[k].last < time
        {
            (0..=k).for_each(|_| self.drop_oldest(disk));
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// The oldest rows of each block, and of the open one, that are beyond the capacity: kept only because their block is.
    fn skips(&self) -> (Vec<usize>, usize) {
        let mut left = self.hidden();
        let skip = |rows: usize, left: &mut usize| {
            let skip = rows.min(*left);
            *left -= skip;
            skip
        };
        let skips = self.blocks.iter().map(|b| skip(b.rows, &mut left)).collect();
        (skips, skip(self.open.len(), &mut left))
    }

    /// Rows beyond the capacity.
    fn hidden(&self) -> usize {
        (self.closed_rows + self.open.len()).saturating_sub(self.capacity)
    }

    fn key(&self, slot: u32) -> Vec<u8> {
        [prefix(&self.name).as_slice(), &slot.to_be_bytes()].concat()
    }

    /// A row that does not fit alone would never be stored.
    fn check_width(&self, row: &R) -> Result<(), StoreError> {
        // Three quarters leave room for what LZ4 and the header add.
        if row.width() <= MAX_VALUE * 3 / 4 {
            return Ok(());
        }
        let size = encode(0, 0, std::slice::from_ref(row)).len();
        if size > MAX_VALUE { Err(StoreError::TooLarge { key: self.name.clone(), size, max: MAX_VALUE }) } else { Ok(()) }
    }

    fn write(&mut self, disk: &Disk, block: Vec<u8>) {
        let slot = self.open_slot.unwrap_or_else(|| self.take_slot());
        self.open_slot = Some(slot);
        self.open_bytes = block.len();
        self.written = self.open.len();
        self.full_at = (self.written * WANTED_BYTES / block.len()).clamp(1, MAX_ROWS);
        disk.change(self.key(slot), Some(block));
    }

    /// The open block has been written and gets no more rows.
    fn close(&mut self) {
        if let Some(slot) = self.open_slot.take() {
            let times = || self.open.iter().map(BlockRow::time);
            self.blocks.push_back(Block {
                slot,
                number: self.open_number,
                rows: self.open.len(),
                visible: true,
                first: times().min().unwrap_or_default(),
                last: times().max().unwrap_or_default(),
                bytes: self.open_bytes,
            });
            self.closed_rows += self.open.len();
            self.open.clear();
            self.open_number += 1;
            self.open_bytes = 0;
            self.written = 0;
            self.trim();
        }
    }

    fn trim(&mut self) {
        while let Some(oldest) = self.blocks.front()
            && self.closed_rows - oldest.rows + self.open.len() >= self.capacity
        {
            self.closed_rows -= oldest.rows;
            self.free.push_back(oldest.slot);
            self.blocks.pop_front();
        }
    }

    fn take_slot(&mut self) -> u32 {
        self.free.pop_front().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    fn find_free_slots(&mut self) {
        self.slots = self.blocks.iter().map(|b| b.slot + 1).max().unwrap_or(0);
        let mut used = vec![false; self.slots as usize];
        self.blocks.iter().for_each(|b| used[b.slot as usize] = true);
        self.free = (0..self.slots).filter(|slot| !used[*slot as usize]).collect();
    }

    /// The newest block is the open one again, where there is room in it: many restarts do not make many short blocks.
    fn continue_newest(&mut self, disk: &Disk) -> Result<(), StoreError> {
        let Some(newest) = self.blocks.back().cloned() else { return Ok(()) };
        self.open_number = newest.number + 1;
        if !newest.visible || newest.rows >= MAX_ROWS || newest.bytes > WANTED_BYTES {
            return Ok(());
        }
        let Some(block) = disk.get(&self.key(newest.slot))? else { return Ok(()) };
        if let Ok((header, rows)) = decode::<R>(&block) {
            self.blocks.pop_back();
            self.closed_rows -= newest.rows;
            self.open_number = header.number;
            self.open_slot = Some(newest.slot);
            self.open_bytes = newest.bytes;
            self.written = rows.len();
            self.full_at = (rows.len() * WANTED_BYTES / newest.bytes.max(1)).clamp(1, MAX_ROWS);
            self.open = rows;
        }
        Ok(())
    }
}
