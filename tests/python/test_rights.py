"""Who may give which command: every role, by methods and by plain variables, on a gateway with a user of each.

Nothing has been learned, so most of what is allowed is refused for its state: all that counts is whether the right is asked for."""

import asyncio
from contextlib import contextmanager
from datetime import datetime

import pytest
from asyncua import ua
from gateway import Server, run
from secure import instance, secure_client, status_of_write
from test_users import PASSWORD, add, certificates

DENIED = ua.StatusCodes.BadUserAccessDenied
VT = ua.VariantType
ROLES = ["Observer", "Operator", "Engineer", "Supervisor", "ConfigureAdmin", "SecurityAdmin"]
# Of the table in docs/security.md: a column's roles.
BY_VARIABLES = {"Operator", "Engineer", "ConfigureAdmin"}
OPERATE = {"Operator", "Engineer", "Supervisor", "ConfigureAdmin"}
ENGINEER = {"Engineer", "ConfigureAdmin"}
CONFIGURE = {"ConfigureAdmin"}
PARAMETER = "Motor1.Drift.DataDrift.Hop"
TIMEOUT = "Motor1.Models.Stator.ConfirmationTimeout"


def text(value=""):
    return ua.Variant(value, VT.String)


def number(value=0.0):
    return ua.Variant(value, VT.Double)


NEVER = ua.Variant(datetime(1601, 1, 1), VT.DateTime)
# Method, its arguments, its roles; then the code and TextArgument that do the same by variables.
COMMANDS = [
    ("Motor1.Regimes.StartReferenceLearning", [text(), ua.Variant(0, VT.UInt32), number(), text()], ENGINEER, 2, ""),
    ("Motor1.Regimes.FreezeReference", [text(), text()], ENGINEER, 3, ""),
    ("Motor1.Regimes.AcceptDriftAsNewReference", [text("x"), text()], ENGINEER, 4, "x"),
    ("Motor1.Regimes.DiscardReference", [text("x"), text()], ENGINEER, 5, "x"),
    ("Motor1.Regimes.RestoreReference", [text("x"), text()], ENGINEER, 8, "x"),
    ("Motor1.Drift.SuspendMonitoring", [number(1.0), text()], OPERATE, 6, ""),
    ("Motor1.Drift.ResumeMonitoring", [], OPERATE, 7, ""),
    ("Motor1.Drift.Rebaseline", [text()], ENGINEER, 31, ""),
    ("Motor1.Drift.RestoreBaseline", [text()], ENGINEER, 9, ""),
    ("Motor1.Drift.DataDrift.ResetMonitor", [text()], ENGINEER, 15, "DataDrift"),
    ("Motor1.Models.Stator.PredictionDrift.ResetMonitor", [text()], ENGINEER, 15, "Stator.PredictionDrift"),
    ("Motor1.Buffers.B01.StartCollecting", [text(), ua.Variant(10, VT.UInt32), text()], ENGINEER, 10, ""),
    ("Motor1.Buffers.B01.ExportBuffer", [text(), NEVER, NEVER], ENGINEER, 11, ""),
    ("Motor1.Buffers.B01.AcknowledgeBuffer", [text(), text()], OPERATE, 12, ""),
    ("Motor1.Buffers.B01.ReleaseBuffer", [text(), text()], ENGINEER, 13, ""),
    ("Motor1.SubmitLabel", [text("x"), NEVER, NEVER, ua.Variant(1, VT.UInt16), number(), text()], OPERATE, 14, ""),
    ("Motor1.Models.Stator.ActivateModel", [text("x"), text("y"), text()], CONFIGURE, 20, "x"),
    ("Motor1.Models.Stator.ConfirmModel", [text()], ENGINEER, 21, "Stator"),
    ("Motor1.Models.Stator.RollbackModel", [text()], ENGINEER, 22, "Stator"),
    ("Gateway.Configuration.ReloadConfig", [ua.Variant(True, VT.Boolean)], CONFIGURE, 30, ""),
    ("Gateway.Configuration.ResetParameter", [text(PARAMETER), text()], ENGINEER, 16, PARAMETER),
    ("Gateway.Configuration.ResetParameter", [text(TIMEOUT), text()], CONFIGURE, 16, TIMEOUT),
]
CONFIG = """[server]
port = 0
[[sources]]
name = "PLC1"
protocol = "modbus"
endpoint = "tcp://127.0.0.1:1"
[[machines]]
name = "Motor1"
period = "1s"
learn_rows = 200
[[machines.signals]]
name = "Temperature"
address = "holding:1"
register_type = "f32"
[machines.data_drift]
tests = ["kolmogorov_smirnov"]
[[machines.models]]
name = "Stator"
kind = "isolation_forest"
inputs = ["Temperature"]
[machines.models.prediction_drift]
tests = ["kolmogorov_smirnov"]
"""


@contextmanager
def server_with_roles(data_dir, certificate, text=CONFIG):
    """A gateway with a user of each role, named as the role in small letters, that trusts the tests' certificate."""
    with Server(data_dir, text=text) as server:
        for role in ROLES:
            assert add(data_dir, role.lower(), role).returncode == 0
        with pytest.raises(ua.UaStatusCodeError):
            as_role(server, certificate, "Observer", lambda client: asyncio.sleep(0))
        assert run("cert", "trust", certificates(data_dir)[0]["thumbprint"][:12], "--data-dir", data_dir).returncode == 0
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory, certificate):
    with server_with_roles(tmp_path_factory.mktemp("rights") / "data", certificate) as server:
        yield server


def as_role(server, certificate, role, work):
    """Runs `work` with a session of the role's user."""

    async def session():
        async with await secure_client(server.endpoint, certificate, role.lower(), PASSWORD) as client:
            return await work(client)

    return asyncio.run(session())


async def status_of_call(client, path, arguments):
    parent, _ = path.rsplit(".", 1)
    try:
        await instance(client, parent).call_method(instance(client, path).nodeid, *arguments)
    except ua.UaStatusCodeError as error:
        return error.code
    return ua.StatusCodes.Good


async def status_of_request(client, target, code, argument):
    """The handshake: argument, then code."""
    status = await status_of_write(client, f"{target}.Command.TextArgument", argument, VT.String)
    asked = await status_of_write(client, f"{target}.Command.Request", code, VT.UInt16)
    assert status in (asked, ua.StatusCodes.Good)
    return asked


@pytest.mark.parametrize("role", ROLES)
def test_methods_ask_for_the_documented_right(server, certificate, role):
    async def all_of_them(client):
        return [(path, await status_of_call(client, path, arguments)) for path, arguments, *_ in COMMANDS]

    statuses = as_role(server, certificate, role, all_of_them)
    for (path, status), (_, _, roles, *_) in zip(statuses, COMMANDS):
        assert (status != DENIED) == (role in roles), f"{role} {path}: {status:#x}"


@pytest.mark.parametrize("role", ROLES)
def test_requests_ask_for_the_same_right(server, certificate, role):
    async def all_of_them(client):
        found = []
        for path, _, _, code, argument in COMMANDS:
            target = "Gateway" if code == 30 else "Motor1"
            status = await status_of_request(client, target, code, argument)
            said = await instance(client, f"{target}.Command.ResultText").read_value()
            state = await instance(client, f"{target}.Command.State").read_value()
            found.append((path, code, status, state, said))
        return found

    for (path, code, status, state, said), (_, _, roles, *_) in zip(as_role(server, certificate, role, all_of_them), COMMANDS):
        may = role in roles & BY_VARIABLES
        assert (status != DENIED) == may, f"{role} {code} {path}: {status:#x}"
        if role in BY_VARIABLES and not may:
            assert state == 3 and "no right" in said, (role, path, said)
