#!/usr/bin/env python3
"""The datasets of a fleet as one table, in Polars and in DuckDB: rows by gateway, unit, day and regime.

Usage: read.py TABLE    (`datasets/table` of a data directory, or a folder into which several gateways' were copied)"""
import sys
from pathlib import Path

import duckdb
import polars

KEYS = ["gateway", "unit", "date", "regime"]


def by_polars(table: Path) -> list[tuple]:
    # Machines of another kind have other columns: what a machine has not is empty.
    files = [polars.scan_parquet(file, hive_partitioning=True) for file in sorted(table.rglob("*.parquet"))]
    rows = polars.concat(files, how="diagonal")
    counted = rows.group_by(KEYS).agg(polars.len(), polars.col("label").count()).sort(KEYS)
    return counted.collect().rows()


def by_duckdb(table: Path) -> list[tuple]:
    read = f"read_parquet('{table}/**/*.parquet', union_by_name = true, hive_partitioning = true)"
    keys = ", ".join(KEYS)
    return duckdb.sql(f"select {keys}, count(*), count(label) from {read} group by all order by {keys}").fetchall()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    counts = by_polars(Path(sys.argv[1]))
    print(*KEYS, "rows", "labelled", sep="\t")
    for line in counts:
        print(*line, sep="\t")
    if counts != by_duckdb(Path(sys.argv[1])):
        print("Polars and DuckDB do not count the same", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
