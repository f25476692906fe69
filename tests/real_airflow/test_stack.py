"""The whole Airflow itself: all of it ends together, and it reports why it cannot start."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import environment
from tests.support import stack as whole_airflow
from tests.support.stack import Stack, StackError


def processes_in(folder: Path) -> list[psutil.Process]:
    """Find the processes whose Airflow lives in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_make_airflow_ends_all_of_it_on_ctrl_c(tmp_path: Path) -> None:
    home = tmp_path / "airflow"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.stack", "--folder", str(home)],
        cwd=environment.REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if "Ctrl-C" in line:
            break
    assert len(processes_in(home)) >= len(whole_airflow.COMPONENTS), output
    ports = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", output)}
    assert len(ports) == 2

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 0, errors
    assert errors == ""
    assert processes_in(home) == []
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_component_that_ends_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_airflow, "COMPONENTS", {"scheduler": ["scheduler", "--no-such-option"]})
    home = tmp_path / "airflow"
    with (
        pytest.raises(StackError, match=r"(?s)airflow scheduler ended with exit code 2.*--no-such-option"),
        Stack(home),
    ):
        pass
    assert processes_in(home) == []
