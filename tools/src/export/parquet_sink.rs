//! Rows into row groups of a Parquet file.

use super::columns::{Cell, Column, ColumnType};
use admf::{Error, Result};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a row group: what is in memory at once.
const ROWS_PER_GROUP: usize = 8192;

/// A Parquet file that is being written.
pub(super) struct Sink {
    writer: SerializedFileWriter<File>,
    kinds: Vec<ColumnType>,
    /// By column.
    cells: Vec<Vec<Cell>>,
    path: PathBuf,
}

impl Sink {
    pub(super) fn new(out: File, columns: &[Column], path: &Path) -> Result<Sink> {
        let fail = |error: parquet::errors::ParquetError| failed(path, &error);
        let fields = columns
            .iter()
            .map(|column| {
                let (physical, logical) = match column.kind {
                    ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                    ColumnType::Whole => (Physical::INT64, None),
                    ColumnType::Real => (Physical::DOUBLE, None),
                    ColumnType::Time => (
                        Physical::INT64,
                        Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
                    ),
                    ColumnType::Bool => (Physical::BOOLEAN, None),
                };
                Type::primitive_type_builder(&column.name, physical)
                    .with_repetition(Repetition::OPTIONAL)
                    .with_logical_type(logical)
                    .build()
                    .map(Arc::new)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        let schema = Type::group_type_builder("admf")
            .with_fields(fields)
            .build()
            .map_err(fail)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        Ok(Sink {
            writer: SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
                .map_err(fail)?,
            kinds: columns.iter().map(|column| column.kind).collect(),
            cells: vec![Vec::new(); columns.len()],
            path: path.to_path_buf(),
        })
    }

    pub(super) fn push(&mut self, row: &[Cell]) -> Result<()> {
        for (column, cell) in self.cells.iter_mut().zip(row) {
            column.push(cell.clone());
        }
        if self
            .cells
            .first()
            .is_some_and(|cells| cells.len() >= ROWS_PER_GROUP)
        {
            self.write_group()?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        if self.cells.first().is_some_and(|cells| !cells.is_empty()) {
            self.write_group()?;
        }
        let path = self.path;
        self.writer
            .close()
            .map(|_| ())
            .map_err(|error| failed(&path, &error))
    }

    fn write_group(&mut self) -> Result<()> {
        let path = self.path.clone();
        self.write_columns().map_err(|error| failed(&path, &error))
    }

    fn write_columns(&mut self) -> Result<(), parquet::errors::ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (cells, kind) in self.cells.iter_mut().zip(&self.kinds) {
            let levels: Vec<i16> = cells
                .iter()
                .map(|cell| i16::from(*cell != Cell::Null))
                .collect();
            let levels = Some(levels.as_slice());
            let mut column = group
                .next_column()?
                .expect("there are as many columns as in the schema");
            match kind {
                ColumnType::Text => {
                    let values: Vec<ByteArray> = cells
                        .iter()
                        .filter_map(|cell| match cell {
                            Cell::Text(text) => Some(ByteArray::from(text.as_str())),
                            _ => None,
                        })
                        .collect();
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&values, levels, None)?;
                }
                ColumnType::Whole | ColumnType::Time => {
                    let values: Vec<i64> = cells
                        .iter()
                        .filter_map(|cell| match cell {
                            Cell::Whole(value) | Cell::Time(value) => Some(*value),
                            _ => None,
                        })
                        .collect();
                    column
                        .typed::<Int64Type>()
                        .write_batch(&values, levels, None)?;
                }
                ColumnType::Real => {
                    let values: Vec<f64> = cells
                        .iter()
                        .filter_map(|cell| match cell {
                            Cell::Real(value) => Some(*value),
                            _ => None,
                        })
                        .collect();
                    column
                        .typed::<DoubleType>()
                        .write_batch(&values, levels, None)?;
                }
                ColumnType::Bool => {
                    let values: Vec<bool> = cells
                        .iter()
                        .filter_map(|cell| match cell {
                            Cell::Bool(value) => Some(*value),
                            _ => None,
                        })
                        .collect();
                    column
                        .typed::<BoolType>()
                        .write_batch(&values, levels, None)?;
                }
            }
            column.close()?;
            cells.clear();
        }
        group.close()?;
        Ok(())
    }
}

fn failed(path: &Path, error: &parquet::errors::ParquetError) -> Error {
    Error::io("write", path)(std::io::Error::other(error.to_string()))
}
