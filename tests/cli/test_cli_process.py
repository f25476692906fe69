"""The command line in a separate process: exit codes, streams, files and signals."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from tests.support.portal import HUBSPOT, writes

pytestmark = pytest.mark.slow

FILE = """\
version: 1
associations:
  - from: contacts
    to: companies
    limit: 5
    labels:
      Billing Contact: 1
  - from: deals
    to: contacts
    limit: 7
"""
CONTACT_TO_COMPANY = ("0-1", "0-2", HUBSPOT, 279)
DEAL_TO_CONTACT = ("0-3", "0-1", HUBSPOT, 3)


class Finished:
    """The exit code and output of a finished process."""

    def __init__(self, process: subprocess.CompletedProcess[bytes]) -> None:
        self.code = process.returncode
        self.out = process.stdout.decode(errors="replace")
        self.err = process.stderr.decode(errors="replace")


Run = Callable[..., Finished]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def environment(hubspot: Simulator, tmp_path: Path) -> dict[str, str]:
    own = {"HUBSPOT_BASE_URL": hubspot.url, "HUBSPOT_ACCESS_TOKEN": hubspot.token, "AIRFLOW_HOME": str(tmp_path / "af")}
    return {**os.environ, **own}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run(*arguments: object, given: bytes | None = None, without: str = "", **more: str) -> Finished:
        variables = {name: value for name, value in {**environment, **more}.items() if name != without}
        command = [sys.executable, "-m", "airflow_provider_hubassoc", *map(str, arguments)]
        stdin: Any = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
        return Finished(subprocess.run(command, env=variables, capture_output=True, timeout=120, check=False, **stdin))

    return run


# -- confirmation --


@pytest.mark.parametrize("given", [None, b"", b"n\n", b"y\n", b"yes\n"])
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["", "json"])
def test_without_a_terminal_apply_needs_yes(
    given: bytes | None, more: list[str], run: Run, hubspot: Simulator, file: Path
) -> None:
    finished = run("apply", file, *more, given=given)
    assert (finished.code, writes(hubspot)) == (1, [])
    assert "--yes" in finished.err + finished.out


def test_a_file_on_standard_input_needs_yes(run: Run, hubspot: Simulator) -> None:
    finished = run("apply", "-", given=FILE.encode())
    assert (finished.code, writes(hubspot)) == (1, [])
    assert "--yes" in finished.err
    assert run("apply", "-", "--yes", given=FILE.encode()).code == 0
    assert run("apply", "-", given=FILE.encode()).code == 0  # nothing to do, nothing to ask


# -- exit codes and arguments --


def test_pending_changes_have_exit_code_2_only_with_the_option(run: Run, file: Path) -> None:
    assert [run("plan", file).code, run("plan", file, "--detailed-exitcode").code] == [0, 2]


def test_help_and_version(run: Run) -> None:
    bare, version = run(), run("--version")
    assert (bare.code, "usage: hubassoc" in bare.out) == (0, True)
    assert version.out.split()[0] == "hubassoc"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "FILE", "--max-concurrency", "0"], ["--max-concurrency"]),
        (["plan", "FILE", "--max-concurrency", "many"], ["--max-concurrency"]),
        (["apply", "FILE", "--yes", "--verify-timeout", "nan"], ["--verify-timeout"]),
        (["apply", "FILE", "--yes", "--verify-timeout", "-1"], ["--verify-timeout"]),
        (["plan", "FILE", "--target", "deals:companies"], ["target", "contacts", "deals"]),
        (["plan", "FILE", "--target", "deals"], ["--target"]),
        (["plan", "FILE", "--portal", "emea"], ["emea", "none"]),
        (["plan", "FILE", "--summary"], ["--markdown"]),
        (["plan", "FILE", "--conn-id", ""], ["--conn-id"]),
        (["simulator", "--port", "70000"], ["--port"]),
        (["simulator", "--processing-seconds", "-1"], ["--processing-seconds"]),
        (["plan", "nowhere/limits.yaml"], ["nowhere/limits.yaml"]),
        (["plan", "."], ["."]),
        (["apply", "--plan", "FILE", "--yes"], ["plan"]),
        (["plan", "FILE", "-o", "nowhere/plan.json"], ["nowhere"]),
        (["labels", "contacts", "car"], ["p_name", "2-123"]),
    ],
)
def test_a_mistake_is_one_sentence_with_exit_code_1(
    arguments: list[str], words: list[str], run: Run, hubspot: Simulator, file: Path
) -> None:
    finished = run(*(str(file) if argument == "FILE" else argument for argument in arguments))
    assert (finished.code, writes(hubspot)) == (1, [])
    assert "Traceback" not in finished.err
    assert all(word in finished.err for word in words), finished.err


def test_a_target_narrows_plan_and_apply(run: Run, hubspot: Simulator, file: Path) -> None:
    hubspot.set_limit("contacts", "companies", HUBSPOT, 1, 3)
    finished = run("apply", file, "--target", "0-3:Contact", "--prune", "--yes")
    assert finished.code == 0, finished.err
    assert hubspot.limits() == {DEAL_TO_CONTACT: 7, ("0-1", "0-2", HUBSPOT, 1): 3}
    assert not [request.path for request in hubspot.requests if "contacts/companies" in request.path]


def test_mistakes_of_several_files_have_file_line_and_column(run: Run, file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(FILE.replace("limit: 5", "limit: 0"))
    finished = run("validate", file, bad)
    assert finished.code == 1
    (line,) = [line for line in (finished.out + finished.err).splitlines() if ": error: " in line]
    assert line.startswith(f"{bad}:5:")
    assert line.split(":")[2].isdigit()


def test_a_label_that_the_portal_lacks_has_file_line_and_column(run: Run, file: Path) -> None:
    file.write_text(FILE.replace("Billing Contact", "Boss"))
    finished = run("plan", file)
    assert finished.code == 1
    assert f"{file}:7:7: " in finished.out
    for output in ("--json", "--markdown"):
        finished = run("plan", file, output)
        assert finished.code == 1
        assert f"{file}:7:7: error: labels" in finished.err


def test_labels_of_a_direction(run: Run, hubspot: Simulator) -> None:
    hubspot.set_limit("contacts", "companies", HUBSPOT, 279, 4)
    document = json.loads(run("labels", "contacts", "companies", "--json").out)
    by_id = {row["typeId"]: row for row in document["types"]}
    assert {279, 1, 931} <= set(by_id)
    assert (by_id[279]["limit"], by_id[1]["limit"]) == (4, None)
    assert "Billing Contact" in run("labels", "contacts", "companies").out


def test_a_summary_in_markdown(run: Run, file: Path) -> None:
    finished = run("plan", file, "--markdown", "--summary")
    assert finished.code == 0
    assert finished.out.startswith("**Plan: 3 to create")
    assert len(finished.out.encode()) < 65_536


# -- streams --


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_output_works_in_every_encoding(encoding: str, run: Run, hubspot: Simulator, file: Path) -> None:
    hubspot.add_label("contacts", "companies", label="Décideur → 重要", name="boss")
    file.write_text(FILE.replace("Billing Contact", "Décideur → 重要"), encoding="utf-8")
    variables = {"PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    assert run("plan", file, "--detailed-exitcode", **variables).code == 2
    assert run("plan", file, "--markdown", **variables).code == 0
    planned = run("plan", file, "--json", **variables)
    assert (planned.code, len(json.loads(planned.out)["changes"])) == (0, 3)
    assert run("export", **variables).code == 0


def test_log_lines_of_airflow_do_not_break_the_document(
    run: Run, environment: dict[str, str], hubspot: Simulator, file: Path
) -> None:
    connection = json.dumps({"conn_type": "hubspot", "host": hubspot.url, "password": hubspot.token})
    variables = {"AIRFLOW_CONN_HUBSPOT_DEFAULT": connection, "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
    for arguments in ([], ["--conn-id", "hubspot_default"]):
        finished = run("plan", file, "--json", *arguments, without="HUBSPOT_ACCESS_TOKEN", **variables)
        assert (finished.code, json.loads(finished.out)["portal_id"]) == (0, hubspot.portal_id)
        assert "hubspot_default" in finished.err


def test_the_error_without_a_connection_names_all_three_options(run: Run, file: Path) -> None:
    finished = run("plan", file, without="HUBSPOT_ACCESS_TOKEN")
    assert finished.code == 1
    assert all(way in finished.err for way in ("HUBSPOT_ACCESS_TOKEN", "--conn-id", "hubspot_default"))


# -- files --


def test_an_existing_file_is_replaced_only_with_force_and_completely(
    run: Run, hubspot: Simulator, tmp_path: Path
) -> None:
    hubspot.set_limit("contacts", "companies", HUBSPOT, 279, 4)
    target = tmp_path / "exported.yaml"
    target.write_text("existing")
    target.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(target)
    refused = run("export", "-o", target)
    assert (refused.code, target.read_text()) == (1, "existing")
    assert "--force" in refused.err
    assert run("export", "-o", link, "--force").code == 0
    assert link.is_symlink()
    assert "limit: 4" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["exported.yaml", "link.yaml"]


def test_a_plan_does_not_replace_a_limits_file(run: Run, file: Path) -> None:
    assert run("plan", file, "-o", file).code == 1
    assert file.read_text() == FILE


# -- Ctrl-C --


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_during_apply_says_what_the_command_waits_for(
    times: int, environment: dict[str, str], hubspot: Simulator, file: Path
) -> None:
    hubspot.inject(method="POST", delay=3 if times == 1 else 60, times=9)
    command = [sys.executable, "-m", "airflow_provider_hubassoc", "apply", str(file), "--yes"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while "Plan: 3 to create" not in process.stdout.readline():
            assert process.poll() is None
        time.sleep(1)  # the batches are on their way
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        if times == 2:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=40) == 130
    finally:
        process.kill()
        process.communicate()


# -- at a terminal --


def test_a_change_between_question_and_answer_is_not_overwritten(
    environment: dict[str, str], hubspot: Simulator, file: Path
) -> None:
    import pty

    hubspot.set_limit(*CONTACT_TO_COMPANY, 9)
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "airflow_provider_hubassoc", "apply", str(file)]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = ""
        try:
            while "[y/N]" not in shown:
                shown += os.read(master, 4096).decode()
            hubspot.set_limit(*CONTACT_TO_COMPANY, 2)
            os.write(master, b"y\n")
            while True:
                shown += os.read(master, 4096).decode()
        except OSError:  # Linux reports a closed terminal so
            pass
        finally:
            os.close(master)
    assert (process.returncode, writes(hubspot)) == (1, [])
    assert "was 9 and is now 2" in shown
