"""Every fault that the simulated PLCs can do, against a gateway, and what came of it.

    DRIFTGATE_BIN=target/debug/driftgate python -B tests/robustness --write docs/robustness.md
    python -B tests/robustness --only modbus --only "siemens/restart"

Families of faults run beside each other, the faults of one in a row. Exit codes: 0 no rule was broken, 1 one was, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from certificates import run_certificates  # noqa: E402
from families import FAMILIES, run_family  # noqa: E402
from faults import SHORT  # noqa: E402
from gateway import BINARY  # noqa: E402
from measure import PATIENT, Limits  # noqa: E402
from table import table, write_into  # noqa: E402

START = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - START:6.1f} s  {text}", file=sys.stderr, flush=True)


async def all_of_them(folder: Path, only: list[str], short: bool):
    def wanted(family: str):
        def one(fault: str) -> bool:
            if short and fault not in SHORT.get(family, []):
                return False
            return not only or any(o in (family, fault, f"{family}/{fault}") for o in only)

        return one

    limits = PATIENT if short else Limits()
    runs = [run_family(f, folder / f.name, wanted(f.name), limits, say) for f in FAMILIES if any(map(wanted(f.name), (x.name for x in f.faults)))]
    certificates = not short and (not only or "certificates" in only)
    measured, verdicts = await asyncio.gather(asyncio.gather(*runs), run_certificates(folder / "certificates", say) if certificates else _nothing())
    return [m for family in measured for m in family], verdicts


async def _nothing() -> list:
    return []


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/robustness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a family (siemens, beckhoff, modbus, certificates), a fault, or FAMILY/FAULT")
    parser.add_argument("--short", action="store_true", help="the selection of the ordinary tests, with the patience that a busy machine needs")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables between the marks of this document")
    parser.add_argument("--json", action="store_true", help="all that was measured, on stdout")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and data here")
    arguments = parser.parse_args()
    if not BINARY.is_file():
        parser.error(f"no binary: `{BINARY}`; build it with `cargo build`, or name another in DRIFTGATE_BIN")
    # The end of a server is told by every client of it.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="driftgate-robustness-") as scratch:
        measured, certificates = asyncio.run(all_of_them(arguments.keep or Path(scratch), arguments.only, arguments.short))
    if not measured and not certificates:
        parser.error("nothing of that name")
    text = table(measured, certificates)
    if arguments.write:
        write_into(arguments.write, text)
    print(json.dumps([dataclasses.asdict(m) for m in (*measured, *certificates)], indent=1) if arguments.json else text)
    broken = [m for m in (*measured, *certificates) if m.faults]
    for m in broken:
        say(f"BROKEN {m.family} {m.fault}: {'; '.join(m.faults)}")
    return 1 if broken else 0


sys.exit(main())
