"""Tests of the built binary from outside, with asyncua as a client of another make. See `tests/run`."""

import pytest
from gateway import BINARY, Gateway
from secure import make_certificate


def pytest_configure() -> None:
    if not BINARY.is_file():
        pytest.exit(f"no binary: `{BINARY}`; build it with `cargo build`, or name another in DRIFTGATE_BIN", returncode=2)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A demo that tests may look at and tune, but neither stop nor rely on a phase of."""
    with Gateway(tmp_path_factory.mktemp("demo") / "data") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def learned(request, tmp_path_factory):
    """A module's own demo, at its SPEED, that has its reference."""
    with Gateway(tmp_path_factory.mktemp("learned") / "data", speed=request.module.SPEED) as gateway:
        gateway.wait_for_event("reference", 90)
        gateway.wait_for_status("OK", 60)
        yield gateway


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A client's certificate and key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"
