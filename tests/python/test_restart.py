"""What survives a stop, a crash and a damaged store; and who may have the data directory."""

import csv
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from asyncua import ua
from gateway import ROOT, Gateway, eventually, read, run, write

THRESHOLD = "Motor1.Drift.DataDrift.T2.Threshold"
TUNED = 0.75
CONFIG = ROOT / "configs/demo.toml"
# Learned within some seconds.
SPEED = 40


def learned(gateway):
    """Waits until the first reference is there and drift is evaluated."""
    gateway.wait_for_event("reference", 90)
    gateway.wait_for_status("OK", 60)


def tune(gateway):
    with gateway.client() as client:
        write(client, THRESHOLD, TUNED, ua.VariantType.Double)


def goes_on(gateway):
    """Learned and tuned from the start: nothing is learned a second time."""
    with gateway.client() as client:
        assert read(client, THRESHOLD) == TUNED
        assert read(client, f"{THRESHOLD}.EffectiveValue") == TUNED
        assert read(client, f"{THRESHOLD}.DefaultValue") == 0.5
    gateway.wait_for_status("OK", 60)
    assert gateway.lines[1]["phase"] == "Normal", "the story does not begin with learning"
    assert not any(line.get("event") == "reference" for line in gateway.lines)
    assert not any(line["type"] == "state" and line["status"] == "Learning" for line in gateway.lines)


def rings(data_dir):
    """Rows by ring, and the rest of `store info`."""
    result = run("store", "info", "--config", CONFIG, "--data-dir", data_dir, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    info = json.loads(result.stdout)
    return {ring["ring"]: ring["rows"] for ring in info["rings"]}, info


def last_row(gateway):
    return max(line["row"] for line in gateway.lines if line["type"] == "state")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A data directory that a demo has learned, tuned and left in order. Copy it, don't change it."""
    data_dir = tmp_path_factory.mktemp("stopped") / "data"
    with Gateway(data_dir, speed=SPEED) as gateway:
        learned(gateway)
        tune(gateway)
        assert gateway.terminate() == 0
        assert gateway.errors() == ""
        assert gateway.lines[-1] == {"type": "end", "why": "SIGTERM", "at": gateway.lines[-1]["at"]}
        return data_dir, last_row(gateway)


@pytest.fixture
def copy(stopped, data_dir):
    shutil.copytree(stopped[0], data_dir)
    return data_dir


def test_a_stop_and_a_start_lose_nothing(stopped, copy):
    before, info = rings(copy)
    assert before["Motor1 drift history"] > 0 and before["Motor1 frames"] >= 1500
    assert info["tuned_parameters"] == [THRESHOLD]
    assert info["problems"] == []
    with Gateway(copy, speed=SPEED) as gateway:
        goes_on(gateway)
        first = next(line["row"] for line in gateway.lines if line["type"] == "state" and line["row"] > 0)
        assert first >= stopped[1], "rows are numbered on"
        gateway.wait_for(lambda line: line["type"] == "state" and line["row"] > first + 500, 60)
        assert gateway.terminate() == 0
        assert gateway.errors() == ""
    after, _ = rings(copy)
    grown = {name for name in before if after[name] > before[name]}
    assert grown >= {"Motor1 frames", "Motor1 features", "Motor1 drift history", "events"}
    # History is kept over the restart, not begun anew.
    assert after["Motor1 drift history"] > before["Motor1 drift history"]


def test_a_backup_is_restored_elsewhere(copy, tmp_path):
    """Verified, saved, restored into another data directory; a gateway goes on from there. Damage is told and not taken."""
    before, info = rings(copy)
    file = tmp_path / "store.backup"
    place = ["--data-dir", copy]
    found = run("store", "verify", *place, "--json")
    assert (found.returncode, found.stderr) == (0, "")
    found = json.loads(found.stdout)
    assert found["whole"] and found["rows"] >= sum(before.values()) and found["large_values"] > 0
    saved = run("store", "backup", file, *place, "--json")
    assert saved.returncode == 0, saved
    saved = json.loads(saved.stdout)
    content = file.read_bytes()
    assert hashlib.sha256(content[:-32]).hexdigest() == saved["sha256"] == content[-32:].hex()
    assert saved["store"] == found
    for what, arguments in {"is there already": ["backup", file], "there is a store in": ["restore", file]}.items():
        refused = run("store", *arguments, *place)
        assert refused.returncode == 2 and what in refused.stderr, refused

    elsewhere = tmp_path / "elsewhere"
    file.write_bytes(content[:-1])
    refused = run("store", "restore", file, "--data-dir", elsewhere)
    assert refused.returncode == 1 and "is damaged: it ends too early" in refused.stderr, refused
    assert not (elsewhere / "store").exists()
    file.write_bytes(content)
    restored = run("store", "restore", file, "--data-dir", elsewhere)
    assert restored.returncode == 0 and f"{saved['entries']} entries of the backup of" in restored.stdout, restored
    assert rings(elsewhere)[0] == before
    assert rings(elsewhere)[1]["tuned_parameters"] == info["tuned_parameters"]
    with Gateway(elsewhere, speed=SPEED) as gateway:
        goes_on(gateway)
        assert gateway.terminate() == 0


def test_rows_of_a_stopped_gateway_are_exported(copy, tmp_path):
    """As the rings have them, of a span, with a manifest; the store is as it was."""
    before, info = rings(copy)
    output = tmp_path / "out"
    command = ["store", "export", "--config", CONFIG, "--data-dir", copy, "--output", output]

    def export(*more):
        result = run(*command, "--json", *more)
        assert (result.returncode, result.stderr) == (0, ""), result
        told = json.loads(result.stdout)
        content = Path(told["file"]).read_bytes()
        manifest = json.loads(Path(told["manifest"]).read_text())
        assert hashlib.sha256(content).hexdigest() == told["sha256"] == manifest["sha256"]
        assert told["rows"] == manifest["rows"]
        return content, manifest

    content, manifest = export("--format", "csv", "--unjudged")
    rows = list(csv.DictReader(content.decode().splitlines()))
    assert manifest["rows"] == len(rows) == before["Motor1 features"]
    content, judged = export("--format", "csv")
    rows = list(csv.DictReader(content.decode().splitlines()))
    by_regime = Counter(row["regime"] for row in rows)
    assert 0 < len(rows) < manifest["rows"] and by_regime == judged["rows_by_regime"] and "" not in by_regime
    assert judged["machine"] == "Motor1" and judged["bundle_sha256"] and judged["models"][0]["threshold"] > 0
    # A span includes both its ends.
    first, last = rows[3]["time"], rows[9]["time"]
    content, part = export("--format", "csv", "--from", first, "--to", last)
    assert list(csv.DictReader(content.decode().splitlines())) == rows[3:10]
    # The manifest has milliseconds.
    assert (part["from"][:23], part["to"][:23]) == (first[:23], last[:23])
    content, parquet = export()
    assert content[:4] == b"PAR1" and parquet["rows"] == len(rows)

    for code, what, more in [
        (1, "no row of machine `Motor1`", ["--to", "2001-01-01"]),
        (2, "is before --from", ["--from", "2002-01-01", "--to", "2001-01-01"]),
        (2, "--from", ["--from", "yesterday"]),
        (2, "no format `xlsx`", ["--format", "xlsx"]),
        (2, "no machine `Motor9`", ["--machine", "Motor9"]),
    ]:
        refused = run(*command, *more)
        assert refused.returncode == code and what in refused.stderr, refused
    refused = run("store", "export", "--config", CONFIG, "--data-dir", tmp_path, "--output", output)
    assert refused.returncode == 2 and "holds no store" in refused.stderr, refused
    assert len(list(output.iterdir())) == 8, "each with its manifest, and nothing else"
    after, told = rings(copy)
    assert (after, told["tuned_parameters"]) == (before, info["tuned_parameters"])


def test_a_reset_of_the_file_makes_a_tuned_value_lapse(copy, tmp_path):
    """`run` on the same data with another value in the file: the file's news win, and it is said."""
    config = tmp_path / "changed.toml"
    text = CONFIG.read_text()
    assert text.count('{ metric = "wasserstein", threshold = 0.5 }') == 2
    config.write_text(text.replace('{ metric = "wasserstein", threshold = 0.5 }', '{ metric = "wasserstein", threshold = 0.6 }'))
    assert THRESHOLD in rings(copy)[1]["tuned_parameters"]
    result = run_briefly(config, copy)
    assert f"the tuned value of `{THRESHOLD}` lapses" in result, result
    assert "0.6 instead of 0.5" in result, result
    assert rings(copy)[1]["tuned_parameters"] == []


def run_briefly(config, data_dir):
    """Starts `run`, waits for its endpoint, stops it; what it logged."""
    import signal
    import subprocess

    from gateway import BINARY

    log = data_dir.parent / "run.stderr"
    settled = data_dir.parent / "port0.toml"
    settled.write_text(config.read_text() + "\n[server]\nport = 0\n")
    with log.open("w") as errors:
        command = [str(BINARY), "run", "--config", str(settled), "--data-dir", str(data_dir)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        eventually(lambda: "OPC UA endpoint" in log.read_text() or process.poll() is not None, 60, "the endpoint")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return log.read_text()


def test_a_data_directory_has_one_user(demo):
    arguments = ["--config", CONFIG, "--data-dir", demo.data_dir]
    for command in (["store", "info", *arguments], ["store", "verify", *arguments[2:]], ["run", *arguments]):
        result = run(*command)
        assert result.returncode == 1, result
        assert "in use by another driftgate; stop it first" in result.stderr
        assert str(demo.data_dir) in result.stderr
        assert result.stdout == ""
    assert demo.process.poll() is None


def test_kill_in_the_middle_and_go_on(data_dir):
    with Gateway(data_dir, speed=SPEED) as gateway:
        learned(gateway)
        tune(gateway)
        gateway.wait_for(lambda line: line["type"] == "story" and line["phase"] == "Back to 164 V", 60)
        gateway.kill()
        killed_at = last_row(gateway)
    with Gateway(data_dir, speed=SPEED) as gateway:
        goes_on(gateway)
        assert gateway.errors() == ""
        first = next(line["row"] for line in gateway.lines if line["type"] == "state" and line["row"] > 0)
        # What was in memory only is lost: some seconds of rows.
        assert first > killed_at - 10 * SPEED * 10
        # Once more, in the middle of the writing.
        gateway.kill()
    with Gateway(data_dir, speed=SPEED) as gateway:
        goes_on(gateway)
        assert gateway.terminate() == 0
        assert gateway.errors() == ""
    assert rings(data_dir)[1]["problems"] == []


def test_a_damaged_store_is_kept_aside_and_said(copy):
    database = copy / "store" / "sled" / "db"
    size = database.stat().st_size
    with database.open("r+b") as file:
        for at in range(0, size, 4096):
            file.seek(at)
            file.write(b"\xa5" * min(2048, size - at))
    result = run("store", "info", "--config", CONFIG, "--data-dir", copy)
    assert result.returncode == 0, result.stderr
    assert "the store was damaged and is empty now" in result.stdout
    aside = list((copy / "store").glob("damaged-*"))
    assert len(aside) == 1 and str(aside[0]) in result.stdout
    assert any(path.stat().st_size > 0 for path in aside[0].rglob("*") if path.is_file())


def test_a_gateway_starts_on_a_damaged_store(copy, tmp_path):
    database = copy / "store" / "sled" / "db"
    database.write_bytes(b"\xa5" * database.stat().st_size)
    log = run_briefly(CONFIG, copy)
    assert "the store was damaged and is empty now" in log
    assert len(list((copy / "store").glob("damaged-*"))) == 1
    # And it works: learned anew.
    with Gateway(copy, speed=SPEED) as gateway:
        learned(gateway)
        assert gateway.terminate() == 0
