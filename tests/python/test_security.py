"""Encrypted endpoints, users and passwords."""

import asyncio

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from secure import instance, make_certificate_with_host_first, secure_client


async def session(endpoint, certificate, policy, user=None, password=None, uri=None):
    """Connects encrypted, reads one value, writes one parameter; who changed it last."""
    further = {} if uri is None else {"uri": uri}
    async with await secure_client(endpoint, certificate, user, password, policy, **further) as client:
        limit = instance(client, "Motor1.Drift.DataDrift.ConsecutiveLimit")
        await limit.write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(3, ua.VariantType.UInt16)))
        return await instance(client, "Motor1.Drift.DataDrift.ConsecutiveLimit.LastChangedBy").read_value()


@pytest.mark.parametrize("policy", [SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss])
def test_a_user_with_the_password_may_tune_and_is_named(demo, certificate, policy):
    assert asyncio.run(session(demo.endpoint, certificate, policy, "engineer", "demo")) == "engineer"


@pytest.mark.parametrize(("user", "password"), [("engineer", "Demo"), ("engineer", ""), ("root", "demo")])
def test_a_wrong_password_is_refused(demo, certificate, user, password):
    with pytest.raises(ua.UaStatusCodeError) as error:
        asyncio.run(session(demo.endpoint, certificate, SecurityPolicyBasic256Sha256, user, password))
    assert error.value.code in (ua.StatusCodes.BadUserAccessDenied, ua.StatusCodes.BadIdentityTokenRejected, ua.StatusCodes.BadIdentityTokenInvalid)


def test_a_certificate_may_name_the_host_before_the_application(demo, tmp_path):
    """As those of node-opcua do, so those of FUXA and Node-RED."""
    certificate = make_certificate_with_host_first(tmp_path)
    assert asyncio.run(session(demo.endpoint, certificate, SecurityPolicyBasic256Sha256, "engineer", "demo")) == "engineer"
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
        asyncio.run(session(demo.endpoint, certificate, SecurityPolicyBasic256Sha256, "engineer", "demo", uri="urn:somebody:else"))


def test_a_certificate_of_another_application_is_refused(demo, certificate):
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
        asyncio.run(session(demo.endpoint, certificate, SecurityPolicyBasic256Sha256, "engineer", "demo", uri="urn:somebody:else"))


def test_no_password_goes_over_an_unencrypted_endpoint(demo):
    async def connect():
        client = Client(demo.endpoint, timeout=60)
        client.set_user("engineer")
        client.set_password("demo")
        async with client:
            pass

    with pytest.raises((ua.UaStatusCodeError, ua.UaError)):
        asyncio.run(connect())


def test_each_endpoint_says_what_it_offers(demo):
    async def endpoints():
        return await Client(demo.endpoint, timeout=60).connect_and_get_server_endpoints()

    found = {
        (e.SecurityPolicyUri.rpartition("#")[2], e.SecurityMode.name): sorted(t.TokenType.name for t in e.UserIdentityTokens)
        for e in asyncio.run(endpoints())
    }
    assert found == {
        ("None", "None_"): ["Anonymous"],
        ("Basic256Sha256", "SignAndEncrypt"): ["Anonymous", "UserName"],
        ("Aes128_Sha256_RsaOaep", "SignAndEncrypt"): ["Anonymous", "UserName"],
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt"): ["Anonymous", "UserName"],
    }
