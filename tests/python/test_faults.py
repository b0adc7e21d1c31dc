"""Faults of PLCs: a short selection of `tests/robustness`, which does all of them and makes the table of docs/robustness.md."""

import os
import subprocess
import sys

from gateway import BINARY, ROOT


def test_a_few_faults_are_seen_marked_and_left_behind(tmp_path):
    command = [sys.executable, "-B", ROOT / "tests/robustness", "--short", "--keep", tmp_path]
    environment = {**os.environ, "DRIFTGATE_BIN": str(BINARY)}
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
