"""The environment variables of a real Airflow: the one place where they are composed.

Airflow reads them once, when it is first imported. So whoever runs Airflow in its own process puts them
into ``os.environ`` before that; whoever starts Airflow's commands gives them to the child processes.
"""

import base64
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE_DAGS = REPOSITORY / "example_dags"
#: Where the Airflows that `make` starts live: an ignored folder of the checkout.
STATE = REPOSITORY / ".airflow"
#: A file that says: this folder may be emptied.
MARK = "made-by-make"

CONNECTION_ID = "hubspot_default"


def fresh_folder(folder: Path) -> Path:
    """Make a folder, or empty the one which an earlier Airflow left behind.

    :param folder: the future ``AIRFLOW_HOME``; its parents are made too.
    :return: the same folder, absolute.
    :raises ValueError: if something else is in it.
    """
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise ValueError(f"{folder} is neither empty nor the folder of an earlier run")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.touch()
    return folder.resolve()


def without_airflow(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out every variable that would configure Airflow.

    :param environment: usually ``os.environ``: a developer's shell may point to an Airflow of his own.
    :return: the other variables.
    """
    return {name: value for name, value in environment.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))}


def airflow_environment(home: Path, *, dags_folder: Path = EXAMPLE_DAGS) -> dict[str, str]:
    """Compose the variables of an Airflow with SQLite, without examples, with fresh secrets.

    :param home: the absolute ``AIRFLOW_HOME``: database, logs and configuration live in it.
    :param dags_folder: where Airflow looks for DAG files.
    :return: the variables, to be put beside those of :func:`without_airflow`.
    """
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def deployment_environment(home: Path, *, port: int, dags_folder: Path = EXAMPLE_DAGS) -> dict[str, str]:
    """Compose the variables of a whole Airflow, which listens on the loopback address only.

    :param home: the absolute ``AIRFLOW_HOME``.
    :param port: the port of the web UI and of both APIs.
    :param dags_folder: where Airflow looks for DAG files.
    :return: the variables, to be put beside those of :func:`without_airflow`.
    """
    url = f"http://127.0.0.1:{port}"
    return airflow_environment(home, dags_folder=dags_folder) | {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        # With the default of 5 seconds, a task that was deferred for less than that may be found to have
        # ended "with state success" and be failed (apache/airflow issues 66374, 67287).
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def connection(url: str, token: str) -> dict[str, object]:
    """Describe the connection to a HubSpot as Airflow's REST API takes it.

    :param url: base URL of the HubSpot API, with a port.
    :param token: access token.
    :return: the connection. Its port stands alone, because the button "Test connection" of Airflow 3.3.2 answers
        400 for every stored connection that has none (apache/airflow pull request 73298).
    """
    parts = urlsplit(url)
    return {
        "connection_id": CONNECTION_ID,
        "conn_type": "hubspot",
        "host": f"{parts.scheme}://{parts.hostname}",
        "port": parts.port,
        "password": token,
        "description": "The simulator",
    }


def connection_variable(url: str, token: str) -> dict[str, str]:
    """Describe the same connection as an environment variable.

    :param url: base URL of the HubSpot API.
    :param token: access token.
    :return: ``AIRFLOW_CONN_HUBSPOT_DEFAULT`` with its value, as JSON.
    """
    value = {"conn_type": "hubspot", "host": url, "password": token}
    return {f"AIRFLOW_CONN_{CONNECTION_ID.upper()}": json.dumps(value)}


def become(environment: Mapping[str, str]) -> None:
    """Make these the Airflow variables of this process; to be called before Airflow is imported.

    :param environment: what :func:`airflow_environment` or :func:`deployment_environment` composed.
    """
    for name in set(os.environ) - set(without_airflow(os.environ)):
        del os.environ[name]
    os.environ.update(environment)
