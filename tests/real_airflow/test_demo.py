"""``hubassoc demo``: the first command that a new user runs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import environment


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return the folders that the demo could leave something in, all of them empty."""
    folders = {name: tmp_path / name for name in ("cwd", "home", "tmp")}
    for folder in folders.values():
        folder.mkdir()
    return folders


def start_demo(folders: dict[str, Path], *arguments: str, **variables: str) -> subprocess.Popen[str]:
    own = {"HOME": str(folders["home"]), "TMPDIR": str(folders["tmp"])}
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_hubassoc", "demo", *arguments],
        cwd=folders["cwd"],
        env={**environment.without_airflow(os.environ), **own, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind(folders: dict[str, Path]) -> list[str]:
    return [entry.name for folder in folders.values() for entry in folder.iterdir()]


def test_shows_the_limits_before_and_after_and_leaves_nothing_behind(folders: dict[str, Path]) -> None:
    proxy = "http://127.0.0.1:9"
    process = start_demo(folders, AIRFLOW__CORE__DAGS_FOLDER="/nowhere", HTTP_PROXY=proxy, http_proxy=proxy)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), out + err
    before, run, after, summary = out.split("\n\n")[1:5]
    assert [line.split()[-1] for line in before.splitlines()[1:]] == ["2", "unlimited"]
    for word in ("submit", "PENDING", "PROCESSING", "COMPLETE", "success"):
        assert word in run
    assert [line.split()[-1] for line in after.splitlines()[1:]] == ["5", "1"]
    assert "at most 5 companies (before: 2)" in summary
    assert "billing contact of 1 company (before: unlimited)" in summary
    assert f"read the status of the batch {run.count('operations/')} times" in summary
    assert "WARNING" not in out
    assert left_behind(folders) == []


def test_fails_when_the_batch_is_canceled_and_keeps_the_log(folders: dict[str, Path]) -> None:
    process = start_demo(folders, "--canceled", "--log", "airflow.log")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (1, ""), out + err
    assert "The DAG run failed." in out
    assert "HubSpot canceled the create" in out
    assert "HubSpot canceled the create" in (folders["cwd"] / "airflow.log").read_text()
    assert left_behind(folders) == ["airflow.log"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_leaves_nothing_behind_when_interrupted(signum: signal.Signals, folders: dict[str, Path]) -> None:
    process = start_demo(folders)
    assert process.stdout is not None
    for line in process.stdout:
        if "starts the DAG" in line:
            break
    time.sleep(1)  # into the DAG run
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "Interrupted.\n")
    assert left_behind(folders) == []
