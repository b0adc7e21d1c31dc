"""Certificates of PLCs that something is wrong with: what the gateway says, and that it goes on when a person trusts them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway import Server, run
from rig import Observer, Sim

REJECTED, CONNECTED = 6, 2
RECOVERY = 5.0
NAMES = {"expired": "expired", "notyet": "not yet valid", "uri": "wrong URI", "host": "wrong host"}
# What must be said, in the words of the text, after it was trusted by hand.
SAID = {"expired": "expired", "notyet": "not valid before", "uri": "application URI", "host": ""}


@dataclass
class CertificateFault:
    family: str
    fault: str
    state: str
    recovered: float | None
    text: str
    faults: list[str] = field(default_factory=list)


def configuration(sims: dict[str, Sim]) -> str:
    lines = ["[server]\nport = 0"]
    for name, sim in sims.items():
        lines.append(f'[[sources]]\nname = "{name}"\nprotocol = "opcua"\nendpoint = "{sim.endpoint}"\nnamespace = "urn:BeckhoffAutomation:Ua:PLC1"')
    lines.append('[[machines]]\nname = "M"\nperiod = "200ms"\nmax_age = "2s"\n[machines.data_drift]\ntests = ["psi"]')
    for name in sims:
        lines.append(f'[[machines.signals]]\nname = "Level_{name}"\nsource = "{name}"\naddress = "MAIN.fbMotor.rLevel"')
    return "\n".join(lines) + "\n"


async def run_certificates(folder: Path, say: Callable[[str], None]) -> list[CertificateFault]:
    sims = {}
    try:
        for name in NAMES:
            arguments = ("--security", "secure", "--cert-fault", name)
            sims[name] = await asyncio.to_thread(Sim, "sim_beckhoff.py", folder / name, *arguments)
        server = await asyncio.to_thread(Server, folder / "data", "", configuration(sims))
        try:
            return await _watch(server, folder, say)
        finally:
            await asyncio.to_thread(server.__exit__)
    finally:
        for sim in sims.values():
            sim.end()


async def _watch(server: Server, folder: Path, say: Callable[[str], None]) -> list[CertificateFault]:
    observer = Observer()
    await observer.connect(server, folder)
    node = "Gateway.Sources.{}.{}".format
    await observer.subscribe([node(name, x) for name in NAMES for x in ("State", "StateText")] + [f"M.Signals.Level_{name}" for name in NAMES])

    def state(name: str):
        shown = observer.last(node(name, "State"))
        return None if shown is None else shown.value

    await observer.until(lambda: all(state(name) == REJECTED for name in NAMES), 60)
    found = []
    for name, words in NAMES.items():
        before = state(name)
        text = _told(observer.last(node(name, "StateText")).value, server.data_dir)
        found.append(CertificateFault("certificates", f"{words}, not trusted", "CertificateRejected" if before == REJECTED else str(before), None, text))
        if before != REJECTED or "cert trust" not in text:
            found[-1].faults.append("the next step is not told")
    listed = json.loads((await asyncio.to_thread(run, "cert", "list", "--json", "--data-dir", server.data_dir)).stdout)["certificates"]
    for certificate in listed:
        if certificate["of"] != "client":
            await asyncio.to_thread(run, "cert", "trust", certificate["thumbprint"], "--data-dir", server.data_dir)
    trusted = time.monotonic()
    for name, words in NAMES.items():
        level = f"M.Signals.Level_{name}"
        # A good value, and the text of the connected state.
        good = await observer.until(lambda n=name, lv=level: state(n) == CONNECTED and observer.last(lv).good, 60)
        took = max(observer.last(node(name, "State")).at - trusted, 0.0) if good else None
        text = _told(observer.last(node(name, "StateText")).value, server.data_dir)
        one = CertificateFault("certificates", f"{words}, trusted by hand", "Connected" if good else str(state(name)), took, text)
        if took is None or took > RECOVERY:
            one.faults.append(f"not connected within {RECOVERY:.0f} s of the trust")
        if SAID[name] not in text:
            one.faults.append(f"`{SAID[name]}` is not said")
        found.append(one)
    for one in found:
        say(f"certificates {one.fault}: {one.state}, {one.text} {one.faults or ''}")
    await observer.client.disconnect()
    return found


def _told(text: str, data_dir: Path) -> str:
    """Without what is different in each run."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{32}\b", r"\1...", text.replace(str(data_dir), "DATA"))
