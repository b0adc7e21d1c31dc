"""What the examples share: calls driftgate and reads its events. Standard library only."""
import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path


def arguments(doc):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", type=Path, nargs="?", help="folder of the data set")
    p.add_argument("--driftgate", default="driftgate", help="the program (default: from PATH)")
    p.add_argument("--work", type=Path, help="folder for prepared files, bundles and events (default: a fresh one)")
    a = p.parse_args()
    a.work = a.work or Path(tempfile.mkdtemp(prefix="driftgate-"))
    a.work.mkdir(parents=True, exist_ok=True)
    return a


def call(program, *args):
    """Runs a command; its report goes to the screen."""
    done = subprocess.run([program, *map(str, args)], text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join([program, *map(str, args)])}\n{done.stdout}{done.stderr}")
    return done.stdout


class Events:
    """Status of one monitor, and place, of each row; by unit or by file."""

    def __init__(self, path, key="unit", monitor="DataDrift"):
        self.status, self.place = defaultdict(dict), defaultdict(dict)
        with open(path) as f:
            for line in f:
                e = json.loads(line)
                unit = e[key]
                if e["event"] == "status" and e["monitor"] == monitor:
                    self.status[unit][e["row"]] = e["status"]
                elif e["event"] == "regime":
                    self.place[unit][e["row"]] = e["state"]

    @staticmethod
    def _held(changes, rows):
        now, out = None, []
        for row in range(1, rows + 1):
            now = changes.get(row, now)
            out.append(now)
        return out

    def alarms(self, unit, rows):
        """True for each row at which the monitor said Drift."""
        return [s == "Drift" for s in self._held(self.status[unit], rows)]

    def outside(self, unit, rows):
        return [s == "Outside" for s in self._held(self.place[unit], rows)]
