"""The faults of the simulators, and how each is given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    name: str
    begin: tuple[str, ...]
    # Nothing: it ends of itself, when `begin` is done and `seconds` are over.
    end: tuple[str, ...] = ()
    seconds: float = 6.0
    # The one value that is wrong; empty: the connection, and with it all of them.
    value: str = ""
    # Whether clients must be shown something else than Good while it lasts.
    seen: bool = True
    # Seconds that the PLC's clock is ahead while it lasts. More than a run takes, so that the times of rows are of one fault only.
    skew: float = 0.0
    # What the source must say of it, where it is asked more seldom than there are new rows: some are never seen, and nothing else tells.
    polled: str = ""


LEVEL = "Level"

OPCUA = [
    Fault("nothing", (), seconds=8, seen=False),
    Fault("bad, one value", ("bad rLevel BadSensorFailure",), ("clear",), value=LEVEL),
    Fault("bad, all values", ("bad * BadCommunicationError",), ("clear",)),
    Fault("uncertain", ("uncertain rLevel",), ("clear",), value=LEVEL),
    Fault("freeze", ("freeze rLevel",), ("clear",), value=LEVEL),
    Fault("stale", ("stale rLevel",), ("clear",), value=LEVEL),
    Fault("stale, all values", ("stale *",), ("clear",), value=LEVEL),
    Fault("drop", ("drop",), seconds=0, seen=False),
    Fault("stall 1 s", ("stall 1",), seconds=1, seen=False),
    Fault("stall 8 s", ("stall 8",), seconds=8),
    Fault("slow 300 ms", ("slow 300",), ("slow 0",), seconds=6, seen=False),
    Fault("slow 4 s", ("slow 4000",), ("slow 0",), seconds=12),
    Fault("killsessions", ("killsessions",), seconds=0, seen=False),
    Fault("Read refused", ("fault Read BadTooManyOperations 3",), seconds=0, seen=False),
    Fault("Publish refused", ("fault Publish BadTooManyPublishRequests 5",), seconds=0, seen=False),
    Fault("subscription gone", ("fault Publish BadNoSubscription 1",), seconds=0, seen=False),
    Fault("no session free", ("fault CreateSession BadTooManySessions 4", "killsessions"), seconds=0, seen=False),
    Fault("no subscription free", ("fault CreateSubscription BadTooManySubscriptions 2", "killsessions"), seconds=0, seen=False),
    Fault("items refused", ("fault CreateMonitoredItems BadTooManyOperations 2", "killsessions"), seconds=0, seen=False),
    Fault("clock 2 h ahead", ("skew 7200",), ("skew 0",), seen=False, skew=7200),
    Fault("clock 2 h behind", ("skew -7200",), ("skew 0",), seen=False, skew=-7200),
    Fault("PLC in STOP", ("plcmode STOP",), ("plcmode RUN",), value=LEVEL),
    Fault("restart", ("restart 2",), seconds=0),
    Fault("stop, start", ("stop",), ("start",), seconds=15),
    Fault("download", ("download 2",), seconds=0),
    Fault("reindex", ("reindex 3",), seconds=0),
    Fault("remove, restore", ("remove rLevel",), ("restore rLevel",), value=LEVEL),
    # Made good within `max_age`, so that it may pass unseen.
    Fault("retype", ("retype rLevel LREAL",), seconds=3, value=LEVEL, seen=False),
]

MODBUS = [
    Fault("nothing", (), seconds=8, seen=False),
    Fault("bad, one value (NaN)", ("bad rLevel",), ("clear",), value=LEVEL),
    Fault("freeze", ("freeze rLevel",), ("clear",), value=LEVEL),
    Fault("exception, once", ("exception 6 1",), seconds=0, seen=False),
    Fault("exception", ("exception 4 0",), ("clear",)),
    Fault("silent, once", ("silent 1",), seconds=0, seen=False),
    Fault("silent", ("silent 0",), ("clear",), seconds=8),
    Fault("slow 300 ms", ("slow 300",), ("slow 0",), seen=False, polled="a poll takes longer than that"),
    Fault("slow 4 s", ("slow 4000",), ("slow 0",), seconds=12),
    Fault("wrongid", ("wrongid 0",), ("clear",)),
    Fault("wrongunit", ("wrongunit 0",), ("clear",)),
    Fault("short", ("short 0",), ("clear",)),
    Fault("garbage", ("garbage 0",), ("clear",)),
    Fault("split 50 ms", ("split 50",), ("split 0",), seen=False),
    Fault("halfclose", ("halfclose",), seconds=0, seen=False),
    Fault("drop", ("drop",), seconds=0, seen=False),
    Fault("stop, start", ("stop",), ("start",), seconds=15),
]

# Less than a minute's worth for the ordinary tests.
SHORT = {
    "siemens": ["bad, one value", "restart"],
    "beckhoff": ["download", "remove, restore"],
    "modbus": ["silent", "drop"],
}
