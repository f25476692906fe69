"""How pytest-xdist spreads the tests over its workers."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

_FOLDER = "tests/real_airflow"
_GROUPS = {
    f"{_FOLDER}/test_discovery.py": "example DAGs",
    f"{_FOLDER}/test_example_dags.py": "example DAGs",
    f"{_FOLDER}/test_sync_dags.py": "sync DAGs",
    f"{_FOLDER}/test_crashes.py": "crashes",
    f"{_FOLDER}/test_load.py": "load",
}
"""Modules whose tests share an Airflow, which takes long to start -> their group. One worker runs a whole group."""


class Scheduler(LoadScopeScheduling):
    """Hands out test by test, but the tests that share an Airflow together, and those first."""

    def _split_scope(self, nodeid: str) -> str:
        return _GROUPS.get(nodeid.partition("::")[0], nodeid)
