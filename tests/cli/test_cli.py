"""The command line in the process of the tests."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from airflow_provider_hubassoc.cli import main
from airflow_provider_hubassoc.limits.config import schema_text
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, writes

FILE = """\
version: 1
associations:
  - from: contacts
    to: companies
    limit: 5
    labels:
      Billing Contact: 1
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "limits.yaml"
    path.write_text(FILE)
    return str(path)


@pytest.fixture(autouse=True)
def _environment(hubspot: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBSPOT_BASE_URL", hubspot.url)
    monkeypatch.setenv("HUBSPOT_ACCESS_TOKEN", hubspot.token)


def test_plan_apply_and_plan_again(hubspot: Simulator, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file, "--detailed-exitcode"]) == 2
    out = capsys.readouterr().out
    assert "+ create  contacts -> companies  (unlabeled)       unlimited        5\n" in out
    assert "Plan: 2 to create, 0 to update, 0 to purge. 0 unchanged, 0 unmanaged." in out
    assert writes(hubspot) == []
    assert main(["apply", file, "--yes"]) == 0
    assert "Applied 2 of 2. Settled." in capsys.readouterr().out
    assert main(["plan", file, "--detailed-exitcode"]) == 0
    assert capsys.readouterr().out == "No changes, the portal is as declared. 2 unchanged, 0 unmanaged.\n"
    assert main(["apply", file]) == 0


def test_export_then_plan_is_empty(hubspot: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hubspot.set_limit("contacts", "companies", HUBSPOT, 1, 3)
    path = tmp_path / "exported.yaml"
    assert main(["export", "-o", str(path)]) == 0
    assert path.read_text().startswith(f"# HubSpot association limits of portal {hubspot.portal_id}\n")
    assert main(["plan", str(path), "--prune"]) == 0
    assert main(["export", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])["version"] == 1


def test_an_export_names_what_it_misses(hubspot: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    car = hubspot.add_object_type("car")
    label, _ = hubspot.add_label("p_car", "p_car", label="Twin", name="twin")
    hubspot.set_limit(car, car, "USER_DEFINED", label, 3)
    assert main(["export", "--max-concurrency", "16"]) == 1
    assert f'USER_DEFINED {label} "Twin", limit 3; name the custom objects' in capsys.readouterr().err
    assert main(["export", "--object", "p_car"]) == 0
    assert "Twin: 3" in capsys.readouterr().out


def test_an_approved_plan_is_applied_unless_the_portal_has_changed(
    hubspot: Simulator, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(tmp_path / "plan.json")
    assert main(["plan", file, "-o", plan]) == 0
    hubspot.set_limit("contacts", "companies", HUBSPOT, 279, 9)
    assert main(["apply", "--plan", plan, "--yes"]) == 1
    assert "the limit was unlimited and is now 9" in capsys.readouterr().err
    hubspot.set_limit("contacts", "companies", HUBSPOT, 279, None)
    assert main(["apply", "--plan", plan, "--yes"]) == 0
    assert set(hubspot.limits().values()) == {5, 1}


def test_json_output(hubspot: Simulator, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        code = main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    assert run("plan", file)[1]["summary"] == "Plan: 2 to create, 0 to update, 0 to purge. 0 unchanged, 0 unmanaged."
    code, applied = run("apply", file, "--yes")
    assert (code, applied["report"]["ok"]) == (0, True)  # type: ignore[index]
    assert run("validate", file) == (0, {"valid": True, "problems": []})
    code, failed = run("plan", "nowhere.yaml")
    assert (code, failed["type"]) == (1, "ConfigError")
    hubspot.revoke(hubspot.token)
    assert run("plan", file)[1]["type"] == "HubSpotAuthenticationError"


def test_validate_needs_no_portal(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN")
    assert main(["validate", file]) == 0
    assert capsys.readouterr().out == f"{file}: valid, 1 direction\n"
    bad = tmp_path / "bad.yaml"
    bad.write_text(FILE.replace("limit: 5", "limit: 0").replace("Billing Contact: 1", "Billing Contact: no"))
    assert main(["validate", str(bad)]) == 1
    assert [line.split(":")[1] for line in capsys.readouterr().out.splitlines()] == ["5", "7"]
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()


def test_markdown_output_and_standard_input(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(FILE))
    assert main(["plan", "-", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("**Plan: 2 to create")


def test_the_overrides_of_a_portal_are_found_by_its_id(
    hubspot: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "limits.yaml"
    overrides = "    associations:\n      - {from: contacts, to: companies, limit: 3}\n"
    path.write_text(f"{FILE}portals:\n  {hubspot.portal_id}:\n{overrides}  other:\n    associations: []\n")
    assert main(["plan", str(path), "--json"]) == 0
    assert {change["target"] for change in json.loads(capsys.readouterr().out)["changes"]} == {3, 1}
    assert main(["plan", str(path), "--portal", "other", "--json"]) == 0
    assert {change["target"] for change in json.loads(capsys.readouterr().out)["changes"]} == {5, 1}
    assert main(["plan", str(path), "--portal", "none"]) == 1


def test_an_airflow_connection(
    hubspot_conn: str, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HUBSPOT_ACCESS_TOKEN")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # the command line sets it; here it must not stay
    assert main(["plan", file, "--conn-id", hubspot_conn]) == 0
    assert main(["plan", file, "--conn-id", "nowhere"]) == 1
    assert "Airflow has no usable connection nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "x", "--max-concurrency", "0"], ["explode"]])
def test_a_wrong_command_line_has_exit_code_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 1
    assert "usage: hubassoc" in capsys.readouterr().err


def test_apply_asks_before_it_changes_anything(hubspot: Simulator, file: str) -> None:
    """A terminal shows the plan, a question, and a progress bar on standard error."""
    pty = pytest.importorskip("pty")
    for answer, code in (("n", 1), ("y", 0)):
        master, slave = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "airflow_provider_hubassoc", "apply", file],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        ) as process:
            os.close(slave)
            shown = ""
            try:
                while "[y/N]" not in shown:
                    shown += os.read(master, 4096).decode()
                os.write(master, f"{answer}\n".encode())
                while True:
                    shown += os.read(master, 4096).decode()
            except OSError:  # Linux' way of saying that the other side is closed
                pass
            finally:
                os.close(master)
        assert process.returncode == code, shown
        assert ("Applied 2 of 2" in shown) is (answer == "y")
    assert len(hubspot.limits()) == 2


def test_a_plan_of_another_portal_is_refused(
    hubspot: Simulator, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "plan.json")
    assert main(["plan", file, "-o", path]) == 0
    with Simulator(portal_id=999) as other:
        monkeypatch.setenv("HUBSPOT_BASE_URL", other.url)
        assert main(["apply", "--plan", path, "--yes"]) == 1
        assert "this is portal 999" in capsys.readouterr().err
        assert writes(other) == []
    monkeypatch.setenv("HUBSPOT_BASE_URL", hubspot.url)
    assert main(["apply", "--plan", path, "--yes"]) == 0


def test_the_demo_needs_a_process_without_airflow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
    assert main(["demo"]) == 1
    assert "the demo cannot run in a process that has imported Airflow" in capsys.readouterr().err
