"""What is not known is Bad, what is no longer true of the present row is Uncertain: as a subscribed panel sees it."""

import threading

from asyncua import ua
from gateway import Gateway, eventually, node, read, write

INDEX, FAULT = "Motor1.Drift.DriftIndex", "Motor1.Fault.Detected"
MODEL = "Motor1.Models.Stator.Inference"
# Indexes of the machine, of a monitor, of a test of it, of a feature.
MEASURED = [INDEX, "Motor1.Drift.DataDrift.DriftIndex", "Motor1.Drift.DataDrift.T1.Value", "Motor1.Drift.Features.Flux_rms.DriftIndex"]
PREDICTED = [FAULT, f"{MODEL}.FaultDetected"]
LAST_USABLE = ua.StatusCodes.UncertainLastUsableValue
WAITING = ua.StatusCodes.BadWaitingForInitialData
SUSPEND, RESUME = 6, 7


class Values:
    """Handler of a subscription: all that its nodes were, in order."""

    def __init__(self):
        self._lock = threading.Lock()
        self._seen = {}

    def datachange_notification(self, source, _, data):
        with self._lock:
            self._seen.setdefault(source.nodeid.Identifier, []).append(data.monitored_item.Value)

    def of(self, path):
        with self._lock:
            return list(self._seen.get(path, []))


def data(client, path):
    return node(client, path).read_data_value(raise_on_bad_status=False)


def status(client, path):
    return data(client, path).StatusCode.value


def value(data_value):
    return None if data_value.Value is None else data_value.Value.Value


def command(client, code):
    write(client, "Motor1.Command.Request", code, ua.VariantType.UInt16)


def test_before_there_is_a_model_nothing_is_known(tmp_path):
    # So slow that the learning does not end here.
    with Gateway(tmp_path / "data", speed=1) as gateway, gateway.client() as client:
        eventually(lambda: data(client, "Motor1.Drift.Status").StatusCode.is_good() and read(client, "Motor1.Drift.Status") == 1, 60, "learning")
        for path in [*MEASURED, *PREDICTED, f"{MODEL}.Score", f"{MODEL}.PredictionClass", f"{MODEL}.PredictionTime", f"{MODEL}.ModelScoreThreshold"]:
            shown = data(client, path)
            assert (shown.StatusCode.value, value(shown)) == (WAITING, None), path
        assert status(client, "Motor1.Drift.DataDrift.T1.Exceeded") == WAITING
        assert status(client, "Motor1.Drift.Features.Flux_rms.MissingRate") == WAITING
        eventually(lambda: read(client, "Motor1.Fault.Text") == "not known: still learning", 10, "why")
        assert read(client, "Motor1.Drift.TopFeature") == ""


def test_outside_the_envelope_values_are_the_last_usable_ones(tmp_path):
    seen = Values()
    with Gateway(tmp_path / "data", speed=20) as gateway, gateway.client() as client:
        subscription = client.create_subscription(100, seen)
        subscription.subscribe_data_change([node(client, path) for path in [*MEASURED, *PREDICTED]], queuesize=1000)

        def outside(line):
            return line.get("event") == "regime" and line.get("state") == "Outside"

        gateway.wait_for(outside, 120)
        for path in [*MEASURED, *PREDICTED]:
            eventually(lambda: any(v.StatusCode.value == LAST_USABLE for v in seen.of(path)), 60, f"{path} is the last usable value")
            shown = seen.of(path)
            first = next(k for k, v in enumerate(shown) if v.StatusCode.value == LAST_USABLE)
            assert value(shown[first]) is not None
            assert any(v.StatusCode.is_good() for v in shown[:first]), path
        # Back at the trained setting.
        for path in [*MEASURED, *PREDICTED]:
            eventually(lambda: seen.of(path)[-1].StatusCode.is_good(), 60, f"{path} is measured again")
        subscription.delete()


def test_suspended_values_stay_and_say_so(tmp_path):
    with Gateway(tmp_path / "data", speed=20) as gateway, gateway.client() as client:
        gateway.wait_for_status("OK", 120)
        eventually(lambda: status(client, INDEX) == 0 and status(client, FAULT) == 0, 60, "verdicts")
        own = read(client, f"{MODEL}.ModelScoreThreshold")
        assert own > 0
        assert read(client, f"{MODEL}.ScoreThreshold") == 0
        assert read(client, f"{MODEL}.ScoreThreshold.EffectiveValue") == own
        write(client, f"{MODEL}.ScoreThreshold", own * 2, ua.VariantType.Double)
        eventually(lambda: read(client, f"{MODEL}.ScoreThreshold.EffectiveValue") == own * 2, 60, "the written threshold")
        assert read(client, f"{MODEL}.ModelScoreThreshold") == own
        write(client, f"{MODEL}.ScoreThreshold", 0.0, ua.VariantType.Double)
        eventually(lambda: read(client, f"{MODEL}.ScoreThreshold.EffectiveValue") == own, 60, "the model's own again")

        eventually(lambda: read(client, "Motor1.Checks.AllPassed") is not None, 60, "a look of the checks")
        looks = ["Motor1.Checks.AllPassed", "Motor1.Checks.Failed", "Motor1.Checks.FailedText", "Motor1.Regimes.R01.DriftStatus"]
        command(client, SUSPEND)
        for path in [*MEASURED, *PREDICTED, *looks]:
            eventually(lambda: status(client, path) == LAST_USABLE, 60, f"{path} while suspended")
            assert value(data(client, path)) is not None
        assert status(client, f"{MODEL}.Score") == WAITING
        assert read(client, f"{MODEL}.Trusted") is False
        assert read(client, f"{MODEL}.TrustText") == "not trusted: suspended by an operator"
        assert read(client, "Motor1.Fault.Text") == "no fault; not trusted: suspended by an operator"
        command(client, RESUME)
        for path in [*MEASURED, *PREDICTED, *looks]:
            eventually(lambda: status(client, path) == 0, 120, f"{path} again")
