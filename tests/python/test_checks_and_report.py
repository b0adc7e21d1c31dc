"""Named checks and the full report, as an HMI sees them."""

import json

import pytest
from asyncua import ua
from gateway import eventually, read, write

CHECKS = "Motor1.Checks"
REPORT = "Motor1.Report"
DOUBLE = ua.VariantType.Double


@pytest.fixture
def client(demo):
    with demo.client() as client:
        yield client


def value_or_none(client, path):
    """A value that is not there yet is Bad."""
    try:
        return read(client, path)
    except ua.UaStatusCodeError:
        return None


def refused(client, path, value):
    with pytest.raises(ua.UaStatusCodeError) as error:
        write(client, path, value, DOUBLE)
    return error.value.code


def test_the_checks_pass_and_say_what_they_measured(client):
    eventually(lambda: value_or_none(client, f"{CHECKS}.FewGaps.Passed") is True, 60, "a first look")
    assert read(client, f"{CHECKS}.Total") == 4
    assert read(client, f"{CHECKS}.FewGaps.Kind") == "missing_share"
    assert 0 <= read(client, f"{CHECKS}.FewGaps.Value") <= 0.05
    assert read(client, f"{CHECKS}.FewGaps.Limit") == 0.05
    assert read(client, f"{CHECKS}.WindingTemperature.Feature") == "TempWinding"
    assert read(client, f"{CHECKS}.FewGaps.RegimeKey") == "Voltage=164;Load=50"
    assert read(client, f"{CHECKS}.FewGaps.Evaluations") > 0


def test_a_limit_is_tuned_within_its_range(client):
    path = f"{CHECKS}.WindingTemperature.Limit"
    write(client, path, 0.25, DOUBLE)
    assert read(client, path) == 0.25
    assert refused(client, path, 1.5) == ua.StatusCodes.BadOutOfRange
    assert read(client, path) == 0.25
    write(client, path, 0.0, DOUBLE)


def test_the_full_report_is_made_and_served(client):
    eventually(lambda: read(client, f"{REPORT}.State") == 2, 60, "a report")
    assert read(client, f"{REPORT}.FeaturesTotal") == 17
    assert read(client, f"{REPORT}.ReportsKept") >= 1
    assert read(client, f"{REPORT}.NextTime") > read(client, f"{REPORT}.LastTime")
    report = json.loads(read(client, f"{REPORT}.Json"))
    assert report["machine"] == "Motor1"
    metrics = {m["name"] for c in report["columns"] for m in c["metrics"]}
    assert {"kolmogorov_smirnov", "wasserstein", "psi", "mmd", "epps_singleton"} <= metrics
    assert {c["name"] for c in report["checks"]} == {"FewGaps", "WindingTemperature", "CurrentsInBand", "FewFeaturesDrift"}
    page = read(client, f"{REPORT}.Html")
    assert page.lower().startswith("<!doctype html>") and "Flux_rms" in page and len(page) < 300_000
    # Whole in itself.
    assert "<script" not in page and " src=" not in page


def test_the_interval_is_none_or_a_minute_at_least(client):
    path = f"{REPORT}.Interval"
    assert refused(client, path, 0.001) == ua.StatusCodes.BadInvalidState
    write(client, path, 0.0, DOUBLE)
    assert read(client, path) == 0.0
    write(client, path, 1.0, DOUBLE)
