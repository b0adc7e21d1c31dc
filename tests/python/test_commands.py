"""Commands by methods and by plain variables, on the demo: what they do, how they are refused, what a restart keeps."""

from datetime import datetime

import pytest
from asyncua import ua
from gateway import Gateway, eventually, node, read, write

COMMAND = "Motor1.Command"
DONE, REJECTED = 2, 3
FREEZE, ACCEPT, SUSPEND, RESUME, COLLECT, RELEASE, RESET_PARAMETER = 3, 4, 6, 7, 10, 13, 16
KEY = "Voltage=164;Load=50"
SPEED = 40


def call(client, path, *arguments):
    """Calls a method of an instance with arguments of exactly these types; its outputs."""
    parent, _ = path.rsplit(".", 1)
    return node(client, parent).call_method(node(client, path).nodeid, *arguments)


def text(value):
    return ua.Variant(value, ua.VariantType.String)


def number(value):
    return ua.Variant(float(value), ua.VariantType.Double)


def refused(status, action):
    with pytest.raises(ua.UaStatusCodeError) as error:
        action()
    assert error.value.code == status, ua.status_codes.get_name_and_doc(error.value.code)


def request(client, code, text_argument="", numeric=0.0, request_id=0):
    """The handshake of a panel: arguments, then the code; the state when the write has ended."""
    write(client, f"{COMMAND}.TextArgument", text_argument, ua.VariantType.String)
    write(client, f"{COMMAND}.NumericArgument", numeric, ua.VariantType.Double)
    write(client, f"{COMMAND}.RequestId", request_id, ua.VariantType.UInt32)
    write(client, f"{COMMAND}.Request", code, ua.VariantType.UInt16)
    assert read(client, f"{COMMAND}.Request") == 0
    return read(client, f"{COMMAND}.State")


def offered(client, code):
    return bool(read(client, f"{COMMAND}.AllowedRequests") >> code & 1)


@pytest.fixture
def client(learned):
    with learned.client() as client:
        write(client, "Motor1.Buffers.B01.AutoExport", False, ua.VariantType.Boolean)
        yield client


def test_suspending_and_resuming_by_methods(client):
    call(client, "Motor1.Drift.SuspendMonitoring", number(0), text("oil change"))
    eventually(lambda: read(client, "Motor1.Drift.Status") == 5, 60, "Suspended")
    assert read(client, "Motor1.Regimes.ActiveState") == 4
    refused(ua.StatusCodes.BadInvalidState, lambda: call(client, "Motor1.Drift.SuspendMonitoring", number(0), text("")))
    call(client, "Motor1.Drift.ResumeMonitoring")
    eventually(lambda: read(client, "Motor1.Drift.Status") != 5, 60, "resumed")


def test_a_suspension_ends_by_itself(client):
    call(client, "Motor1.Drift.SuspendMonitoring", number(1), text(""))
    eventually(lambda: read(client, "Motor1.Drift.Status") != 5 and offered(client, SUSPEND), 60, "resumed by itself")


def test_the_same_by_variables(client):
    eventually(lambda: offered(client, SUSPEND), 60, "suspending is offered")
    assert request(client, SUSPEND, "cleaning", 0.0, 41) == DONE
    assert read(client, f"{COMMAND}.AckId") == 41
    assert read(client, f"{COMMAND}.LastRequest") == SUSPEND
    assert read(client, f"{COMMAND}.StateText") == "Done"
    assert "suspended" in read(client, f"{COMMAND}.ResultText")
    eventually(lambda: offered(client, RESUME) and not offered(client, SUSPEND), 60, "only resuming is offered")
    refused(ua.StatusCodes.BadInvalidState, lambda: request(client, SUSPEND))
    assert read(client, f"{COMMAND}.State") == REJECTED
    assert "not possible now" in read(client, f"{COMMAND}.ResultText")
    assert request(client, RESUME) == DONE


def test_dangerous_codes_need_their_target(client):
    for code in (ACCEPT, 5, 20):
        refused(ua.StatusCodes.BadOutOfRange, lambda code=code: request(client, code))
        assert read(client, f"{COMMAND}.State") == REJECTED
        assert "TextArgument" in read(client, f"{COMMAND}.ResultText")


@pytest.mark.parametrize("code", [8, 17, 32, 65535])
def test_what_is_no_command_or_not_possible_is_refused(client, code):
    with pytest.raises(ua.UaStatusCodeError):
        request(client, code, KEY)
    assert read(client, f"{COMMAND}.State") == REJECTED
    assert read(client, f"{COMMAND}.Busy") is False


def test_arguments_of_methods_are_checked(client):
    freeze = "Motor1.Regimes.FreezeReference"
    codes = ua.StatusCodes
    refused(codes.BadArgumentsMissing, lambda: call(client, freeze, text("")))
    refused(codes.BadTooManyArguments, lambda: call(client, freeze, text(""), text(""), text("")))
    refused(codes.BadInvalidArgument, lambda: call(client, freeze, text(""), number(1)))
    refused(codes.BadInvalidState, lambda: call(client, freeze, text(""), text("")))
    accept = "Motor1.Regimes.AcceptDriftAsNewReference"
    refused(codes.BadInvalidArgument, lambda: call(client, accept, text("Voltage=1"), text("")))
    for seconds in (-1, float("nan"), float("inf"), 1e300):
        refused(codes.BadInvalidArgument, lambda s=seconds: call(client, "Motor1.Drift.SuspendMonitoring", number(s), text("")))


def test_the_type_names_the_method_as_well(client):
    regimes = node(client, "Motor1.Regimes")
    kind = client.get_node(regimes.read_type_definition())
    freeze = next(n for n in kind.get_methods() if n.read_browse_name().Name == "FreezeReference")
    refused(ua.StatusCodes.BadInvalidState, lambda: regimes.call_method(freeze.nodeid, text(""), text("")))


def test_without_a_candidate_there_is_nothing_to_confirm(client):
    model = "Motor1.Models.Stator"
    refused(ua.StatusCodes.BadInvalidState, lambda: call(client, f"{model}.ConfirmModel", text("")))
    refused(ua.StatusCodes.BadInvalidState, lambda: call(client, f"{model}.RollbackModel", text("")))
    assert not any(offered(client, code) for code in (20, 21, 22))


def test_a_buffer_is_collected_acknowledged_and_released(client):
    buffer = "Motor1.Buffers.B04"
    eventually(lambda: read(client, "Motor1.Regimes.ActiveKey") == KEY, 60, "the known regime")

    def collect(rows):
        dataset = call(client, f"{buffer}.StartCollecting", text(KEY), ua.Variant(rows, ua.VariantType.UInt32), text("for a look"))
        eventually(lambda: read(client, f"{buffer}.DatasetId") == dataset, 60, "the data set's id")
        assert read(client, f"{buffer}.Reason") == 5
        return dataset

    dataset = collect(1_000_000)  # not ready for hours
    refused(ua.StatusCodes.BadInvalidState, lambda: call(client, f"{buffer}.AcknowledgeBuffer", text(dataset), text("")))
    call(client, f"{buffer}.ReleaseBuffer", text(dataset), text("asked for by mistake"))
    eventually(lambda: read(client, f"{buffer}.State") == 0, 60, "Idle")
    dataset = collect(30)
    eventually(lambda: read(client, f"{buffer}.State") == 2, 60, "Ready")
    assert read(client, f"{buffer}.Rows") == 30
    refused(ua.StatusCodes.BadInvalidArgument, lambda: call(client, f"{buffer}.AcknowledgeBuffer", text("other"), text("")))
    call(client, f"{buffer}.AcknowledgeBuffer", text(dataset), text(""))
    eventually(lambda: read(client, f"{buffer}.State") == 5, 60, "Acknowledged")
    assert read(client, f"{buffer}.AcknowledgedBy") == "anonymous"
    assert request(client, RELEASE, dataset) == DONE
    eventually(lambda: read(client, f"{buffer}.State") == 0, 60, "Idle")


def test_a_label_is_counted(client):
    before = read(client, "Motor1.Label.Labelled")
    prediction = read(client, "Motor1.Models.Stator.Inference.PredictionId")
    never = ua.Variant(datetime(1601, 1, 1), ua.VariantType.DateTime)
    class_one = ua.Variant(1, ua.VariantType.UInt16)
    call(client, "Motor1.SubmitLabel", text(prediction), never, never, class_one, number(0), text("short"))
    eventually(lambda: read(client, "Motor1.Label.Labelled") == before + 1, 60, "one more label")


def test_labels_come_as_a_file(client, learned):
    before = read(client, "Motor1.Label.Labelled")
    row = int(read(client, "Motor1.Models.Stator.Inference.PredictionId").rsplit("-", 1)[1])
    inbox = learned.data_dir / "inbox"
    inbox.mkdir(exist_ok=True)
    lines = ["prediction;class;comment", f"Motor1-{row - 1};1;from the test bench", f"Motor1-{row};0;", f"Motor1-{row + 10**9};1;not yet"]
    part = inbox / "Motor1-laboratory.part"
    part.write_text("\n".join(lines) + "\n")
    part.rename(inbox / "Motor1-laboratory.csv")
    eventually(lambda: read(client, "Motor1.Label.Labelled") == before + 2, 60, "two more labels")
    refused_lines = inbox / "Motor1-laboratory.csv.refused"
    eventually(refused_lines.exists, 60, "the line that was refused")
    assert refused_lines.read_text().splitlines()[1].startswith(f"Motor1-{row + 10**9},1,not yet,no prediction has the id")
    assert not (inbox / "Motor1-laboratory.csv").exists()


def test_a_parameter_goes_back_to_the_file(client):
    hop = "Motor1.Drift.DataDrift.Hop"
    default = read(client, f"{hop}.DefaultValue")
    write(client, hop, default + 1, ua.VariantType.UInt32)
    call(client, "Gateway.Configuration.ResetParameter", text(hop), text("tried"))
    eventually(lambda: read(client, hop) == default, 60, "the file's value")
    write(client, hop, default + 2, ua.VariantType.UInt32)
    assert request(client, RESET_PARAMETER, hop) == DONE
    eventually(lambda: read(client, f"{hop}.EffectiveValue") == default, 60, "the file's value")
    refused(ua.StatusCodes.BadNodeIdUnknown, lambda: call(client, "Gateway.Configuration.ResetParameter", text("Motor1.Nothing"), text("")))


def test_accepted_drift_is_normal_after_a_restart_too(data_dir):
    with Gateway(data_dir, speed=SPEED) as gateway:
        gateway.wait_for_event("reference", 90)
        gateway.wait_for_status("OK", 60)
        gateway.wait_for_status("Drift", 150)
        with gateway.client() as client:
            eventually(lambda: offered(client, ACCEPT), 60, "accepting is offered")
            old = read(client, "Motor1.Regimes.R01.ReferenceId")
            new = call(client, "Motor1.Regimes.AcceptDriftAsNewReference", text(KEY), text("new bearing"))
            assert new == f"{old}.1"
            # By this reference nothing has drifted, until the story goes on: more wear, a standstill, the repair.
            changed = gateway.wait_for_event("reference_changed", 60)
            assert (changed["old"], changed["new"]) == (old, new)
            eventually(lambda: read(client, "Motor1.Regimes.R01.ReferenceId") == new, 60, "the new reference")
        gateway.kill()
    with Gateway(data_dir, speed=SPEED) as gateway, gateway.client() as client:
        eventually(lambda: read(client, "Motor1.Regimes.R01.InUse"), 60, "the first values")
        assert read(client, "Motor1.Regimes.R01.ReferenceId") == new
        assert read(client, f"{COMMAND}.State") == 0 and read(client, f"{COMMAND}.Request") == 0
        assert call(client, "Motor1.Regimes.RestoreReference", text(KEY), text("")) == f"{old}.2"
