"""Runs alarms.js against a demo of its own. Usage: run.py DIRECTORY_WITH_node_modules"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

from gateway import Gateway  # noqa: E402


def main(modules: Path) -> int:
    script = modules / "alarms.js"
    shutil.copyfile(HERE / "alarms.js", script)
    with tempfile.TemporaryDirectory() as directory, Gateway(Path(directory) / "data", speed=10) as gateway:
        return subprocess.run(["node", script, gateway.endpoint], timeout=300).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
