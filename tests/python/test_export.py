"""A buffer on its way out: collected, exported, downloaded as a file, acknowledged, released; by methods and by plain variables."""

import hashlib
import json
from datetime import datetime, timezone

import pytest
from asyncua import ua
from gateway import Gateway, eventually, read, write
from test_commands import COMMAND, DONE, KEY, REJECTED, call, offered, refused, request, text
from test_files import download

EXPORT, ACKNOWLEDGE, RELEASE = 11, 12, 13
READY, EXPORTED, ACKNOWLEDGED = 2, 4, 5
NEVER = ua.Variant(datetime(1601, 1, 1), ua.VariantType.DateTime)
ROWS = 100
# Slow enough that the story does not release buffers meanwhile.
SPEED = 20


@pytest.fixture
def client(learned):
    with learned.client() as client:
        by_itself(client, False)
        yield client


def by_itself(client, wanted):
    """Whether buffers that are ready are exported without being asked."""
    write(client, "Motor1.Buffers.B01.AutoExport", wanted, ua.VariantType.Boolean)


def collected(client, buffer):
    """A data set that is ready, by request."""
    rows = ua.Variant(ROWS, ua.VariantType.UInt32)
    dataset = call(client, f"{buffer}.StartCollecting", text(KEY), rows, text("for a look"))
    eventually(lambda: read(client, f"{buffer}.State") == READY, 120, "Ready")
    return dataset


def test_from_collecting_to_released_by_methods(learned, client):
    buffer = "Motor1.Buffers.B04"
    refused(ua.StatusCodes.BadInvalidState, lambda: call(client, f"{buffer}.ExportBuffer", text(""), NEVER, NEVER))
    dataset = collected(client, buffer)
    assert offered(client, EXPORT)

    name, rows, digest = call(client, f"{buffer}.ExportBuffer", text("parquet"), NEVER, NEVER)
    assert name.startswith(f"{dataset}-{digest[:12]}") and name.endswith(".parquet")
    assert rows == ROWS == read(client, f"{buffer}.LastExportRows")
    assert (read(client, f"{buffer}.LastExportFile"), read(client, f"{buffer}.LastExportHash")) == (name, digest)
    assert read(client, f"{buffer}.State") == EXPORTED
    age = datetime.now(timezone.utc) - read(client, f"{buffer}.LastExportTime").replace(tzinfo=timezone.utc)
    assert 0 <= age.total_seconds() < 60

    content = download(client, f"{buffer}.File", 10_000)
    assert hashlib.sha256(content).hexdigest() == digest
    assert content[:4] == content[-4:] == b"PAR1"
    folder = learned.data_dir / "datasets"
    day = read(client, f"{buffer}.NewestRow").date()
    path = f"table/gateway=demo/unit=Motor1/date={day}/{name}"
    assert (folder / path).read_bytes() == content
    manifest = json.loads((folder / f"{name}.json").read_text())
    assert (manifest["path"], manifest["sha256"], manifest["rows"], manifest["bytes"]) == (path, digest, ROWS, len(content))
    assert manifest["rows_by_regime"] == {KEY: ROWS} and len(manifest["reference_sha256"]) == 64
    assert (manifest["machine"], manifest["regime"], manifest["reason"]) == ("Motor1", KEY, "OperatorRequest")
    assert manifest["exported_by"] == "anonymous" and manifest["rows_lost"] == 0

    call(client, f"{buffer}.AcknowledgeBuffer", text(dataset), text("fetched"))
    eventually(lambda: read(client, f"{buffer}.State") == ACKNOWLEDGED, 60, "Acknowledged")
    call(client, f"{buffer}.ReleaseBuffer", text(dataset), text(""))
    eventually(lambda: read(client, f"{buffer}.State") == 0, 60, "Idle")
    assert (folder / path).is_file(), "the file stays"
    commands = [line for line in learned.lines if line.get("event") == "command" and line["command"] == "ExportBuffer"]
    assert commands[0]["refused"] and not commands[-1]["refused"]
    assert name in commands[-1]["result"]


def test_the_same_by_variables_and_again_in_another_format(client):
    buffer = "Motor1.Buffers.B03"
    dataset = collected(client, buffer)
    assert request(client, EXPORT, dataset, 0.0, 7) == DONE
    assert (read(client, f"{COMMAND}.AckId"), read(client, f"{COMMAND}.Progress")) == (7, 100)
    first = read(client, f"{buffer}.LastExportFile")
    assert first in read(client, f"{COMMAND}.ResultText")
    assert read(client, f"{buffer}.State") == EXPORTED

    # Another format and a part of the span.
    oldest, newest = read(client, f"{buffer}.OldestRow"), read(client, f"{buffer}.NewestRow")
    middle = ua.Variant(oldest + (newest - oldest) / 2, ua.VariantType.DateTime)
    name, rows, digest = call(client, f"{buffer}.ExportBuffer", text("CSV"), middle, NEVER)
    assert name.endswith(".csv") and 0 < rows < ROWS
    lines = download(client, f"{buffer}.File").decode().splitlines()
    assert len(lines) == rows + 1 and lines[0].startswith("time,machine,row,regime,")
    assert name != first and read(client, f"{buffer}.LastExportHash") == digest

    assert request(client, ACKNOWLEDGE, dataset) == DONE
    assert request(client, RELEASE, dataset) == DONE
    eventually(lambda: not offered(client, EXPORT), 60, "nothing to export is left")
    refused(ua.StatusCodes.BadInvalidState, lambda: request(client, EXPORT, dataset))
    assert read(client, f"{COMMAND}.State") == REJECTED


def test_a_ready_buffer_is_exported_by_itself(learned, client):
    buffer = "Motor1.Buffers.B02"
    dataset = collected(client, buffer)
    assert read(client, f"{buffer}.LastExportFile") in ("", None)
    by_itself(client, True)
    assert [read(client, f"Motor1.Buffers.B0{k}.AutoExport") for k in (1, 2, 3, 4)] == [True] * 4
    eventually(lambda: read(client, f"{buffer}.State") == EXPORTED, 60, "Exported without being asked")
    name = read(client, f"{buffer}.LastExportFile")
    assert name.startswith(dataset) and read(client, f"{buffer}.LabelledRows") == 0
    manifest = json.loads((learned.data_dir / "datasets" / f"{name}.json").read_text())
    assert (manifest["rows"], manifest["exported_by"]) == (ROWS, "AutoExport")
    call(client, f"{buffer}.ReleaseBuffer", text(dataset), text(""))
    # The next data set of the same slot does not wait for anything.
    call(client, f"{buffer}.StartCollecting", text(KEY), ua.Variant(30, ua.VariantType.UInt32), text("again"))
    eventually(lambda: read(client, f"{buffer}.State") == EXPORTED, 60, "exported again")
    assert read(client, f"{buffer}.LastExportRows") == 30
    call(client, f"{buffer}.ReleaseBuffer", text(read(client, f"{buffer}.DatasetId")), text(""))


def test_what_cannot_be_exported_is_refused_and_nothing_is_lost(client):
    buffer = "Motor1.Buffers.B02"
    dataset = collected(client, buffer)
    export = f"{buffer}.ExportBuffer"
    refused(ua.StatusCodes.BadInvalidArgument, lambda: call(client, export, text("xlsx"), NEVER, NEVER))
    oldest = read(client, f"{buffer}.OldestRow")
    newest = read(client, f"{buffer}.NewestRow")
    times = [ua.Variant(time, ua.VariantType.DateTime) for time in (newest, oldest)]
    refused(ua.StatusCodes.BadInvalidArgument, lambda: call(client, export, text(""), *times))
    later = ua.Variant(newest.replace(year=newest.year + 1), ua.VariantType.DateTime)
    refused(ua.StatusCodes.BadOutOfRange, lambda: call(client, export, text(""), later, NEVER))
    assert read(client, f"{buffer}.State") == READY
    assert "not exported" in read(client, f"{buffer}.StateText")
    _, rows, _ = call(client, export, text(""), NEVER, NEVER)
    assert rows == ROWS and read(client, f"{buffer}.StateText") == "Exported"
    call(client, f"{buffer}.ReleaseBuffer", text(dataset), text(""))
