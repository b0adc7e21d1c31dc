"""Wrong input on the command line: exit codes, and messages that say what, where and what to do."""

import gzip
import json

import pytest
from gateway import ROOT, run

MACHINE = """
[[machines]]
name = "M"
period = "1s"

[[machines.settings]]
name = "Voltage"
tolerance = 5.0

[[machines.signals]]
name = "Temperature"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(MACHINE)
    return path


def failed(result, code, *texts):
    """One message on stderr, no panic, nothing on stdout."""
    assert result.returncode == code, result
    for text in texts:
        assert text in result.stderr, result.stderr
    assert "panicked" not in result.stderr
    assert result.stdout == ""


def rows(path, header, *lines):
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_help_and_version():
    result = run("--help")
    assert result.returncode == 0
    for command in ("demo", "run", "check", "train", "replay", "store", "default-config"):
        assert f"\n  {command} " in result.stdout, result.stdout
    assert run("--version").stdout.startswith("driftgate ")


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["demo", "--speed", "fast"], ["demo", "--duration", "soon"], ["run"]])
def test_wrong_usage_is_2(arguments):
    failed(run(*arguments), 2)


@pytest.mark.parametrize("speed", ["0", "-1", "1000", "nan"])
def test_a_speed_out_of_range_is_2(speed):
    failed(run("demo", f"--speed={speed}"), 2, "--speed", "0.1 and 100")


@pytest.mark.parametrize("command", [["run"], ["check"], ["store", "info"], ["train", "--out", "x", "--input", "x"], ["replay", "--input", "x"]])
def test_a_missing_configuration_is_2(command, tmp_path):
    missing = tmp_path / "missing.toml"
    failed(run(*command, "--config", missing), 2, str(missing), "No such file")


def test_wrong_toml_is_2_with_its_place(config):
    config.write_text(MACHINE + "\n[[machines.signals]\nname = 3\n")
    failed(run("check", "--config", config), 2, f"{config}:13:20", "not TOML")


def test_all_faults_come_in_one_pass(config):
    config.write_text(MACHINE.replace("tolerance", "tolerence").replace('"1s"', '"soon"'))
    failed(run("check", "--config", config), 2, "machines[0].period", "soon", "tolerence", "tolerance")


def test_faults_as_json(config):
    config.write_text(MACHINE.replace("tolerance", "tolerence"))
    result = run("check", "--config", config, "--json")
    assert result.returncode == 2
    answer = json.loads(result.stdout)
    assert answer["ok"] is False and "tolerence" in answer["error"]


@pytest.mark.parametrize("name", ["demo", "demo-modbus", "minimal", "full", "siemens", "beckhoff", "modbus"])
def test_shipped_configurations_are_fine(name):
    result = run("check", "--config", ROOT / f"configs/{name}.toml", "--json", env={"PLC1_PASSWORD": "x", "PLC2_PASSWORD": "x"})
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["ok"] is True


def test_the_default_configuration_is_the_full_file():
    assert run("default-config").stdout == (ROOT / "configs/full.toml").read_text()


def test_missing_data_is_1(config, tmp_path):
    missing = tmp_path / "missing.csv"
    failed(run("replay", "--config", config, "--learn-rows", "200", "--input", missing), 1, str(missing), "No such file")


def test_an_empty_file_is_1(config, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    failed(run("replay", "--config", config, "--learn-rows", "200", "--input", empty), 1, str(empty))


def test_an_unknown_column_is_named_with_those_there(config, tmp_path):
    data = rows(tmp_path / "data.csv", "Voltage,Temprature", "164,20.5")
    failed(run("replay", "--config", config, "--learn-rows", "200", "--input", data), 1, str(data), "`Temperature`", "Temprature")


def test_damaged_compressed_data_is_1(config, tmp_path):
    data = tmp_path / "data.csv.gz"
    packed = gzip.compress(b"Voltage,Temperature\n" + b"164,20.5\n" * 5000)
    data.write_bytes(packed[: len(packed) // 2])
    failed(run("replay", "--config", config, "--learn-rows", "200", "--input", data), 1, str(data))


def test_no_parquet_is_1(config, tmp_path):
    data = tmp_path / "data.parquet"
    data.write_bytes(b"this is no Parquet file")
    failed(run("replay", "--config", config, "--learn-rows", "200", "--input", data), 1, str(data))


def test_damaged_bundle_is_1(config, tmp_path):
    bundle = tmp_path / "bundle.json"
    bundle.write_text('{"schema": 1')
    data = rows(tmp_path / "data.csv", "Voltage,Temperature", "164,20.5")
    failed(run("replay", "--config", config, "--bundle", bundle, "--input", data), 1, str(bundle))


def test_an_unknown_machine_is_2_with_those_there(config, tmp_path):
    data = rows(tmp_path / "data.csv", "Voltage,Temperature", "164,20.5")
    failed(run("replay", "--config", config, "--machine", "N", "--input", data), 2, "`N`", "`M`")


def test_no_store_is_2(tmp_path):
    failed(run("store", "info", "--config", ROOT / "configs/demo.toml", "--data-dir", tmp_path), 2, str(tmp_path), "--data-dir")


def test_a_port_in_use_is_1_with_a_hint(demo, tmp_path):
    port = demo.endpoint.rstrip("/").rpartition(":")[2]
    result = run("demo", "--port", port, "--duration", "5s", "--data-dir", tmp_path / "data")
    failed(result, 1, f"port {port}", "another")


def test_train_then_replay(config, tmp_path):
    data = rows(
        tmp_path / "data.csv", "Voltage,Temperature", *(f"164,{20 + (k * 37 % 101) / 50}" for k in range(2000))
    )
    bundle = tmp_path / "bundle.json"
    trained = run("train", "--config", config, "--input", data, "--out", bundle, "--json")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert json.loads(trained.stdout)["rows"] == 2000
    events = tmp_path / "events.jsonl"
    replayed = run("replay", "--config", config, "--bundle", bundle, "--input", data, "--events", events, "--json")
    assert (replayed.returncode, replayed.stderr) == (0, "")
    summary = json.loads(replayed.stdout)
    assert (summary["rows"], summary["drifts"]) == (2000, 0)
    assert all(json.loads(line) for line in events.read_text().splitlines())
