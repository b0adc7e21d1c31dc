#!/usr/bin/env python3
"""Makes a Delta and an Iceberg table of datasets; their files stay as they are. Usage: to_lake.py TABLE FOLDER

Delta keeps its log beside the files: it gets a copy. Iceberg's table refers to the files of TABLE; its catalog lies in FOLDER."""
import shutil
import sys
from pathlib import Path

import polars
import pyarrow.parquet
from deltalake import Field, Schema, convert_to_deltalake
from deltalake.schema import PrimitiveType
from pyiceberg.catalog.sql import SqlCatalog


def delta(table: Path, folder: Path) -> int:
    copy = folder / "delta"
    shutil.copytree(table, copy)
    kinds = {"gateway": "string", "unit": "string", "date": "date"}
    keys = Schema([Field(name, PrimitiveType(kind)) for name, kind in kinds.items()])
    convert_to_deltalake(str(copy), partition_by=keys, partition_strategy="hive")
    return len(polars.read_delta(str(copy)))


def iceberg(table: Path, folder: Path) -> int:
    catalog = SqlCatalog("local", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
    catalog.create_namespace("fleet")
    files = sorted(table.rglob("*.parquet"))
    rows = catalog.create_table("fleet.rows", schema=pyarrow.parquet.read_schema(files[0]))
    # Not as_uri(): its `%3D` would be taken as it stands.
    rows.add_files([f"file://{file}" for file in files])
    return len(rows.scan().to_arrow())


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    table, folder = (Path(argument).resolve() for argument in sys.argv[1:])
    folder.mkdir(parents=True)
    there = sum(pyarrow.parquet.read_metadata(file).num_rows for file in table.rglob("*.parquet"))
    found = {"Delta": delta(table, folder), "Iceberg": iceberg(table, folder)}
    for name, rows in found.items():
        print(f"{name}: {rows} of {there} rows")
    return 0 if set(found.values()) == {there} else 1


if __name__ == "__main__":
    sys.exit(main())
