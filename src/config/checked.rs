//! The checked configuration: every index valid, every range kept.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::WriteConfig;
use crate::checks::Check;
use crate::types::Frame;

/// The whole configuration after all checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub gateway: GatewayConfig,
    pub server: ServerConfig,
    pub store: StoreConfig,
    pub replay: ReplayConfig,
    pub announce: AnnounceConfig,
    pub sources: Vec<SourceConfig>,
    pub machines: Vec<Arc<MachineConfig>>,
    /// SHA-256 of the file, hex.
    pub hash: String,
    /// The file as it was read.
    pub text: Arc<str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GatewayConfig {
    /// Shown as `Gateway.InstanceName`.
    pub name: String,
}

/// The OPC UA server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Port of the endpoint; 0 takes a free one. Default 4840.
    pub port: u16,
    /// Where to listen as soon as there are users. Default 0.0.0.0.
    pub address: IpAddr,
    /// Told to clients; `None`: the address, or this computer's name.
    pub host: Option<String>,
    /// Default 50.
    pub max_sessions: u16,
    /// Default 200.
    pub max_connections: u16,
    /// Default 100.
    pub max_connections_per_address: u16,
    /// Default `urn:driftgate:<gateway name>`.
    pub application_uri: String,
}

/// Bounds of the store; the oldest rows go first.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// Raw frames kept per machine. Default 20,000.
    pub frame_rows: u32,
    /// Feature rows (features, scores, regime) kept per machine. Default 50,000.
    pub feature_rows: u32,
    /// Evaluations of monitors kept per machine. Default 20,000.
    pub history_rows: u32,
    /// Events kept, all machines together. Default 20,000.
    pub event_rows: u32,
    /// Changes of variables with history kept, all together. Default 500,000.
    pub value_rows: u32,
    /// Free space below which nothing more is stored, in bytes. Default 200 MB.
    pub disk_reserve: u64,
    /// Age above which rows go; `None`: whatever their age.
    pub max_age: Option<Duration>,
    /// Compressed bytes of a machine's frames, features and evaluations above which its oldest rows go; `None`: however many.
    pub machine_bytes: Option<u64>,
}

/// How recorded data is read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ReplayConfig {
    /// Column with the time of a row; `None`: rows are counted.
    pub time_column: Option<String>,
    /// Column whose values are machines of their own.
    pub unit_column: Option<String>,
}

/// Who is told that a dataset is ready; nobody without either.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AnnounceConfig {
    pub webhook: Option<WebhookConfig>,
    pub mqtt: Option<MqttConfig>,
}

/// HTTP POST of an announcement.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// `http://` or `https://`.
    pub url: String,
    /// Bearer token.
    pub token: Option<PasswordFrom>,
    /// Key of the signature.
    pub secret: Option<PasswordFrom>,
    /// Certificates (PEM) to trust; `None`: those of this computer.
    pub ca_file: Option<String>,
    /// Of a whole request. Default 10 s.
    pub timeout: Duration,
}

/// Publishing of an announcement.
#[derive(Clone, Debug, PartialEq)]
pub struct MqttConfig {
    pub host: String,
    /// Default 1883, with TLS 8883.
    pub port: u16,
    pub tls: bool,
    /// `{gateway}` and `{machine}` are replaced by their names.
    pub topic: String,
    /// Default: `driftgate-` and the gateway's name.
    pub client_id: String,
    pub user: Option<UserConfig>,
    /// Certificates (PEM) to trust; `None`: those of this computer.
    pub ca_file: Option<String>,
    /// Of connecting and publishing together. Default 10 s.
    pub timeout: Duration,
}

/// A connection to one PLC.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// `[A-Za-z][A-Za-z0-9_]{0,31}`
    pub name: Arc<str>,
    /// Whether it is read from. Default true.
    pub enabled: bool,
    pub kind: SourceKind,
}

impl SourceConfig {
    /// Where it is, for people: `opc.tcp://...`, `host:port`, a serial device.
    pub fn endpoint(&self) -> String {
        match &self.kind {
            SourceKind::OpcUa(c) => c.endpoint.clone(),
            SourceKind::Modbus(c) => c.place.to_string(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum SourceKind {
    OpcUa(OpcUaConfig),
    Modbus(ModbusConfig),
}

#[derive(Clone, Debug, PartialEq)]
pub struct OpcUaConfig {
    /// `opc.tcp://host:port[/path]`
    pub endpoint: String,
    pub security: Security,
    pub user: Option<UserConfig>,
    /// Namespace URI that addresses without `ns=` or `nsu=` belong to.
    pub namespace: Option<String>,
    /// Default 100 ms.
    pub publishing_interval: Duration,
    /// Values are read so often, in place of a subscription.
    pub polling: Option<Duration>,
    /// Default 10 s: no notification for so long though values are expected = silent.
    pub silence: Duration,
    /// Accept a server certificate that nobody has trusted by hand. Default false.
    pub trust_any_certificate: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// The strongest that the server offers.
    Auto,
    None,
    Basic256Sha256,
    Aes128Sha256RsaOaep,
    Aes256Sha256RsaPss,
}

/// The password is read when connecting, never kept in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    pub name: String,
    pub password: PasswordFrom,
}

#[derive(Clone, Debug, PartialEq)]
pub enum PasswordFrom {
    /// Name of an environment variable.
    Env(String),
    /// Path of a file; its first line.
    File(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ModbusConfig {
    pub place: ModbusPlace,
    /// Default 1.
    pub unit: u8,
    /// Default 100 ms.
    pub poll_interval: Duration,
    /// Default 1 s.
    pub timeout: Duration,
    /// Order of the bytes of 32- and 64-bit values. Default ABCD.
    pub word_order: WordOrder,
    /// Registers read in one request at most; default 125.
    pub max_registers: u16,
    /// Least time from an answer to the next request; default 0.
    pub pause: Duration,
    /// Registers between two wanted ones that are read along; default 8.
    pub max_gap: u16,
}

/// Where Modbus devices are. Sources of one place share its connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModbusPlace {
    Tcp {
        host: String,
        /// Default 502.
        port: u16,
    },
    /// RTU on a serial line.
    Serial(SerialLine),
}

impl std::fmt::Display for ModbusPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Serial(line) => f.write_str(&line.device),
        }
    }
}

/// A serial line of eight data bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialLine {
    /// `/dev/ttyUSB0`
    pub device: String,
    /// Bits a second; default 19,200.
    pub baud: u32,
    /// Default even.
    pub parity: Parity,
    /// 1 or 2; default 1, and 2 without parity.
    pub stop_bits: u8,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Parity {
    None,
    Even,
    Odd,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WordOrder {
    /// Big endian.
    Abcd,
    /// Words swapped.
    Cdab,
    /// Bytes swapped in each word.
    Badc,
    /// Little endian.
    Dcba,
}

/// One machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineConfig {
    /// `[A-Za-z][A-Za-z0-9_]{0,31}`; first segment of its node ids.
    pub name: Arc<str>,
    pub frame: FrameClock,
    /// A value older than this when the frame is made is Bad (stale). Default 5 s.
    pub max_age: Duration,
    /// Rows are not judged for so long after a setting left its bin. Default 0.
    pub settle: Duration,
    pub active_when: Option<Condition>,
    pub signals: Vec<SignalConfig>,
    pub settings: Vec<SettingConfig>,
    /// In the order of the signals; the names are unique.
    pub features: Vec<FeatureConfig>,
    /// Regime slots R01..Rnn. Default 8, at most 64.
    pub regime_slots: u16,
    /// What the classes of labels mean, from class 0 on; empty: any number is a class.
    pub classes: Vec<Arc<str>>,
    /// Rows a regime needs before it is monitored. Default 200.
    pub min_reference_rows: u32,
    /// Learn references and models from the first so many valid rows where there is no bundle; 0: only a bundle. Default 0.
    pub learn_rows: u32,
    /// Learn the machine's own offset against the references from its first so many judged rows; 0: none. Default 0.
    pub baseline_rows: u32,
    /// A reference learned by command is in force as soon as it has its rows. Default true.
    pub freeze_after_learning: bool,
    /// Learn settings outside the envelope by themselves. Default false.
    pub auto_learn_new_regime: bool,
    pub models: Vec<ModelConfig>,
    pub data_drift: MonitorConfig,
    /// Named checks; their columns are features.
    pub checks: Vec<Check>,
    /// Values that are written into PLCs.
    pub writes: Vec<WriteConfig>,
    pub report: ReportConfig,
    pub buffers: BufferConfig,
}

impl MachineConfig {
    /// Labels of models, in the order of their channels: after signals and settings.
    pub fn labels(&self) -> impl Iterator<Item = &LabelConfig> {
        self.models.iter().filter_map(|m| m.performance.as_ref()).map(|p| &p.label)
    }

    /// Indexes of the sources that it reads from, each once.
    pub fn sources(&self) -> Vec<usize> {
        let origins = self.signals.iter().map(|s| &s.origin).chain(self.settings.iter().map(|s| &s.origin));
        let mut sources: Vec<usize> = origins.chain(self.labels().map(|l| &l.origin)).flatten().map(|o| o.source).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Channels of a frame: signals, settings, labels.
    pub fn channel_count(&self) -> usize {
        self.signals.len() + self.settings.len() + self.labels().count()
    }

    /// Index of a channel: signals first, then settings.
    pub fn setting_channel(&self, setting: usize) -> usize {
        self.signals.len() + setting
    }
}

/// When a frame is made.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum FrameClock {
    /// At each sample of this signal (index into `signals`).
    Trigger(usize),
    /// At fixed times.
    Period(Duration),
}

/// `Speed > 100`: on a signal or a setting, by its channel.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Condition {
    pub channel: usize,
    pub op: Comparison,
    pub value: f64,
}

impl Condition {
    /// Whether it holds; `None` where its value is not usable.
    pub fn holds(&self, frame: &Frame) -> Option<bool> {
        let x = frame.channels.get(self.channel)?.usable()?.number()?;
        Some(match self.op {
            Comparison::Less => x < self.value,
            Comparison::LessOrEqual => x <= self.value,
            Comparison::Greater => x > self.value,
            Comparison::GreaterOrEqual => x >= self.value,
            Comparison::Equal => x == self.value,
            Comparison::NotEqual => x != self.value,
        })
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Where a channel's value comes from when live.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Index of the source.
    pub source: usize,
    /// In the PLC's own notation: a NodeId text, `MAIN.fbMotor.rSpeed`, `"DB"."tag"`, or a Modbus address (`holding:100`).
    pub address: String,
    /// How Modbus registers are read; ignored for OPC UA.
    pub register_type: RegisterType,
    /// Wanted sampling interval; `None`: the source's publishing or poll interval.
    pub sampling: Option<Duration>,
    /// `value * scale + offset`; defaults 1 and 0.
    pub scale: f64,
    pub offset: f64,
    /// Modbus: register that the PLC counts up with each new block of a waveform.
    pub counter: Option<String>,
    /// OPC UA: smallest difference that the server announces, as the PLC has the value: before `scale`.
    pub deadband: Option<f64>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegisterType {
    Bool,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
    /// A text of so many characters, two in a register.
    String(u8),
}

impl RegisterType {
    /// Registers that one value takes.
    pub const fn width(self) -> usize {
        match self {
            Self::Bool | Self::I16 | Self::U16 => 1,
            Self::I32 | Self::U32 | Self::F32 => 2,
            Self::I64 | Self::U64 | Self::F64 => 4,
            Self::String(characters) => (characters as usize).div_ceil(2),
        }
    }
}

/// A measured value or waveform.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    pub name: Arc<str>,
    /// Column in recorded data; default: the name.
    pub column: String,
    /// `None`: only in recorded data.
    pub origin: Option<Origin>,
    pub unit: String,
    /// Values outside are Bad.
    pub range: Option<(f64, f64)>,
    pub plausible: Plausible,
    pub shape: Shape,
}

/// What a signal's values can be; a value that cannot be is Bad, with the cause.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Plausible {
    /// Longest time for which the value is exactly the same while the machine produces.
    pub stuck_after: Option<Duration>,
    /// Fastest change, in the signal's unit a second.
    pub max_rate: Option<f64>,
    /// Lowest and highest value that the converter can give: at or beyond them it is saturated.
    pub saturation: Option<(f64, f64)>,
}

#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Shape {
    Scalar,
    /// A waveform of `length` samples taken `rate` times a second (Hz).
    Block {
        length: usize,
        rate: f64,
    },
}

/// A value the machine is set to.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingConfig {
    pub name: Arc<str>,
    pub column: String,
    pub origin: Option<Origin>,
    pub unit: String,
    pub conditioning: Conditioning,
}

/// How a setting takes part in the regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Conditioning {
    /// Recorded, but no part of the regime.
    Ignored,
    /// Each value (number or text) is a class of its own.
    Category,
    /// Half-open bins `[e0,e1) [e1,e2) ...`, ascending; values outside are outside the envelope.
    Bins(Vec<f64>),
    /// Values within so much of a trained value are that value.
    Tolerance(f64),
    /// A continuous setting, no part of the key: features are predicted from it, and their residuals watched. Values
    /// farther than so much from every trained one are outside the envelope.
    Regression(f64),
}

impl Conditioning {
    /// Equal, whatever the tolerance.
    pub fn is_alike(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::Tolerance(_), Self::Tolerance(_)))
    }
}

/// Settings of a machine with [`Conditioning::Regression`] at most.
pub const MAX_CONTINUOUS: usize = 4;

/// What a model and the monitors get.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureConfig {
    /// The signal's name for a scalar; `<Signal>_rms` and so on for a waveform.
    pub name: Arc<str>,
    pub signal: usize,
    pub kind: FeatureKind,
    pub unit: String,
}

#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FeatureKind {
    /// The scalar itself.
    Value,
    Mean,
    Rms,
    /// Largest absolute value over rms.
    Crest,
    /// Fourth standardised moment (3 for a Gaussian).
    Kurtosis,
    /// Largest minus smallest.
    PeakToPeak,
    /// Natural logarithm of the power between two frequencies (Hz).
    Band {
        from: f64,
        to: f64,
    },
}

/// A fault-detection model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub name: Arc<str>,
    pub kind: ModelKind,
    /// Indexes into the machine's features.
    pub inputs: Vec<usize>,
    /// Share of healthy training rows that may lie beyond the threshold; default 0.001.
    pub contamination: f64,
    /// Fixed threshold of the score; `None`: from training.
    pub score_threshold: Option<f64>,
    /// Rows in a row beyond the threshold that make a fault; default 5.
    pub fault_rows: u16,
    /// An activated model that nobody confirms within it is rolled back; default 1 h.
    pub confirmation_timeout: Duration,
    /// Expected upper bound of an inference; `None`: none. Default 100 ms.
    pub latency_budget: Option<std::time::Duration>,
    pub prediction_drift: MonitorConfig,
    /// `None` where nobody says what was true.
    pub performance: Option<PerformanceConfig>,
}

/// Whether a model is right: what was true, and the monitor that compares.
#[derive(Clone, Debug, PartialEq)]
pub struct PerformanceConfig {
    pub label: LabelConfig,
    pub drift: MonitorConfig,
}

/// Which labels mean fault; all others mean healthy.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultWhen {
    /// Numbers above 0, and `true`; a text is no label.
    Positive,
    /// These values.
    Listed(Vec<LabelValue>),
    /// Numbers outside lowest and highest healthy value; a text is no label.
    Outside(f64, f64),
}

/// Where it is said what was true at a row.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelConfig {
    /// `<Model>.label`: name of its channel.
    pub name: Arc<str>,
    /// Column in recorded data; a file may lack it.
    pub column: String,
    /// `None`: only in recorded data.
    pub origin: Option<Origin>,
    pub fault: FaultWhen,
    /// Values that mean that nothing is known.
    pub ignore_values: Vec<LabelValue>,
    /// A label belongs to the row so many rows before.
    pub delay_rows: u32,
}

/// A value of a label; true is 1, false is 0.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelValue {
    Number(f64),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ModelKind {
    IsolationForest { trees: usize, samples: usize, seed: u64 },
    KMeans { clusters: usize, seed: u64 },
    GaussianMixture { clusters: usize, seed: u64 },
    Pca { explained: f64 },
    OneClassSvm { nu: f64, seed: u64 },
}

/// A monitor: up to four tests, their thresholds, and the decision.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorConfig {
    pub enabled: bool,
    /// T1..T4.
    pub tests: Vec<TestConfig>,
    /// Rows of the regime that a test looks at; 20..=10,000, default 200.
    pub window_rows: u32,
    /// Rows between two evaluations; 1..=window_rows, default 20; 1 where all tests are charts.
    pub hop: u32,
    /// Evaluations in a row with all tests exceeded that make a drift; 1..=1,000, default 3; 1 where all tests are charts.
    pub consecutive_limit: u16,
    /// False alarms to calibrate thresholds for when training; `None`: no calibration.
    pub budget: Option<crate::drift::calibrate::Budget>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TestConfig {
    /// A metric or a chart.
    pub metric: crate::drift::Test,
    /// `None`: the bundle's calibrated one, else the default of the metric or chart.
    pub threshold: Option<f64>,
}

/// The full report of all metrics at an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportConfig {
    /// `None`: none is made.
    pub interval: Option<Duration>,
    /// Rows of each regime that it looks at, the last ones; default 1,000.
    pub rows: u32,
    /// Reports kept; default 30.
    pub keep: u16,
}

/// Retraining buffers B01..B04.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferConfig {
    /// Rows that make a buffer ready; default 1,000.
    pub target_rows: u32,
    /// Rows from before the first warning that belong to it; default 200.
    pub rows_before: u32,
    /// How an export is written that names no format; default Parquet.
    pub export_format: ExportFormat,
    /// Whether a ready buffer is exported by itself; default yes.
    pub auto_export: bool,
    /// Whether rows outside the envelope are collected; default no.
    pub collect_outside: bool,
    /// Samples by regime; `None`: none are taken.
    pub samples: Option<SampleConfig>,
}

/// Samples of each regime, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleConfig {
    /// Time between two rows of the same regime.
    pub every: Duration,
    /// Rows of each regime that are kept, the last ones; default 500.
    pub rows: u32,
    /// Time between two datasets; default 7 days.
    pub export: Duration,
}

/// What kind of file an export is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum ExportFormat {
    #[default]
    Parquet,
    Csv,
}

impl ExportFormat {
    /// As it is written in files and parameters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }

    /// `None` for another word.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Parquet, Self::Csv].into_iter().find(|f| f.name() == name)
    }
}
