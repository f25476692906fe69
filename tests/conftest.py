"""What all tests share: an Airflow that may not use a database, and a HubSpot of their own.

Airflow reads its configuration when it is first imported, so it is given here, before any test module is.
The metadata database lies in a folder that does not exist: a test which needs one fails. Those which run a
real Airflow (``tests/real_airflow``) start it in processes of its own.
"""

import atexit
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.support import environment
from tests.support.figures import FIGURES

_home = tempfile.mkdtemp(prefix="airflow-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
environment.become(
    {
        "AIRFLOW_HOME": _home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{_home}/dags",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_home}/nonexistent/airflow.db",
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the long form of the suites of faults: make test-faults")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        for what, figure in FIGURES.items():
            terminalreporter.write_line(f"{what}: {figure}")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the suites of faults run in their long form."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture
def hubspot() -> Iterator[Simulator]:
    """Start an embedded HubSpot with an empty portal, which answers at once."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def hubspot_conn(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the embedded HubSpot the one that Airflow's default connection leads to; return its id."""
    for name, value in environment.connection_variable(hubspot.url, hubspot.token).items():
        monkeypatch.setenv(name, value)
    return environment.CONNECTION_ID
