"""The demo's whole story, as a subscribed panel sees it: about 80 s."""

import threading
import time
from dataclasses import dataclass

import pytest
from gateway import Gateway, node

STATUS = "Motor1.Drift.Status"
REGIME = "Motor1.Regimes.ActiveState"
TRUSTED = "Motor1.Models.Stator.Inference.Trusted"
FAULT = "Motor1.Fault.Detected"
BUFFER = "Motor1.Buffer.State"
WATCHED = [STATUS, REGIME, TRUSTED, FAULT, BUFFER]

NOT_EVALUATED, LEARNING, OK, WARNING, DRIFT = range(5)
MONITORING, OUT_OF_ENVELOPE = 2, 3
IDLE, COLLECTING, EXPORTED = 0, 1, 4

SPEED = 20
# From the PLC's change of a phase to the panel, with all that lies between; also what a busy test machine adds.
LAG = 3.0
PHASES = [
    "Learning",
    "Normal",
    "Setting 289 V",
    "Back to 164 V",
    "Spikes",
    "Slow change",
    "Standstill",
    "Repaired",
    "Inter-turn fault",
    "Standstill",
    "Repaired",
]


@dataclass(frozen=True)
class Change:
    at: float
    path: str
    value: object


class Story:
    """What happened, and in which phase. All times are those of this test's own clock."""

    def __init__(self, changes, phases, end, lines):
        self.changes = changes
        self.lines = lines
        starts = [at for _, at in phases]
        ends = starts[1:] + [end]
        self.names = [name for name, _ in phases]
        self.spans = list(zip(starts, ends))

    def span(self, phase):
        """Of a phase by name: its first occurrence; or by number."""
        return self.spans[phase if isinstance(phase, int) else self.names.index(phase)]

    def first(self, path, value, begin, end):
        """When the variable first became the value in that time; None if it never did."""
        times = (c.at for c in self.changes if c.path == path and c.value == value and begin <= c.at <= end)
        return next(times, None)

    def value_at(self, path, time_):
        values = [c.value for c in self.changes if c.path == path and c.at <= time_]
        return values[-1] if values else None

    def values(self, path, begin, end):
        """All values that the variable had in that time."""
        present = {c.value for c in self.changes if c.path == path and begin < c.at <= end}
        return present | {self.value_at(path, begin)}

    def reaches(self, phase, *steps):
        """In this phase the variables become these values, one after the other."""
        begin, end = self.span(phase)
        at = begin
        for path, value in steps:
            if self.value_at(path, at) == value:
                continue
            found = self.first(path, value, at, end + LAG)
            assert found is not None, f"{path} never became {value} in {phase!r}: {self.told(begin, end + LAG)}"
            at = found

    def told(self, begin, end):
        """The changes in that time, for messages."""
        return [(round(c.at - begin, 2), c.path, c.value) for c in self.changes if begin <= c.at <= end]


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    changes = []
    lock = threading.Lock()

    class Handler:
        def datachange_notification(self, changed, value, _data):
            # A value that is Uncertain or Bad may be none.
            if value is None and changed.nodeid.Identifier == FAULT:
                return
            with lock:
                changes.append(Change(time.monotonic(), changed.nodeid.Identifier, value))

    with Gateway(tmp_path_factory.mktemp("story") / "data", speed=SPEED, seconds=150) as gateway, gateway.client() as client:
        subscription = client.create_subscription(50, Handler())
        subscription.subscribe_data_change([node(client, path) for path in WATCHED])
        # After the last phase the story goes on at its second one.
        told = [line for line in PHASES]
        gateway.wait_for(lambda line: line["type"] == "story" and len(phases_of(gateway)) > len(told), 130)
        end = time.monotonic()
        subscription.delete()
        phases = phases_of(gateway)[: len(told)]
        assert gateway.terminate() == 0
        assert gateway.errors() == ""
    with lock:
        return Story(list(changes), phases, end, list(gateway.lines))


def phases_of(gateway):
    return [(line["phase"], line["at"]) for line in gateway.lines if line["type"] == "story"]


def test_all_phases_are_told(story):
    assert story.names == PHASES
    assert {change.path for change in story.changes} == set(WATCHED)


def test_it_learns_then_is_fine(story):
    story.reaches("Learning", (STATUS, LEARNING))
    story.reaches("Normal", (REGIME, MONITORING), (STATUS, OK), (TRUSTED, True))
    begin, end = story.span("Learning")
    assert story.values(STATUS, begin + LAG, end) <= {NOT_EVALUATED, LEARNING, OK}


def test_a_setting_that_was_never_trained_is_no_drift(story):
    story.reaches("Setting 289 V", (STATUS, NOT_EVALUATED), (REGIME, OUT_OF_ENVELOPE), (TRUSTED, False))
    begin, end = story.span("Setting 289 V")
    assert story.values(STATUS, begin, end) <= {OK, NOT_EVALUATED}
    settled = begin + (end - begin) / 2
    assert story.values(STATUS, settled, end) == {NOT_EVALUATED}
    assert story.values(REGIME, settled, end) == {OUT_OF_ENVELOPE}
    assert story.values(TRUSTED, settled, end) == {False}


def test_back_at_the_trained_setting_the_verdicts_are_back(story):
    story.reaches("Back to 164 V", (REGIME, MONITORING), (STATUS, OK), (TRUSTED, True))


def test_spikes_and_everything_before_are_neither_drift_nor_fault(story):
    begin, end = story.span("Normal")[0], story.span("Spikes")[1]
    assert story.values(STATUS, begin, end) <= {LEARNING, OK, NOT_EVALUATED, WARNING}
    assert story.values(BUFFER, begin, end) <= {IDLE, COLLECTING}
    # None: nothing predicted yet.
    assert story.values(FAULT, begin, end) <= {False, None}


def test_a_slow_change_is_drift_and_its_data_is_exported(story):
    story.reaches("Slow change", (STATUS, OK), (STATUS, WARNING), (STATUS, DRIFT))
    story.reaches("Slow change", (BUFFER, COLLECTING), (BUFFER, EXPORTED))
    begin, end = story.span("Slow change")
    drift = story.first(STATUS, DRIFT, begin, end)
    collecting = story.first(BUFFER, COLLECTING, begin, end)
    assert collecting < drift + LAG, "collecting begins with the warning"
    assert story.values(FAULT, begin, end) == {False}, "a worn bearing and an aged sensor are no fault of the stator"


def test_standstill_is_no_drift(story):
    # Half a second: a busy machine may show it no panel. Events are never left out.
    begin, _ = story.span(6)
    events = [line for line in story.lines if line["type"] == "event" and begin <= line["at"]]
    stood = next(line for line in events if line["event"] == "regime" and line["state"] == "NotProducing")
    ruling = next(line for line in events if line["event"] == "status" and line["monitor"] == "machine" and line["row"] >= stood["row"])
    assert ruling["status"] == "NotEvaluated"


def test_after_the_repair_all_is_fine_again(story):
    story.reaches("Repaired", (REGIME, MONITORING), (STATUS, OK))
    _, end = story.span("Repaired")
    assert story.value_at(STATUS, end) == OK
    assert story.value_at(TRUSTED, end) is True
    assert story.value_at(BUFFER, end) == IDLE, "the old data was released, and nothing new is collected"


def test_an_inter_turn_fault_is_a_fault_and_no_drift(story):
    story.reaches("Inter-turn fault", (FAULT, True))
    begin, end = story.span("Inter-turn fault")
    assert story.values(FAULT, *story.span("Repaired")) == {False}
    assert DRIFT not in story.values(STATUS, begin, end)
    assert story.value_at(FAULT, end) is True


def test_the_new_winding_ends_the_fault(story):
    story.reaches(10, (FAULT, False), (STATUS, OK))
    _, end = story.span(10)
    assert story.value_at(FAULT, end) is False
    assert story.value_at(STATUS, end) == OK
    assert DRIFT not in story.values(STATUS, *story.span(10))
