use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::table::Table;
use super::{Cell, Input, RecordedError};
use crate::config::{MachineConfig, ReplayConfig, Shape};
use crate::feature::PlausibilityCheck;
use crate::types::{Cause, Channel, Frame, Quality, Timestamp, Value};

/// What the times of a file are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TimeBase {
    /// No time column: the row number in seconds.
    Rows,
    /// A column of numbers.
    Seconds,
    /// A column of dates.
    Clock,
}

/// Reads the frames of one machine from one file.
pub struct FrameReader {
    table: Table,
    path: PathBuf,
    plan: Plan,
    rows: Option<(u64, u64)>,
    row: u64,
    cells: Vec<Cell>,
    units: Vec<Unit>,
    by_name: HashMap<String, usize>,
    unit_name: Arc<str>,
    time_base: TimeBase,
    /// Of a new unit.
    plausibility: PlausibilityCheck,
    /// Cells of signals that held no number.
    pub unreadable: u64,
}

/// Where each part of a frame comes from.
struct Plan {
    /// Index into the wanted cells.
    time: Option<usize>,
    unit: Option<usize>,
    /// Signals, settings, labels.
    channels: Vec<ChannelPlan>,
    /// Samples a block, where the machine has waveforms.
    block: Option<usize>,
}

struct ChannelPlan {
    from: From,
    numeric: bool,
    block: bool,
}

enum From {
    Cell(usize),
    Fixed(Cell),
}

/// What is kept of a unit between rows.
struct Unit {
    name: Arc<str>,
    frame: Frame,
    rows: u64,
    /// Samples of the present block, one vector a waveform channel.
    blocks: Vec<Vec<f64>>,
    plausibility: PlausibilityCheck,
}

impl FrameReader {
    /// Opens a file. `set` gives columns for all files; the file's own come first.
    pub fn open(input: &Input, machine: &MachineConfig, replay: &ReplayConfig, set: &[(String, String)]) -> Result<Self, RecordedError> {
        let mut table = Table::open(&input.path)?;
        let fixed: Vec<&(String, String)> = input.set.iter().chain(set).collect();
        let mut wanted = Vec::new();
        let plan = Plan::new(machine, replay, table.columns(), &fixed, &mut wanted, &input.path)?;
        table.want(wanted);
        let stem = input.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = stem.trim_end_matches(".gz").trim_end_matches(".csv").trim_end_matches(".parquet");
        Ok(Self {
            table,
            path: input.path.clone(),
            time_base: if plan.time.is_some() { TimeBase::Seconds } else { TimeBase::Rows },
            plan,
            rows: input.rows,
            row: 0,
            cells: Vec::new(),
            units: Vec::new(),
            by_name: HashMap::new(),
            unit_name: stem.into(),
            plausibility: PlausibilityCheck::new(machine),
            unreadable: 0,
        })
    }

    /// Names of the units seen so far: values of the unit column, or the file's name without extension.
    pub fn unit(&self, unit: usize) -> Arc<str> {
        self.units.get(unit).map(|u| u.name.clone()).unwrap_or_default()
    }

    /// What the times of the rows read so far are.
    pub fn time_base(&self) -> TimeBase {
        self.time_base
    }

    /// Rows read so far.
    pub fn rows_read(&self) -> u64 {
        self.row
    }

    /// The present frame of a unit.
    ///
    /// # Panics
    /// Where [`Self::next_unit`] has not returned `unit`.
    pub fn frame(&self, unit: usize) -> &Frame {
        &self.units[unit].frame
    }

    /// Reads on to the next frame and says whose it is: the index of the unit, in the order of first appearance in this
    /// file. `None` at the end of the file; an incomplete block at the end gives no frame.
    pub fn next_unit(&mut self) -> Result<Option<usize>, RecordedError> {
        loop {
            if self.rows.is_some_and(|(_, to)| self.row >= to) {
                return Ok(None);
            }
            let more = self.table.next(&mut self.cells);
            self.row += 1;
            let row = self.row;
            let more = more.map_err(|cause| RecordedError::Read { path: self.path.clone(), row, cause })?;
            if !more {
                self.row -= 1;
                return Ok(None);
            }
            if self.rows.is_some_and(|(from, _)| row < from) {
                continue;
            }
            let unit = self.unit_of_row();
            let time = self.time_of_row(unit)?;
            if self.take_row(unit, time) {
                let Unit { frame, plausibility, .. } = &mut self.units[unit];
                plausibility.mark(frame);
                return Ok(Some(unit));
            }
        }
    }

    fn unit_of_row(&mut self) -> usize {
        let key = match self.plan.unit.map(|k| &self.cells[k]) {
            None | Some(Cell::Empty) => String::new(),
            Some(Cell::Number(x)) => x.to_string(),
            Some(Cell::Text(text)) => text.clone(),
        };
        if let Some(unit) = self.by_name.get(&key) {
            return *unit;
        }
        let name = if self.plan.unit.is_some() { key.as_str().into() } else { self.unit_name.clone() };
        let waveforms = self.plan.channels.iter().filter(|c| c.block).count();
        self.units.push(Unit {
            name,
            frame: Frame { time: Timestamp::EPOCH, channels: vec![Channel::default(); self.plan.channels.len()] },
            rows: 0,
            blocks: vec![Vec::with_capacity(self.plan.block.unwrap_or(0)); waveforms],
            plausibility: self.plausibility.clone(),
        });
        self.by_name.insert(key, self.units.len() - 1);
        self.units.len() - 1
    }

    fn time_of_row(&mut self, unit: usize) -> Result<Timestamp, RecordedError> {
        self.units[unit].rows += 1;
        let Some(k) = self.plan.time else { return Ok(Timestamp::from_secs_f64(self.units[unit].rows as f64)) };
        let error = |text: String| RecordedError::Time { path: self.path.clone(), row: self.row, text };
        match &self.cells[k] {
            Cell::Number(secs) if secs.is_finite() => Ok(Timestamp::from_secs_f64(*secs)),
            Cell::Number(secs) => Err(error(secs.to_string())),
            Cell::Empty => Err(error(String::new())),
            Cell::Text(text) => {
                self.time_base = TimeBase::Clock;
                Timestamp::parse(text).map_err(|_| error(text.clone()))
            }
        }
    }

    /// Puts the present row into its unit's frame; true where the frame is complete.
    fn take_row(&mut self, unit: usize, time: Timestamp) -> bool {
        let Unit { frame, blocks, .. } = &mut self.units[unit];
        frame.time = time;
        let mut waveform = 0;
        let mut complete = self.plan.block.is_none();
        for (plan, channel) in self.plan.channels.iter().zip(&mut frame.channels) {
            let cell = match &plan.from {
                From::Cell(k) => &self.cells[*k],
                From::Fixed(cell) => cell,
            };
            if plan.block {
                let samples = &mut blocks[waveform];
                waveform += 1;
                samples.push(if let Cell::Number(x) = cell { *x } else { f64::NAN });
                if Some(samples.len()) == self.plan.block {
                    complete = true;
                    fill_block(channel, samples, time);
                    samples.clear();
                }
            } else {
                self.unreadable += u64::from(fill_scalar(channel, cell, plan.numeric, time));
            }
        }
        complete
    }
}

/// True where a signal's cell holds a text.
fn fill_scalar(channel: &mut Channel, cell: &Cell, numeric: bool, time: Timestamp) -> bool {
    channel.source_time = time;
    let (value, quality) = match cell {
        Cell::Empty => (None, Quality::Bad(Cause::NoData)),
        Cell::Number(x) if x.is_finite() => (Some(Value::Real(*x)), Quality::Good),
        Cell::Number(_) => (None, Quality::Bad(Cause::NotFinite)),
        Cell::Text(_) if numeric => (None, Quality::Bad(Cause::WrongType)),
        Cell::Text(text) => (Some(Value::Text(text.as_str().into())), Quality::Good),
    };
    (channel.value, channel.quality) = (value, quality);
    numeric && matches!(cell, Cell::Text(_))
}

fn fill_block(channel: &mut Channel, samples: &[f64], time: Timestamp) {
    channel.source_time = time;
    (channel.value, channel.quality) = if samples.iter().all(|x| x.is_finite()) {
        (Some(Value::Block(samples.into())), Quality::Good)
    } else {
        (None, Quality::Bad(Cause::NotFinite))
    };
}

impl Plan {
    fn new(
        machine: &MachineConfig,
        replay: &ReplayConfig,
        columns: &[String],
        fixed: &[&(String, String)],
        wanted: &mut Vec<usize>,
        path: &std::path::Path,
    ) -> Result<Self, RecordedError> {
        let mut find = |column: &str, what: &str| -> Result<From, RecordedError> {
            if let Some((_, value)) = fixed.iter().find(|(name, _)| name == column) {
                let cell = value.parse().map_or_else(|_| Cell::Text(value.clone()), Cell::Number);
                return Ok(From::Fixed(cell));
            }
            let index = columns.iter().position(|c| c == column).ok_or_else(|| RecordedError::NoColumn {
                path: path.into(),
                column: column.into(),
                wanted: what.into(),
                has: columns.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", "),
            })?;
            wanted.push(index);
            Ok(From::Cell(wanted.len() - 1))
        };
        let mut cell = |column: &Option<String>, what: &str| -> Result<Option<usize>, RecordedError> {
            let Some(column) = column else { return Ok(None) };
            Ok(match find(column, what)? {
                From::Cell(k) => Some(k),
                From::Fixed(_) => None,
            })
        };
        let time = cell(&replay.time_column, "the time")?;
        let unit = cell(&replay.unit_column, "the unit")?;
        let mut channels = Vec::new();
        let mut block = None;
        for signal in &machine.signals {
            let is_block = if let Shape::Block { length, .. } = signal.shape {
                if let Some(other) = block.filter(|b| *b != length) {
                    return Err(RecordedError::Blocks { machine: machine.name.to_string(), a: other, b: length });
                }
                block = Some(length);
                true
            } else {
                false
            };
            let from = find(&signal.column, &format!("signal `{}`", signal.name))?;
            channels.push(ChannelPlan { from, numeric: true, block: is_block });
        }
        for setting in &machine.settings {
            let from = find(&setting.column, &format!("setting `{}`", setting.name))?;
            channels.push(ChannelPlan { from, numeric: false, block: false });
        }
        for label in machine.labels() {
            // Most recorded data has no labels.
            let from = find(&label.column, "the labels").unwrap_or(From::Fixed(Cell::Empty));
            channels.push(ChannelPlan { from, numeric: false, block: false });
        }
        Ok(Self { time, unit, channels, block })
    }
}
