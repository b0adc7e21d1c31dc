//! What comes before operation: `browse`, and `check --connect`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

use super::Sim;

fn driftgate(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftgate")).args(args).current_dir(dir).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_siemens_is_browsed_configured_and_checked() {
    let mut sim = Sim::start("sim_siemens.py", &["--security", "both"]);
    let dir = tempfile::tempdir().unwrap();
    // The certificate first, with the next step in words.
    let out = driftgate(dir.path(), &["browse", &sim.endpoint]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    let step = said.split("driftgate cert trust ").nth(1).and_then(|s| s.get(..8)).expect(&said);
    assert!(driftgate(dir.path(), &["cert", "trust", step]).status.success(), "{said}");

    let out = driftgate(dir.path(), &["browse", &sim.endpoint, "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let found: Json = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(found["complete"], true);
    let variables = found["variables"].as_array().unwrap();
    let of = |address: &str| variables.iter().find(|v| v["address"] == address).unwrap_or_else(|| panic!("no {address}"));
    let speed = of("\"DB_Machine\".\"rSpeed\"");
    assert_eq!((&speed["data_type"], &speed["role"], &speed["quality"]), (&"Float".into(), &"signal".into(), &"Good".into()));
    let period = speed["activity"]["period"].as_f64().unwrap();
    assert!((0.05..1.0).contains(&period), "{speed}");
    assert_eq!(of("\"DB_Machine\".\"stMotor\".\"rCurrent\"")["role"], "signal");
    assert_eq!(of("\"DB_Machine\".\"aVibration\"")["data_type"], "Float[512]");
    assert_eq!(of("\"DB_Settings\".\"rSetSpeed\"")["role"], "setting");
    assert_eq!(of("\"DB_Machine\".\"xRunning\"")["role"], "producing");
    let out = driftgate(dir.path(), &["browse", &sim.endpoint, "--watch", "0s", "--filter", "temp"]);
    let lines = text(&out.stdout);
    assert!(lines.contains("rTempBearing") && !lines.contains("rSpeed"), "{lines}");

    let out = driftgate(dir.path(), &["browse", &sim.endpoint, "--emit-config"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let config = dir.path().join("config.toml");
    std::fs::write(&config, &out.stdout).unwrap();
    let check = |time: &str| driftgate(dir.path(), &["check", "--config", "config.toml", "--connect", "--time", time, "--json"]);
    let out = check("3s");
    assert!(out.status.success(), "{}\n{}", text(&out.stdout), text(&out.stderr));
    let answer: Json = serde_json::from_slice(&out.stdout).unwrap();
    let addresses = answer["connections"][0]["addresses"].as_array().unwrap();
    let vibration = addresses.iter().find(|a| a["name"] == "Machine1.aVibration").unwrap();
    assert_eq!((&vibration["type"], &vibration["quality"]), (&"block[512]".into(), &"Good".into()));
    assert!(vibration["period_s"].as_f64().unwrap() < 1.0, "{vibration}");

    // One address that is not there, and one sensor that is broken: named, the others tried.
    sim.command("bad rTempBearing BadSensorFailure");
    let wrong = text(&std::fs::read(&config).unwrap()).replace("\"DB_Machine\".\"rPressure\"", "\"DB_Machine\".\"rNothing\"");
    std::fs::write(&config, wrong).unwrap();
    let out = check("3s");
    assert_eq!(out.status.code(), Some(1));
    let answer: Json = serde_json::from_slice(&out.stdout).unwrap();
    let addresses = answer["connections"][0]["addresses"].as_array().unwrap();
    let bad: Vec<_> = addresses.iter().filter(|a| a["quality"] != "Good").map(|a| (&a["name"], &a["quality"])).collect();
    assert_eq!(
        bad,
        [
            (&"Machine1.rTempBearing".into(), &"Bad (sensor failure)".into()),
            (&"Machine1.rPressure".into(), &"Bad (address unknown to the PLC)".into())
        ]
    );
}

#[test]
fn registers_are_tried_and_not_browsed() {
    let sim = Sim::start("sim_modbus.py", &["--profile", "tf6250"]);
    let dir = tempfile::tempdir().unwrap();
    let out = driftgate(dir.path(), &["browse", &sim.endpoint.replace("modbus-tcp://", "tcp://")]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    let host = sim.endpoint.rsplit_once("//").map_or(sim.endpoint.as_str(), |(_, rest)| rest);
    let (host, port) = host.rsplit_once(':').unwrap();
    let config = format!(
        "[[sources]]\nname = \"P\"\nprotocol = \"modbus\"\nhost = \"{host}\"\nport = {port}\n\n[[machines]]\nname = \"M\"\nperiod = \"1s\"\n\
         signals = [{{ name = \"a\", address = \"holding:0x3000\", register_type = \"u16\" }}]\n"
    );
    std::fs::write(dir.path().join("config.toml"), config).unwrap();
    let out = driftgate(dir.path(), &["check", "--config", "config.toml", "--connect", "--time", "2s"]);
    let said = text(&out.stdout);
    assert!(out.status.success() && said.contains("M.a") && said.contains("integer"), "{said}{}", text(&out.stderr));
    drop(sim);
    let out = driftgate(dir.path(), &["check", "--config", "config.toml", "--connect", "--time", "1s"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("none of its 1 addresses could be tried"), "{}", text(&out.stdout));
}
