//! The stores behind one interface. Each keeps the rings' rows in fixed slots, so that a new row takes the place of the oldest one.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use driftgate::config::StoreConfig;
use driftgate::store::{FeatureRow, MachineLayout, Record, Ring, SledStore, Store};
use driftgate::types::Timestamp;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use rusqlite::{Connection, params};

use crate::load::{RINGS, ROWS, VALUES};

pub const NAMES: [&str; 4] = ["driftgate", "sled", "redb", "SQLite"];
/// Of each.
const CACHE_BYTES: usize = 32 << 20;
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

/// What is measured. Rows are durable, against a power cut too, when `flush` has returned.
pub trait Engine {
    fn append(&mut self, ring: u16, rows: Vec<FeatureRow>) -> anyhow::Result<()>;
    fn flush(&mut self) -> anyhow::Result<()>;
    /// All rows of a ring are read and counted.
    fn scan(&mut self, ring: u16) -> anyhow::Result<usize>;
    /// Bytes of the rows as the store packs them; 0 where it does not tell.
    fn packed_bytes(&self) -> u64 {
        0
    }
}

pub fn open(name: &str, dir: &Path) -> anyhow::Result<Box<dyn Engine>> {
    Ok(match name {
        "driftgate" => Box::new(Driftgate::open(dir)?),
        "sled" => Box::new(PlainSled::open(dir)?),
        "redb" => Box::new(Redb::open(dir)?),
        "SQLite" => Box::new(Sqlite::open(dir)?),
        other => bail!("no engine `{other}`; there are {}", NAMES.join(", ")),
    })
}

fn slot(ring: u16, row: &FeatureRow) -> u64 {
    u64::from(ring) << 32 | row.row % ROWS
}

/// Bytes of a row as it is without packing: number, time, values.
pub const RAW_ROW: u64 = 16 + 8 * VALUES as u64;

fn raw(row: &FeatureRow) -> Vec<u8> {
    let head = [row.row.to_le_bytes(), row.time.as_nanos().to_le_bytes()];
    head.into_iter().chain(row.features.iter().map(|x| x.to_le_bytes())).flatten().collect()
}

/// Its sum is used, so that no reading is left out.
fn is_row(bytes: &[u8]) -> bool {
    bytes.len() as u64 == RAW_ROW && bytes.iter().map(|b| u64::from(*b)).sum::<u64>() > 0
}

struct Driftgate(SledStore);

impl Driftgate {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        let rows = ROWS as u32;
        let config =
            StoreConfig { frame_rows: rows, feature_rows: rows, history_rows: rows, event_rows: rows, value_rows: rows, disk_reserve: 0, max_age: None, machine_bytes: None };
        let machines: Vec<_> = (0..RINGS).map(|i| MachineLayout { name: format!("M{i}").into(), frames: 0, features: 0 }).collect();
        let (store, report) = SledStore::open(dir, &config, &machines)?;
        if let Some(problem) = report.problems().first() {
            bail!("{problem}");
        }
        Ok(Self(store))
    }
}

impl Engine for Driftgate {
    fn append(&mut self, ring: u16, rows: Vec<FeatureRow>) -> anyhow::Result<()> {
        for row in rows {
            self.0.apply(Record::Features { machine: ring, row })?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush()?)
    }

    fn scan(&mut self, ring: u16) -> anyhow::Result<usize> {
        Ok(self.0.features(ring, Timestamp::MIN..Timestamp::from_nanos(i64::MAX), usize::MAX)?.len())
    }

    fn packed_bytes(&self) -> u64 {
        let rings = self.0.info().unwrap_or_default();
        rings.into_iter().filter(|i| matches!(i.ring, Ring::Features(_))).map(|i| i.bytes).sum()
    }
}

/// One entry a row, with the fsync that sled's flush leaves out.
struct PlainSled {
    db: sled::Db,
    file: File,
}

impl PlainSled {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        let db = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES as u64).flush_every_ms(None).open()?;
        Ok(Self { db, file: File::options().write(true).open(dir.join("db"))? })
    }
}

impl Engine for PlainSled {
    fn append(&mut self, ring: u16, rows: Vec<FeatureRow>) -> anyhow::Result<()> {
        for row in rows {
            self.db.insert(slot(ring, &row).to_be_bytes(), raw(&row))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.db.flush()?;
        Ok(self.file.sync_all()?)
    }

    fn scan(&mut self, ring: u16) -> anyhow::Result<usize> {
        let mut count = 0;
        for entry in self.db.scan_prefix(u32::from(ring).to_be_bytes()) {
            count += usize::from(is_row(&entry?.1));
        }
        Ok(count)
    }
}

/// One entry a row, a transaction from flush to flush.
struct Redb {
    db: Database,
    open: Option<WriteTransaction>,
}

impl Redb {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let db = Database::builder().set_cache_size(CACHE_BYTES).create(dir.join("rows.redb"))?;
        Ok(Self { db, open: None })
    }
}

impl Engine for Redb {
    fn append(&mut self, ring: u16, rows: Vec<FeatureRow>) -> anyhow::Result<()> {
        if self.open.is_none() {
            self.open = Some(self.db.begin_write()?);
        }
        let mut table = self.open.as_ref().context("a transaction")?.open_table(TABLE)?;
        for row in rows {
            table.insert(slot(ring, &row), raw(&row).as_slice())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        // Its durability is `Immediate` unless told otherwise.
        self.open.take().map_or(Ok(()), |open| Ok(open.commit()?))
    }

    fn scan(&mut self, ring: u16) -> anyhow::Result<usize> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        let mut count = 0;
        for entry in table.range(u64::from(ring) << 32..u64::from(ring + 1) << 32)? {
            count += usize::from(is_row(entry?.1.value()));
        }
        Ok(count)
    }
}

/// One row a row, WAL, an fsync at each commit, a transaction from flush to flush.
struct Sqlite {
    db: Connection,
    open: bool,
}

impl Sqlite {
    fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let db = Connection::open(dir.join("rows.sqlite"))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "cache_size", -(CACHE_BYTES as i64 / 1024))?;
        db.execute("CREATE TABLE IF NOT EXISTS rows (slot INTEGER PRIMARY KEY, row BLOB NOT NULL)", ())?;
        Ok(Self { db, open: false })
    }
}

impl Engine for Sqlite {
    fn append(&mut self, ring: u16, rows: Vec<FeatureRow>) -> anyhow::Result<()> {
        if !self.open {
            self.db.execute_batch("BEGIN")?;
            self.open = true;
        }
        let mut insert = self.db.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2)")?;
        for row in rows {
            insert.execute(params![slot(ring, &row) as i64, raw(&row)])?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.open) {
            self.db.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn scan(&mut self, ring: u16) -> anyhow::Result<usize> {
        let mut select = self.db.prepare_cached("SELECT row FROM rows WHERE slot >= ?1 AND slot < ?2 ORDER BY slot")?;
        let mut rows = select.query(params![i64::from(ring) << 32, i64::from(ring + 1) << 32])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += usize::from(is_row(row.get_ref(0)?.as_blob()?));
        }
        Ok(count)
    }
}
