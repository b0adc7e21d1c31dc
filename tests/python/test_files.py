"""Files over OPC UA: what can be downloaded, what cannot be written, and an upload that is refused."""

import pytest
from asyncua import ua
from gateway import eventually, node, read

READ = 1


def call(client, path, method, *arguments):
    return node(client, path).call_method(f"0:{method}", *arguments)


def byte(value):
    return ua.Variant(value, ua.VariantType.Byte)


def u32(value):
    return ua.Variant(value, ua.VariantType.UInt32)


def u64(value):
    return ua.Variant(value, ua.VariantType.UInt64)


def i32(value):
    return ua.Variant(value, ua.VariantType.Int32)


def download(client, path, chunk=1_000):
    handle = call(client, path, "Open", byte(READ))
    parts = []
    while part := call(client, path, "Read", u32(handle), i32(chunk)):
        parts.append(part)
    call(client, path, "Close", u32(handle))
    return b"".join(parts)


CONFIGURATION = "Gateway.Configuration.File"


def test_the_configuration_comes_whole(demo):
    with demo.client() as client:
        content = download(client, CONFIGURATION)
        assert b"[[machines]]" in content
        assert download(client, CONFIGURATION, 1_000_000) == content
        eventually(lambda: read(client, f"{CONFIGURATION}.Size") == len(content), 60, "the size is not told")


def test_positions_and_counts_are_kept(demo):
    with demo.client() as client:
        handle = call(client, CONFIGURATION, "Open", byte(READ))
        assert read(client, f"{CONFIGURATION}.OpenCount") == 1
        first = call(client, CONFIGURATION, "Read", u32(handle), i32(10))
        assert call(client, CONFIGURATION, "GetPosition", u32(handle)) == 10
        call(client, CONFIGURATION, "SetPosition", u32(handle), u64(0))
        assert call(client, CONFIGURATION, "Read", u32(handle), i32(10)) == first
        call(client, CONFIGURATION, "Close", u32(handle))
        assert read(client, f"{CONFIGURATION}.OpenCount") == 0
        with pytest.raises(ua.uaerrors.BadInvalidArgument):
            call(client, CONFIGURATION, "Read", u32(handle), i32(10))


def test_what_may_not_be_is_refused(demo):
    with demo.client() as client:
        for mode, error in [(2, ua.uaerrors.BadNotWritable), (0, ua.uaerrors.BadInvalidArgument), (16, ua.uaerrors.BadInvalidArgument)]:
            with pytest.raises(error):
                call(client, CONFIGURATION, "Open", byte(mode))
        # Nothing was exported there.
        with pytest.raises(ua.uaerrors.BadNotFound):
            call(client, "Motor1.Buffers.B04.File", "Open", byte(READ))
        handles = [call(client, CONFIGURATION, "Open", byte(READ)) for _ in range(8)]
        with pytest.raises(ua.uaerrors.BadResourceUnavailable):
            call(client, CONFIGURATION, "Open", byte(READ))
        for handle in handles:
            call(client, CONFIGURATION, "Close", u32(handle))


def test_a_session_takes_its_files_along(demo):
    with demo.client() as client:
        call(client, CONFIGURATION, "Open", byte(READ))
    with demo.client() as client:
        eventually(lambda: read(client, f"{CONFIGURATION}.OpenCount") == 0, 60, "an ended session's file is still open")


def test_a_damaged_bundle_is_refused(demo):
    transfer, upload = "Motor1.Models.Stator.ModelTransfer", "Motor1.Models.Stator.ModelTransfer.Upload"
    with demo.client() as client:
        file, handle = call(client, transfer, "GenerateFileForWrite", ua.Variant(None, ua.VariantType.Null))
        assert file == ua.NodeId(upload, 2)
        call(client, upload, "Write", u32(handle), b"no bundle at all\n")
        with pytest.raises(ua.uaerrors.BadDecodingError):
            call(client, transfer, "CloseAndCommit", u32(handle))
        eventually(lambda: read(client, "Motor1.Models.Stator.Candidate.State") == 5, 60, "the candidate has failed")
        assert "bundle" in read(client, "Motor1.Models.Stator.Candidate.StateText")
        assert not (demo.data_dir / "inbox").exists()
