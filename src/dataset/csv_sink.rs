//! CSV: comma, header, UTF-8; empty where there is no value.

use std::fs::File;

use chrono::SecondsFormat;

use super::columns::{Batch, Column, Values};
use super::sink::{Hashed, Sink, Written};
use crate::types::Timestamp;

pub(super) struct CsvSink {
    writer: csv::Writer<Hashed>,
    record: Vec<String>,
}

impl CsvSink {
    pub(super) fn new(file: File, columns: &[Column]) -> Result<Self, String> {
        let mut writer = csv::Writer::from_writer(Hashed::new(file));
        writer.write_record(columns.iter().map(|c| c.name.as_str())).map_err(|e| e.to_string())?;
        Ok(Self { writer, record: Vec::new() })
    }
}

impl Sink for CsvSink {
    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        for row in 0..batch.rows {
            self.record.clear();
            self.record.extend(batch.columns.iter().map(|values| text(values, row)));
            self.writer.write_record(&self.record).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// CSV has no place for facts: they stand in the manifest.
    fn finish(self: Box<Self>, _facts: &[(String, String)]) -> Result<Written, String> {
        let file = self.writer.into_inner().map_err(|e| e.error().to_string())?;
        file.finish().map_err(|e| e.to_string())
    }
}

/// Numbers with as many digits as tell them apart.
fn text(values: &Values, row: usize) -> String {
    fn of<T: ToString>(values: &[Option<T>], row: usize) -> String {
        values.get(row).and_then(Option::as_ref).map(ToString::to_string).unwrap_or_default()
    }
    match values {
        Values::Time(times) => {
            let time = times.get(row).copied().flatten().map(|nanos| Timestamp::from_nanos(nanos).to_utc());
            time.map(|t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true)).unwrap_or_default()
        }
        Values::Count(values) => of(values, row),
        Values::Number(values) => of(values, row),
        Values::Flag(values) => of(values, row),
        Values::Text(values) => of(values, row),
    }
}
