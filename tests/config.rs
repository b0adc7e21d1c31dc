//! The shipped configurations load; each bad one gives exactly its expected message.

use std::fs;
use std::path::{Path, PathBuf};

use driftgate::config::Config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Entries of a folder, sorted by name.
fn entries(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_shipped_configuration_loads() {
    let mut loaded = Vec::new();
    for path in entries("configs").iter().filter(|p| p.extension().is_some_and(|e| e == "toml")) {
        let config = Config::load(path).unwrap_or_else(|e| panic!("{e}"));
        assert!(config.machines.iter().all(|m| !m.features.is_empty()), "{}", path.display());
        loaded.push(path.file_stem().unwrap().to_string_lossy().into_owned());
    }
    for name in ["minimal", "full", "siemens", "beckhoff", "modbus"] {
        assert!(loaded.iter().any(|l| l == name), "configs/{name}.toml is missing");
    }
}

/// `expected.txt` is the message without the name of the file. With `UPDATE_EXPECTED=1` it is written anew.
#[test]
fn every_bad_configuration_says_what_is_wrong() {
    let cases = entries("tests/config_bad");
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for case in &cases {
        let text = fs::read_to_string(case.join("config.toml")).unwrap();
        let got = match Config::parse(&text) {
            Ok(_) => "no fault\n".to_string(),
            Err(errors) => format!("{errors}\n"),
        };
        let expected = case.join("expected.txt");
        if update {
            fs::write(&expected, &got).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != got {
            wrong.push(format!("== {}\n{got}", case.display()));
        }
        assert_ne!(got, "no fault\n", "{} is accepted", case.display());
    }
    assert!(wrong.is_empty(), "messages differ from expected.txt:\n{}", wrong.join("\n"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load("no/such/file.toml").unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration: `no/such/file.toml`"), "{error}");
}
