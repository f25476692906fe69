"""Text -> plain data, with the line of everything in it, so that a mistake can be pointed at.

YAML, and JSON as a part of it. Only what a list of limits needs is read: tags are not obeyed, aliases are refused
(a few lines of nested aliases expand to gigabytes), and so are duplicate keys (YAML would silently take the last).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

MAX_BYTES = 1_000_000
"""Largest file that is read. A limit takes about 30 bytes."""

_MAX_DEPTH = 20
_MAX_SHOWN = 60

DataPath = tuple[str | int, ...]
"""Where something is in the data: keys and indices from the top."""

# libyaml's parser is many times faster; wheels of PyYAML have it, a PyYAML built without it does not.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_SURROGATES = re.compile(r"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


@dataclass(frozen=True)
class Problem:
    """One mistake, or one thing to think about, in declared limits.

    :param message: what is wrong and what is allowed.
    :param path: where in the data, as a person writes it: ``associations[0].labels["Billing contact"]``.
    :param line: line of the text, from 1; None where there is no text.
    :param found: what stands there, shortened.
    :param severity: an error makes the declaration unusable, a warning does not.
    """

    message: str
    path: str = ""
    line: int | None = None
    found: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = ": ".join(part for part in (f"line {self.line}" if self.line is not None else "", self.path) if part)
        found = f"found {self.found}; " if self.found is not None else ""
        text = f"{found}{self.message}"
        return f"{where}: {text}" if where else text


class ConfigError(ValueError):
    """Declared limits that cannot be used; holds every mistake at once.

    :param problems: the mistakes, in the order of the text.
    :param source: where the text came from, such as the path of the file.
    """

    def __init__(self, problems: list[Problem], source: str = "") -> None:
        self.problems = problems
        self.source = source
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        head = f"{count} in {source or 'the declared limits'}"
        super().__init__("\n".join([f"{head}:", *(f"  {problem}" for problem in problems)]))


@dataclass(frozen=True)
class Document:
    """Plain data and where it came from.

    :param data: dicts, lists, strings, numbers, None.
    :param lines: path -> line of the text, from 1; empty for data that never was text.
    :param name: where it came from, for messages.
    """

    data: Any
    lines: Mapping[DataPath, int] = field(default_factory=dict)
    name: str = ""

    def problem(
        self,
        path: DataPath,
        message: str,
        *,
        found: object = ...,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """Make a problem at a path; its line is that of the nearest thing that has one."""
        line = next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), None)
        return Problem(message, show_path(path), line, None if found is ... else show(found), severity)


def show(value: object) -> str:
    """Show a value in a message: scalars as they are, shortened; never what is inside a list or mapping."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    text = "".join(char if char.isprintable() else "·" for char in text)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def show_path(path: DataPath) -> str:
    """Write a path as a person would: ``associations[0].labels["Billing contact"].limit``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"\w{1,60}", part):
            text += f".{part}" if text else part
        else:
            text += f"[{show(part)}]"
    return text


def read(source: str | Path | Mapping[str, Any]) -> Document:
    """Read declared limits into plain data.

    :param source: a mapping; the path of a YAML or JSON file; or the text itself, told from a path by a line
        break or a leading brace.
    :raises ConfigError: if it cannot be read, is too large or is no plain YAML.
    """
    if isinstance(source, Mapping):
        return Document(_plain(source), name="")
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        return _parse(source, "")
    if not isinstance(source, (str, Path)):
        raise ConfigError([Problem("allowed: a mapping, or the path of a file", found=show(source))])
    path = Path(source)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem(f"cannot be read: {reason}")], str(path)) from None
    try:
        # A BOM is what Windows' editors put before UTF-8.
        return _parse(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        # Said first of what is cut off in the middle of a character as well.
        message = f"larger than {MAX_BYTES} bytes" if len(content) > MAX_BYTES else "is not UTF-8 text"
        raise ConfigError([Problem(message)], str(path)) from None


def _plain(value: Any) -> Any:
    """Copy a mapping with its keys as text, as they are in a file."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


def _parse(text: str, name: str) -> Document:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ConfigError([Problem(f"larger than {MAX_BYTES} bytes")], name)
    if text.lstrip().startswith("{"):
        # JSON may be indented with tabs, YAML may not; inside its strings JSON has none. JSON writes an emoji as
        # two escapes, each of which is no character to YAML.
        text = _SURROGATES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text.replace("\t", " "))
    problems: list[Problem] = []
    lines: dict[DataPath, int] = {}
    try:
        _refuse_aliases(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = error.problem or error.context or "is not YAML"
        raise ConfigError([Problem(message, line=mark.line + 1 if mark else None)], name) from None
    except yaml.YAMLError as error:
        reason = str(getattr(error, "reason", None) or "is not YAML")
        raise ConfigError([Problem(reason)], name) from None
    data = None if node is None else _data(node, (), lines, problems)
    if problems:
        raise ConfigError(problems, name)
    return Document(data, lines, name)


def _refuse_aliases(text: str) -> None:
    """Look at the events before anything is built from them.

    :raises yaml.MarkedYAMLError: at the first alias, or where the nesting is too deep.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*name) are not supported; write it out", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _refusal("nested too deeply", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refusal(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _data(node: yaml.Node, path: DataPath, lines: dict[DataPath, int], problems: list[Problem]) -> Any:
    """Turn a node into plain data, noting the line of every path."""
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.SequenceNode):
        return [_data(each, (*path, index), lines, problems) for index, each in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(Problem("a key must be text", show_path(path), key_line))
                continue
            # The key as it is written: YAML would make a label called "On" true, and one called "2024" a number.
            key = str(key_node.value)
            key_path = (*path, key)
            if key in mapping:
                first = lines[key_path]
                problems.append(Problem(f"already given on line {first}", show_path(key_path), key_line, show(key)))
                continue
            lines[key_path] = key_line
            mapping[key] = _data(value_node, key_path, lines, problems)
        return mapping
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    """Read a scalar the way a person means it.

    Of YAML's implicit types only true, false, null and decimal numbers are kept. The rest stays text and is
    refused where text is not allowed: ``010`` would be 8, ``1:30`` would be 90, and a date is no limit.
    """
    text = str(node.value)
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return text.lower() in ("true", "yes", "on")
    if node.tag == "tag:yaml.org,2002:int" and _DECIMAL.fullmatch(text):
        return int(text)
    return text
