"""Explanations of YAML syntax errors: the cause in plain words, and how to write it: ``quote it: "*VIP*": 1``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

_TAB = "a tab is not allowed here; indent with spaces"
_REASONS = [
    ("tab", _TAB),
    ("\\t", _TAB),
    ("a simple key", "a colon is missing after this name"),
    ("mapping values are not allowed", "a colon is not allowed here"),
    ("unexpected ':'", "a space is missing after the colon"),
    ("a quoted scalar", "the quote that starts here is not closed"),
    ("alias", "a name or value must not start with *, which is an alias in YAML"),
    ("anchor", "a name or value must not start with &, which is an anchor in YAML"),
    ("tag", "a name or value must not start with !, which is a tag in YAML"),
    ("directive", "a line must not start with %, which is a directive in YAML"),
    ("a block scalar", "a name or value must not start with | or >, which starts a block of text in YAML"),
    ("cannot start any token", "a name or value must not start with this character"),
    ("or '}'", "a comma or a closing brace is missing here"),
    ("or ']'", "a comma or a closing bracket is missing here"),
    ("a flow mapping", "a comma or a closing brace is missing here"),
    ("a flow sequence", "a comma or a closing bracket is missing here"),
    ("document start", "only one document is allowed; remove the line with ..."),
    ("a single document", "only one document is allowed; remove the line with ---"),
    ("a block mapping", "a name with a colon was expected here; check quotes and indentation"),
    ("a block collection", "a list item that starts with - was expected here; check the indentation"),
]
"""Part of a message of libyaml or PyYAML -> plain words, which quote nothing of the text."""

COMMENT = "a # after a space starts a comment in YAML"

_AT_CONTEXT = ("a simple key", "a quoted scalar", "alias", "anchor")
"""Errors whose place is the start of the part that the parser was reading, not the position where it gave up."""

_LOOK_BACK = 3
"""Number of lines before the parser's position that may contain the cause."""

_MAX_LINE = 300
"""Longest line that is searched for a slip: the time of the patterns grows with the square of the length."""


class Explanation(NamedTuple):
    """Cause and place of a syntax error; line and column from 1."""

    message: str
    line: int | None = None
    column: int | None = None


class Slip(NamedTuple):
    """Text that does not mean what it looks like; line and column from 1."""

    line: int
    column: int
    reason: str
    cure: str


def explain(error: yaml.MarkedYAMLError, text: str, *, quote: bool) -> Explanation:
    """Return the parser's reason in plain words, with the cure where one is known.

    :param quote: True if the explanation may show parts of the text.
    """
    parser_message = f"{error.context or ''} {error.problem or ''}"
    key, words = next(((part, words) for part, words in _REASONS if part in parser_message), ("", ""))
    if "unknown escape" in parser_message:
        key, words = "", "unknown escape after a backslash; write two backslashes, or use single quotes"
    mark = error.problem_mark or error.context_mark
    if key in _AT_CONTEXT and error.context_mark is not None:
        mark = error.context_mark
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and lines[mark.line][mark.column : mark.column + 1] == "\t":
        words = _TAB
    if not words and (quote or not re.search("[\"'`]", error.problem or "")):
        words = error.problem or ""  # the parser's quotes may hold a part of the text
    message = f"is not valid YAML: {words}" if words else "is not valid YAML"
    if mark is None:
        return Explanation(message)
    # An unclosed quote swallows the lines after it, which are not at fault.
    slips = () if key == "a quoted scalar" else _slips_before(lines, mark.line)
    slip = next(iter(slips), None)
    if slip is None or words == _TAB:
        return Explanation(message, mark.line + 1, mark.column + 1)
    cure = f"; {slip.cure}" if quote else "; quote it" if slip.cure.startswith("quote") else ""
    return Explanation(f"is not valid YAML: {slip.reason}{cure}", slip.line, slip.column)


def find_slip(lines: Sequence[str], line: int, column: int | None = None) -> Slip | None:
    """Return the first slip in a line; None if there is none.

    :param line: number of the line, from 1.
    :param column: where the name starts, from 1; by default after the indentation.
    """
    text = lines[line - 1] if 1 <= line <= len(lines) else ""
    if not text or len(text) > _MAX_LINE:
        return None
    if column is not None:
        before, rest = text[: column - 1].rstrip(), re.split(r"[,}]", text[column - 1 :])[0]
        is_name = not before or before.endswith(("-", "{", ",", "?"))
        found = next(_patterns(rest.rstrip()), None) if is_name else None
        return Slip(line, column, *found) if found else None
    start = re.match(r"\s*(?:-\s+)*(?:[\w$]+:\s+\{\s*)?", text)
    index = start.end() if start else 0
    found = next(_patterns(text[index:].rstrip().rstrip("}").rstrip()), None)
    return Slip(line, index + 1, *found) if found else None


def missing_space(text: str) -> str:
    """Return a hint for a key and its value without a space, such as ``Owner:1``; an empty string for other text."""
    found = re.fullmatch(r"([^:]*[^:\s]):([^:\s/]*)", text)
    return f"; a space is missing after the colon; write {found[1]}: {found[2]}".rstrip() if found else ""


def _slips_before(lines: list[str], index: int) -> Iterator[Slip]:
    """Yield slips from the line where the parser gave up backwards."""
    for number in range(min(index, len(lines) - 1), max(-1, index - 1 - _LOOK_BACK), -1):
        if not lines[number].strip() or lines[number].lstrip().startswith("#"):
            continue
        slip = find_slip(lines, number + 1)
        if slip is not None:
            yield slip


def _patterns(text: str) -> Iterator[tuple[str, str]]:
    """Yield (reason, cure) of each slip in a line without its indentation."""
    if text.startswith(("'", '"')):
        if found := re.fullmatch(r"""("[^"]*"|'[^']*'):([^\s:]+)""", text):
            yield "a space is missing after the colon", f"write: {found[1]}: {found[2]}"
        elif found := re.fullmatch(r"""((?:"[^"]*"|'[^']*')\s*[^\s:#,][^:]*?)\s*:(?:\s+(\S+))?""", text):
            yield "text continues after the closing quote", _quoted(found[1], found[2])
        return
    special = re.fullmatch(r"([*&!%@`|>?\[{].*?)\s*:(?:\s+(\S.*))?", text) or re.fullmatch(r"(\?\s.*)()", text)
    if special and not re.match(r"""\{\s*["']?[\w$ ]+["']?:""", text):
        yield f"a name that starts with {text[0]} means something else in YAML", _quoted(special[1], special[2])
        return
    if found := re.fullmatch(r"([^#\"']+?\s#[^\s:][^:]*?)\s*:(?:\s+(\S+))?", text):
        yield COMMENT, _quoted(found[1], found[2])
    elif found := re.fullmatch(r"([^#\[{]+?:\s+[^#\[{]*?):\s+(\S+)", text):
        yield "a name with a colon and a space means something else in YAML", _quoted(found[1], found[2])
    elif found := re.fullmatch(r"([^#:\"']+?):([^\s:\"'/]+)", text):
        yield "a space is missing after the colon", f"write: {found[1]}: {found[2]}"
    elif found := re.fullmatch(r"([^#:\"',\[\]{}]+?)\s+(\d+|unlimited)", text):
        yield "a colon is missing", f"write: {found[1].rstrip(' =')}: {found[2]}"
    elif found := re.match(r"[^#:\"']+?:\s+([*&!%@`|>][^#]*)", text):
        yield f"a value that starts with {found[1][0]} means something else in YAML", f"quote it: {_text(found[1])}"


def _quoted(name: str, value: str | None) -> str:
    return f"quote it: {_text(name)}: {value}" if value else f"quote it: {_text(name)}"


def _text(text: str) -> str:
    return json.dumps(text.strip()[:60], ensure_ascii=False)
