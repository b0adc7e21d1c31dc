#!/bin/sh
# Rows a second of `replay` on one core: a CSV of 20 features and a setting, an isolation forest of 100 trees, without monitors and with them.
# By the processor's time, so that other work on the computer does not count, and by the clock.
# Usage: benches/replay.sh [ROWS]; DRIFTGATE names the program.
set -eu
exec python3 - "${DRIFTGATE:-target/release/driftgate}" "${1:-200000}" <<'EOF'
import hashlib, json, os, random, resource, subprocess, sys, tempfile
from pathlib import Path

PROGRAM, ROWS = sys.argv[1], int(sys.argv[2])
FEATURES, BLOCK = 20, 20_000
DEMO = '[{ metric = "kolmogorov_smirnov", threshold = 0.001 }, { metric = "wasserstein", threshold = 0.5 }, { metric = "psi", threshold = 0.5 }]'
# Name: what the monitors of the features and of the score do.
KINDS = {
    "forest alone": "enabled = false",
    "and the default monitors": "enabled = true",
    "and the demo's three tests": f"tests = {DEMO}",
    "and a chart": 'tests = ["ewma_t2"]',
}


def write_data(path):
    """20,000 rows at two settings, 500 at a time; then the same again."""
    rng, lines = random.Random(1), []
    for i in range(BLOCK):
        voltage, common = (164, 289)[i // 500 % 2], rng.gauss(0, 1)
        values = (voltage * (1 + k / FEATURES) + common + rng.gauss(0, 1) for k in range(FEATURES))
        lines.append(f"{voltage}," + ",".join(f"{x:.4f}" for x in values) + "\n")
    with open(path, "w") as f:
        f.write("voltage," + ",".join(f"x{k}" for k in range(FEATURES)) + "\n")
        for start in range(0, ROWS, BLOCK):
            f.writelines(lines[: ROWS - start])


def write_config(path, monitor):
    signals = ", ".join(f'"x{k}"' for k in range(FEATURES))
    path.write_text(
        f'[[machines]]\nname = "Bench"\nsignals = [{signals}]\nsettings = [{{ name = "voltage", tolerance = 5.0 }}]\n'
        f'[machines.data_drift]\n{monitor}\n[[machines.models]]\nname = "Forest"\ntrees = 100\n[machines.models.prediction_drift]\n{monitor}\n'
    )


def run(*command):
    """Output and the processor's seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([PROGRAM, *map(str, command)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with tempfile.TemporaryDirectory(prefix="driftgate-replay-") as work:
    data, config, bundle, events = (Path(work, name) for name in ("data.csv", "config.toml", "bundle", "events.jsonl"))
    write_data(data)
    for kind, monitor in KINDS.items():
        write_config(config, monitor)
        run("train", "--config", config, "--input", f"{data}@rows=1-{BLOCK}", "--out", bundle)
        out, seconds = run("replay", "--json", "--config", config, "--bundle", bundle, "--input", data, "--events", events)
        summary, digest = json.loads(out), hashlib.sha256(events.read_bytes()).hexdigest()[:12]
        by_clock = f"{summary['rows_per_second']:,.0f} by the clock, events {digest}"
        print(f"{kind:<28} {summary['rows'] / seconds:>9,.0f} rows/s ({by_clock})", flush=True)
EOF
