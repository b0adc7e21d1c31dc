//! The OPC UA server as clients see it. `cargo bench --bench opcua [-- server-load | server-memory | load | history | download | export | parameter | read | waveform]`
//!
//! ```text
//! plc (Modbus: each read gives the next number) ─▶ gateway (sources, drivers, store, server) ─▶ clients (async-opcua)
//! ```
//! Each of the three is a process of its own (this program under other names), and only the gateway's CPU time and memory are told.
//! Times of the wall clock share the computer with clients and PLC, and with whatever else runs.

mod client;
mod files;
mod gateway;
mod load;
mod parameter;
mod plc;
mod plc_opcua;
mod process;
mod server;
mod sources;

use std::env;

type Case = fn(&tokio::runtime::Runtime);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match arguments.as_slice() {
        ["plc"] => runtime.block_on(plc::serve()),
        ["plc-opcua", variables, block, period_ms] => {
            let number = |text: &str| text.parse::<usize>().expect("a number");
            runtime.block_on(plc_opcua::serve(number(variables), number(block), number(period_ms) as u64));
        }
        ["gateway", config, data_dir] => runtime.block_on(gateway::serve(config.as_ref(), data_dir.as_ref())),
        ["server", config, data_dir] => runtime.block_on(server::serve(config.as_ref(), data_dir.as_ref())),
        ["subscribe", endpoint, sessions, seconds, security] => {
            let number = |text: &str| text.parse::<usize>().expect("a number");
            runtime.block_on(load::subscribe(endpoint, number(sessions), number(seconds) as u64, security));
        }
        wanted => {
            let cases: [(&str, Case); 9] = [
                ("server-load", load::of_server),
                ("server-memory", load::memory_of_server),
                ("load", load::of_gateway),
                ("history", files::history),
                ("download", files::download),
                ("export", files::export),
                ("parameter", parameter::run),
                ("read", sources::read),
                ("waveform", sources::waveform),
            ];
            for (name, case) in cases.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name)) {
                println!("== {name}");
                case(&runtime);
            }
        }
    }
}
