//! From writing a parameter to its effect: checked, on the disk, in force, shown, answered.

use std::time::Instant;

use opcua::types::{AttributeId, DataValue, NumericRange, StatusCode, Variant, WriteValue};

use crate::client::{connect, node, read};
use crate::gateway::{Gateway, machine, source};
use crate::process::{Process, load_average};

const WRITES: usize = 1_000;
const PARAMETER: &str = "M.Drift.DataDrift.Hop";

pub fn run(runtime: &tokio::runtime::Runtime) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut plc = Process::start(&["plc"]);
    let text = source("P", &plc.line(), 100) + &machine("M", "P", 10, 0, "[machines.data_drift]\ntests = [\"kolmogorov_smirnov\"]");
    let gateway = Gateway::start(&text, dir.path());
    let mut took = runtime.block_on(async {
        let session = connect(&gateway.endpoint, &dir.path().join("client"), false).await;
        let mut took = Vec::with_capacity(WRITES);
        for k in 0..WRITES {
            let value = Variant::UInt32(10 + (k % 2) as u32);
            let begun = Instant::now();
            let write = WriteValue {
                node_id: node(PARAMETER),
                attribute_id: AttributeId::Value as u32,
                index_range: NumericRange::None,
                value: DataValue::value_only(value.clone()),
            };
            assert_eq!(session.write(&[write]).await.expect("an answer"), [StatusCode::Good]);
            took.push(1e3 * begun.elapsed().as_secs_f64());
            assert_eq!(read(&session, &format!("{PARAMETER}.EffectiveValue")).await, value, "in force when it is answered");
        }
        took
    });
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!(
        "write to effect of {WRITES}: median {:.1} ms, p99 {:.1} ms, worst {:.1} ms; load {}",
        at(50),
        at(99),
        at(100),
        load_average()
    );
}
