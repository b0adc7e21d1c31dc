"""Power cuts and `kill -9` in the midst of writing, against the store: nothing acknowledged may be lost, and every store must open.

    python3 -B tests/powercut                      # 100 power cuts and 100 times kill -9
    python3 -B tests/powercut --only kill          # needs no root
    python3 -B tests/powercut --only cut --naive   # without the fsync of the file `db`: shows that the test can fail

A child (`tests/store_crash.rs`) appends rows, events and values to a store, flushes, and says which are safe. A power cut is an ext4
image on a loop device that is shut down without writing its journal or any cached page (EXT4_IOC_SHUTDOWN, NOLOGFLUSH), unmounted and
mounted again. Then a checker opens the store and compares every bit. The end comes up to 0.6 s after the start, in every third round
up to 0.05 s, while the store is made or opened. Every tenth round begins with an empty file system. What a disk loses that confirms writes it has only in its
own cache is not part of this.

Exit codes: 0 nothing lost (with --naive: the loss was seen), 1 something was lost (with --naive: nothing), 2 wrong usage,
3 power cuts cannot be made here.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from disk import Directory, Image, why_no_power_cuts  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# Rounds on one store.
ROUNDS_OF_A_STORE = 10
# Longest time from the start of the child to its end, in seconds; in every third round the other one.
LONGEST = 0.6
LONGEST_EARLY = 0.05
CHECK_TIMEOUT = 120


@dataclasses.dataclass
class Tally:
    """What came of the rounds of one kind."""

    kind: str
    rounds: int = 0
    whole: int = 0
    # Opened, and acknowledged data is missing or wrong.
    lost: int = 0
    # Could not be opened: moved aside, or the opening failed.
    not_opened: int = 0
    acknowledged_rows: int = 0
    # Before anything was acknowledged: while the store was made or opened.
    early: int = 0
    seconds: float = 0.0


def crash_test_binary() -> Path:
    """The built `tests/store_crash.rs`."""
    if given := os.environ.get("DRIFTGATE_STORE_CRASH"):
        return Path(given).resolve()
    command = [os.environ.get("CARGO", "cargo"), "test", "--test", "store_crash", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for line in built.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("executable") and message["target"]["name"] == "store_crash":
            return Path(message["executable"])
    raise SystemExit("cargo has not built tests/store_crash.rs")


def build_no_sync(folder: Path) -> Path:
    """A library for LD_PRELOAD."""
    library = folder / "no_sync.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, Path(__file__).with_name("no_sync.c")], check=True)
    return library


def write_until_cut(binary: Path, disk: Directory | Image, after: float, preload: Path | None) -> tuple[int, int]:
    """Runs the child for `after` seconds and ends it; the first and the last row that it acknowledged in this round."""
    env = os.environ | {"DRIFTGATE_STORE_CRASH_DIRECTORY": str(disk.store)}
    if preload:
        env["LD_PRELOAD"] = str(preload)
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen([binary, "--exact", "child", "--nocapture"], env=env, stdout=out, stderr=subprocess.DEVNULL)
        try:
            # The moment is the point of the test: any is right.
            time.sleep(after)
            if child.poll() is not None:
                raise SystemExit(f"the child ended by itself, with {child.returncode}")
            disk.cut()
        finally:
            child.kill()
            child.wait()
        out.seek(0)
        begin = last = 0
        # A line that was cut off has no end and does not count.
        for line in (line for line in out if line.endswith("\n")):
            if line.startswith("begins after "):
                begin = int(line.split()[-1])
            elif line.startswith("acknowledged "):
                last = int(line.split()[-1])
    return begin + 1, last


def check(binary: Path, store: Path, acknowledged: list[tuple[int, int]]) -> tuple[str, str]:
    """`whole`, `lost` or `not_opened`, and what the checker said."""
    env = os.environ | {
        "DRIFTGATE_STORE_CRASH_CHECK": str(store),
        "DRIFTGATE_STORE_CRASH_EXPECT": " ".join(f"{first}-{last}" for first, last in acknowledged),
    }
    command = [binary, "--exact", "checker", "--nocapture"]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=CHECK_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return "not_opened", f"the store does not open within {CHECK_TIMEOUT} s"
    lines = done.stdout.splitlines()
    if done.returncode == 0 and "whole" in lines:
        return "whole", ""
    problems = [line.removeprefix("problem ") for line in lines if line.startswith("problem ")]
    text = "; ".join(problems) or " ".join(done.stderr.split("stack backtrace:")[0].split())[-400:]
    opened = "the store opens" not in text and "the store was damaged" not in text
    return ("lost" if opened else "not_opened"), text


def rounds(kind: str, count: int, binary: Path, disk: Directory | Image, chance: random.Random, preload: Path | None) -> Tally:
    tally, acknowledged = Tally(kind), []
    begun = time.monotonic()
    for n in range(count):
        if n % ROUNDS_OF_A_STORE == 0:
            disk.renew()
            acknowledged = []
        # The first round of a store is among the early ones.
        longest = LONGEST_EARLY if n % ROUNDS_OF_A_STORE % 3 == 0 else LONGEST
        first, last = write_until_cut(binary, disk, chance.uniform(0, longest), preload)
        if last:
            acknowledged.append((first, last))
            tally.acknowledged_rows += last - first + 1
        else:
            tally.early += 1
        disk.power_on()
        verdict, text = check(binary, disk.store, acknowledged)
        tally.rounds += 1
        setattr(tally, verdict, getattr(tally, verdict) + 1)
        if verdict != "whole":
            print(f"{kind} {n + 1}: {verdict}, acknowledged {acknowledged[-1:] or 'nothing'}: {text}", file=sys.stderr, flush=True)
            disk.renew()
            acknowledged = []
        if (n + 1) % 10 == 0:
            print(f"{kind}: {n + 1} of {count}, {tally.whole} whole", file=sys.stderr, flush=True)
    tally.seconds = round(time.monotonic() - begun, 1)
    return tally


def table(tallies: list[Tally]) -> str:
    lines = ["| | rounds | whole | data lost | not opened | before the first flush | rows acknowledged |", "|---|---|---|---|---|---|---|"]
    for t in tallies:
        lines.append(f"| {t.kind} | {t.rounds} | {t.whole} | {t.lost} | {t.not_opened} | {t.early} | {t.acknowledged_rows} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/powercut", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="of each kind; 100 unless given")
    parser.add_argument("--only", choices=["cut", "kill"], help="power cuts, or kill -9")
    parser.add_argument("--naive", action="store_true", help="power cuts without the fsync of the file `db`: data must be lost")
    parser.add_argument("--seed", type=int, help="of the moments; printed in any case")
    parser.add_argument("--possible", action="store_true", help="only says whether power cuts can be made here")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    args = parser.parse_args()
    if args.rounds < 1 or (args.naive and args.only == "kill"):
        parser.error("--rounds is at least 1, and --naive is about power cuts")
    kinds = ["cut"] if args.naive or args.possible else [args.only] if args.only else ["cut", "kill"]
    if "cut" in kinds and (reason := why_no_power_cuts()):
        print(f"no power cuts here: {reason}", file=sys.stderr)
        return 3
    if args.possible:
        return 0
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", file=sys.stderr)
    binary = crash_test_binary()
    tallies = []
    with tempfile.TemporaryDirectory(prefix="powercut-") as folder:
        preload = build_no_sync(Path(folder)) if args.naive else None
        for kind in kinds:
            disk = Image(Path(folder)) if kind == "cut" else Directory(Path(folder) / "kill")
            name = {"cut": "power cut", "kill": "`kill -9`"}[kind] + (" without fsync" if args.naive else "")
            with contextlib.closing(disk):
                tallies.append(rounds(name, args.rounds, binary, disk, random.Random(seed), preload))
    print(json.dumps([dataclasses.asdict(t) for t in tallies], indent=2) if args.json else table(tallies))
    all_whole = all(t.whole == t.rounds for t in tallies)
    if args.naive and all_whole:
        print("nothing was lost without the fsync: this test shows nothing", file=sys.stderr)
    return int(all_whole == args.naive)


if __name__ == "__main__":
    sys.exit(main())
