//! Large values in pieces.
//!
//! The pieces of a new generation are written beside the old ones, then the head, which names the generation, the length and the
//! CRC-32. sled recovers a prefix of what was written, so that the head is never there without its pieces. The old pieces go after
//! the next flush, or at the next start.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::disk::Disk;
use super::{MAX_VALUE, StoreError};

/// First byte of the keys of heads.
pub(super) const HEAD: u8 = b'h';
const PIECE: u8 = b'p';
const VERSION: u8 = 1;
const HEAD_LENGTH: usize = 25;
/// A flush in between, so that a large value does not stand in memory twice.
const FLUSH_BYTES: usize = 4 << 20;

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Head {
    generation: u64,
    length: u64,
    pieces: u32,
    crc: u32,
}

impl Head {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.pieces.to_le_bytes());
        bytes.extend(self.crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEAD_LENGTH] = bytes.try_into().ok()?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        (bytes[0] == VERSION).then(|| Self { generation: word(1), length: word(9), pieces: half(17), crc: half(21) })
    }
}

/// The large values of a database.
#[derive(Default)]
pub(super) struct Blobs {
    /// Keys of pieces that nothing names any more once the next flush is done.
    trash: Mutex<Vec<Vec<u8>>>,
}

impl Blobs {
    /// Removes pieces that no head names: what was being written at a crash, and what had been replaced.
    pub fn open(disk: &Disk) -> Result<Self, StoreError> {
        let mut heads = HashMap::new();
        disk.scan(&[HEAD], &[HEAD], |key, value| {
            heads.insert(key[1..].to_vec(), Head::from_bytes(value));
            true
        })?;
        let mut orphans = Vec::new();
        disk.scan(&[PIECE], &[PIECE], |key, _| {
            let named = split_piece_key(key).is_some_and(|(name, generation, piece)| match heads.get(name) {
                Some(Some(head)) => head.generation == generation && piece < head.pieces,
                // An unreadable head: keep what there is.
                Some(None) => true,
                None => false,
            });
            if !named {
                orphans.push(key.to_vec());
            }
            true
        })?;
        orphans.into_iter().for_each(|key| disk.change(key, None));
        Ok(Self::default())
    }

    pub fn put(&self, disk: &Disk, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let old = disk.get(&head_key(key))?;
        let old = old.and_then(|bytes| Head::from_bytes(&bytes));
        let generation = old.map_or(1, |head| head.generation + 1);
        let pieces = value.len().div_ceil(MAX_VALUE) as u32;
        // After a removal the generations begin anew: pieces of the removed value that wait to go have the same names.
        let names: std::collections::HashSet<_> = (0..pieces).map(|i| piece_key(key, generation, i)).collect();
        self.trash.lock().retain(|waiting| !names.contains(waiting));
        for (i, piece) in (0..pieces).zip(value.chunks(MAX_VALUE)) {
            disk.change(piece_key(key, generation, i), Some(piece.to_vec()));
            if disk.pending_bytes() > FLUSH_BYTES {
                disk.flush()?;
            }
        }
        disk.accepting()?;
        let head = Head { generation, length: value.len() as u64, pieces, crc: crc32fast::hash(value) };
        disk.change(head_key(key), Some(head.to_bytes()));
        self.discard(key, old);
        Ok(())
    }

    pub fn remove(&self, disk: &Disk, key: &str) -> Result<(), StoreError> {
        let head_key = head_key(key);
        if let Some(old) = disk.get(&head_key)? {
            disk.change(head_key, None);
            self.discard(key, Head::from_bytes(&old));
        }
        Ok(())
    }

    pub fn get(&self, disk: &Disk, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut last = None;
        loop {
            let Some(bytes) = disk.get(&head_key(key))? else { return Ok(None) };
            let head = Head::from_bytes(&bytes);
            if let Some(value) = head.map(|head| read(disk, key, head)).transpose()?.flatten() {
                return Ok(Some(value));
            }
            // It may have been replaced while it was read: then there is another head now.
            if head.is_none() || last == head {
                return Err(StoreError::Damaged {
                    path: disk.path().display().to_string(),
                    cause: format!("the large value `{key}` is not whole; write it again"),
                });
            }
            last = head;
        }
    }

    /// Keys that nothing will name once the changes so far are flushed.
    pub fn take_trash(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.trash.lock())
    }

    pub fn put_back(&self, trash: Vec<Vec<u8>>) {
        self.trash.lock().extend(trash);
    }

    fn discard(&self, key: &str, old: Option<Head>) {
        if let Some(old) = old {
            self.trash.lock().extend((0..old.pieces).map(|i| piece_key(key, old.generation, i)));
        }
    }
}

/// Large values whose heads and pieces come in the order of their keys: which of them are whole.
#[derive(Default)]
pub(super) struct Pieces {
    heads: HashMap<Vec<u8>, Head>,
    /// Of the generation that the head names: pieces, bytes and checksum so far.
    found: HashMap<Vec<u8>, (u32, u64, crc32fast::Hasher)>,
}

impl Pieces {
    /// `false` where the entry is unreadable. Pieces that no head names wait to be removed.
    pub fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        match (key.first(), split_piece_key(key)) {
            (Some(&HEAD), _) => Head::from_bytes(value).map(|head| self.heads.insert(key[1..].to_vec(), head)).is_some(),
            (_, Some((name, generation, piece))) => {
                if self.heads.get(name).is_some_and(|head| head.generation == generation) {
                    let (pieces, bytes, crc) = self.found.entry(name.to_vec()).or_default();
                    // One out of its order is missed by the count below.
                    if *pieces == piece {
                        *pieces += 1;
                        *bytes += value.len() as u64;
                        crc.update(value);
                    }
                }
                true
            }
            (_, None) => false,
        }
    }

    /// How many are whole, and the names of the others.
    pub fn finish(mut self) -> (u64, Vec<String>) {
        let (mut whole, mut torn) = (0, Vec::new());
        for (name, head) in self.heads {
            let (pieces, bytes, crc) = self.found.remove(&name).unwrap_or_default();
            if (pieces, bytes, crc.finalize()) == (head.pieces, head.length, head.crc) {
                whole += 1;
            } else {
                torn.push(String::from_utf8_lossy(&name).into_owned());
            }
        }
        torn.sort_unstable();
        (whole, torn)
    }
}

/// `None` where a piece is missing or the checksum is wrong.
fn read(disk: &Disk, key: &str, head: Head) -> Result<Option<Vec<u8>>, StoreError> {
    let mut value = Vec::new();
    for i in 0..head.pieces {
        match disk.get(&piece_key(key, head.generation, i))? {
            Some(piece) => value.extend_from_slice(&piece),
            None => return Ok(None),
        }
    }
    Ok((value.len() as u64 == head.length && crc32fast::hash(&value) == head.crc).then_some(value))
}

fn head_key(key: &str) -> Vec<u8> {
    [&[HEAD], key.as_bytes()].concat()
}

/// `p`, length of the key, the key, generation, number of the piece: both big endian, so that pieces stand side by side.
fn piece_key(key: &str, generation: u64, piece: u32) -> Vec<u8> {
    [&[PIECE, key.len() as u8], key.as_bytes(), &generation.to_be_bytes(), &piece.to_be_bytes()].concat()
}

fn split_piece_key(key: &[u8]) -> Option<(&[u8], u64, u32)> {
    let (name, rest) = key.get(2..)?.split_at_checked(usize::from(key[1]))?;
    let (generation, piece) = rest.split_at_checked(8)?;
    Some((name, u64::from_be_bytes(generation.try_into().ok()?), u32::from_be_bytes(piece.try_into().ok()?)))
}
