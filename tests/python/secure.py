"""Encrypted sessions of a foreign client."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

URI = "urn:driftgate:tests:client"
Certificate = tuple[Path, Path]


def make_certificate(folder: Path, uri: str = URI) -> Certificate:
    """Certificate and key of a client."""
    key, cert = folder / "key.pem", folder / "certificate.der"
    usage, names = [ExtendedKeyUsageOID.CLIENT_AUTH], {"commonName": "driftgate tests"}
    asyncio.run(setup_self_signed_certificate(key, cert, uri, socket.gethostname(), usage, names))
    return cert, key


def make_certificate_with_host_first(folder: Path, uri: str = URI) -> Certificate:
    """As node-opcua makes it: the host's name stands before the application URI."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "driftgate tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("panel"), x509.UniformResourceIdentifier(uri)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "host-first.der", folder / "host-first.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


async def secure_client(endpoint, certificate, user=None, password=None, policy=SecurityPolicyBasic256Sha256, uri=URI, timeout=60) -> Client:
    """A client that encrypts, not yet connected."""
    client = Client(endpoint, timeout=timeout)
    client.application_uri = uri
    await client.set_security(policy, *map(str, certificate), mode=ua.MessageSecurityMode.SignAndEncrypt)
    if user is not None:
        client.set_user(user)
        client.set_password(password)
    return client


def instance(client: Client, path: str):
    return client.get_node(ua.NodeId(path, 2))


async def status_of_write(client: Client, path: str, value, kind: ua.VariantType) -> int:
    """Status code of writing the value alone."""
    try:
        await instance(client, path).write_attribute(ua.AttributeIds.Value, ua.DataValue(ua.Variant(value, kind)))
    except ua.UaStatusCodeError as error:
        return error.code
    return ua.StatusCodes.Good


async def status_of_read(client: Client, node) -> int:
    try:
        await node.read_value()
    except ua.UaStatusCodeError as error:
        return error.code
    return ua.StatusCodes.Good


async def status_of_subscription(client: Client, node) -> int:
    """Status code of a monitored item on the node's value."""

    class Handler:
        def datachange_notification(self, *_):
            pass

    subscription = await client.create_subscription(500, Handler())
    try:
        await subscription.subscribe_data_change(node)
    except ua.UaStatusCodeError as error:
        return error.code
    finally:
        await subscription.delete()
    return ua.StatusCodes.Good
