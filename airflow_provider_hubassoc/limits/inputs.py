"""Checks the inputs of a batch before the first request, and names every mistake at once."""

from __future__ import annotations

import ast
import json
import math
import numbers
import operator
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.models import MAX_INT32, Action, AssociationCategory, LimitInput, TypeIdentity
from airflow_provider_hubassoc.hubspot.object_types import is_object_type
from airflow_provider_hubassoc.limits.directions import Direction, unlabeled_type_id

_CATEGORIES = [category.value for category in AssociationCategory]
_BOOLEAN = TypeAdapter(bool)
_DIGITS = re.compile(r"([-+]?(?:0|[1-9][0-9]{0,17}))(?:\.0{1,20})?")
_HUGE = 10**18
_OBJECT_TYPE_EXPECTED = "must be a HubSpot object type such as 'contacts' or '0-1'"
_MAX_TEXT = 1_000_000
_MAX_DEPTH = 20
_STRINGS = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
# What is left of data when its strings are "0": brackets and constants. No operators, no calls, no names.
_DATA = re.compile(r"(?:[\[\]{}(),:]|(?<![\w)}\]])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<!\w)(?:None|True|False)(?!\w))*")
ACTIONS: tuple[Action, ...] = ("create", "update", "purge")


class LimitInputsError(HubassocError, ValueError):
    """The arguments of a batch, or of the wait for it, cannot be used.

    :param problems: one sentence per mistake, each beginning with its place, such as ``inputs[2].typeId``.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__("\n".join([f"{count} in the arguments for HubSpot's association limits:", *problems]))


def parse_inputs(
    from_object_type: Any,
    to_object_type: Any,
    inputs: Any,
    action: Any,
    *,
    is_known: Callable[[Any], bool] = lambda value: True,
) -> list[LimitInput]:
    """Check the arguments of one batch.

    :param from_object_type: object type in any spelling that HubSpot takes; see :func:`object_type` for sending it.
    :param to_object_type: the same, for the other side.
    :param inputs: list of ``{"category", "typeId", "maxToObjectIds"}``; for purge without ``maxToObjectIds``.
        Whole numbers may come in any form that :func:`whole_number` takes.
    :param action: ``create``, ``update`` or ``purge``.
    :param is_known: False for values that are not what they will be, such as a template before it is rendered;
        nothing is said against them, and the inputs that hold them are not returned.
    :return: the inputs, ready to be sent.
    :raises LimitInputsError: with every mistake that can be seen without asking HubSpot.
    """
    problems = [
        f"{name}: {_OBJECT_TYPE_EXPECTED}, got {_shown(value)}"
        for name, value in (("from_object_type", from_object_type), ("to_object_type", to_object_type))
        if is_known(value) and not is_object_type(stripped(value))
    ]
    if is_known(action) and action not in ACTIONS:
        problems.append(f"action: must be one of {', '.join(ACTIONS)}, got {_shown(action)}")
    raws: Sequence[Any] = ()
    if is_known(inputs):
        try:
            raws = _listed(inputs)
        except LimitInputsError as error:
            problems += error.problems

    parsed: dict[int, LimitInput] = {}
    for index, raw in enumerate(raws):
        found, mistakes = _parse_input(f"inputs[{index}]", raw, action, is_known)
        problems += mistakes
        if found:
            parsed[index] = found
    problems += _duplicates(parsed)
    problems += _above_object_limit(parsed, stripped(from_object_type), stripped(to_object_type))
    if problems:
        raise LimitInputsError(problems)
    return list(parsed.values())


def parse_seconds(values: Mapping[str, Any]) -> dict[str, float]:
    """Check arguments that are lengths of time.

    :param values: name -> seconds as a number, a string of one (as Jinja renders it), or a timedelta.
    :return: name -> seconds, all above zero.
    :raises LimitInputsError: naming every argument that is none of these.
    """
    seconds: dict[str, float] = {}
    problems = []
    for name, value in values.items():
        try:
            is_odd_text = isinstance(value, str) and ("_" in value or not value.isascii())
            number = math.nan if is_odd_text else _seconds(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if type(value).__name__ in ("bool", "bool_") or not 0 < number < math.inf:
            problems.append(f"{name}: must be a number of seconds above 0, got {_shown(value)}")
        seconds[name] = number
    if problems:
        raise LimitInputsError(problems)
    return seconds


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def check_seconds(name: str, value: Any) -> float:
    """Return one argument that is a length of time, as :func:`parse_seconds` does.

    :raises LimitInputsError: if it is none.
    """
    return parse_seconds({name: value})[name]


def check_count(name: str, value: Any) -> int:
    """Return an argument that is a number of things.

    :param value: a whole number of at least 1 as :func:`whole_number` takes it.
    :raises LimitInputsError: if it is none.
    """
    number = whole_number(value)
    if number is None or number < 1:
        raise LimitInputsError([f"{name}: must be a whole number of at least 1, got {_shown(value)}"])
    return number


def whole_number(value: Any) -> int | None:
    """Return the whole number that a value means, None if it means none. The one rule for arguments and files.

    Any kind of number without a fraction will do: int, Decimal, numpy.int64, 279.0. So will its digits as text with
    blanks around them, as Jinja renders it: ``"279"``, ``"279.0"``. Everything that reads as something else in other
    places is refused: booleans, ``0x10``, ``1_000``, ``010``, ``1e3``, digits of other scripts.
    """
    if isinstance(value, str):
        return _from_digits(value)
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # numpy's is no bool of Python's
        return None
    try:
        if not isinstance(value, numbers.Number):
            value = operator.index(value)
        # The bound first: Decimal("1e999999999") as an int would fill the memory.
        is_whole = abs(value) < _HUGE and int(value) == value
        return int(value) if is_whole else None
    except (TypeError, ValueError, ArithmeticError):
        return None


def _from_digits(text: str) -> int | None:
    found = _DIGITS.fullmatch(text.strip())
    return int(found[1]) if found else None


def stripped(value: Any) -> Any:
    """Return text without the blanks and line breaks at its ends, everything else as it is."""
    return value.strip() if isinstance(value, str) else value


def connection_id(name: str, value: Any) -> str:
    """Return the id of a connection, without blanks around it.

    :raises LimitInputsError: if it is no text, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise LimitInputsError([f"{name}: must be the id of a connection, got {_shown(value)}"])
    return value.strip()


def portal_name(name: str, value: Any) -> str | int:
    """Return the name of a portal in a file of limits, without blanks around it; it may be the portal's number.

    :raises LimitInputsError: if it is neither text nor a whole number.
    """
    found = value.strip() if isinstance(value, str) else whole_number(value)
    if found is None or found == "":
        raise LimitInputsError([f"{name}: must be a name under portals in the file, got {_shown(value)}"])
    return found


def object_type(value: Any) -> str:
    """Return an object type as it is sent: what :func:`parse_inputs` accepts, without blanks around it.

    :raises LimitInputsError: if it is none.
    """
    if not is_object_type(stripped(value)):
        raise LimitInputsError([f"object type: {_OBJECT_TYPE_EXPECTED}, got {_shown(value)}"])
    return str(value).strip()


def from_text(name: str, value: Any) -> Any:
    """Return the dict or list that a text is of, everything else as it is.

    Without native rendering Jinja turns an XCom into its text in Python's spelling (``[{'typeId': 279}]``). That, and
    JSON, can be read back. Text that begins with neither ``{`` nor ``[`` is returned as it is.

    :param name: of the argument, for the error.
    :raises LimitInputsError: if the text is of no plain data, with the two ways to pass the data itself.
    """
    if not isinstance(value, str) or value.strip()[:1] not in ("{", "["):
        return value
    try:
        return parse_python(value)
    except ValueError:
        raise LimitInputsError([f"{name}: cannot be read from the text {_shown(value)}; {PASS_DATA}"]) from None


PASS_DATA = (
    'pass the data itself: task.output or task.output["key"], or set render_template_as_native_obj=True on the DAG'
)
"""What to do where a template has turned data into text."""


def parse_python(text: str) -> Any:
    """Read a dict or a list from JSON, or from its text in Python.

    :raises ValueError: if it is neither, or too large or too deep.
    """
    text = text.strip()
    # Bounded first: Python's parser may take the interpreter down with it.
    bare = "".join(_STRINGS.sub("0", text).split())
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
    if not _DATA.fullmatch(bare):
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


def is_none(value: Any) -> bool:
    """Return True for None, and for the text that Jinja renders for it."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null"))


def parse_boolean(name: str, value: Any, *, optional: bool = False) -> bool | None:
    """Return the boolean that an argument means.

    :param name: of the argument, for the error.
    :param value: a boolean; 1 or 0; or text in any case: true, yes, on, t, y, 1 or false, no, off, f, n, 0.
        Jinja renders a boolean as ``True`` or ``False``.
    :param optional: accept None, and the text that Jinja renders for it.
    :raises LimitInputsError: for everything else; the message names the argument.
    """
    if optional and is_none(value):
        return None
    try:
        return _BOOLEAN.validate_python(stripped(value))
    except ValidationError:
        allowed = "true or false" + (", or None" if optional else "")
        raise LimitInputsError([f"{name}: must be {allowed}, got {_shown(value)}"]) from None


def _listed(inputs: Any) -> Sequence[Any]:
    inputs = from_text("inputs", inputs)
    if isinstance(inputs, str):
        raise LimitInputsError([f"inputs: must be a list, got str {_shown(inputs)}; {PASS_DATA}"])
    if not isinstance(inputs, (list, tuple)):
        raise LimitInputsError([f"inputs: must be a list, got {type(inputs).__name__}"])
    if not inputs:
        raise LimitInputsError(["inputs: must hold at least one input"])
    return inputs


def _parse_input(
    where: str, raw: Any, action: Any, is_known: Callable[[Any], bool]
) -> tuple[LimitInput | None, list[str]]:
    if not is_known(raw):
        return None, []
    if isinstance(raw, LimitInput):
        raw = raw.to_wire()
    if not isinstance(raw, Mapping):
        return None, [f"{where}: must be a mapping, got {type(raw).__name__}"]
    wanted = ["category", "typeId"] + (["maxToObjectIds"] if action in ("create", "update") else [])
    # What an action that is not known yet, or not right, does with a limit cannot be said.
    allowed = wanted if action in ACTIONS else [*wanted, "maxToObjectIds"]
    problems = [f"{where}.{key}: is missing" for key in wanted if key not in raw]
    problems += [
        f"{where}.{_shown(key)}: is not part of an input{f' of {action}' if action in ACTIONS else ''}"
        f" ({', '.join(allowed)})"
        for key in raw
        if key not in allowed
    ]
    category = raw.get("category")
    category = category.value if isinstance(category, AssociationCategory) else stripped(category)
    if "category" in raw and is_known(category) and category not in _CATEGORIES:
        problems.append(f"{where}.category: must be one of {', '.join(_CATEGORIES)}, got {_shown(category)}")
    numbers: dict[str, int] = {}
    for key in allowed[1:]:
        number = _int32(raw.get(key))
        if number is not None:
            numbers[key] = number
        elif key in raw and is_known(raw[key]):
            problems.append(f"{where}.{key}: must be a whole number from 1 to {MAX_INT32}, got {_shown(raw[key])}")
    if problems or category not in _CATEGORIES or any(key not in numbers for key in wanted[1:]):
        return None, problems
    return LimitInput.model_validate({"category": category, **numbers}), []


def _int32(value: Any) -> int | None:
    number = whole_number(value)
    return number if number is not None and 1 <= number <= MAX_INT32 else None


def _duplicates(parsed: dict[int, LimitInput]) -> list[str]:
    first: dict[TypeIdentity, int] = {}
    return [
        f"inputs[{index}]: repeats inputs[{first[each.identity]}]: {each.category.value} {each.type_id}"
        for index, each in parsed.items()
        if first.setdefault(each.identity, index) != index
    ]


def _above_object_limit(parsed: dict[int, LimitInput], from_object_type: Any, to_object_type: Any) -> list[str]:
    """Find label limits above the object limit. Source: HubSpot's changelog "Introducing custom association limits".

    Equality is left to HubSpot: its documents contradict one another there.
    """
    if not (is_object_type(from_object_type) and is_object_type(to_object_type)):
        return []
    unlabeled = unlabeled_type_id(Direction(from_object_type, to_object_type))
    by_type = {each.identity: each.max_to_object_ids for each in parsed.values()}
    object_limit = by_type.get((AssociationCategory.HUBSPOT_DEFINED.value, unlabeled)) if unlabeled else None
    if object_limit is None:
        return []
    return [
        f"inputs[{index}].maxToObjectIds: {each.max_to_object_ids} is above the object limit of {object_limit}"
        f" (HUBSPOT_DEFINED {unlabeled}) in the same batch; HubSpot wants label limit <= object limit"
        for index, each in parsed.items()
        if each.max_to_object_ids is not None and each.max_to_object_ids > object_limit
    ]


_repr = reprlib.Repr()
_repr.maxlevel = 3
_repr.maxstring = _repr.maxother = 60
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = 10


def _shown(value: Any) -> str:
    try:
        text = _repr.repr(value)  # bounded: what a few lines of nested YAML aliases give has no end
    except ValueError:  # Python writes out no integer of more than some thousand digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"
