"""A path given as ``config`` cannot reveal the content of another file, hang, or fill the memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_hubassoc.limits.config import ConfigError, load_config
from airflow_provider_hubassoc.limits.config.yaml_text import MAX_BYTES
from airflow_provider_hubassoc.limits.inputs import LimitInputsError, parse_seconds
from tests.support import environment
from tests.support.inputs import parse_inputs
from tests.support.tracebacks import everything_shown

pytestmark = pytest.mark.slow

SECRET = "hunter2hunter2correcthorse"
FILES = {
    "passwd": f"root:x:0:0:root:/root:/bin/bash\n{SECRET}:x:1:1::/:/bin/sh\n",
    "ini": f"[default]\naws_secret_access_key = {SECRET}\n",
    "key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n",
    "service account": f'{{"type": "service_account", "private_key": "{SECRET}", "{SECRET}": 1}}',
    "kubeconfig": f"apiVersion: v1\nusers:\n- name: admin\n  user: {{token: {SECRET}}}\n",
    "environment": f"PASSWORD={SECRET}\nexport {SECRET}=1\n",
    "one word": SECRET,
    "list": f"- {SECRET}\n- {{a: {SECRET}}}\n",
    "unknown tag": f"a: !{SECRET} b\n",
    "unknown handle": f"a: !{SECRET}!x b\n",
    "anchor": f"a: &{SECRET} b\nc: *{SECRET}\n",
    "anchor twice": f"a: &{SECRET} b\nc: &{SECRET} b\n",
    "no anchor": f"a: *{SECRET}\n",
    "directive": f"%{SECRET}\n%YAML 7.{SECRET}\n---\na\n",
    "broken quote": f'a: "{SECRET}\n',
    "bad escape": f'a: "\\q{SECRET}"\n',
    "tab": f"a:\n\t{SECRET}: b\n",
    "duplicate key": f"{SECRET}: 1\n{SECRET}: 2\n",
    "control character": f"{SECRET}: \x07{SECRET}\n",
    "complex key": f"? [{SECRET}]\n: {SECRET}\n",
    "our key, no list": f"associations: {SECRET}\n",
    "our key deeper": f"{SECRET}: {{associations: [{SECRET}]}}\n",
    "binary": f"\xff\xfe{SECRET}",
}


def refusal(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        load_config(str(path))
    return raised.value


@pytest.mark.parametrize("name", ["secret", "secret.yaml", "secret.yml", "secret.json", ".yaml"])
@pytest.mark.parametrize("kind", FILES)
def test_no_content_of_another_file_is_revealed(kind: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(FILES[kind], "latin-1" if kind == "binary" else "utf-8")
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    for path in (file, link):
        error = refusal(path)
        shown = everything_shown(error)
        pieces = {SECRET[start : start + 6] for start in range(len(SECRET) - 5)}
        assert not [piece for piece in pieces if piece in shown]
        assert str(path) in str(error)
        assert len(error.problems) == 1


def test_a_file_with_another_extension_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "limits.txt").write_text("version: 1\nassociations: []\n")
    [problem] = refusal(tmp_path / "limits.txt").problems
    assert str(problem).startswith("is not the name of a limits file; allowed: a path that ends in .yaml, .yml, .json")


def test_a_special_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zeros.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zeros.yaml"):
        [problem] = refusal(tmp_path / name).problems
        assert str(problem) == "cannot be read: Not a regular file"


def test_a_mistake_in_a_limits_file_shows_its_value(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("version: 1\nassociations:\n  - {from: contacts, to: companies, limit: many}\n")
    assert 'line 3: associations[0].limit: found "many"' in str(refusal(file))


BOMBS = {
    "aliases": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefgh")),
    "flow brackets": "[" * (MAX_BYTES - 1),
    "JSON brackets": '{"a":' * (MAX_BYTES // 5),
    "one scalar": "x" * (MAX_BYTES - 1),
    "equal keys": "a: 1\n" * (MAX_BYTES // 5),
    "a huge number": "version: " + "9" * (MAX_BYTES - 10),
    "list of nothing": "associations: [" + "~," * (MAX_BYTES // 2 - 10) + "]",
    "50 MB": "#" * 50_000_000,
    "a comment that cuts": "version: 1\nassociations:\n  a #b" + " " * 400_000 + "x\n  c: 1\n",
    "blank lines": "\n" * 400_000 + "*x*: 1\n",
    "one line of blanks": "version: 1\nassociations:\n" + " " * 400_000 + "*x*: 1\n",
    "a list in Python": "{'a': [" + "'x', " * 150_000 + "]",
}

IN_LITTLE_MEMORY = """
import resource, sys
from airflow_provider_hubassoc.limits.config import ConfigError, load_config
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 1_500_000_000, resource.RLIM_INFINITY))
try:
    load_config(sys.argv[1])
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_huge_or_nested_file_is_refused_in_little_memory(bomb: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"limits{suffix}"
    file.write_text(BOMBS[bomb])
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, str(file)],
        cwd=environment.REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"\d+ mistakes? in ", done.stdout)
    assert len(done.stdout) < 20_000


def test_a_huge_or_nested_dict_is_refused() -> None:
    """A DAG file may have expanded nested aliases with its own YAML library."""
    bomb: Any = "x"
    for _ in range(15):
        bomb = [bomb] * 9
    endless: list[Any] = []
    endless.append(endless)
    for value, message in ((bomb, "contains more than 200000 values"), (endless, "nested too deeply")):
        with pytest.raises(ConfigError, match=message):
            load_config({"version": 1, "associations": value})
        inputs = [{"category": "WORK", "typeId": value, "maxToObjectIds": 1}]
        with pytest.raises(LimitInputsError, match=r"inputs\[0\].typeId: must be a whole number"):
            parse_inputs("contacts", "companies", inputs, "create")
        with pytest.raises(LimitInputsError, match="timeout: must be a number of seconds above 0"):
            parse_seconds({"timeout": value})


def test_keys_that_are_equal_as_text_are_refused() -> None:
    portal = {"associations": []}
    with pytest.raises(ConfigError, match=r"portals\.1: is defined twice"):
        load_config({"version": 1, "associations": [], "portals": {1: portal, "1": portal}})


def test_a_message_lists_at_most_100_mistakes() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config({"version": 1, "associations": ["x"] * 5000})
    assert len(raised.value.problems) == 5000
    assert "5000 mistakes" in str(raised.value)
    assert str(raised.value).endswith("  ... and 4900 more")
