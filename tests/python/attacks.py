"""Clients that mean no good, and one that does, for `test_robust.py` and `benches/attack.py`."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import random
import struct
import time
from contextlib import contextmanager, suppress
from typing import Iterator
from urllib.parse import urlparse

from asyncua import Client, ua
from secure import Certificate, instance, secure_client

# All that a client can meet while it is being refused.
REFUSED = (ua.UaError, ua.UaStatusCodeError, OSError, asyncio.TimeoutError, asyncio.CancelledError)


def address(endpoint: str) -> tuple[str, int]:
    url = urlparse(endpoint)
    return url.hostname or "127.0.0.1", url.port or 4840


def hello(endpoint: str) -> bytes:
    url = endpoint.encode()
    return b"HELF" + struct.pack("<IIIIIII", 32 + len(url), 0, 65535, 65535, 0, 0, len(url)) + url


async def idle_connections(endpoint: str, count: int, seconds: float) -> int:
    """Connects and says nothing; how many are still open after the time."""
    open_ones = []
    for _ in range(count):
        with suppress(OSError):
            open_ones.append(await asyncio.open_connection(*address(endpoint)))
    await asyncio.sleep(seconds)
    alive = 0
    for reader, writer in open_ones:
        try:
            await asyncio.wait_for(reader.read(1), 0.001)
        except asyncio.TimeoutError:
            alive += 1
        except OSError:
            pass
        writer.close()
    return alive


async def malformed_messages(endpoint: str, count: int, seed: int = 1) -> int:
    """Sends what is no OPC UA, too large, cut short or out of order; how many connections the server ended by itself."""
    rng = random.Random(seed)
    ended = 0
    for k in range(count):
        junk = rng.randbytes(rng.randrange(8, 2000))
        sent = [
            junk,
            b"HELF" + struct.pack("<I", 0xFFFF_FFF0) + junk,
            b"OPNF" + struct.pack("<I", 8 + len(junk)) + junk,
            hello(endpoint) + b"MSGF" + struct.pack("<I", 0x7FFF_FFFF) + junk,
            hello(endpoint) + b"OPNF" + struct.pack("<I", 8 + len(junk)) + junk,
            b"HELF" + struct.pack("<I", 8 + len(junk)) + junk,
        ][k % 6]
        try:
            reader, writer = await asyncio.open_connection(*address(endpoint))
            writer.write(sent)
            await asyncio.wait_for(reader.read(-1), 15)
            ended += 1
            writer.close()
        except (ConnectionError, OSError):
            ended += 1
        except asyncio.TimeoutError:
            pass
    return ended


async def is_admitted(endpoint: str) -> bool:
    """Whether a HEL is answered. asyncua itself waits for its timeout where the connection is closed."""
    try:
        reader, writer = await asyncio.open_connection(*address(endpoint))
        writer.write(hello(endpoint))
        answer = await asyncio.wait_for(reader.read(4), 10)
        writer.close()
    except (OSError, asyncio.TimeoutError):
        return False
    return answer == b"ACKF"


async def unactivated_sessions(endpoint: str, channels: int, each: int) -> int:
    """CreateSession without ActivateSession; how many were taken."""
    taken = 0
    for _ in range(channels):
        if not await is_admitted(endpoint):
            continue
        client = Client(endpoint, timeout=5)
        with suppress(*REFUSED):
            await client.connect_socket()
            await client.send_hello()
            await client.open_secure_channel()
            for _ in range(each):
                await client.create_session()
                taken += 1
        with suppress(*REFUSED):
            client.disconnect_socket()
    return taken


async def failed_logins(endpoint: str, certificate: Certificate, count: int) -> dict[str, int]:
    """Wrong passwords; how many were answered, and how many found the connection refused."""
    answered = refused = 0
    client = None
    while answered + refused < count:
        if not await is_admitted(endpoint):
            refused += 1
            continue
        try:
            # It asks for the endpoints first, on a connection of its own.
            client = await secure_client(endpoint, certificate, "admin", "wrong password", timeout=5)
            await client.connect_socket()
            await client.send_hello()
            await client.open_secure_channel()
            await client.create_session()
            while answered + refused < count:
                try:
                    await client.activate_session(username="admin", password="wrong password", certificate=client.user_certificate)
                    raise AssertionError("a wrong password was taken")
                except ua.UaStatusCodeError:
                    answered += 1
        except REFUSED:
            refused += 1
        finally:
            if client is not None:
                with suppress(*REFUSED):
                    client.disconnect_socket()
    return {"answered": answered, "refused": refused}


async def stalled_subscriber(endpoint: str, seconds: float, requests: int = 200) -> None:
    """Subscribes, asks for much, and reads nothing."""

    class Handler:
        def datachange_notification(self, *_):
            pass

    client = Client(endpoint, timeout=4)
    with suppress(*REFUSED):
        await client.connect()
        subscription = await client.create_subscription(50, Handler())
        heartbeat = instance(client, "Gateway.Heartbeat")
        await subscription.subscribe_data_change([heartbeat] * 500)
        transport = client.uaclient.protocol.transport
        transport.pause_reading()
        asked = [asyncio.create_task(client.read_values([heartbeat] * 5000)) for _ in range(requests)]
        await asyncio.sleep(seconds)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        transport.abort()


class GoodClient:
    """Reads one value twenty times a second on the unencrypted endpoint, in a process of its own, and notes how long each took."""

    def __init__(self, endpoint: str) -> None:
        self._stop = multiprocessing.Event()
        self._ready = multiprocessing.Event()
        self._receive, send = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.Process(target=self._run, args=(endpoint, self._stop, self._ready, send), daemon=True)
        self._process.start()
        assert self._ready.wait(30), "the good client does not get in"

    @staticmethod
    def _run(endpoint, stop, ready, send) -> None:
        logging.disable(logging.CRITICAL)

        async def work():
            took = []
            async with Client(endpoint, timeout=60) as client:
                heartbeat = instance(client, "Gateway.Heartbeat")
                ready.set()
                while not stop.is_set():
                    begun = time.monotonic()
                    await heartbeat.read_value()
                    took.append((begun, time.monotonic() - begun))
                    await asyncio.sleep(max(0.0, begun + 0.05 - time.monotonic()))
            send.send(took)

        asyncio.run(work())

    def finish(self) -> list[tuple[float, float]]:
        """Begin and duration of each read, in seconds."""
        self._stop.set()
        assert self._receive.poll(90), "the good client was lost"
        took = self._receive.recv()
        self._process.join(10)
        return took


@contextmanager
def phase(phases: list[tuple[str, float, float]], name: str) -> Iterator[None]:
    """Notes when something happened."""
    begun = time.monotonic()
    yield
    phases.append((name, begun, time.monotonic()))
