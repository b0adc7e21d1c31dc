//! The gateway as `driftgate demo` opens it: anonymous clients on an open endpoint, users on encrypted ones, on loopback.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use driftgate::app::{self, AppInput};
use driftgate::config::Config;
use driftgate::server::{Access, demo_users};
use tokio::net::TcpListener;

use crate::process::Process;

/// Prints its endpoint, then serves for ever.
pub async fn serve(config: &Path, data_dir: &Path) {
    let text = std::fs::read_to_string(config).expect("the configuration");
    let config = Arc::new(Config::parse(&text).unwrap_or_else(|faults| panic!("{faults}")));
    let app = app::start(AppInput {
        config,
        data_dir: data_dir.into(),
        access: Access::Demo,
        config_file: None,
        users: Arc::new(demo_users().expect("users")),
        listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port"),
        open_on: None,
        bundles: Vec::new(),
    });
    let app = app.await.expect("the gateway starts");
    println!("{}", app.endpoint);
    std::future::pending::<()>().await;
}

/// A gateway in a process of its own, with its data directory; and its endpoint.
pub struct Gateway {
    pub process: Process,
    pub endpoint: String,
}

impl Gateway {
    pub fn start(config: &str, data_dir: &Path) -> Self {
        Self::start_as("gateway", config, data_dir)
    }

    /// The whole `gateway`, or the `server` alone.
    pub fn start_as(part: &str, config: &str, data_dir: &Path) -> Self {
        let file = data_dir.join("config.toml");
        std::fs::write(&file, config).expect("the configuration is written");
        let path = |path: &Path| path.to_str().expect("a plain path").to_string();
        let mut process = Process::start(&[part, &path(&file), &path(data_dir)]);
        let endpoint = process.line();
        Self { process, endpoint }
    }
}

/// A Modbus source that is read so often, in milliseconds.
pub fn source(name: &str, port: &str, every: u32) -> String {
    format!("[[sources]]\nname = \"{name}\"\nprotocol = \"modbus\"\nendpoint = \"tcp://127.0.0.1:{port}\"\npoll_interval = \"{every}ms\"\n")
}

/// A machine of so many signals from consecutive registers; a row is made when the last one has come.
pub fn machine(name: &str, source: &str, signals: usize, first_register: usize, more: &str) -> String {
    let mut text = format!("[[machines]]\nname = \"{name}\"\ntrigger = \"S{:03}\"\n{more}\n", signals - 1);
    for k in 0..signals {
        let register = first_register + k;
        text += &format!(
            "[[machines.signals]]\nname = \"S{k:03}\"\nsource = \"{source}\"\naddress = \"holding:{register}\"\nregister_type = \"u16\"\n"
        );
    }
    text
}
