"""Fixtures and hooks of all tests: an Airflow without a database, and a simulator.

Airflow reads its configuration when it is first imported, so this module sets it before any test module is imported.
The metadata database is in a folder that does not exist, so a test that needs one fails. The tests that run a real
Airflow (``tests/real_airflow``) start it in separate processes. Under pytest-xdist, each worker imports this module
and has a HOME and an AIRFLOW_HOME of its own.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.support import environment, figures

_home = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["HOME"] = _home
environment.become(
    {
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{_home}/dags",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/nonexistent/airflow.db",
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long form of the fault tests (make test-faults)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getoption("dist") != "load":  # another scheduler was asked for
        return None
    from tests.support.scheduler import Scheduler  # a serial run works without pytest-xdist

    return Scheduler(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let real Airflows go first in a parallel run: they consider a process dead that gets no time."""
    if hasattr(item.config, "workerinput") and not item.get_closest_marker("airflow") and os.nice(0) == 0:
        os.nice(10)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the figures of a worker to the process that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = figures.collected()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the figures of a worker that has finished; one that has crashed sent none."""
    if "figures" in (output := getattr(node, "workeroutput", {})):
        figures.add(output["figures"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := figures.lines():
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


def pytest_unconfigure() -> None:
    """Delete the home; a worker ends without calling functions registered with ``atexit``."""
    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Return True if the fault tests run in their long form."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture
def hubspot() -> Iterator[Simulator]:
    """Start a simulator with an empty portal that answers immediately."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def hubspot_conn(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point Airflow's default connection to the simulator, and return the connection id."""
    for name, value in environment.connection_variable(hubspot.url, hubspot.token).items():
        monkeypatch.setenv(name, value)
    return environment.CONNECTION_ID
