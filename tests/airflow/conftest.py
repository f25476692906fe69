"""Fixtures of the tests of operators, sensors and triggers."""

from collections.abc import Iterator

import pytest
from airflow.sdk import DAG

from tests.support.airflow_in_memory import Airflow


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def dag() -> Iterator[DAG]:
    with DAG("dag") as dag:
        yield dag
