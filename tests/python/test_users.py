"""Users and certificates of a running gateway, by the command line."""

import asyncio
import json
import os
import socket
import stat
from contextlib import suppress

import pytest
from asyncua import ua
from gateway import Server, eventually, run
from secure import instance, secure_client, status_of_read

PASSWORD = "a long password"


def add(data_dir, name, role, password=PASSWORD):
    return run("user", "add", name, "--role", role, "--password-stdin", "--data-dir", data_dir, text=password + "\n")


def users(data_dir):
    result = run("user", "list", "--json", "--data-dir", data_dir)
    assert result.returncode == 0, result
    return {user["name"]: user["roles"] for user in json.loads(result.stdout)["users"]}


def certificates(data_dir):
    return json.loads(run("cert", "list", "--json", "--data-dir", data_dir).stdout)["certificates"]


def test_users_by_the_command_line(data_dir):
    assert users(data_dir) == {}
    assert add(data_dir, "anna", "operator").returncode == 0
    assert run("user", "add", "ben", "--role", "Engineer,Observer", "--data-dir", data_dir, env={"DRIFTGATE_PASSWORD": PASSWORD}).returncode == 0
    assert users(data_dir) == {"anna": ["Operator"], "ben": ["Observer", "Engineer"]}
    file = data_dir / "users.toml"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert PASSWORD not in file.read_text() and "$argon2id$" in file.read_text()
    before = file.read_text()
    assert run("user", "passwd", "anna", "--password-stdin", "--data-dir", data_dir, text="another password\n").returncode == 0
    assert file.read_text() != before
    assert run("user", "remove", "anna", "--data-dir", data_dir).returncode == 0
    assert users(data_dir) == {"ben": ["Observer", "Engineer"]}


@pytest.mark.parametrize(
    ("arguments", "text", "code", "said"),
    [
        (["add", "anna", "--role", "Operator", "--password-stdin"], "short\n", 2, "too short"),
        (["add", "anna", "--role", "Operator"], "", 2, "--password-stdin"),
        (["add", "anna", "--role", "Root", "--password-stdin"], PASSWORD, 2, "Observer"),
        (["add", "anna", "--password-stdin"], PASSWORD, 2, "--role"),
        (["add", "anonymous", "--role", "Operator", "--password-stdin"], PASSWORD, 2, "`anonymous`"),
        (["remove", "anna"], "", 1, "`anna`"),
        (["passwd", "anna", "--password-stdin"], PASSWORD, 1, "`anna`"),
    ],
)
def test_wrong_users_are_refused(data_dir, arguments, text, code, said):
    result = run("user", *arguments, "--data-dir", data_dir, text=text)
    assert (result.returncode, result.stdout) == (code, "") and said in result.stderr, result


def test_a_damaged_list_is_not_taken(data_dir):
    data_dir.mkdir()
    (data_dir / "users.toml").write_text("users = 3")
    result = add(data_dir, "anna", "Operator")
    assert result.returncode == 1 and "damaged" in result.stderr
    assert run("cert", "trust", "00000000", "--data-dir", data_dir).returncode == 1
    assert run("cert", "trust", "xyz", "--data-dir", data_dir).returncode == 2


def test_the_first_start(data_dir, certificate):
    """From nothing to a user's session, without a restart."""

    async def heartbeat(user=None, password=None):
        async with await secure_client(server.endpoint, certificate, user, password) as client:
            return await status_of_read(client, instance(client, "Gateway.Heartbeat"))

    def refused(user, password):
        with pytest.raises(ua.UaStatusCodeError) as error:
            asyncio.run(heartbeat(user, password))
        return error.value.code

    def listens_on(address):
        with socket.socket() as client:
            return client.connect_ex((address, server.port)) == 0

    with Server(data_dir) as server:
        assert "no users" in server.log() and "this computer only" in server.log()
        assert listens_on("127.0.0.1") and not listens_on("127.0.0.2")

        # The client's certificate waits until it is trusted.
        assert refused(None, None) in (ua.StatusCodes.BadCertificateUntrusted, ua.StatusCodes.BadSecurityChecksFailed)
        (waiting,) = certificates(data_dir)
        assert (waiting["trusted"], waiting["of"], waiting["application_uri"]) == (False, "client", "urn:driftgate:tests:client")
        assert run("cert", "trust", waiting["thumbprint"][:12], "--data-dir", data_dir).returncode == 0
        assert [c["trusted"] for c in certificates(data_dir)] == [True]
        assert asyncio.run(heartbeat()) == ua.StatusCodes.BadUserAccessDenied

        # A user comes, and the gateway opens.
        assert add(data_dir, "anna", "Observer").returncode == 0
        assert asyncio.run(heartbeat("anna", PASSWORD)) == ua.StatusCodes.Good
        assert refused("anna", "wrong password") == ua.StatusCodes.BadUserAccessDenied
        eventually(lambda: listens_on("127.0.0.2"), 60, "listening on all addresses")

        # Removed: the open connection is ended, a new one does not come about.
        async def removed():
            async with await secure_client(server.endpoint, certificate, "anna", PASSWORD) as client:
                node = instance(client, "Gateway.Heartbeat")
                assert await status_of_read(client, node) == ua.StatusCodes.Good
                assert run("user", "remove", "anna", "--data-dir", data_dir).returncode == 0
                for _ in range(100):
                    if await status_of_read(client, node) == ua.StatusCodes.BadUserAccessDenied:
                        return
                    await asyncio.sleep(0.1)
                raise AssertionError("the rights stayed")

        with suppress(ConnectionError, ua.UaError, asyncio.TimeoutError):
            asyncio.run(removed())
        with pytest.raises((ua.UaError, ua.UaStatusCodeError)):
            asyncio.run(heartbeat("anna", PASSWORD))

        # And trust is taken back.
        assert run("cert", "reject", waiting["thumbprint"], "--data-dir", data_dir).returncode == 0
        with pytest.raises(ua.UaStatusCodeError):
            asyncio.run(heartbeat())
