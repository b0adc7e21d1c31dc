"""Splits C-MAPSS into the files of the protocol: fit.csv, calib.csv and eval.csv. `unit` tells engines apart, `rul` is the flights left (for the figures only). fit: the healthy rows (rul >= 125) of the engines with
unit % 5 in {0, 1}; calib: those of unit % 5 == 2 and of all engines of the test file; eval: all rows of the others.
natural: file order. campaign: within blocks of 60 flights sorted by setting. withheld: the setting 20 kft / M 0.70 / TRA 100 is
not in fit and calib. spikes: every 40th flight 3 of the 14 sensors jump by 8 standard deviations of their setting.
Standard library only."""
import csv
import gzip
import random
import statistics
from collections import defaultdict

SENSORS = [f"s{i}" for i in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)]
CENTRES = [(0, 0, 100), (10, .25, 100), (20, .7, 100), (25, .62, 60), (35, .84, 100), (42, .84, 100)]
SCALE = (1.0, .02, 5.0)
HEALTHY, BLOCK, WITHHELD = 125, 60, 2


def read(path):
    with gzip.open(path, "rt", newline="") as f:
        return list(csv.DictReader(f))


def regime(row):
    """Index of the nearest of the six settings."""
    s = [float(row[c]) for c in ("set1", "set2", "set3")]
    return min(range(6), key=lambda r: max(abs(a - b) / c for a, b, c in zip(s, CENTRES[r], SCALE)))


def load(data, fd, part):
    """Engines of one file: lists of rows, each with its flights left."""
    left = [0] * 1000
    if part == "test":
        left = [float(list(r.values())[-1]) for r in read(data / f"RUL_{fd}.csv.gz")]
    engines = defaultdict(list)
    for row in read(data / f"{part}_{fd}.csv.gz"):
        engines[int(row["unit"])].append(row)
    for unit, rows in engines.items():
        for i, row in enumerate(rows):
            row["rul"] = int(len(rows) - 1 - i + left[unit - 1])
            row["regime"] = regime(row)
            row["unit"] = f"{part}{unit:03d}"
    return engines


def campaign(rows):
    order = sorted(range(len(rows)), key=lambda i: (i // BLOCK, rows[i]["regime"], i))
    return [dict(rows[i], rul=rows[k]["rul"], cycle=rows[k]["cycle"]) for k, i in enumerate(order)]


def spikes(rows, sd, rng):
    out = [dict(r) for r in rows]
    for t in range(45, len(out), 40):
        for s in rng.sample(SENSORS, 3):
            out[t][s] = f"{float(out[t][s]) + 8 * sd[out[t]['regime'], s] * rng.choice((-1, 1)):.6g}"
    return out


def write(path, engines):
    columns = ["unit", "cycle", "set1", "set2", "set3", *SENSORS, "rul"]
    with open(path, "w", newline="") as f:
        w = csv.DictWriter(f, columns, extrasaction="ignore")
        w.writeheader()
        for rows in engines:
            w.writerows(rows)


def prepare(data, out, fd, stream):
    """Writes fit.csv, calib.csv and eval.csv of one stream."""
    train, test = load(data, fd, "train"), load(data, fd, "test")
    order = campaign if stream == "campaign" else list
    engines = lambda of, rests: [order(r) for u, r in sorted(of.items()) if u % 5 in rests]
    healthy = lambda lists: [[r for r in rows if r["rul"] >= HEALTHY] for rows in lists]
    fit = healthy(engines(train, (0, 1)))
    calib = healthy(engines(train, (2,)) + engines(test, range(5)))
    evaluation = engines(train, (3, 4))
    if stream == "withheld":
        keep = lambda lists: [[r for r in rows if r["regime"] != WITHHELD] for rows in lists]
        fit, calib = keep(fit), keep(calib)
    if stream == "spikes":
        values = defaultdict(list)
        for rows in fit:
            for r in rows:
                for s in SENSORS:
                    values[r["regime"], s].append(float(r[s]))
        sd = {k: statistics.stdev(v) for k, v in values.items()}
        rng = random.Random(7)
        calib = [spikes(r, sd, rng) for r in calib]
        evaluation = [spikes(r, sd, rng) for r in evaluation]
    out.mkdir(parents=True, exist_ok=True)
    for name, lists in (("fit", fit), ("calib", calib), ("eval", evaluation)):
        write(out / f"{name}.csv", [rows for rows in lists if rows])
