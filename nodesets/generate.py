#!/usr/bin/env python3
"""Writes Driftgate.Types.NodeSet2.xml from model.txt, ns0.txt and Driftgate.Types.NodeIds.csv.

    python3 nodesets/generate.py            write the XML, append rows for new nodes to the CSV
    python3 nodesets/generate.py --check    change nothing; exit 1 if the XML or the CSV is not current

The format of the source is documented at the head of model.txt. The same source and the same CSV give the same bytes.
Exit codes: 0 success, 1 not current, 2 the source or the CSV is wrong.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from model_source import SOURCE, STANDARD, Model, ModelError, parse
from nodeset_xml import RANGES, Builder, Node, Writer

CSV_FILE, XML_FILE = "Driftgate.Types.NodeIds.csv", "Driftgate.Types.NodeSet2.xml"


@dataclass
class Row:
    path: str
    id: int
    id_class: str


def read_rows(text: str) -> list[Row]:
    rows = []
    for number, columns in enumerate(csv.reader(io.StringIO(text)), 1):
        if len(columns) != 3 or not columns[1].isdigit() or columns[2] not in RANGES:
            raise ModelError(f"{CSV_FILE}:{number}: not a row `path,id,class`: `{','.join(columns)}`")
        rows.append(Row(columns[0], int(columns[1]), columns[2]))
    for what, values in (("path", [r.path for r in rows]), ("id", [str(r.id) for r in rows])):
        if twice := sorted({v for v in values if values.count(v) > 1}) if len(set(values)) < len(values) else []:
            raise ModelError(f"{CSV_FILE}: {what} appears twice: `{twice[0]}`; restore the file, rows are never edited")
    return rows


def allot(nodes: list[Node], rows: list[Row]) -> list[Row]:
    """All rows: the old ones as they are, then new ones for new paths. An id that was ever given is never given again."""
    known = {row.path: row for row in rows}
    following = {c: max([start - 1, *(r.id for r in rows if r.id_class == c)]) + 1 for c, (start, _) in RANGES.items()}
    grown = list(rows)
    for node in nodes:
        row = known.get(node.path)
        if row and row.id_class != node.id_class:
            raise ModelError(f"`{node.path}` was {row.id_class} and would become {node.id_class}; give it another name")
        if not row:
            row = Row(node.path, following[node.id_class], node.id_class)
            if row.id > RANGES[node.id_class][1]:
                raise ModelError(f"no id left for class {node.id_class}; widen its range in RANGES")
            following[node.id_class] += 1
            known[row.path] = row
            grown.append(row)
    return grown


def refuse_lost_rows(rows: list[Row], written_xml: str) -> None:
    """Every id in the file that was written last must still have its row."""
    lost = {int(i) for i in re.findall(r' NodeId="ns=1;i=(\d+)"', written_xml)} - {row.id for row in rows}
    if lost:
        raise ModelError(f"{CSV_FILE}: row missing for id {min(lost)}, which {XML_FILE} uses; restore the row, rows are never removed")


def generate(folder: Path) -> tuple[str, str]:
    """The texts of the XML and of the CSV as they should be."""

    def read(name: str) -> str:
        path = folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    model = Model()
    parse(model, read(STANDARD), STANDARD, standard=True)
    parse(model, read(SOURCE), SOURCE)
    if not model.uri or not model.requires[0]:
        raise ModelError(f"{SOURCE}: the lines `model ...` and `requires ...` are missing")
    nodes = Builder(model).build()
    rows = read_rows(read(CSV_FILE))
    refuse_lost_rows(rows, read(XML_FILE))
    rows = allot(nodes, rows)
    xml = Writer(model, {row.path: row.id for row in rows}).document(nodes)
    return xml, "".join(f"{r.path},{r.id},{r.id_class}\n" for r in rows)


def difference(name: str, wanted: str, found: str) -> str:
    pairs = zip(wanted.splitlines() + [""], found.splitlines() + [""], strict=False)
    number, (want, have) = next((i, p) for i, p in enumerate(pairs, 1) if p[0] != p[1] or not (p[0] or p[1]))
    return f"{name}:{number} is not current: has `{have.strip()}`, should have `{want.strip()}`"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generates the NodeSet2 XML of driftgate's types.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a generated file is not current")
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent, help="folder of the files (default: this one)")
    options = parser.parse_args(arguments)
    try:
        xml, rows = generate(options.dir)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    stale = []
    for name, wanted in ((CSV_FILE, rows), (XML_FILE, xml)):
        path = options.dir / name
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        if found != wanted:
            stale.append(difference(name, wanted, found))
            if not options.check:
                path.write_text(wanted, encoding="utf-8", newline="\n")
                print(f"wrote {path}")
    if options.check and stale:
        print("\n".join(stale), file=sys.stderr)
        print("hint: run `python3 nodesets/generate.py` and commit all files of nodesets/", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
