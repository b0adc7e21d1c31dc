"""What each role may and may not, as a client of another make finds it on encrypted endpoints."""

import asyncio

import pytest
from asyncua import ua
from gateway import eventually
from secure import instance, secure_client, status_of_read, status_of_subscription, status_of_write

DENIED = ua.StatusCodes.BadUserAccessDenied
GOOD = ua.StatusCodes.Good
THRESHOLD = "Motor1.Drift.DataDrift.T2.Threshold"


def as_user(demo, certificate, user, work):
    """Runs `work` with a session of the demo's user."""

    async def session():
        async with await secure_client(demo.endpoint, certificate, user, "demo" if user else None) as client:
            return await work(client)

    return asyncio.run(session())


async def look(client):
    """Status codes of reading, subscribing and writing one threshold."""
    node = instance(client, THRESHOLD)
    return (
        await status_of_read(client, node),
        await status_of_subscription(client, node),
        await status_of_write(client, THRESHOLD, 0.5, ua.VariantType.Double),
    )


@pytest.mark.parametrize(("user", "write"), [("operator", DENIED), ("engineer", GOOD), ("admin", GOOD)])
def test_thresholds_belong_to_engineers(demo, certificate, user, write):
    assert as_user(demo, certificate, user, look) == (GOOD, GOOD, write)


def test_without_a_user_there_is_the_server_object_only(demo, certificate):
    async def look_around(client):
        seen = {n.nodeid.NamespaceIndex for n in await client.nodes.objects.get_children()}
        server = await status_of_read(client, client.get_node(ua.ObjectIds.Server_ServerStatus_State))
        with pytest.raises(ua.UaStatusCodeError):
            await client.nodes.objects.get_child(["2:Gateway"])
        return seen, server, await look(client)

    assert as_user(demo, certificate, None, look_around) == ({0}, GOOD, (DENIED, DENIED, DENIED))


def test_user_access_level_says_what_the_role_may(demo, certificate):
    async def level(client):
        return (await instance(client, THRESHOLD).read_attribute(ua.AttributeIds.UserAccessLevel)).Value.Value

    assert as_user(demo, certificate, "operator", level) & 2 == 0
    assert as_user(demo, certificate, "engineer", level) & 2 == 2


def test_logins_and_refusals_are_events(demo, certificate):
    begun = len(demo.lines)
    as_user(demo, certificate, "operator", look)

    def event(name):
        return [line for line in demo.lines[begun:] if line.get("event") == name and line.get("user") == "operator"]

    eventually(lambda: event("session") and event("refused"), 60, "the events")
    assert event("session")[0]["roles"] == "Operator" and event("session")[0]["address"] == "127.0.0.1"
    refused = event("refused")[0]
    assert (refused["action"], refused["target"], refused["address"]) == ("write", THRESHOLD, "127.0.0.1")
    assert "Engineer" in refused["reason"]
