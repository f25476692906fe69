"""``make demo``: what a newcomer sees first."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support import environment


def run_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.support.demo", "--folder", str(folder)],
        cwd=environment.REPOSITORY,
        env=environment.without_airflow(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_shows_the_limits_before_and_after_and_works_twice(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "demo"
    for _ in range(2):
        finished = run_demo(folder)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert finished.stderr == ""
        before, run, after = finished.stdout.split("\n\n")[1:4]
        assert [line.split()[-1] for line in before.splitlines()[1:]] == ["2", "unlimited"]
        for word in ("submit", "PENDING", "PROCESSING", "COMPLETE", "success"):
            assert word in run
        assert [line.split()[-1] for line in after.splitlines()[1:]] == ["5", "1"]
        assert "make airflow" in finished.stdout
        assert "WARNING" not in finished.stdout


def test_fails_when_the_run_fails(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FAILING_DEMO, str(tmp_path / "demo")],
        cwd=environment.REPOSITORY,
        env=environment.without_airflow(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "failed" in finished.stdout
    assert "airflow.log" in finished.stdout


#: The demo, with a HubSpot that cancels every batch.
FAILING_DEMO = """
import sys
from tests.support import demo
sys.exit(demo.main(["--folder", sys.argv[1], "--canceled"]))
"""
