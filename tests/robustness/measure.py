"""One fault: given, watched from outside, and held against the rules."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from asyncua import ua
from faults import Fault
from rig import MAX_AGE, SCAN, Observer, PlcStatus, Shown, Sim

# Waited for a recovery, so that the table can tell how late it is.
PATIENCE = 60.0
# Without faults, before the next one begins.
REST = 3.0


@dataclass(frozen=True)
class Limits:
    # A value older than this may not be shown as Good: the configured age, and what showing it takes.
    oldest: float = MAX_AGE + 1.5
    # After the fault is over.
    recovery: float = 5.0
    # Requests a second: as many as without faults, times the first, and a few to connect.
    more_requests: float = 1.5
    connect_requests: float = 15.0


# Of a test machine that does other things too: what never recovers or never notices is found all the same.
PATIENT = Limits(oldest=MAX_AGE + 15, recovery=45, more_requests=5, connect_requests=60)

CONNECTED = 2
STATE, TEXT = "Gateway.Sources.Plc.State", "Gateway.Sources.Plc.StateText"
COUNTED = ("Counter", "Level")
UNCHANGED = ("Still", "StillWave")
SIGNALS = (*COUNTED, *UNCHANGED, "Wave")


def path(name: str) -> str:
    return f"M.Signals.{name}"


@dataclass
class Measurement:
    family: str
    fault: str
    # Seconds; nothing where no client was shown anything.
    detected: float | None
    # Seconds after the end of the fault; nothing: not at all.
    recovered: float | None
    # A second, in the busiest `REST` of the fault and what follows it.
    requests: float
    # The longest time that a value was shown as Good after it was true no more, in seconds.
    stale: float
    text: str
    status: str
    # The counter before and after, both of them good rows.
    rows: tuple[int, int]
    skew: float = 0.0
    polled: bool = False
    faults: list[str] = field(default_factory=list)
    made: int = 0
    lost: int = 0
    marked: int = 0
    unmarked: int = 0

    def look_into_the_store(self, counter: list[ua.DataValue], level: list[ua.DataValue]) -> None:
        """Counts what is there of the rows that the PLC made between."""
        first, last = self.rows
        levels = {value.SourceTimestamp: value for value in level}
        counter = _in_order(counter, self.skew)
        begin = _last_index(counter, first, 0)
        end = _last_index(counter, last, len(counter) - 1)
        between = counter[begin : end + 1]
        present = {_number(value) for value in between if _good(value)} - {None}
        good = {_number(value) for value in between if _good(value) and _good(levels.get(value.SourceTimestamp))}
        self.made = last - first
        self.lost = sum(1 for row in range(first + 1, last + 1) if row not in present)
        bad = [not (_good(value) and _good(levels.get(value.SourceTimestamp))) for value in between]
        self.marked = sum(bad)
        self.unmarked = _gaps_without_a_mark(between, bad)
        if self.unmarked and not self.polled:
            self.faults.append(f"{self.unmarked} rows lost without a mark")
        if not good:
            self.faults.append("no good rows around the fault")

    def line(self) -> str:
        what = f"{self.family} {self.fault}: detected {_seconds(self.detected)}, recovered {_seconds(self.recovered)}, {self.requests:.0f} requests/s"
        return what + (f" FAULTS {self.faults}" if self.faults else "") + f"  [{self.status}: {self.text[:90]}]"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _good(value: ua.DataValue | None) -> bool:
    return value is not None and value.StatusCode.is_good()


def _number(value: ua.DataValue) -> int | None:
    return None if value.Value is None or value.Value.Value is None else round(value.Value.Value)


def _in_order(values: list[ua.DataValue], skew: float) -> list[ua.DataValue]:
    """As they were made: by the times of a clock that was so much ahead for a while."""
    now, shift = datetime.now(UTC).replace(tzinfo=None), timedelta(seconds=skew)

    def made(value: ua.DataValue) -> datetime:
        time = value.SourceTimestamp.replace(tzinfo=None)
        return time - shift if abs(time - shift - now) < abs(shift) / 2 else time

    return sorted((v for v in values if abs(made(v) - now) < timedelta(hours=1)), key=made)


def _last_index(values: list[ua.DataValue], row: int, default: int) -> int:
    found = [k for k, value in enumerate(values) if _good(value) and _number(value) == row]
    return found[0] if found else default


def _gaps_without_a_mark(values: list[ua.DataValue], bad: list[bool]) -> int:
    """Rows that are missing between two that follow each other, both Good."""
    missing = 0
    for k in range(1, len(values)):
        if not bad[k] and not bad[k - 1]:
            missing += max((_number(values[k]) or 0) - (_number(values[k - 1]) or 0) - 1, 0)
    return missing


async def settle(observer: Observer, sim: Sim, seconds: float) -> bool:
    """Waits until all is well: connected, every value Good, the counter in step with the PLC."""
    newest = (await sim.status()).row

    def well() -> bool:
        shown = [observer.last(path(name)) for name in SIGNALS]
        state, counter = observer.last(STATE), observer.last(path("Counter"))
        return all(s is not None and s.good for s in shown) and state is not None and state.value == CONNECTED and counter.value > newest

    return await observer.until(well, seconds)


async def measure(observer: Observer, sim: Sim, fault: Fault, family: str, limits: Limits) -> Measurement:
    healthy = await _requests_a_second(sim, REST)
    watch = Watch(sim)
    watching = asyncio.create_task(watch.run())
    before = await sim.status()
    begun = time.monotonic()
    for command in fault.begin:
        await sim.do(command)
    await asyncio.sleep(fault.seconds)
    if fault.seen:
        await observer.until(lambda: _changes(observer, begun), PATIENCE)
    for command in fault.end:
        await sim.do(command)
    ended = time.monotonic()
    well = await settle(observer, sim, PATIENCE)
    recovered = time.monotonic() - ended if well else None
    after = await sim.status()
    # What shows itself late: a value that was Good for too short a time.
    await asyncio.sleep(REST)
    steady = await settle(observer, sim, PATIENCE)
    watching.cancel()
    finished = time.monotonic()

    shown = {name: _since(observer.seen[path(name)], begun) for name in SIGNALS}
    first = min(_changes(observer, begun), key=lambda s: s.at, default=None)
    texts = [s.value for s in _since(observer.seen[TEXT], begun) if s.at > begun]
    stale = max(watch.stale(shown[name], finished) for name in COUNTED)
    lasting = max(_overlap(s, begun, ended, finished, shown[name]) for name in UNCHANGED for s in shown[name]) if not fault.value and fault.seen else 0.0
    requests = watch.busiest(before)
    counter = observer.last(path("Counter"))
    result = Measurement(
        family=family, fault=fault.name,
        detected=None if first is None else first.at - begun,
        recovered=recovered, requests=requests, stale=max(stale, lasting),
        text=texts[0] if texts else "", status=_status(first),
        skew=fault.skew, polled=bool(fault.polled),
        rows=(before.row - 3, round(counter.value) if counter is not None and counter.good else after.row),
    )  # fmt: skip
    if fault.polled not in "".join(texts):
        result.faults.append(f"`{fault.polled}` is not said")
    result.faults += _broken_rules(result, fault, healthy, steady, limits)
    return result


def _changes(observer: Observer, begun: float) -> list[Shown]:
    """What clients were shown since then that is not well."""
    values = [s for name in SIGNALS for s in _since(observer.seen[path(name)], begun) if not s.good]
    states = [s for s in _since(observer.seen[STATE], begun) if s.value != CONNECTED]
    return [s for s in values + states if s.at > begun]


def _status(shown: Shown | None) -> str:
    if shown is None:
        return ""
    return ua.StatusCode(shown.status).name if shown.status else "State"


def _broken_rules(found: Measurement, fault: Fault, healthy: float, steady: bool, limits: Limits) -> list[str]:
    broken = []
    if found.recovered is None or not steady:
        broken.append(f"not recovered within {PATIENCE:.0f} s")
    elif found.recovered > limits.recovery:
        broken.append(f"recovered after {found.recovered:.1f} s, wanted {limits.recovery:.0f} s")
    if found.stale > limits.oldest:
        broken.append(f"shown as good for {found.stale:.1f} s when it was true no more")
    if fault.seen and found.detected is None:
        broken.append("not detected")
    if not fault.begin and found.detected is not None:
        broken.append("shown as a fault where there is none")
    if found.requests > healthy * limits.more_requests + limits.connect_requests:
        broken.append(f"{found.requests:.0f} requests a second, {healthy:.0f} without a fault")
    return broken


async def _requests_a_second(sim: Sim, seconds: float) -> float:
    before = await sim.status()
    await asyncio.sleep(seconds)
    after = await sim.status()
    return (after.requests - before.requests) / (after.at - before.at)


def _since(shown: list[Shown], begun: float) -> list[Shown]:
    """From the one that was shown at that time on."""
    first = max((k for k, s in enumerate(shown) if s.at <= begun), default=0)
    return shown[first:]


def _overlap(one: Shown, begun: float, ended: float, finished: float, all_of_them: list[Shown]) -> float:
    """How long it was shown as Good within the fault."""
    following = [s.at for s in all_of_them if s.at > one.at]
    until = min(following, default=finished)
    return max(min(until, ended) - max(one.at, begun), 0.0) if one.good else 0.0


class Watch:
    """What the PLC has, twice a scan, to know how old a value is that the gateway shows."""

    def __init__(self, sim: Sim) -> None:
        self._sim = sim
        self.seen: list[PlcStatus] = []

    async def run(self) -> None:
        while True:
            self.seen.append(await self._sim.status())
            await asyncio.sleep(SCAN / 2)

    def busiest(self, before: PlcStatus) -> float:
        """The most requests a second within any `REST`, from this status on."""
        worst, later = 0.0, 0
        seen = [before, *self.seen]
        for one in seen:
            while later < len(seen) and seen[later].at < one.at + REST:
                later += 1
            if later < len(seen):
                worst = max(worst, (seen[later].requests - one.requests) / (seen[later].at - one.at))
        return worst

    def stale(self, shown: list[Shown], finished: float) -> float:
        """The longest time that one of them was shown as Good while the PLC had a newer one, or was not there."""
        worst = 0.0
        for k, one in enumerate(shown):
            until = shown[k + 1].at if k + 1 < len(shown) else finished
            if one.good and one.value is not None:
                newer = next((s.at for s in self.seen if s.row > round(one.value) and s.at >= self.seen[0].at), None)
                # The last one before the PLC went away, or stood still.
                stood = next((s.at for s in self.seen if s.row >= round(one.value)), None)
                since = newer if newer is not None else stood
                if since is not None:
                    worst = max(worst, until - max(since, self.seen[0].at))
        return worst
