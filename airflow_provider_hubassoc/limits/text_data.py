"""Plain data from its text: JSON, or the spelling of Python that Jinja renders."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_MAX_TEXT = 1_000_000
_MAX_DEPTH = 20

# Not compiled here: every DAG file imports this module, and few need it.
_STRINGS = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""
# Data whose strings are replaced by "0": only brackets and constants, no operators, calls or names.
_DATA = r"(?:[\[\]{}(),:]|(?<![\w)}\]])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<!\w)(?:None|True|False)(?!\w))*"


def data_from_text(text: str) -> Any:
    """Read a dict or a list from JSON, or from its text in Python.

    :raises ValueError: if it is neither, if a dict has a key twice, or if it is too large or too deep.
    """
    text = text.strip()
    # Check the size first: Python's parser may take the interpreter down with it.
    bare = "".join(re.sub(_STRINGS, "0", text).split())
    depth = deepest = 0
    for char in bare:
        depth += (char in "[{(") - (char in ")}]")
        deepest = max(deepest, depth)
    if len(text) > _MAX_TEXT or deepest > _MAX_DEPTH:
        raise ValueError("too large or too deep")
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        pass
    if not re.fullmatch(_DATA, bare):
        raise ValueError("not plain data")
    try:
        tree = ast.parse(text, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                _without_duplicates([(ast.literal_eval(key), None) for key in node.keys if key])
        return ast.literal_eval(tree)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError("not plain data") from error


def _without_duplicates(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found
