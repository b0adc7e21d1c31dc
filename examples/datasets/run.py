#!/usr/bin/env python3
"""Collects a dataset from the demo, then runs all scripts of this folder on it.

Usage: run.py WORK [--driftgate BIN]    (WORK: folder for the Python packages and all that is made; default BIN: target/debug/driftgate)"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# The demo's story has brought the drift, and the dataset, long before.
DEMO_SECONDS = 180


def packages(work: Path) -> Path:
    """Folder of an environment's programs; made anew when the requirements change."""
    environment, wanted = work / "python", (HERE / "requirements.txt").read_text()
    programs, installed = environment / "bin", environment / "installed.txt"
    if installed.is_file() and installed.read_text() == wanted:
        return programs
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=True)
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
    installed.write_text(wanted)
    return programs


def collect(driftgate: Path, data: Path) -> Path:
    """The demo until it has exported a dataset by itself; its manifest."""
    command = [driftgate, "demo", "--port", "0", "--json", "--speed", "20", "--duration", f"{DEMO_SECONDS}s", "--data-dir", data]
    demo = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while demo.poll() is None:
            time.sleep(0.5)
            # The manifest comes first.
            for manifest in data.glob("datasets/*.parquet.json"):
                if (data / "datasets" / json.loads(manifest.read_text())["path"]).is_file():
                    return manifest
    finally:
        demo.terminate()
        demo.wait(30)
    sys.exit("the demo has ended without a dataset")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--driftgate", type=Path, default=ROOT / "target/debug/driftgate")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    programs = packages(work)
    made = work / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)

    manifest = collect(arguments.driftgate.resolve(), made / "data")
    facts = json.loads(manifest.read_text())
    print(f"{facts['rows']} rows of {facts['machine']} at {facts['regime']}, for {facts['reason']}: {facts['path']}")
    # A fleet: what another gateway has is copied beside.
    fleet = made / "fleet"
    shutil.copytree(made / "data/datasets/table", fleet)
    shutil.copytree(fleet / "gateway=demo", fleet / "gateway=demo2")
    file = made / "data/datasets" / facts["path"]

    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
    python = programs / "python"
    steps = [
        [python, HERE / "read.py", fleet],
        [python, HERE / "drift_report.py", file, made / "report.html"],
        [python, HERE / "to_lake.py", fleet, made / "lake"],
        ["sh", HERE / "dvc_add.sh", fleet],
    ]
    for command in steps:
        print(f"\n{Path(command[1]).name}", flush=True)
        if subprocess.run(command, env=environment, timeout=300).returncode != 0:
            print(f"{command[1]} has failed", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
