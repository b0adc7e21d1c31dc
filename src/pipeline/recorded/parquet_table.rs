//! Parquet files, batch by batch.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::RecordedError;
use super::table::Cell;
use crate::types::Timestamp;

/// A Parquet file opened for reading.
pub struct ParquetTable {
    reader: ParquetRecordBatchReader,
    /// Names of all its columns.
    pub columns: Vec<String>,
    /// Indexes of the columns that rows are made of.
    pub wanted: Vec<usize>,
    batch: Option<RecordBatch>,
    row: usize,
}

impl ParquetTable {
    /// Reads the file's schema.
    pub fn open(path: &Path) -> Result<Self, RecordedError> {
        let file = File::open(path).map_err(|cause| RecordedError::Open { path: path.into(), cause })?;
        let read = |e: parquet::errors::ParquetError| RecordedError::Read { path: path.into(), row: 0, cause: e.to_string() };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(read)?;
        let columns = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
        let reader = builder.with_batch_size(4096).build().map_err(read)?;
        Ok(Self { reader, columns, wanted: Vec::new(), batch: None, row: 0 })
    }

    /// The next row's wanted cells; false at the end.
    pub fn next(&mut self, cells: &mut Vec<Cell>) -> Result<bool, String> {
        while self.batch.as_ref().is_none_or(|b| self.row >= b.num_rows()) {
            match self.reader.next() {
                None => return Ok(false),
                Some(Err(e)) => return Err(e.to_string()),
                Some(Ok(batch)) => (self.batch, self.row) = (Some(batch), 0),
            }
        }
        cells.clear();
        if let Some(batch) = &self.batch {
            cells.extend(self.wanted.iter().map(|k| cell(batch.column(*k).as_ref(), self.row)));
        }
        self.row += 1;
        Ok(true)
    }
}

/// Numbers, booleans (0 or 1), texts and times (as RFC 3339); other types are empty.
fn cell(column: &dyn Array, row: usize) -> Cell {
    if column.is_null(row) {
        return Cell::Empty;
    }
    macro_rules! number {
        ($kind:ty) => {
            Cell::Number(column.as_primitive::<$kind>().value(row) as f64)
        };
    }
    let time = |value: i64, scale: i64| Cell::Text(Timestamp::from_nanos(value.saturating_mul(scale)).to_string());
    match column.data_type() {
        DataType::Float64 => number!(Float64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Boolean => Cell::Number(f64::from(u8::from(column.as_boolean().value(row)))),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_string()),
        DataType::LargeUtf8 => Cell::Text(column.as_string::<i64>().value(row).to_string()),
        DataType::Utf8View => Cell::Text(column.as_string_view().value(row).to_string()),
        DataType::Timestamp(TimeUnit::Second, _) => time(column.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) => time(column.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => time(column.as_primitive::<TimestampMicrosecondType>().value(row), 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => time(column.as_primitive::<TimestampNanosecondType>().value(row), 1),
        _ => Cell::Empty,
    }
}
