"""A gateway for each kind of PLC, and its faults one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults import MODBUS, OPCUA, Fault
from gateway import Server
from measure import Limits, Measurement, measure, settle
from rig import MAX_AGE, STUCK, Observer, Sim

SIGNALS = ["Counter", "Level", "Still", "Wave", "StillWave"]
SHOWN = [f"M.Signals.{name}" for name in SIGNALS] + ["M.Settings.Recipe", *(f"Gateway.Sources.Plc.{x}" for x in ("State", "StateText"))]


@dataclass(frozen=True)
class Family:
    name: str
    script: str
    arguments: tuple[str, ...]
    source: str
    # Of the signals in order, then of the setting.
    addresses: tuple[str, ...]
    faults: list[Fault]


def _db(name: str) -> str:
    return f'"DB_Machine"."{name}"'


FAMILIES = [
    Family(
        "siemens", "sim_siemens.py", ("--security", "none"),
        'protocol = "opcua"\nendpoint = "{endpoint}"\nnamespace = "http://www.siemens.com/simatic-s7-opcua"\nsilence = "3s"',
        (_db("diCounter"), _db("rLevel"), _db("rStill"), _db("aWave"), _db("aStill"), '"DB_Settings"."iRecipe"'),
        OPCUA,
    ),
    Family(
        "beckhoff", "sim_beckhoff.py", ("--security", "none"),
        'protocol = "opcua"\nendpoint = "{endpoint}"\nnamespace = "urn:BeckhoffAutomation:Ua:PLC1"\nsilence = "3s"',
        (*(f"MAIN.fbMotor.{x}" for x in ("diCounter", "rLevel", "rStill", "aWave", "aStill")), "GVL_Settings.iRecipe"),
        OPCUA,
    ),
    Family(
        "modbus", "sim_modbus.py", (),
        'protocol = "modbus"\nendpoint = "tcp://{endpoint}"\npoll_interval = "50ms"\ntimeout = "500ms"',
        tuple(f"holding:{x}" for x in (0, 2, 4, 6, 22, 54)),
        MODBUS,
    ),
]  # fmt: skip


def configuration(family: Family, endpoint: str) -> str:
    kinds = ["i32", "f32", "f32", "f32", "f32"] if family.name == "modbus" else [""] * 5
    lines = ["[server]\nport = 0\n[store]\nframe_rows = 200000\n[[sources]]\nname = \"Plc\"", family.source.format(endpoint=endpoint)]
    lines += [f'[[machines]]\nname = "M"\ntrigger = "Counter"\nmax_age = "{MAX_AGE:.0f}s"\n[machines.data_drift]\ntests = ["psi"]']
    for name, kind, address in zip(SIGNALS, kinds, family.addresses, strict=False):
        lines.append(f"[[machines.signals]]\nname = \"{name}\"\naddress = '{address}'")
        lines += [f'register_type = "{kind}"'] if kind else []
        lines += [f'stuck_after = "{STUCK:.0f}s"'] if name == "Level" else []
        lines += ['block = { length = 8, rate = 40.0 }\nfeatures = ["rms"]'] if name == "Wave" else []
        lines += ['block = { length = 16, rate = 40.0 }\nfeatures = ["rms"]'] if name == "StillWave" else []
    lines.append(f"[[machines.settings]]\nname = \"Recipe\"\naddress = '{family.addresses[-1]}'\ncategory = true")
    lines += ['register_type = "i16"'] if family.name == "modbus" else []
    return "\n".join(lines) + "\n"


async def run_family(family: Family, folder: Path, wanted: Callable[[str], bool], limits: Limits, say: Callable[[str], None]) -> list[Measurement]:
    """Each wanted fault of a family; the store is looked into at the end."""
    sim = await asyncio.to_thread(Sim, family.script, folder / "plc", *family.arguments)
    try:
        server = await asyncio.to_thread(Server, folder / "data", "", configuration(family, sim.endpoint))
        try:
            observer = Observer()
            await observer.connect(server, folder)
            await observer.subscribe(SHOWN)
            await settle(observer, sim, 60)
            found = []
            for fault in family.faults:
                if wanted(fault.name):
                    found.append(await measure(observer, sim, fault, family.name, limits))
                    say(found[-1].line())
            rows = {name: await observer.past(f"M.Signals.{name}") for name in ("Counter", "Level")}
            for measurement in found:
                measurement.look_into_the_store(rows["Counter"], rows["Level"])
            await observer.client.disconnect()
            return found
        finally:
            await asyncio.to_thread(server.__exit__)
    finally:
        sim.end()
