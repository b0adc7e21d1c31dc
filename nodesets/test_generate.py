#!/usr/bin/env python3
"""Tests of generate.py and of the files it keeps current: `python3 nodesets/test_generate.py`."""

import contextlib
import io
import re
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402
from model_source import DATA_TYPES, ROLES, SOURCE, STANDARD  # noqa: E402
from nodeset_xml import CALL, NODESET_XMLNS, WRITE  # noqa: E402

FILES = (SOURCE, STANDARD, generate.CSV_FILE, generate.XML_FILE)
XMLNS = f"{{{NODESET_XMLNS}}}"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = generate.main(list(arguments))
    return code, printed.getvalue()


class Copy(unittest.TestCase):
    """Each test works on a copy of the files."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        for name in FILES:
            shutil.copy(HERE / name, self.dir / name)

    def read(self, name: str) -> str:
        return (self.dir / name).read_text(encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        self.assertEqual(text.count(old), 1, f"`{old}` in {name}")
        (self.dir / name).write_text(text.replace(old, new), encoding="utf-8")

    def generate(self, *options: str) -> tuple[int, str]:
        return run("--dir", str(self.dir), *options)

    def ids(self) -> dict[str, int]:
        return {row.path: row.id for row in generate.read_rows(self.read(generate.CSV_FILE))}


class Current(unittest.TestCase):
    def test_the_shipped_files_are_current(self) -> None:
        self.assertEqual(run("--check"), (0, ""))

    def test_the_shipped_files_are_ascii(self) -> None:
        for name in FILES:
            self.assertTrue((HERE / name).read_bytes().isascii(), name)


class Check(Copy):
    def test_two_runs_give_the_same_bytes(self) -> None:
        before = {name: (self.dir / name).read_bytes() for name in FILES}
        (self.dir / generate.XML_FILE).unlink()
        self.assertEqual(self.generate()[0], 0)
        self.assertEqual({name: (self.dir / name).read_bytes() for name in FILES}, before)

    def test_a_changed_source_is_not_current(self) -> None:
        self.replace(SOURCE, "1=OK, 2=Degraded", "1=Fine, 2=Degraded")
        code, printed = self.generate("--check")
        self.assertEqual(code, 1)
        self.assertIn("NodeSet2.xml:", printed)
        self.assertIn("Fine", printed)

    def test_an_edited_xml_is_not_current(self) -> None:
        xml = self.read(generate.XML_FILE)
        (self.dir / generate.XML_FILE).write_text(xml.replace('AccessLevel="5"', 'AccessLevel="1"', 1), encoding="utf-8")
        self.assertEqual(self.generate("--check")[0], 1)

    def test_a_new_member_is_missing_in_both_files(self) -> None:
        self.replace(SOURCE, "  Heartbeat: UInt32 M", "  Added: UInt32 M\n  Heartbeat: UInt32 M")
        code, printed = self.generate("--check")
        self.assertEqual(code, 1)
        self.assertIn("NodeIds.csv:", printed)
        self.assertIn("NodeSet2.xml:", printed)
        self.assertNotIn("GatewayType_Added", self.read(generate.CSV_FILE), "--check must not write")


class Ids(Copy):
    def test_a_new_member_gets_the_next_id_and_no_other_moves(self) -> None:
        before, rows = self.ids(), self.read(generate.CSV_FILE)
        self.replace(SOURCE, "  Heartbeat: UInt32 M", "  Added: UInt32 M\n  Heartbeat: UInt32 M")
        self.assertEqual(self.generate()[0], 0)
        after = self.ids()
        self.assertTrue(self.read(generate.CSV_FILE).startswith(rows), "rows are appended, never edited")
        highest = max(i for i in before.values() if i > 10000)
        self.assertEqual({path: i for path, i in after.items() if path not in before}, {"GatewayType_Added": highest + 1})

    def test_a_removed_member_keeps_its_row_and_its_id_is_not_given_again(self) -> None:
        self.replace(SOURCE, "  Heartbeat: UInt32 M", "  Last: UInt32 M\n  Heartbeat: UInt32 M")
        self.generate()
        last = self.ids()["GatewayType_Last"]
        self.replace(SOURCE, "  Last: UInt32 M", "  Next: UInt32 M")
        self.assertEqual(self.generate()[0], 0)
        self.assertEqual(self.ids()["GatewayType_Last"], last)
        self.assertEqual(self.ids()["GatewayType_Next"], last + 1)
        self.assertNotIn(f'NodeId="ns=1;i={last}"', self.read(generate.XML_FILE))

    def test_a_member_that_comes_back_gets_its_old_id(self) -> None:
        heartbeat = self.ids()["GatewayType_Heartbeat"]
        line = re.search(r"  Heartbeat: .*\n", self.read(SOURCE))[0]
        self.replace(SOURCE, line, "")
        self.generate()
        self.replace(SOURCE, "  SoftwareVersion: String M\n", f"  SoftwareVersion: String M\n{line}")
        self.assertEqual(self.generate()[0], 0)
        self.assertEqual(self.ids()["GatewayType_Heartbeat"], heartbeat)

    def test_a_lost_row_is_refused(self) -> None:
        rows = self.read(generate.CSV_FILE).splitlines(keepends=True)
        (self.dir / generate.CSV_FILE).write_text("".join(rows[:-1]), encoding="utf-8")
        code, printed = self.generate()
        self.assertEqual(code, 2)
        self.assertIn(rows[-1].split(",")[1], printed)

    def test_a_path_that_changes_its_class_is_refused(self) -> None:
        self.replace(SOURCE, "  Heartbeat: UInt32 M", "  Heartbeat/ FolderType M")
        code, printed = self.generate()
        self.assertEqual(code, 2)
        self.assertIn("`GatewayType_Heartbeat`", printed)


class Faults(Copy):
    def refused(self, old: str, new: str, message: str) -> None:
        self.replace(SOURCE, old, new)
        code, printed = self.generate("--check")
        self.assertEqual(code, 2)
        self.assertRegex(printed, rf"model\.txt:\d+: .*{message}")

    def test_an_unknown_word(self) -> None:
        self.refused("  Heartbeat: UInt32 M", "  Heartbeat: UInt32 furlong M", "`furlong`")

    def test_an_unknown_data_type(self) -> None:
        self.refused("  Heartbeat: UInt32 M", "  Heartbeat: Int23 M", "`Int23`")

    def test_a_missing_rule(self) -> None:
        self.refused("  Heartbeat: UInt32 M", "  Heartbeat: UInt32", "")

    def test_a_member_declared_twice(self) -> None:
        self.refused("  Heartbeat: UInt32 M", "  HealthText: String M", "declared twice")

    def test_text_that_is_not_ascii(self) -> None:
        self.refused("unit degC", "unit \N{DEGREE SIGN}C", "only ASCII")


class Content(unittest.TestCase):
    """What clients rely on, read from the shipped XML."""

    @classmethod
    def setUpClass(cls) -> None:
        root = ET.parse(HERE / generate.XML_FILE).getroot()
        by_id = {node.get("NodeId"): node for node in root if node.get("NodeId")}
        rows = generate.read_rows((HERE / generate.CSV_FILE).read_text(encoding="utf-8"))
        cls.nodes = {row.path: by_id[f"ns=1;i={row.id}"] for row in rows if f"ns=1;i={row.id}" in by_id}

    def permissions(self, path: str) -> dict[str, int]:
        names = {f"i={number}": role for role, number in ROLES.items()}
        found = self.nodes[path].findall(f"{XMLNS}RolePermissions/{XMLNS}RolePermission")
        return {names[p.text]: int(p.get("Permissions")) for p in found}

    def allowed(self, path: str, bit: int) -> set[str]:
        return {role for role, bits in self.permissions(path).items() if bits & bit}

    def test_history(self) -> None:
        status = self.nodes["MachineType_Drift_Status"]
        self.assertEqual((status.get("AccessLevel"), status.get("Historizing")), ("5", "true"))
        self.assertIsNone(self.nodes["MachineType_Drift_StatusText"].get("Historizing"))

    def test_who_writes(self) -> None:
        self.assertEqual(self.allowed("CommandInterfaceType_Request", WRITE), {"Operator", "Engineer", "ConfigureAdmin"})
        self.assertEqual(self.allowed("DriftMonitorType_WindowRows", WRITE), {"Engineer", "ConfigureAdmin"})
        self.assertEqual(self.allowed("SourceConnectionType_Endpoint", WRITE), {"ConfigureAdmin"})

    def test_who_calls(self) -> None:
        operators = {"Operator", "Engineer", "Supervisor", "ConfigureAdmin"}
        self.assertEqual(self.allowed("RetrainingBufferType_AcknowledgeBuffer", CALL), operators)
        self.assertEqual(self.allowed("RetrainingBufferType_ReleaseBuffer", CALL), {"Engineer", "ConfigureAdmin"})
        self.assertEqual(self.allowed("ModelManagementType_ActivateModel", CALL), {"ConfigureAdmin"})

    def test_own_variables_are_plain_scalars(self) -> None:
        plain = {DATA_TYPES[t] for t in ("Boolean", "UInt16", "UInt32", "Double", "String", "DateTime")}
        plain |= {DATA_TYPES[t] for t in ("BaseDataType", "Number")}  # placeholders and their own properties
        arrays_allowed = {"InputNames", "AllowedValues"}  # extras, not needed on a screen
        for path, node in self.nodes.items():
            name = node.get("BrowseName")
            if node.tag == f"{XMLNS}UAVariable" and name.startswith("1:"):
                self.assertIn(int(node.get("DataType").removeprefix("i=")), plain, path)
                self.assertTrue(node.get("ValueRank") is None or name[2:] in arrays_allowed, path)

    def test_methods_of_instances_point_to_their_type(self) -> None:
        declared = self.nodes["RetrainingBufferType_ExportBuffer"].get("NodeId")
        self.assertEqual(self.nodes["MachineType_Buffers_B04_ExportBuffer"].get("MethodDeclarationId"), declared)

    def test_only_namespace_0_is_needed(self) -> None:
        known = {node.get("NodeId") for node in self.nodes.values()}
        for path, node in self.nodes.items():
            targets = [r.text for r in node.iter(f"{XMLNS}Reference")]
            self.assertTrue(all(re.fullmatch(r"i=\d+|ns=1;i=\d+", t) for t in targets), path)
            self.assertTrue(all(t in known for t in targets if t.startswith("ns=1")), path)


if __name__ == "__main__":
    unittest.main()
