"""Text -> plain data, with the line of everything in it, so that a mistake can be pointed at.

YAML, and JSON as a part of it. Only what a list of limits needs is read: tags are not obeyed, aliases are refused
(a few lines of nested aliases expand to gigabytes), and so are duplicate keys (YAML would silently take the last).

A path may come from somebody who may not read what it leads to (a template, the conf of a DAG run). So nothing of a
file is told unless it looks like a file of limits: its name, and what stands at its top.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from airflow_provider_hubassoc.limits.config.syntax import explain, find_slip
from airflow_provider_hubassoc.limits.inputs import PASS_DATA
from airflow_provider_hubassoc.limits.problems import _HUGE, ConfigError, DataPath, Place, Problem, show, show_path
from airflow_provider_hubassoc.limits.text_data import data_from_text

MAX_BYTES = 1_000_000
"""Largest file that is read. A limit takes about 30 bytes."""

SUFFIXES = (".yaml", ".yml", ".json")
"""How the name of a file ends that is read."""

_MAX_VALUES = 200_000
_MAX_DEPTH = 20
_TOO_LARGE = f"larger than {MAX_BYTES} bytes"
_TOO_MANY = f"holds more than {_MAX_VALUES} values"
_NO_YAML = "is not valid YAML"
_NO_TEXT = "holds a character that is not allowed in text, such as a control character"
_NO_LIMITS = "is not a file of association limits; expected at its top: version: 1, and associations with a list"

_TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOENT", "ESTALE", "EIO", "EAGAIN", "EINTR", "EBUSY", "ETIMEDOUT", "ENOTCONN", "ENETDOWN", "ENETUNREACH"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EREMOTEIO", "ENFILE", "EMFILE"),
        *("ENOMEM", "ENOLINK", "ELOOP"),
    )
    if hasattr(errno, name)
)
"""Errors of opening or reading a file that may be gone a moment later: a bundle that is being cloned, a symlink that is
being swapped, a network file system that does not answer."""


# libyaml's parser is many times faster; wheels of PyYAML have it, a PyYAML built without it does not.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LIMITS_LINES = tuple(
    rf"""^ {{0,20}}[{{,]? {{0,20}}["']?{key}["']?: {{0,20}}{value}"""
    for key, value in (("version", r"""["']?1\b"""), ("associations", r"(?:\[|#|\r?$)"))
)
"""Lines that a file of limits has, and other files have not."""
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_SURROGATES = re.compile(r"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


class Mark(NamedTuple):
    """A position in a text, from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """Plain data and where it came from.

    :param data: dicts, lists, strings, numbers, None.
    :param marks: path -> position in the text; empty for data that never was text.
    :param name: path of the file; empty for text that came from no file.
    :param empty: paths whose value is empty in the text, as in ``limit:``; an explicit ``null`` is not.
    :param lines: of the text.
    """

    data: Any
    marks: Mapping[DataPath, Mark] = field(default_factory=dict)
    name: str = ""
    empty: frozenset[DataPath] = frozenset()
    lines: tuple[str, ...] = ()

    def place(self, path: DataPath) -> Place | None:
        """Return where a path stands: the position of the nearest thing that has one; None without a text."""
        if not self.marks:
            return None
        mark = next((self.marks[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.marks), None)
        return Place(self.name, *(mark or ()))

    def problem(
        self,
        path: DataPath,
        message: str,
        *,
        found: object = ...,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """Make a problem at a path."""
        place = self.place(path) or Place(self.name)
        shown = None if found is ... else show(found)
        return Problem(message, show_path(path), place.line, shown, severity, place.column, place.source)


def read(source: str | Path | Mapping[str, Any]) -> Document:
    """Read declared limits into plain data.

    :param source: a mapping; the path of a YAML or JSON file; or the text itself, told from a path by a line
        break or a leading brace.
    :raises ConfigError: if it cannot be read, is too large or is no plain YAML; of a file that is not one of limits
        it tells nothing else.
    """
    if isinstance(source, Mapping):
        return Document(_plain(source, (), count()), name="")
    if isinstance(source, str):
        # Jinja leaves line breaks around a path, and turns a dict into its text in Python's spelling.
        stripped = source.strip()
        if stripped.lower() in ("none", "null") or source.strip(" ") == "":
            message = f"allowed: a mapping, or the path of a file; {PASS_DATA}"
            raise ConfigError([Problem(message, line=1, found=show(source), column=1)])
        if stripped.startswith("{"):
            return _parse_data(stripped, source)
        if "\n" in stripped or ("\n" in source and not stripped.lower().endswith(SUFFIXES)):
            return _parse(source, "")
        source = stripped
    if not isinstance(source, (str, Path)):
        raise ConfigError([Problem("allowed: a mapping, or the path of a file", found=show(source))])
    try:
        return _read_file(Path(source))
    except ConfigError as error:
        # The frames below, and the errors behind it, hold what the file says.
        error.__context__ = None
        raise error.with_traceback(None) from None


def _parse_data(text: str, source: str) -> Document:
    """Read text that begins with a brace: JSON, YAML, or the text of a dict in Python, which YAML misreads in parts."""
    if not text.startswith("{'"):
        return _parse(source, "")
    data = None
    with contextlib.suppress(ValueError):
        data = data_from_text(text)
    if isinstance(data, Mapping):
        return Document(_plain(data, (), count()))
    try:
        return _parse(source, "")
    except ConfigError as error:
        first, *others = error.problems
        message = f"{first.message}; where this is a template, {PASS_DATA}"
        raise ConfigError([replace(first, message=message), *others]) from None


def _read_file(path: Path) -> Document:
    name = str(path).encode(errors="backslashreplace").decode()
    if path.suffix.lower() not in SUFFIXES:
        message = f"is not read; allowed: a file whose name ends in {', '.join(SUFFIXES)}, or text with a line break"
        message += f"; where a template was to give data, {PASS_DATA}" if path.name.endswith(("]", ">")) else ""
        raise ConfigError([Problem(message)], name)
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_BYTES + 1) if is_regular else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        retryable = getattr(error, "errno", None) in _TRANSIENT
        raise ConfigError([Problem(f"cannot be read: {reason}")], name, retryable=retryable) from None
    if not is_regular:
        raise ConfigError([Problem("cannot be read: Not a regular file")], name)
    if not content:
        message = "is empty; if it is being written or cloned at the moment, try again"
        raise ConfigError([Problem(message)], name, retryable=True)
    if len(content) > MAX_BYTES:
        raise ConfigError([Problem(_TOO_LARGE)], name)
    try:
        # A BOM is what Windows' editors put before UTF-8.
        return _parse(content.decode("utf-8-sig"), name)
    except UnicodeDecodeError:
        raise ConfigError([Problem("is not UTF-8 text")], name) from None


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting: opening a named pipe would last until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _plain(value: Any, path: DataPath, counter: Iterator[int]) -> Any:
    """Copy a mapping with its keys as text, as they are in a file.

    Like a file it is neither deep nor endless: it may hold itself, or the same list again and again.
    """
    if len(path) > _MAX_DEPTH:
        raise ConfigError([Problem("nested too deeply", show_path(path[:3]))])
    if next(counter) > _MAX_VALUES:
        raise ConfigError([Problem(_TOO_MANY)])
    if isinstance(value, Mapping):
        mapping: dict[str, Any] = {}
        for key, each in value.items():
            if not isinstance(key, (str, int, float, type(None))) or show(key).startswith(_HUGE):
                raise ConfigError([Problem("a key must be text", show_path(path), found=show(key))])
            if not _is_text(str(key)):
                raise ConfigError([Problem(_NO_TEXT, show_path(path))])
            if str(key) in mapping:
                raise ConfigError([Problem("is given twice", show_path((*path, str(key))))])
            mapping[str(key)] = _plain(each, (*path, str(key)), counter)
        return mapping
    if isinstance(value, str) and not _is_text(value):
        raise ConfigError([Problem(_NO_TEXT, show_path(path))])
    if isinstance(value, (list, tuple)):
        return [_plain(each, (*path, index), counter) for index, each in enumerate(value)]
    return value


def _parse(text: str, name: str) -> Document:
    """Read text.

    :param name: of the file that it is of; empty for what the user wrote, who may be shown all of it.
    """
    try:
        is_too_large = len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES
    except UnicodeEncodeError as error:
        raise ConfigError([_no_character(text, error.start)], name) from None
    if is_too_large:
        raise ConfigError([Problem(_TOO_LARGE)], name)
    if text.lstrip().startswith("{"):
        # JSON may be indented with tabs, YAML may not; inside its strings JSON has none. JSON writes an emoji as
        # two escapes, each of which is no character to YAML.
        text = _SURROGATES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text.replace("\t", " "))
    may_show = not name or _looks_like_limits(text)
    try:
        _refuse_unsupported(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, text, may_show)], name) from None
    except yaml.YAMLError:
        unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
        problem = _no_character(text, unprintable.start()) if unprintable else Problem(_NO_YAML)
        raise ConfigError([problem], name) from None
    if name and not _is_of_limits(node):
        raise ConfigError([Problem(_NO_LIMITS)], name)
    reader = _Reader(text)
    data = None if node is None else reader.data(node, ())
    if reader.problems:
        raise ConfigError(reader.problems, name)
    return Document(data, reader.marks, name, frozenset(reader.empty), tuple(reader.lines))


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, may_show: bool) -> Problem:
    if isinstance(error, _Refusal):
        mark = _mark(error.problem_mark)
        slip = find_slip(text.splitlines(), *mark)
        cure = f", or {slip.cure}" if slip is not None and may_show else ""
        return Problem(f"{error.problem}{cure}", line=mark.line, column=mark.column)
    message, line, column = explain(error, text, quote=may_show)
    return Problem(message, line=line, column=column)


def _looks_like_limits(text: str) -> bool:
    """Whether a text that cannot be parsed is one of limits all the same, so that lines of it may be shown."""
    return all(re.search(pattern, text, re.MULTILINE) for pattern in _LIMITS_LINES)


def _no_character(text: str, position: int) -> Problem:
    line = text.count("\n", 0, position) + 1
    return Problem(_NO_TEXT, line=line, column=position - text.rfind("\n", 0, position))


def _is_text(value: str) -> bool:
    """Whether a text can be written: half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_of_limits(node: yaml.Node | None) -> bool:
    """Whether a file looks like declared limits, so that the user is told of what is in it."""
    return isinstance(node, yaml.MappingNode) and any(
        key.value == "associations" and isinstance(value, yaml.SequenceNode) for key, value in node.value
    )


class _Refusal(yaml.MarkedYAMLError):
    """YAML that is valid and that this package does not read."""


def _refuse_unsupported(text: str) -> None:
    """Look at the events before anything is built from them.

    :raises yaml.MarkedYAMLError: at the first alias, anchor or tag, and where the nesting is too deep or there are too
        many values.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if number > _MAX_VALUES:
            raise _refusal(_TOO_MANY, event)
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*name) are not supported; write it out", event)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise _refusal("anchors (&name) are not supported; remove the anchor", event)
        if getattr(event, "tag", None) is not None:
            raise _refusal("tags (!name) are not supported; remove the tag", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _refusal("nested too deeply", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refusal(problem: str, event: yaml.Event) -> _Refusal:
    mark: Any = event.start_mark
    return _Refusal(problem=problem, problem_mark=mark)


class _Reader:
    """Turns nodes into plain data, and notes the position of every path."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.marks: dict[DataPath, Mark] = {}
        self.empty: set[DataPath] = set()
        self.problems: list[Problem] = []

    def data(self, node: yaml.Node, path: DataPath) -> Any:
        """Read a node and what is inside it."""
        self.marks.setdefault(path, _mark(node.start_mark))
        if isinstance(node, yaml.SequenceNode):
            return [self.data(each, (*path, index)) for index, each in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if node.tag == "tag:yaml.org,2002:null" and not node.value:
            self.empty.add(path)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: DataPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node.start_mark)
            before = self.lines[mark.line - 1][: mark.column - 1] if mark.line <= len(self.lines) else ""
            if not isinstance(key_node, yaml.ScalarNode) or before.rstrip().endswith("?"):
                slip = find_slip(self.lines, mark.line)
                cure = slip.cure if slip else 'quote a template: "{{ ... }}"' if before.endswith("{") else ""
                message = "a key must be text" + (f"; {cure}" if cure else "")
                self._problem(message, path, mark)
                continue
            # The key as it is written: YAML would make a label called "On" true, and one called "2024" a number.
            key = str(key_node.value)
            key_path = (*path, key)
            if key in mapping:
                self._problem(f"already given on line {self.marks[key_path].line}", key_path, mark, show(key))
                continue
            self.marks[key_path] = mark
            mapping[key] = self.data(value_node, key_path)
        return mapping

    def _problem(self, message: str, path: DataPath, mark: Mark, found: str | None = None) -> None:
        self.problems.append(Problem(message, show_path(path), mark.line, found, column=mark.column))


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


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
