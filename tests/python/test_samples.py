"""Samples of every regime become datasets at an interval, and go on after the gateway was killed."""

import json

from gateway import ROOT, Gateway, Server, eventually

SPEED = 20
SAMPLES = '\n[machines.buffers]\nsample_every = "100ms"\nsample_rows = 5000\nsample_export = "10s"\n'


def manifests(data):
    found = (json.loads(path.read_text()) for path in (data / "datasets").glob("*.json"))
    return sorted((m for m in found if m["reason"] == "Scheduled"), key=lambda m: m["to"])


def test_a_quiet_machine_leaves_something_to_train_with(tmp_path):
    with Gateway(tmp_path / "demo", speed=SPEED) as demo:
        plc = demo.lines[0]["plc"]
        text = (ROOT / "configs/demo.toml").read_text().replace("opc.tcp://127.0.0.1:48400", plc)
        text += SAMPLES + "\n[server]\nport = 0\n"
        data = tmp_path / "data"
        server = Server(data, text=text)
        try:
            eventually(lambda: manifests(data), 200, "a dataset of samples")
            first = manifests(data)[0]
            assert 0 < first["rows"] == sum(first["rows_by_regime"].values())
            assert (first["rows_lost"], first["gaps"], first["exported_by"]) == (0, [], "AutoExport")
        finally:
            server.kill()
        before = manifests(data)
        with Server(data, text=text):
            eventually(lambda: len(manifests(data)) > len(before), 120, "the next one, after the start")
        after = manifests(data)[-1]
        assert after["from"] < before[-1]["to"] < after["to"], "with samples from before the kill"
        assert set(before[-1]["rows_by_regime"]) <= set(after["rows_by_regime"]) and after["rows_lost"] == 0
