"""Conversion of YAML and JSON text to plain data with the position of every part.

JSON is read as a part of YAML. Only features that declared limits need are supported: tags are refused, aliases are
refused (a few lines of nested aliases expand to gigabytes), and so are duplicate keys (YAML would silently take the
last one).
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from airflow_provider_hubassoc.limits.config.document import Document, Mark
from airflow_provider_hubassoc.limits.config.syntax import explain, find_slip
from airflow_provider_hubassoc.limits.problems import ConfigError, DataPath, Problem, show, show_path

MAX_BYTES = 1_000_000
"""Largest file that is read. A limit takes about 30 bytes."""

MAX_VALUES = 200_000
MAX_DEPTH = 20

TOO_LARGE = f"is larger than {MAX_BYTES} bytes"
TOO_MANY = f"contains more than {MAX_VALUES} values"
TOO_DEEP = "is nested too deeply"
BAD_CHARACTER = "contains a character that is not allowed in text, such as a control character"
_NOT_YAML = "is not valid YAML"
_NOT_LIMITS = "is not a limits file; a limits file has version: 1, and associations with a list"

# libyaml's parser is many times faster. The wheels of PyYAML include it; a PyYAML built without it does not.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LIMITS_LINES = tuple(
    rf"""^ {{0,20}}[{{,]? {{0,20}}["']?{key}["']?: {{0,20}}{value}"""
    for key, value in (("version", r"""["']?1\b"""), ("associations", r"(?:\[|#|\r?$)"))
)
"""Lines that every limits file has, and other files do not have."""
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_SURROGATES = re.compile(r"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def parse(text: str, name: str) -> Document:
    """Read text.

    :param name: path of the file with this text; empty for text that the user wrote, which messages may quote.
    :raises ConfigError: if it is too large or is not plain YAML.
    """
    try:
        is_too_large = len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES
    except UnicodeEncodeError as error:
        raise ConfigError([_bad_character(text, error.start)], name) from None
    if is_too_large:
        raise ConfigError([Problem(TOO_LARGE)], name)
    if text.lstrip().startswith("{"):
        # JSON may be indented with tabs and has none inside its strings; YAML does not allow tabs. JSON writes an
        # emoji as two escapes, each of which is not a character in YAML.
        text = _SURROGATES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text.replace("\t", " "))
    may_quote = not name or _looks_like_limits(text)
    try:
        _refuse_unsupported(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, text, may_quote)], name) from None
    except yaml.YAMLError:
        unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
        problem = _bad_character(text, unprintable.start()) if unprintable else Problem(_NOT_YAML)
        raise ConfigError([problem], name) from None
    if name and not _is_limits(node):
        raise ConfigError([Problem(_NOT_LIMITS)], name)
    reader = _Reader(text)
    data = None if node is None else reader.data(node, ())
    if reader.problems:
        raise ConfigError(reader.problems, name)
    return Document(data, reader.marks, name, frozenset(reader.empty), tuple(reader.lines))


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, may_quote: bool) -> Problem:
    if isinstance(error, _UnsupportedYAMLError):
        mark = _mark(error.problem_mark)
        slip = find_slip(text.splitlines(), *mark)
        cure = f", or {slip.cure}" if slip is not None and may_quote else ""
        return Problem(f"{error.problem}{cure}", line=mark.line, column=mark.column)
    message, line, column = explain(error, text, quote=may_quote)
    return Problem(message, line=line, column=column)


def _looks_like_limits(text: str) -> bool:
    """Return True for text that looks like a limits file, although it cannot be parsed; messages may quote it."""
    return all(re.search(pattern, text, re.MULTILINE) for pattern in _LIMITS_LINES)


def _is_limits(node: yaml.Node | None) -> bool:
    """Return True for the content of a limits file, so that messages may quote it."""
    return isinstance(node, yaml.MappingNode) and any(
        key.value == "associations" and isinstance(value, yaml.SequenceNode) for key, value in node.value
    )


def _bad_character(text: str, position: int) -> Problem:
    line = text.count("\n", 0, position) + 1
    return Problem(BAD_CHARACTER, line=line, column=position - text.rfind("\n", 0, position))


class _UnsupportedYAMLError(yaml.MarkedYAMLError):
    """Valid YAML that this package does not support."""


def _refuse_unsupported(text: str) -> None:
    """Check the events before anything is built from them.

    :raises yaml.MarkedYAMLError: at the first alias, anchor or tag, and where there is too much depth or too many
        values.
    """
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if number > MAX_VALUES:
            raise _unsupported(TOO_MANY, event)
        if isinstance(event, yaml.AliasEvent):
            raise _unsupported("aliases (*name) are not supported; write the value out", event)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise _unsupported("anchors (&name) are not supported; remove the anchor", event)
        if getattr(event, "tag", None) is not None:
            raise _unsupported("tags (!name) are not supported; remove the tag", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _unsupported(TOO_DEEP, event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _unsupported(problem: str, event: yaml.Event) -> _UnsupportedYAMLError:
    mark: Any = event.start_mark
    return _UnsupportedYAMLError(problem=problem, problem_mark=mark)


class _Reader:
    """Conversion of nodes to plain data; notes the position of every path."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.marks: dict[DataPath, Mark] = {}
        self.empty: set[DataPath] = set()
        self.problems: list[Problem] = []

    def data(self, node: yaml.Node, path: DataPath) -> Any:
        """Convert a node and everything inside it."""
        self.marks.setdefault(path, _mark(node.start_mark))
        if isinstance(node, yaml.SequenceNode):
            return [self.data(item, (*path, index)) for index, item in enumerate(node.value)]
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
                self._add_problem(message, path, mark)
                continue
            # Keep the key as it is written: YAML would read a label "On" as true, and "2024" as a number.
            key = str(key_node.value)
            key_path = (*path, key)
            if key in mapping:
                message = f"is already defined on line {self.marks[key_path].line}"
                self._add_problem(message, key_path, mark, show(key))
                continue
            self.marks[key_path] = mark
            mapping[key] = self.data(value_node, key_path)
        return mapping

    def _add_problem(self, message: str, path: DataPath, mark: Mark, found: str | None = None) -> None:
        self.problems.append(Problem(message, show_path(path), mark.line, found, column=mark.column))


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _scalar(node: yaml.Node) -> Any:
    """Convert a scalar to the value that a person means by it.

    Of YAML's implicit types only true, false, null and decimal numbers are converted. Everything else stays text, and
    is refused where text is not allowed: ``010`` would be 8, ``1:30`` would be 90, and a date is not a limit.
    """
    text = str(node.value)
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return text.lower() in ("true", "yes", "on")
    if node.tag == "tag:yaml.org,2002:int" and _DECIMAL.fullmatch(text):
        return int(text)
    return text
