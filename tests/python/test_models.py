"""The life of a model: brought, refused, activated, confirmed, rolled back; and what a crash leaves of it."""

import math
import random
import shutil

import pytest
from asyncua import ua
from gateway import ROOT, Gateway, eventually, node, read, run, write
from test_change_events import subscribed

MODEL = "Motor1.Models.Stator"
TRANSFER, UPLOAD = f"{MODEL}.ModelTransfer", f"{MODEL}.ModelTransfer.Upload"
READY, ACTIVE, AWAITING, FAILED, ROLLED_BACK, EMPTY = 2, 3, 4, 5, 6, 0
ACTIVATE, CONFIRM, ROLLBACK = 20, 21, 22
MODEL_FAILURE, MODEL_AWAITING = 1 << 6, 1 << 9
CONFIG = ROOT / "configs/demo.toml"
SPEED = 40
BLOCK, ROWS = 256, 240


def text(value):
    return ua.Variant(value, ua.VariantType.String)


def u32(value):
    return ua.Variant(value, ua.VariantType.UInt32)


def call(client, path, *arguments):
    parent, _ = path.rsplit(".", 1)
    return node(client, parent).call_method(node(client, path).nodeid, *arguments)


def standard(client, path, method, *arguments):
    return node(client, path).call_method(f"0:{method}", *arguments)


def refused(status, action):
    with pytest.raises(ua.UaStatusCodeError) as error:
        action()
    assert error.value.code == status, ua.status_codes.get_name_and_doc(error.value.code)


def upload(client, content):
    _, handle = standard(client, TRANSFER, "GenerateFileForWrite", ua.Variant(None, ua.VariantType.Null))
    for start in range(0, len(content), 500_000):
        standard(client, UPLOAD, "Write", u32(handle), content[start : start + 500_000])
    standard(client, TRANSFER, "CloseAndCommit", u32(handle))


def slot(client, name):
    return read(client, f"{MODEL}.{name}.State")


def word(client):
    return read(client, "Motor1.Alarms.ActiveWord")


def is_slot(client, name, state):
    eventually(lambda: slot(client, name) == state, 60, f"{name} in state {state}")


def command(client, code, argument=""):
    write(client, "Motor1.Command.TextArgument", argument, ua.VariantType.String)
    write(client, "Motor1.Command.Request", code, ua.VariantType.UInt16)


def predictions_go_on(client):
    before = read(client, f"{MODEL}.Inference.InferenceCount")
    eventually(lambda: read(client, f"{MODEL}.Inference.InferenceCount") > before + 5, 60, "predictions")


def timeout(client, seconds):
    write(client, f"{MODEL}.ConfirmationTimeout", float(seconds), ua.VariantType.Double)


def recorded(path, noise):
    """A recording that fits the demo's motor in its columns and its settings."""
    random.seed(1)
    gauss = random.gauss
    columns = "time,Flux,Vibration,Current1,Current2,Current3,TempWinding,Speed,Voltage,Load"
    with path.open("w") as file:
        file.write(columns + "\n")
        for i in range(BLOCK * ROWS):
            phase = 2 * math.pi * 50 * i / 2560
            flux, vibration = 10 * math.sin(phase) + gauss(0, noise), gauss(0, 1)
            rest = [2 + gauss(0, 0.1), 2 + gauss(0, 0.1), 2 + gauss(0, 0.1), 60 + gauss(0, 1), 1450, 164, 50]
            file.write(",".join(f"{x:.4f}" for x in [i / 2560, flux, vibration, *rest]) + "\n")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Two bundles that fit the demo, and one of a machine with another unit."""
    folder = tmp_path_factory.mktemp("bundles")
    other = folder / "other.toml"
    other.write_text(CONFIG.read_text().replace('unit = "degC"', 'unit = "K"'))
    for name, config, noise in [("first", CONFIG, 0.1), ("second", CONFIG, 0.2), ("foreign", other, 0.1)]:
        recorded(folder / f"{name}.csv", noise)
        made = run("train", "--config", config, "--input", folder / f"{name}.csv", "--out", folder / f"{name}.bundle")
        assert made.returncode == 0, made.stderr
    return {name: (folder / f"{name}.bundle").read_bytes() for name in ["first", "second", "foreign"]}


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The data directory of a demo that has learned. Copy it, don't change it."""
    data_dir = tmp_path_factory.mktemp("learned") / "data"
    with Gateway(data_dir, speed=SPEED) as gateway:
        gateway.wait_for_event("reference", 90)
        gateway.wait_for_status("OK", 60)
        assert gateway.terminate() == 0
    return data_dir


@pytest.fixture
def copy(learned, data_dir):
    shutil.copytree(learned, data_dir)
    return data_dir


def activate(client):
    """Activates the candidate by the method; versions before and after."""
    old, new = read(client, f"{MODEL}.Active.Version"), read(client, f"{MODEL}.Candidate.Version")
    assert old != new
    call(client, f"{MODEL}.ActivateModel", text(new), text(read(client, f"{MODEL}.Candidate.Hash")), text("trial"))
    is_slot(client, "Active", AWAITING)
    assert read(client, f"{MODEL}.Active.Version") == new
    return old, new


def test_brought_activated_and_confirmed(copy, bundles):
    with Gateway(copy, speed=SPEED) as gateway, gateway.client() as client:
        is_slot(client, "Active", ACTIVE)
        assert (slot(client, "Candidate"), slot(client, "Fallback")) == (EMPTY, EMPTY)
        nothing = lambda: call(client, f"{MODEL}.ActivateModel", text("x"), text("y"), text(""))
        refused(ua.StatusCodes.BadInvalidState, nothing)

        # Another contract: refused in words, and nothing else is touched.
        refused(ua.StatusCodes.BadConfigurationError, lambda: upload(client, bundles["foreign"]))
        is_slot(client, "Candidate", FAILED)
        said = read(client, f"{MODEL}.Candidate.StateText")
        assert "TempWinding" in said and "[K]" in said, said
        eventually(lambda: word(client) & MODEL_FAILURE, 60, "the bit of a failed upload")
        assert read(client, "Motor1.Alarms.ModelFailureActive")
        write(client, "Motor1.Alarms.AckWord", MODEL_FAILURE, ua.VariantType.UInt16)
        eventually(lambda: not word(client) & MODEL_FAILURE, 60, "the bit goes when somebody has seen it")
        predictions_go_on(client)

        upload(client, bundles["first"])
        is_slot(client, "Candidate", READY)
        version = read(client, f"{MODEL}.Candidate.Version")
        assert read(client, f"{MODEL}.Candidate.Hash").startswith(version) and len(version) == 12
        assert read(client, f"{MODEL}.Candidate.SizeBytes") == len(bundles["first"])
        assert "Flux_rms" in read(client, f"{MODEL}.Candidate.Inputs").split(",")
        hash_of = read(client, f"{MODEL}.Candidate.Hash")
        wrong = "0" * 64
        refused(ua.StatusCodes.BadInvalidArgument, lambda: call(client, f"{MODEL}.ActivateModel", text(version), text(wrong), text("")))
        refused(ua.StatusCodes.BadInvalidArgument, lambda: call(client, f"{MODEL}.ActivateModel", text("1"), text(hash_of), text("")))
        refused(ua.StatusCodes.BadInvalidState, lambda: call(client, f"{MODEL}.ConfirmModel", text("")))
        assert slot(client, "Active") == ACTIVE

        changes, subscription = subscribed(client, "ModelChangedEventType")
        old, new = activate(client)
        event = changes.until(lambda e: getattr(e, "NewVersion", None) == new)
        assert (event.MachineName, event.OldVersion, event.NewHash) == ("Motor1", old, hash_of)
        assert (event.Reason, event.ClientUserId) == ("activated: trial", "anonymous")
        subscription.delete()
        assert 3500 < read(client, f"{MODEL}.ConfirmationRemaining") <= 3600
        assert read(client, f"{MODEL}.Active.ActivatedBy")
        assert (slot(client, "Fallback"), read(client, f"{MODEL}.Fallback.Version")) == (READY, old)
        eventually(lambda: word(client) & MODEL_AWAITING, 60, "the bit of a confirmation that is due")
        predictions_go_on(client)
        told = gateway.wait_for_event("model_changed", 10)
        assert (told["old"], told["new"], told["hash"], told["reason"]) == (old, new, hash_of, "activated: trial")

        call(client, f"{MODEL}.ConfirmModel", text("fine"))
        is_slot(client, "Active", ACTIVE)
        assert read(client, f"{MODEL}.Active.Version") == new
        eventually(lambda: not word(client) & MODEL_AWAITING, 60, "nothing is due any more")
        assert read(client, f"{MODEL}.ConfirmationRemaining") == 0

        # The old one is still there.
        assert call(client, f"{MODEL}.RollbackModel", text("worse")) == old
        is_slot(client, "Candidate", ROLLED_BACK)
        assert read(client, f"{MODEL}.Candidate.StateText") == "RolledBack: rolled back: worse"
        predictions_go_on(client)


def test_the_same_by_plain_variables_and_back_by_itself(copy, bundles):
    with Gateway(copy, speed=SPEED) as gateway, gateway.client() as client:
        upload(client, bundles["first"])
        is_slot(client, "Candidate", READY)
        eventually(lambda: read(client, "Motor1.Command.AllowedRequests") >> ACTIVATE & 1, 60, "the button")
        old, new = read(client, f"{MODEL}.Active.Version"), read(client, f"{MODEL}.Candidate.Version")
        refused(ua.StatusCodes.BadOutOfRange, lambda: command(client, ACTIVATE))
        refused(ua.StatusCodes.BadOutOfRange, lambda: timeout(client, 0))
        timeout(client, 15)
        command(client, ACTIVATE, new)
        is_slot(client, "Active", AWAITING)
        assert read(client, f"{MODEL}.Active.Version") == new
        predictions_go_on(client)
        is_slot(client, "Candidate", ROLLED_BACK)
        assert read(client, f"{MODEL}.Candidate.StateText") == "RolledBack: not confirmed in time"
        assert (read(client, f"{MODEL}.Active.Version"), slot(client, "Active")) == (old, ACTIVE)
        predictions_go_on(client)

        timeout(client, 600)
        command(client, ACTIVATE, new)
        is_slot(client, "Active", AWAITING)
        eventually(lambda: read(client, "Motor1.Command.AllowedRequests") >> CONFIRM & 3 == 3, 60, "both buttons")
        command(client, ROLLBACK)
        is_slot(client, "Active", ACTIVE)
        assert read(client, f"{MODEL}.Active.Version") == old


def test_a_crash_forgets_neither_the_activation_nor_its_end(copy, bundles):
    with Gateway(copy, speed=SPEED) as gateway:
        with gateway.client() as client:
            # Dropped into the folder this time.
            inbox = copy / "inbox"
            inbox.mkdir()
            (inbox / "Motor1.part").write_bytes(bundles["second"])
            (inbox / "Motor1.part").rename(inbox / "Motor1.bundle")
            is_slot(client, "Candidate", READY)
            eventually(lambda: not list(inbox.iterdir()), 60, "the file is taken")
            old, new = activate(client)
        gateway.kill()
    with Gateway(copy, speed=SPEED) as gateway:
        with gateway.client() as client:
            is_slot(client, "Active", AWAITING)
            assert read(client, f"{MODEL}.Active.Version") == new
            assert (slot(client, "Fallback"), read(client, f"{MODEL}.Fallback.Version")) == (READY, old)
            eventually(lambda: 3000 < read(client, f"{MODEL}.ConfirmationRemaining") < 3600, 60, "it goes on counting")
            predictions_go_on(client)
            call(client, f"{MODEL}.RollbackModel", text(""))
            timeout(client, 1)
            activate(client)
        gateway.kill()
    with Gateway(copy, speed=SPEED) as gateway, gateway.client() as client:
        is_slot(client, "Candidate", ROLLED_BACK)
        assert (read(client, f"{MODEL}.Active.Version"), slot(client, "Active")) == (old, ACTIVE)
        predictions_go_on(client)
