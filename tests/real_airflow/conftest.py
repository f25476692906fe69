"""Fixtures of the tests that run a real Airflow."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import environment, leaks
from tests.support.stack import Stack


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder. Parallel runs begin with them, as they take longest."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.airflow)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("airflow") is None)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a whole Airflow, once for each worker, with the example DAGs and a simulator.

    After the last test, nothing that it leaves behind may contain a secret.
    """
    with ended_on_sigterm():
        folder = tmp_path_factory.mktemp("stack")
        # A copy, so that a test may add a DAG to the examples.
        dags_folder = shutil.copytree(environment.EXAMPLE_DAGS, folder / "dags")
        stack = Stack(folder / "airflow", dags_folder=dags_folder)
        with leaks.searched(stack, leaks.secrets_of(stack)):
            # It would start by itself in the middle of a test, and change the portal.
            stack.api.call("PATCH", "/dags/hubspot_limits_restore_drift", json={"is_paused": True})
            yield stack


@contextmanager
def ended_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, as `timeout` sends it, end pytest like Ctrl-C does, so that it stops Airflow's processes."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
