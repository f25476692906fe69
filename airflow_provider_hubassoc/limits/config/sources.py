"""Sources of declared limits: a mapping, a file, or text.

The path of a file may come from somebody who may not read that file (a template, the conf of a DAG run). A message
therefore shows nothing of a file unless the file looks like a limits file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from airflow_provider_hubassoc.limits.config.document import Document
from airflow_provider_hubassoc.limits.config.yaml_text import (
    BAD_CHARACTER,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    TOO_DEEP,
    TOO_LARGE,
    TOO_MANY,
    parse,
)
from airflow_provider_hubassoc.limits.inputs import PASS_DATA
from airflow_provider_hubassoc.limits.problems import ConfigError, DataPath, Problem, show, show_path, text_of
from airflow_provider_hubassoc.limits.text_data import data_from_text

SUFFIXES = (".yaml", ".yml", ".json")
"""File extensions accepted as limits files."""

_TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOENT", "ESTALE", "EIO", "EAGAIN", "EINTR", "EBUSY", "ETIMEDOUT", "ENOTCONN", "ENETDOWN", "ENETUNREACH"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EREMOTEIO", "ENFILE", "EMFILE"),
        *("ENOMEM", "ENOLINK", "ELOOP"),
    )
    if hasattr(errno, name)
)
"""Transient errors of opening or reading a file: a bundle is being cloned, a symlink is being swapped, or a network
file system does not answer."""


def read(source: str | Path | Mapping[str, Any]) -> Document:
    """Read declared limits into plain data.

    :param source: a mapping; the path of a YAML or JSON file; or text, which differs from a path by a line break or a
        leading brace.
    :raises ConfigError: if it cannot be read, is too large or is not plain YAML. About a file that is not a limits
        file the error reveals nothing else.
    """
    if isinstance(source, Mapping):
        return Document(_plain(source, (), count()))
    if isinstance(source, str):
        # Jinja leaves line breaks around a path, and renders a dict as Python source.
        stripped = source.strip()
        if stripped.lower() in ("none", "null") or source.strip(" ") == "":
            message = f"allowed: a mapping, or the path of a file; {PASS_DATA}"
            raise ConfigError([Problem(message, line=1, found=show(source), column=1)])
        if stripped.startswith("{"):
            return _parse_braces(stripped, source)
        if "\n" in stripped or ("\n" in source and not stripped.lower().endswith(SUFFIXES)):
            return parse(source, "")
        source = stripped
    if not isinstance(source, (str, Path)):
        raise ConfigError([Problem("allowed: a mapping, or the path of a file", found=show(source))])
    try:
        return _read_file(Path(source))
    except ConfigError as error:
        # The traceback and the context hold the content of the file.
        error.__context__ = None
        raise error.with_traceback(None) from None


def _parse_braces(text: str, source: str) -> Document:
    """Read text that begins with a brace: JSON, YAML, or a dict as Python source, parts of which YAML misreads."""
    if not text.startswith("{'"):
        return parse(source, "")
    data = None
    with contextlib.suppress(ValueError):
        data = data_from_text(text)
    if isinstance(data, Mapping):
        return Document(_plain(data, (), count()))
    try:
        return parse(source, "")
    except ConfigError as error:
        first, *others = error.problems
        message = f"{first.message}; if this comes from a template, {PASS_DATA}"
        raise ConfigError([replace(first, message=message), *others]) from None


def _read_file(path: Path) -> Document:
    name = str(path).encode(errors="backslashreplace").decode()
    if path.suffix.lower() not in SUFFIXES:
        message = f"is not the name of a limits file; allowed: a path that ends in {', '.join(SUFFIXES)}, "
        message += "or YAML text of several lines"
        message += f"; if this comes from a template, {PASS_DATA}" if path.name.endswith(("]", ">")) else ""
        raise ConfigError([Problem(message)], name)
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_BYTES + 1) if is_regular else b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        retryable = getattr(error, "errno", None) in _TRANSIENT
        raise ConfigError([Problem(f"cannot be read: {reason}")], name, retryable=retryable) from None
    if not is_regular:
        raise ConfigError([Problem("cannot be read: Not a regular file")], name)
    if not content:
        message = "is empty; if it is still being written or cloned, try again"
        raise ConfigError([Problem(message)], name, retryable=True)
    if len(content) > MAX_BYTES:
        raise ConfigError([Problem(TOO_LARGE)], name)
    try:
        # Editors on Windows put a BOM before UTF-8.
        return parse(content.decode("utf-8-sig"), name)
    except UnicodeDecodeError:
        raise ConfigError([Problem("is not UTF-8 text")], name) from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file at once, even a named pipe, which otherwise blocks until somebody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _plain(value: Any, path: DataPath, counter: Iterator[int]) -> Any:
    """Copy a mapping with its keys as text, as they are in a file.

    Depth and size are limited as for a file, because a mapping may contain itself, or one list many times.
    """
    if len(path) > MAX_DEPTH:
        raise ConfigError([Problem(TOO_DEEP, show_path(path[:3]))])
    if next(counter) > MAX_VALUES:
        raise ConfigError([Problem(TOO_MANY)])
    if isinstance(value, Mapping):
        mapping: dict[str, Any] = {}
        for raw_key, item in value.items():
            key = text_of(raw_key) if isinstance(raw_key, (str, int, float, type(None))) else None
            if key is None:
                raise ConfigError([Problem("a key must be text", show_path(path), found=show(raw_key))])
            if not _is_encodable(key):
                raise ConfigError([Problem(BAD_CHARACTER, show_path(path))])
            if key in mapping:
                raise ConfigError([Problem("is defined twice", show_path((*path, key)))])
            mapping[key] = _plain(item, (*path, key), counter)
        return mapping
    if isinstance(value, str) and not _is_encodable(value):
        raise ConfigError([Problem(BAD_CHARACTER, show_path(path))])
    if isinstance(value, (list, tuple)):
        return [_plain(item, (*path, index), counter) for index, item in enumerate(value)]
    return value


def _is_encodable(text: str) -> bool:
    """Return False for text that cannot be written, such as half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
