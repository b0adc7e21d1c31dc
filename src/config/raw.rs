//! What the TOML file holds, before checks: one struct a table, every key optional here.
//!
//! The doc comments and samples below are the text of `configs/full.toml` (see `document`).

use super::bounds;
use super::checked::{ExportFormat, LabelValue, Parity, RegisterType, Security, WordOrder};
use super::read::{FromToml, Item, Key, Notes, Sample, Section, Span, join, words};
use super::writes::Written;
use crate::drift::Test;
use crate::drift::calibrate::Budget;
use toml::de::DeValue;

/// Declares a table of the file: its keys with docs, type and a sample value. With `short KEY` a plain text in its
/// place stands for a table with only that key.
macro_rules! section {
    ($(#[doc = $doc:literal])* $name:ident $(short $short:ident)? {
        $($(#[doc = $key_doc:literal])* $key:ident: $ty:ty = $sample:ident $(($text:literal))?;)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Default)]
        pub(super) struct $name {
            $($(#[doc = $key_doc])* pub $key: Option<$ty>,)*
        }

        impl Section for $name {
            const NAME: &'static str = stringify!($name);
            const DOCS: &'static [&'static str] = &[$($doc),*];
            const KEYS: &'static [Key] = &[
                $(Key { name: stringify!($key), docs: &[$($key_doc),*], sample: Sample::$sample $(($text))? }),*
            ];
        }

        impl FromToml for $name {
            fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
                $(if let DeValue::String(_) = value.get_ref() {
                    let path = join(path, stringify!($short));
                    notes.place(path.clone(), value);
                    return Some(Self { $short: FromToml::from_toml(value, &path, notes), ..Self::default() });
                })?
                let Some(table) = notes.table(value, path, Self::KEYS) else {
                    return Some(Self::default());
                };
                Some(Self { $($key: notes.take(table, stringify!($key), path)),* })
            }
        }
    };
}

section! {
    /// The whole file.
    RawConfig {
        gateway: RawGateway = Table;
        server: RawServer = Table;
        store: RawStore = Table;
        replay: RawReplay = Table;
        announce: RawAnnounce = Table;
        sources: Vec<RawSource> = Table;
        machines: Vec<RawMachine> = Table;
    }
}

section! {
    /// The gateway itself.
    RawGateway {
        /// Its name on screens and in its OPC UA application URI: a letter, then letters, digits and `_`, 32 at most.
        name: String = Default(r#""driftgate""#);
    }
}

section! {
    /// The OPC UA server that SCADA, HMI and clients connect to.
    RawServer {
        /// TCP port of the endpoint; 0 takes a free one.
        port: u16 = Default("4840");
        /// Address to listen on: `0.0.0.0` is every one of this computer. Until there are users (`driftgate user add`), this
        /// computer only, whatever stands here.
        address: String = Default(r#""0.0.0.0""#);
        /// Name or address under which clients reach this computer, told to them in the endpoint. Default: the address, or this
        /// computer's name.
        host: String = Example(r#""gateway1.plant.local""#);
        /// Connections on which somebody is logged in; 1 to 200.
        max_sessions: u16 = Default("50");
        /// Connections, with or without a login; 1 to 2,000.
        max_connections: u16 = Default("200");
        /// Connections of one IP address; 1 to 2,000.
        max_connections_per_address: u16 = Default("100");
        /// Application URI, also in the server's certificate. Default: `urn:driftgate:` and the gateway's name.
        application_uri: String = Example(r#""urn:driftgate:line1""#);
    }
}

section! {
    /// Bounds of the data directory. Where a bound is reached, the oldest rows go first.
    RawStore {
        /// Raw frames kept, rows per machine; 100 to 10,000,000.
        frame_rows: u32 = Default("20000");
        /// Features, scores and regimes kept, rows per machine; 100 to 10,000,000. Retraining data comes from here.
        feature_rows: u32 = Default("50000");
        /// Evaluations of monitors kept, rows per machine; 100 to 10,000,000.
        history_rows: u32 = Default("20000");
        /// Events kept, all machines together; 100 to 10,000,000.
        event_rows: u32 = Default("20000");
        /// Changes of variables with history (status, regime, health, ...) kept, all together; 100 to 10,000,000. The history of
        /// signals and settings comes from the frames, that of scores from the features.
        value_rows: u32 = Default("500000");
        /// Age above which rows go, of all rings; 1h to 3650d. Default: rows go by their number alone.
        max_age: Span = Example(r#""90d""#);
        /// Compressed size of frames, features and evaluations above which the oldest of a machine go, in MB; 1 to 1,000,000. Default: rows
        /// go by their number alone.
        machine_mb: u32 = Example("500");
        /// Free space on the disk below which nothing more is stored, in MB; 0 to 1,000,000.
        disk_reserve_mb: u32 = Default("200");
    }
}

section! {
    /// How recorded data (CSV, Parquet) is read by `replay` and `train`. A signal's column is its name unless it says otherwise.
    RawReplay {
        /// Column with the time of a row (RFC 3339, or seconds). Without it rows are counted.
        time_column: String = Example(r#""time""#);
        /// Column that tells units apart: each value is a machine of its own.
        unit_column: String = Example(r#""unit""#);
    }
}

section! {
    /// Who is told that a dataset is ready.
    RawAnnounce {
        webhook: RawWebhook = Table;
        mqtt: RawMqtt = Table;
    }
}

section! {
    /// Tells the outside that a dataset is ready: HTTP POST of its manifest as JSON. Announcements wait on disk until they are answered with 2xx.
    RawWebhook {
        /// Where to: `http://` or `https://`. Without it nothing is sent.
        url: String = Example(r#""https://mes.plant.local/datasets""#);
        /// Environment variable that holds a token for the header `Authorization: Bearer`.
        token_env: String = Example(r#""MES_TOKEN""#);
        /// File whose first line is the token.
        token_file: String = Example(r#""/etc/driftgate/mes.token""#);
        /// Environment variable that holds the key of the header `X-Driftgate-Signature`: HMAC-SHA256 of the body, hex.
        secret_env: String = Example(r#""MES_SECRET""#);
        /// File whose first line is the key.
        secret_file: String = Example(r#""/etc/driftgate/mes.secret""#);
        /// Certificates of authorities to trust, PEM. Default: those of this computer.
        ca_file: String = Example(r#""/etc/driftgate/ca.pem""#);
        /// For one try; 100ms to 1min.
        timeout: Span = Default(r#""10s""#);
    }
}

section! {
    /// The same by MQTT 3.1.1, QoS 1. Announcements wait on disk until the broker has acknowledged them.
    RawMqtt {
        /// The broker: `mqtt://host[:1883]`, with TLS `mqtts://host[:8883]`. Without it nothing is sent.
        broker: String = Example(r#""mqtts://broker.plant.local""#);
        /// Where to publish; `{gateway}` and `{machine}` stand for their names.
        topic: String = Default(r#""driftgate/{gateway}/{machine}/dataset""#);
        /// Known to the broker by this name. Default: `driftgate-` and the gateway's name.
        client_id: String = Example(r#""driftgate-line1""#);
        /// User of the broker; the password as for sources.
        user: RawUser = Example(r#"{ name = "gateway", password_env = "BROKER_PASSWORD" }"#);
        /// Certificates of authorities to trust, PEM. Default: those of this computer.
        ca_file: String = Example(r#""/etc/driftgate/ca.pem""#);
        /// For one try; 100ms to 1min.
        timeout: Span = Default(r#""10s""#);
    }
}

section! {
    /// A connection to one PLC. Without any source, only recorded data can be read. Equal ones in one description:
    /// `repeat = "1..20"`, and `{n}` in the texts; likewise in machines, settings and signals.
    RawSource {
        /// Its name: a letter, then letters, digits and `_`, 32 at most.
        name: String = Required(r#""PLC1""#);
        /// `opcua` or `modbus`.
        protocol: Protocol = Required(r#""opcua""#);
        /// Whether it is read from. Can be switched over OPC UA while the gateway runs.
        enabled: bool = Default("true");
        /// Where the PLC listens: `opc.tcp://host:port[/path]`; for Modbus `tcp://host[:port]`, or the keys host and port; for Modbus RTU
        /// on a serial line `serial:/dev/ttyUSB0`. Modbus sources of one place, each a unit of its own, share one connection.
        endpoint: String = Required(r#""opc.tcp://192.168.0.10:4840""#);
        /// Security: `auto` (the strongest that the server offers), `none`, `basic256-sha256`, `aes128-sha256-rsa-oaep`,
        /// `aes256-sha256-rsa-pss`.
        security: Security = Default(r#""auto""#);
        /// User on the PLC; anonymous without it. The password comes from an environment variable (`password_env`) or from
        /// the first line of a file (`password_file`), never from here.
        user: RawUser = Example(r#"{ name = "gateway", password_env = "PLC1_PASSWORD" }"#);
        /// Namespace URI of addresses that name none (`ns=...`, `nsu=...`). Beckhoff: `urn:BeckhoffAutomation:Ua:PLC1`;
        /// Siemens: `http://www.siemens.com/simatic-s7-opcua`.
        namespace: String = Example(r#""urn:BeckhoffAutomation:Ua:PLC1""#);
        /// How often the PLC sends changes; 10ms to 1h.
        publishing_interval: Span = Default(r#""100ms""#);
        /// In place of a subscription the values are read so often: for a PLC whose subscriptions are no good; 10ms to 1h. One that has none
        /// is read every `publishing_interval` of itself.
        polling: Span = Example(r#""500ms""#);
        /// No notification for so long although values are expected: the source counts as silent; 100ms to 1d.
        silence: Span = Default(r#""10s""#);
        /// Accept a server certificate that nobody has trusted by hand. For a first try; leave it off in production.
        trust_any_certificate: bool = Default("false");
        /// Host name or IP address, in place of the endpoint.
        host: String = Example(r#""192.168.0.20""#);
        /// TCP port beside `host`; default 502.
        port: u16 = Example("502");
        /// Bits a second of a serial line; 300 to 4,000,000. Default 19200.
        baud: u32 = Example("9600");
        /// Parity of a serial line: `even`, `odd`, `none`. Default even.
        parity: Parity = Example(r#""none""#);
        /// Stop bits of a serial line; 1 or 2. Default: 1, without parity 2.
        stop_bits: u8 = Example("1");
        /// Unit identifier; 0 to 255, on a serial line 1 to 247.
        unit: u8 = Default("1");
        /// Time between two reads; 10ms to 1h.
        poll_interval: Span = Default(r#""100ms""#);
        /// No answer for so long is a failed read; 10ms to 1min.
        timeout: Span = Default(r#""1s""#);
        /// Order of the bytes of 32- and 64-bit values: `ABCD` (big endian; Siemens), `CDAB` (words swapped; Beckhoff),
        /// `BADC`, `DCBA`.
        word_order: WordOrder = Default(r#""ABCD""#);
        /// Registers read in one request at most; 1 to 125. What a device allows less is learned.
        max_registers: u16 = Default("125");
        /// Registers between two wanted ones that are read along in one request; 0 to 124.
        max_gap: u16 = Default("8");
        /// Least time from an answer to the next request, for a device that must not be asked faster; 0s to 10s.
        pause: Span = Default(r#""0s""#);
    }
}

section! {
    /// A user on the PLC.
    RawUser {
        /// User name.
        name: String = Required(r#""gateway""#);
        /// Environment variable that holds the password.
        password_env: String = Example(r#""PLC1_PASSWORD""#);
        /// File whose first line is the password.
        password_file: String = Example(r#""/etc/driftgate/plc1.password""#);
    }
}

section! {
    /// A machine: its signals, the settings they depend on, and what watches them.
    RawMachine {
        /// Its name, the first part of its OPC UA node ids: a letter, then letters, digits and `_`, 32 at most.
        name: String = Required(r#""Motor1""#);
        /// A row is made at each new value of this signal. Give this or `period`, not both.
        trigger: String = Example(r#""Flux""#);
        /// A row is made at fixed times; 10ms to 1d. In recorded data every row is one.
        period: Span = Default(r#""100ms""#);
        /// A value older than this when a row is made is Bad (stale); 1ms to 30d.
        max_age: Span = Default(r#""5s""#);
        /// Rows are not judged for so long after a setting has changed; up to 1d.
        settle: Span = Default(r#""0s""#);
        /// The machine is producing while this holds, otherwise rows are not judged: a signal or setting, one of
        /// `<` `<=` `>` `>=` `==` `!=`, and a number (or true, false). Default: always.
        active_when: String = Example(r#""Current1 > 0.5""#);
        /// Combinations of settings that have a reference of their own at most; 1 to 64.
        regime_slots: u16 = Default("8");
        /// What the classes of labels mean, from class 0 on; at most 100 names of 1 to 40 characters, each once. Without them any
        /// number is taken.
        classes: Vec<String> = Example(r#"["healthy", "worn bearing", "scrap"]"#);
        /// Rows that a combination of settings needs before it is monitored; 20 to 100,000.
        min_reference_rows: u32 = Default("200");
        /// Learn references and models from the first so many valid rows where there is no bundle; 0: only a bundle.
        learn_rows: u32 = Default("0");
        /// Judged rows from which a machine learns its own offset against references of other machines; 0 to 100,000; 0: none.
        baseline_rows: u32 = Default("0");
        /// A reference learned by command is in force as soon as it has its rows; if not, when somebody freezes it.
        freeze_after_learning: bool = Default("true");
        /// Learn a combination of settings that no training knows by itself: its data is watched then, predictions stay untrusted.
        auto_learn_new_regime: bool = Default("false");
        settings: Vec<RawSetting> = Table;
        signals: Vec<RawSignal> = Table;
        models: Vec<RawModel> = Table;
        data_drift: RawMonitor = Table;
        checks: Vec<RawCheck> = Table;
        writes: Vec<RawWrite> = Table;
        report: RawReport = Table;
        buffers: RawBuffers = Table;
    }
}

section! {
    /// A value the machine is set to. Give one of `tolerance`, `bins`, `category` and `regression` to condition the drift monitors
    /// on it; with none of them it is only recorded.
    RawSetting short name {
        /// Its name: a letter, then letters, digits and `_`, 32 at most.
        name: String = Required(r#""Voltage""#);
        /// The source it is read from; may be left out where there is only one.
        source: String = Example(r#""PLC1""#);
        /// Where the PLC has it: a symbol path, a NodeId text (`ns=4;s=...`), for Modbus `holding:100`, `input:`, `coil:`, `discrete:`
        /// (zero-based), a bit `holding:100.3`, or as manuals and PLCs have it: `40101`, `DBW20`, `DBX2.3`, `%MW4`.
        /// A member of a structure that the PLC has as one node: `MAIN.stMotor#rCurrent`.
        address: String = Example(r#""GVL_Settings.rVoltage""#);
        /// Column in recorded data. Default: the name.
        column: String = Example(r#""voltage""#);
        /// Unit, shown beside the value.
        unit: String = Example(r#""V""#);
        /// Values within so much of a trained value are that value; greater than 0, in the setting's unit.
        tolerance: f64 = Example("5.0");
        /// Edges of half-open bins, ascending: `[0, 200)` and `[200, 400)`; values outside were never trained.
        bins: Vec<f64> = Example("[0.0, 200.0, 400.0]");
        /// Each value, number or text, is a class of its own.
        category: bool = Example("true");
        /// A continuous setting: features are predicted from it, and what it does not explain is watched. Values farther than so much
        /// from every trained one are outside the envelope; greater than 0, in the setting's unit. 4 such settings at most.
        regression: f64 = Example("50.0");
        /// How Modbus registers are read: bool i16 u16 i32 u32 i64 u64 f32 f64; bits are always bool. With category = true also a text:
        /// `string(20)`, 1 to 250 characters, two in a register.
        register_type: RegisterType = Default(r#""f32""#);
        /// Wanted sampling interval; 1ms to 1h. Default: the source's publishing or poll interval.
        sampling: Span = Example(r#""1s""#);
        /// The PLC's value times `scale` plus `offset` is the value; `scale` is not 0.
        scale: f64 = Default("1.0");
        /// See `scale`.
        offset: f64 = Default("0.0");
    }
}

section! {
    /// A measured value or waveform. Many of them in short form, as keys of the machine:
    /// `signals = ["s2", "s3", { name = "s4", unit = "degR" }]`; `settings` likewise.
    RawSignal short name {
        /// Its name: a letter, then letters, digits and `_`, 32 at most.
        name: String = Required(r#""Current1""#);
        /// The source it is read from; may be left out where there is only one.
        source: String = Example(r#""PLC1""#);
        /// Where the PLC has it, as for a setting.
        address: String = Example(r#""MAIN.fbMotor.rCurrent1""#);
        /// Column in recorded data. Default: the name.
        column: String = Example(r#""current_1""#);
        /// Unit, shown beside the value.
        unit: String = Example(r#""A""#);
        /// Lowest and highest value that can be; values outside are Bad.
        range: Vec<f64> = Example("[0.0, 50.0]");
        /// Exactly the same for so long while the machine produces: a broken sensor, Bad; 100ms to 30d. A waveform also where it is flat.
        stuck_after: Span = Example(r#""30s""#);
        /// A value that changed faster is Bad; greater than 0, in the signal's unit a second. Not for waveforms.
        max_rate: f64 = Example("5.0");
        /// What the converter gives at its ends: a value there or beyond is Bad (saturated); a waveform where more than 1 % of its samples are.
        saturation: Vec<f64> = Example("[0.0, 27648.0]");
        /// A waveform: `length` samples (8 to 65,536), `rate` of them a second (Hz). In recorded data consecutive rows are cut into blocks.
        /// Modbus: `counter = "holding:99"`, a register that the PLC counts up with each new block: one that changed while it was read is
        /// read again or dropped.
        block: RawBlock = Example("{ length = 256, rate = 2560.0 }");
        /// What the monitors and models get. Waveforms: "mean", "rms", "crest", "kurtosis", "peak_to_peak", and frequency bands
        /// (Hz, `name` may be left out); default rms, crest, kurtosis and four bands. Scalars: "value"; an empty list watches nothing.
        features: Vec<RawFeature> = Example(r#"["rms", "kurtosis", { band = [40.0, 60.0], name = "fundamental" }]"#);
        /// How Modbus registers are read: bool i16 u16 i32 u32 i64 u64 f32 f64; bits are always bool.
        register_type: RegisterType = Default(r#""f32""#);
        /// Wanted sampling interval; 1ms to 1h. Default: the source's publishing or poll interval.
        sampling: Span = Example(r#""100ms""#);
        /// OPC UA: the server announces a value only when it differs by more from the last one it announced; greater than 0, in the
        /// signal's unit. What is less is lost to the monitors: half the noise is too much. Not for waveforms, nor with `stuck_after`.
        deadband: f64 = Example("0.01");
        /// The PLC's value times `scale` plus `offset` is the value; `scale` is not 0.
        scale: f64 = Default("1.0");
        /// See `scale`.
        offset: f64 = Default("0.0");
    }
}

section! {
    /// Size and speed of a waveform.
    RawBlock {
        /// Samples in a block.
        length: usize = Required("256");
        /// Samples a second (Hz).
        rate: f64 = Required("2560.0");
        /// Modbus: register that the PLC counts up with each new block, like `holding:99`. A block that changed while it was read is
        /// read again or dropped, and one that was read already is not taken twice.
        counter: String = Example(r#""holding:99""#);
    }
}

section! {
    /// A statistic of a waveform by its word, or a frequency band.
    RawFeature short statistic {
        /// Word of the statistic.
        statistic: Statistic = Example(r#""rms""#);
        /// From and to, in Hz.
        band: Vec<f64> = Example("[40.0, 60.0]");
        /// The feature is called `<Signal>_<name>`.
        name: String = Example(r#""fundamental""#);
    }
}

section! {
    /// A fault-detection model.
    RawModel {
        /// Its name: a letter, then letters, digits and `_`, 32 at most.
        name: String = Required(r#""Stator""#);
        /// `isolation_forest`, `kmeans` (distance to the nearest cluster of healthy rows), `gaussian_mixture` (likelihood), `pca`
        /// (reconstruction error) or `one_class_svm` (boundary).
        kind: Kind = Default(r#""isolation_forest""#);
        /// Features it gets. Default: all of the machine.
        inputs: Vec<String> = Example(r#"["Current1", "Flux_rms"]"#);
        /// Trees of the forest; 1 to 1,000.
        trees: usize = Default("100");
        /// Training rows that each tree sees; 8 to 65,536.
        samples: usize = Default("256");
        /// Clusters of kmeans, components of gaussian_mixture; 1 to 100.
        clusters: usize = Default("8");
        /// Share of the variance that the components of pca explain; greater than 0, below 1.
        explained: f64 = Default("0.9");
        /// Share of rows that one_class_svm may leave outside its boundary; greater than 0, at most 0.5.
        nu: f64 = Default("0.05");
        /// Seed of the random numbers: the same data and seed give the same model.
        seed: u64 = Default("1");
        /// Share of healthy training rows that may lie beyond the score's threshold; at least 0, below 0.5.
        contamination: f64 = Default("0.001");
        /// Fixed threshold of the score; greater than 0. Default: from training.
        score_threshold: f64 = Example("0.62");
        /// Rows in a row beyond the threshold that make a fault; 1 to 10,000.
        fault_rows: u16 = Default("5");
        /// A newly activated model that nobody confirms within this time is rolled back; 1 s to 30 days.
        confirmation_timeout: Span = Default(r#""1h""#);
        /// Longest time that an inference should take; 0s (none) to 60s. Beyond it the machine's health is Degraded.
        latency_budget: Span = Default(r#""100ms""#);
        prediction_drift: RawMonitor = Table;
        label: RawLabel = Table;
        performance_drift: RawPerformance = Table;
    }
}

section! {
    /// What was true: a scrap flag, a stop code, an inspection's result. A row with a label tells whether the model was right at it.
    RawLabel {
        /// Column in recorded data; a file that lacks it has no labels.
        column: String = Default(r#""label""#);
        /// The source it is read from; may be left out where there is only one.
        source: String = Example(r#""PLC1""#);
        /// Where the PLC has it, as for a setting. Without it labels are only in recorded data.
        address: String = Example(r#""GVL_Quality.iScrapCode""#);
        /// Values, numbers or texts, that mean fault; all others mean healthy. Default: numbers above 0, and `true`.
        fault_values: Vec<LabelValue> = Example(r#"[2, 3, "scrap"]"#);
        /// Instead: a measured value (wear, roughness, deviation) outside this range means fault.
        healthy_range: Vec<f64> = Example("[0.0, 0.3]");
        /// Values that say nothing, such as that of a part that was not inspected.
        ignore_values: Vec<LabelValue> = Example("[-1]");
        /// A label belongs to the row so many rows before the one at which it comes; 0 to 100,000.
        delay_rows: u32 = Default("0");
        /// How Modbus registers are read: bool i16 u16 i32 u32 i64 u64 f32 f64, or a text: string(20); bits are always bool.
        register_type: RegisterType = Default(r#""f32""#);
        /// Wanted sampling interval; 1ms to 1h. Default: the source's publishing or poll interval.
        sampling: Span = Example(r#""100ms""#);
    }
}

section! {
    /// Watches whether the model is right, by its labels: compares the last labelled rows of a combination of settings with labelled
    /// training rows, or with the first labelled rows where the training had none.
    RawPerformance {
        /// Whether it runs.
        enabled: bool = Default("true");
        /// One to four tests; all must exceed their threshold, and the model must be wrong more often, for a drift. Without a
        /// threshold: 0.001 for p-values, 0.1 for distances.
        /// p-values: fisher_exact z_test chi_squared g_test total_variation. Distances: kullback_leibler psi jensen_shannon hellinger.
        tests: Vec<RawTest> = Default(r#"["fisher_exact"]"#);
        /// Labelled rows that a test looks at; 20 to 10,000.
        window_rows: u32 = Default("200");
        /// Labelled rows between two evaluations; 1 to window_rows.
        hop: u32 = Default("20");
        /// Evaluations in a row with all tests exceeded that make a drift; 1 to 1,000.
        consecutive_limit: u16 = Default("3");
    }
}

section! {
    /// A drift monitor: compares the last rows of a combination of settings with its reference.
    RawMonitor {
        /// Whether it runs.
        enabled: bool = Default("true");
        /// One to four tests; all must exceed their threshold for a drift, one is a warning. A name, or `{ metric, threshold }`.
        /// A threshold is a p-value (a smaller one is exceeded) or a distance. Without it: the bundle's calibrated one, else 0.05 for
        /// p-values and 0.1 for distances. Default test: kolmogorov_smirnov; wasserstein for windows of more than 1,000 rows.
        /// p-values: kolmogorov_smirnov anderson_darling cramer_von_mises mann_whitney_u epps_singleton t_test mmd.
        /// Distances: wasserstein energy_distance kullback_leibler psi jensen_shannon hellinger.
        /// Charts, row by row over all combinations of settings: ewma_t2 cusum page_hinkley adwin.
        tests: Vec<RawTest> = Example(r#"[{ metric = "kolmogorov_smirnov", threshold = 0.001 }, "wasserstein"]"#);
        /// Rows that a test looks at; 20 to 10,000.
        window_rows: u32 = Default("200");
        /// Rows between two evaluations; 1 to window_rows. Default for charts alone: 1.
        hop: u32 = Default("20");
        /// Evaluations in a row with all tests exceeded that make a drift; 1 to 1,000. Default for charts alone: 1.
        consecutive_limit: u16 = Default("3");
        /// False alarms you accept, all features and settings together: "1 per 30d" (s, min, h, d, w) or "1 per 10000 evaluations".
        /// `train` then calibrates the thresholds that are not written here.
        budget: Budget = Example(r#""1 per 30d""#);
    }
}

section! {
    /// A metric or chart with its threshold.
    RawTest short metric {
        /// Name of the metric or chart.
        metric: Test = Required(r#""kolmogorov_smirnov""#);
        /// p-value, distance, or value of the chart.
        threshold: f64 = Example("0.001");
    }
}

section! {
    /// A named check of the last `data_drift.window_rows` rows of a combination of settings: passes or fails.
    RawCheck {
        /// Its name: a letter, then letters, digits and `_`, 32 at most.
        name: String = Required(r#""FewGaps""#);
        /// What it measures: `range` (share of values outside), `missing_share` (share of rows without a value), `mean_in_band`
        /// (distance of the mean from the reference's, in standard deviations), `drifted_share` (share of features whose tests exceed).
        check: CheckWord = Required(r#""missing_share""#);
        /// The feature it looks at. Default: all, the worst counts. Not for `drifted_share`.
        feature: String = Example(r#""Current1""#);
        /// For `range`: lowest and highest value. Default: what the reference spans.
        range: Vec<f64> = Example("[0.0, 50.0]");
        /// It fails beyond; at least 0. Default: range 0, missing_share 0.05, mean_in_band 2, drifted_share 0.5.
        limit: f64 = Example("0.05");
    }
}

section! {
    /// A value that is written into a PLC, on change and at least every `interval`. Without such tables nothing is ever written.
    RawWrite {
        /// What: `drift_status` (0 to 6), `drift_index` (1 is the threshold), `fault` (0, 1), `outside_envelope` (0, 1), `regime` (1: R01;
        /// 0: none), `regime_state` (0 to 6), `trusted` (0, 1), `fresh` (1: rows come), `alarm_word` (bits), `heartbeat` (counts up).
        value: Written = Required(r#""drift_status""#);
        /// The source it is written into; may be left out where there is only one.
        source: String = Example(r#""PLC1""#);
        /// Where: a node as for signals, a holding register or a coil; nothing else is written there, and nothing read.
        address: String = Required(r#""GVL_Gateway.wDriftStatus""#);
        /// How Modbus registers are written: bool i16 u16 i32 u32 i64 u64 f32 f64. Over OPC UA the node's own type is taken.
        register_type: RegisterType = Default(r#""u16""#);
        /// A `drift_index` is written times this: 100.0 for hundredths in an integer.
        scale: f64 = Default("1.0");
        /// Written at least so often, also where it has not changed; a heartbeat counts one up in each; 100ms to 1h.
        interval: Span = Default(r#""1s""#);
        /// What is written where nothing is known. Default: 0 for drift_status, regime, trusted and fresh; else NaN, the highest unsigned
        /// or the lowest signed integer. Must be set where a bool is to hold `fault` or `outside_envelope`.
        when_bad: f64 = Example("9.0");
        /// Nothing is known where the machine had no row for so long; 100ms to 30d. Default: `max_age`, and `period` where there is one.
        stale_after: Span = Example(r#""30s""#);
    }
}

section! {
    /// A full report: all metrics, every feature in every combination of settings, at an interval. Beside the monitors, not in place of them.
    RawReport {
        /// Time between two reports; 1min to 365d. Default: none is made.
        interval: Span = Example(r#""1d""#);
        /// Rows of each combination of settings that it looks at, the last ones; 20 to 10,000.
        rows: u32 = Default("1000");
        /// Reports kept, the oldest go first; 1 to 1,000.
        keep: u16 = Default("30");
    }
}

section! {
    /// Retraining buffers: rows collected from the first warning on.
    RawBuffers {
        /// Rows that make a buffer ready; 1 to 1,000,000; with `rows_before` at most `feature_rows` of the store.
        target_rows: u32 = Default("1000");
        /// Rows from before the first warning that belong to it; 0 to 1,000,000.
        rows_before: u32 = Default("200");
        /// How an export is written that names no format: `parquet` or `csv`.
        export_format: ExportFormat = Default(r#""parquet""#);
        /// Whether a buffer that is ready is exported by itself, into the folder of datasets.
        auto_export: bool = Default("true");
        /// Whether rows of settings that were never trained are collected, for learning them; in buffers of their own.
        collect_outside: bool = Default("false");
        /// Takes a sample of each combination of settings at such a distance; 100ms to 1d. Default: none is taken, and the next two say nothing.
        sample_every: Span = Example(r#""1min""#);
        /// Rows of each combination of settings that samples keep, the last ones: rare ones are not pushed out by common ones; 10 to
        /// 100,000.
        sample_rows: u32 = Default("500");
        /// Time between two datasets of all samples; 10s to 365d.
        sample_export: Span = Default(r#""7d""#);
    }
}

/// How a PLC is talked to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    OpcUa,
    Modbus,
}

/// Word of a feature.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    Value,
    Mean,
    Rms,
    Crest,
    Kurtosis,
    PeakToPeak,
}

/// Word of a check.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum CheckWord {
    Range,
    MissingShare,
    MeanInBand,
    DriftedShare,
}

/// Word of a model.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    IsolationForest,
    KMeans,
    GaussianMixture,
    Pca,
    OneClassSvm,
}

words!(Parity, "parity", "none" => Parity::None, "even" => Parity::Even, "odd" => Parity::Odd);
words!(Protocol, "protocol", "opcua" => Protocol::OpcUa, "modbus" => Protocol::Modbus);
words!(
    CheckWord, "check",
    "range" => CheckWord::Range, "missing_share" => CheckWord::MissingShare, "mean_in_band" => CheckWord::MeanInBand,
    "drifted_share" => CheckWord::DriftedShare,
);
words!(
    Written, "value to write",
    "drift_status" => Written::DriftStatus, "drift_index" => Written::DriftIndex, "fault" => Written::Fault,
    "outside_envelope" => Written::OutsideEnvelope, "regime" => Written::Regime, "regime_state" => Written::RegimeState,
    "trusted" => Written::Trusted, "fresh" => Written::Fresh, "alarm_word" => Written::AlarmWord, "heartbeat" => Written::Heartbeat,
);
words!(ExportFormat, "format", "parquet" => ExportFormat::Parquet, "csv" => ExportFormat::Csv);
words!(
    Kind, "kind of model",
    "isolation_forest" => Kind::IsolationForest, "kmeans" => Kind::KMeans, "gaussian_mixture" => Kind::GaussianMixture, "pca" => Kind::Pca,
    "one_class_svm" => Kind::OneClassSvm,
);
words!(
    Statistic, "feature",
    "value" => Statistic::Value, "mean" => Statistic::Mean, "rms" => Statistic::Rms, "crest" => Statistic::Crest,
    "kurtosis" => Statistic::Kurtosis, "peak_to_peak" => Statistic::PeakToPeak,
);
words!(
    Security, "security",
    "auto" => Security::Auto, "none" => Security::None, "basic256-sha256" => Security::Basic256Sha256,
    "aes128-sha256-rsa-oaep" => Security::Aes128Sha256RsaOaep, "aes256-sha256-rsa-pss" => Security::Aes256Sha256RsaPss,
);
words!(
    WordOrder, "word order",
    "ABCD" => WordOrder::Abcd, "CDAB" => WordOrder::Cdab, "BADC" => WordOrder::Badc, "DCBA" => WordOrder::Dcba,
);
const REGISTER_TYPES: &[(&str, RegisterType)] = &[
    ("bool", RegisterType::Bool),
    ("i16", RegisterType::I16),
    ("u16", RegisterType::U16),
    ("i32", RegisterType::I32),
    ("u32", RegisterType::U32),
    ("i64", RegisterType::I64),
    ("u64", RegisterType::U64),
    ("f32", RegisterType::F32),
    ("f64", RegisterType::F64),
];

impl FromToml for RegisterType {
    fn from_toml(value: &Item<'_>, path: &str, notes: &mut Notes<'_>) -> Option<Self> {
        let text = String::from_toml(value, path, notes)?;
        if let Some((_, kind)) = REGISTER_TYPES.iter().find(|(word, _)| *word == text) {
            return Some(*kind);
        }
        if let Some(characters) = text.strip_prefix("string(").and_then(|rest| rest.strip_suffix(')')) {
            let found = characters.trim().parse().ok().filter(|n| bounds::CHARACTERS.contains(n));
            if found.is_none() {
                let hint = format!("from {} to {}, like string(20)", bounds::CHARACTERS.start(), bounds::CHARACTERS.end());
                notes.fault(path, format!("not a number of characters: `{text}`"), hint);
            }
            return found.map(Self::String);
        }
        let known: Vec<&str> = REGISTER_TYPES.iter().map(|(word, _)| *word).chain(["string(20)"]).collect();
        notes.unknown_word(path, "register type", &text, &known);
        None
    }
}
