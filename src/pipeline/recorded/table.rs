//! Rows of wanted columns from a file, whatever its format.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::RecordedError;

/// One cell of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Empty,
    Number(f64),
    Text(String),
}

/// A file opened for reading; its columns are known.
pub enum Table {
    Csv(CsvTable),
    #[cfg(feature = "parquet")]
    Parquet(super::parquet_table::ParquetTable),
}

/// A CSV file opened for reading.
pub struct CsvTable {
    reader: csv::Reader<Box<dyn Read + Send>>,
    /// Names of all its columns.
    pub columns: Vec<String>,
    record: csv::ByteRecord,
    wanted: Vec<usize>,
}

impl Table {
    /// Opens CSV (`.csv`, `.csv.gz`; comma, semicolon or tab, whichever the header holds most of) or Parquet (`.parquet`).
    pub fn open(path: &Path) -> Result<Self, RecordedError> {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        if name.ends_with(".parquet") {
            #[cfg(feature = "parquet")]
            return Ok(Self::Parquet(super::parquet_table::ParquetTable::open(path)?));
            #[cfg(not(feature = "parquet"))]
            return Err(RecordedError::NoParquet { path: path.into() });
        }
        Ok(Self::Csv(CsvTable::open(path, name.ends_with(".gz"))?))
    }

    /// Names of all columns of the file.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Csv(t) => &t.columns,
            #[cfg(feature = "parquet")]
            Self::Parquet(t) => &t.columns,
        }
    }

    /// The columns that [`Self::next`] fills in, by their index.
    pub fn want(&mut self, columns: Vec<usize>) {
        match self {
            Self::Csv(t) => t.wanted = columns,
            #[cfg(feature = "parquet")]
            Self::Parquet(t) => t.wanted = columns,
        }
    }

    /// The next row's wanted cells; false at the end. `Err` names what is wrong with the row.
    pub fn next(&mut self, cells: &mut Vec<Cell>) -> Result<bool, String> {
        match self {
            Self::Csv(t) => t.next(cells),
            #[cfg(feature = "parquet")]
            Self::Parquet(t) => t.next(cells),
        }
    }
}

impl CsvTable {
    fn open(path: &Path, gzip: bool) -> Result<Self, RecordedError> {
        let open = |path: &Path| File::open(path).map_err(|cause| RecordedError::Open { path: path.into(), cause });
        let stream = |file: File| -> Box<dyn Read + Send> {
            let file = BufReader::with_capacity(1 << 16, file);
            if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) }
        };
        let read = |cause: String| RecordedError::Read { path: path.into(), row: 0, cause };
        let delimiter = delimiter(stream(open(path)?)).map_err(|e| read(e.to_string()))?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .trim(csv::Trim::Headers)
            .buffer_capacity(1 << 16)
            .from_reader(stream(open(path)?));
        let columns: Vec<String> =
            reader.headers().map_err(|e| read(e.to_string()))?.iter().map(|c| c.trim_start_matches('\u{feff}').to_string()).collect();
        if columns.iter().all(String::is_empty) {
            return Err(RecordedError::NoHeader { path: path.into() });
        }
        Ok(Self { reader, columns, record: csv::ByteRecord::new(), wanted: Vec::new() })
    }

    fn next(&mut self, cells: &mut Vec<Cell>) -> Result<bool, String> {
        if !self.reader.read_byte_record(&mut self.record).map_err(|e| e.to_string())? {
            return Ok(false);
        }
        cells.clear();
        cells.extend(self.wanted.iter().map(|k| self.record.get(*k).map_or(Cell::Empty, cell)));
        Ok(true)
    }
}

/// What stands most often in the first line.
fn delimiter(stream: impl Read) -> std::io::Result<u8> {
    let mut head = Vec::new();
    stream.take(1 << 16).read_to_end(&mut head)?;
    let line = head.split(|b| *b == b'\n').next().unwrap_or(&head);
    let count = |d: u8| line.iter().filter(|b| **b == d).count();
    Ok([b',', b';', b'\t'].into_iter().rev().max_by_key(|d| count(*d)).unwrap_or(b','))
}

fn cell(bytes: &[u8]) -> Cell {
    let Ok(text) = std::str::from_utf8(bytes) else { return Cell::Text(String::from_utf8_lossy(bytes).into_owned()) };
    let text = text.trim();
    if text.is_empty() {
        return Cell::Empty;
    }
    match text.parse() {
        Ok(number) => Cell::Number(number),
        Err(_) => Cell::Text(text.to_string()),
    }
}
