#!/usr/bin/env python3
"""Splits C-MAPSS into the files of the protocol: OUT/fit.csv.gz, OUT/calib.csv.gz, OUT/eval.csv.gz. Standard library only.

DATA holds train_FD002.csv.gz, test_FD002.csv.gz (unit, cycle, set1..set3, s1..s21) and RUL_FD002.csv.gz (flights left after
the last row of each test engine).

fit    healthy rows (125 flights or more left) of the train engines with unit % 5 in {0, 1}
calib  healthy rows of those with unit % 5 == 2, and of all engines of the test file
eval   all rows of the others

Streams: natural   file order
         campaign  the same flights, sorted by setting inside blocks of 60: the engine keeps a setting for a while
         withheld  the setting 20 kft / Mach 0.70 / 100 deg is missing from fit and calib
         spikes    in calib and eval 3 of the 14 sensors jump by 8 standard deviations of their setting at every 40th flight

The column `rul` (flights left) is for figures.py only; the configuration does not read it."""

import argparse
import csv
import gzip
import random
import statistics
from collections import defaultdict
from pathlib import Path

SENSORS = [f"s{i}" for i in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)]
CENTRES = [(0, 0, 100), (10, 0.25, 100), (20, 0.7, 100), (25, 0.62, 60), (35, 0.84, 100), (42, 0.84, 100)]
SCALE = (1.0, 0.02, 5.0)
WITHHELD = 2
HEALTHY = 125
BLOCK = 60


def nearest_setting(row):
    """Index of the nearest of the six settings."""
    values = [float(row[c]) for c in ("set1", "set2", "set3")]

    def distance(k):
        return max(abs(x - y) / s for x, y, s in zip(values, CENTRES[k], SCALE))

    return min(range(len(CENTRES)), key=distance)


def read(path):
    with gzip.open(path, "rt", newline="") as f:
        return list(csv.DictReader(f))


def load(data, fd, part):
    """Engines of one file by their number: rows with `rul` and `setting`; `unit` is made unique over the files."""
    engines = defaultdict(list)
    for row in read(data / f"{part}_{fd}.csv.gz"):
        engines[int(row["unit"])].append(row)
    left = defaultdict(int)
    if part == "test":
        left.update({int(r["unit"]): int(float(r["rul_at_end"])) for r in read(data / f"RUL_{fd}.csv.gz")})
    for unit, rows in engines.items():
        for i, row in enumerate(rows):
            row.update(unit=f"{part}{unit:03}", rul=len(rows) - 1 - i + left[unit], setting=nearest_setting(row))
    return dict(sorted(engines.items()))


def campaign(rows):
    """Settings and sensors in another order; cycle and flights left stay where they are."""
    order = sorted(range(len(rows)), key=lambda i: (i // BLOCK, rows[i]["setting"], i))
    return [dict(rows[i], cycle=rows[k]["cycle"], rul=rows[k]["rul"]) for k, i in enumerate(order)]


def spiked(rows, deviation, rng):
    rows = [dict(r) for r in rows]
    for row in rows[45::40]:
        for s in rng.sample(SENSORS, 3):
            row[s] = f"{float(row[s]) + 8 * deviation[row['setting'], s] * rng.choice((-1, 1)):.6g}"
    return rows


def deviations(engines):
    values = defaultdict(list)
    for rows in engines:
        for row in rows:
            for s in SENSORS:
                values[row["setting"], s].append(float(row[s]))
    return {key: statistics.stdev(v) for key, v in values.items()}


def split(train, test, stream):
    order = campaign if stream == "campaign" else list

    def engines(of, rests=range(5)):
        return [order(rows) for unit, rows in of.items() if unit % 5 in rests]

    def healthy(engines):
        return [[r for r in rows if r["rul"] >= HEALTHY] for rows in engines]

    fit = healthy(engines(train, (0, 1)))
    calib = healthy(engines(train, (2,)) + engines(test))
    evaluation = engines(train, (3, 4))
    if stream == "withheld":
        fit, calib = ([[r for r in rows if r["setting"] != WITHHELD] for rows in part] for part in (fit, calib))
    if stream == "spikes":
        deviation, rng = deviations(fit), random.Random(7)
        calib, evaluation = ([spiked(rows, deviation, rng) for rows in part] for part in (calib, evaluation))
    return {"fit": fit, "calib": calib, "eval": evaluation}


def write(path, engines):
    columns = ["unit", "cycle", "set1", "set2", "set3", *SENSORS, "rul"]
    # mtime: the same data give the same bytes.
    with gzip.GzipFile(path, "wb", mtime=0) as raw:
        lines = [columns] + [[str(row[c]) for c in columns] for rows in engines for row in rows]
        raw.write("".join(",".join(line) + "\n" for line in lines).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--fd", default="FD002")
    parser.add_argument("--stream", default="natural", choices=["natural", "campaign", "withheld", "spikes"])
    args = parser.parse_args()
    parts = split(load(args.data, args.fd, "train"), load(args.data, args.fd, "test"), args.stream)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, engines in parts.items():
        write(args.out / f"{name}.csv.gz", engines)
        print(f"{args.out / name}.csv.gz: {sum(map(bool, engines))} engines, {sum(map(len, engines))} rows")


if __name__ == "__main__":
    main()
