//! Parquet: zstd, row groups that fit into memory, facts as key-value metadata.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::columns::{Batch, Column, Kind, Values};
use super::sink::{Hashed, Sink, Written};

/// Rows and bytes of one row group at most: what the writer holds in memory.
const GROUP_ROWS: usize = 65_536;
const GROUP_BYTES: usize = 16 << 20;

pub(super) struct ParquetSink {
    writer: ArrowWriter<Hashed>,
    schema: Arc<Schema>,
}

impl ParquetSink {
    pub(super) fn new(file: File, columns: &[Column]) -> Result<Self, String> {
        let fields = columns.iter().map(|column| {
            let notes = [("unit", &column.unit), ("description", &column.about)];
            let notes = notes.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key.to_string(), text.clone()));
            Field::new(&column.name, data_type(column.kind), true).with_metadata(notes.collect::<HashMap<_, _>>())
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let properties = WriterProperties::builder()
            // Measured values hardly ever repeat: looking for those that do is work for nothing.
            .set_dictionary_enabled(false)
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_max_row_group_bytes(Some(GROUP_BYTES))
            .set_created_by(concat!("driftgate ", env!("CARGO_PKG_VERSION")).into());
        let texts = columns.iter().filter(|column| column.kind == Kind::Text);
        let properties =
            texts.fold(properties, |all, column| all.set_column_dictionary_enabled(ColumnPath::from(column.name.as_str()), true));
        let writer = ArrowWriter::try_new(Hashed::new(file), Arc::clone(&schema), Some(properties.build())).map_err(|e| e.to_string())?;
        Ok(Self { writer, schema })
    }
}

impl Sink for ParquetSink {
    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        let columns = batch.columns.iter().map(array).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(|e| e.to_string())?;
        self.writer.write(&batch).map_err(|e| e.to_string())
    }

    fn finish(mut self: Box<Self>, facts: &[(String, String)]) -> Result<Written, String> {
        for (key, value) in facts {
            self.writer.append_key_value_metadata(KeyValue::new(key.clone(), value.clone()));
        }
        let file = self.writer.into_inner().map_err(|e| e.to_string())?;
        file.finish().map_err(|e| e.to_string())
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        // Spark, Delta and Iceberg know neither nanoseconds nor numbers without a sign.
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Kind::Count => DataType::Int64,
        Kind::Number => DataType::Float64,
        Kind::Flag => DataType::Boolean,
        Kind::Text => DataType::Utf8,
    }
}

fn array(values: &Values) -> ArrayRef {
    match values {
        Values::Time(values) => {
            let values = values.iter().map(|time| time.map(|nanos| nanos.div_euclid(1000)));
            Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Values::Count(values) => Arc::new(values.iter().map(|n| n.and_then(|n| i64::try_from(n).ok())).collect::<Int64Array>()),
        Values::Number(values) => Arc::new(values.iter().copied().collect::<Float64Array>()),
        Values::Flag(values) => Arc::new(values.iter().copied().collect::<BooleanArray>()),
        Values::Text(values) => Arc::new(values.iter().map(Option::as_deref).collect::<StringArray>()),
    }
}
