"""Check and convert arguments before the first request, and name every mistake at once.

Every DAG file with an operator of this package runs these checks, so this module imports no models.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.hubspot.constants import ACTIONS, MAX_INT32, AssociationCategory, TypeIdentity
from airflow_provider_hubassoc.hubspot.object_types import is_object_type
from airflow_provider_hubassoc.limits.directions import Direction, unlabeled_type_id
from airflow_provider_hubassoc.limits.text_data import data_from_text

if TYPE_CHECKING:
    pass

PASS_DATA = (
    'pass the data itself: task.output or task.output["key"], or set render_template_as_native_obj=True on the DAG'
)
"""Advice for a value that a template has turned into text."""

_CATEGORIES = tuple(category.value for category in AssociationCategory)
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "t", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "f", "n", "0"), False),
}
_DIGITS = re.compile(r"([-+]?(?:0|[1-9][0-9]{0,17}))(?:\.0{1,20})?")
_HUGE = 10**18
_OBJECT_TYPE_EXPECTED = "must be a HubSpot object type such as 'contacts' or '0-1'"


class LimitInputsError(HubassocError, ValueError):
    """The arguments of a batch, or of the wait for it, cannot be used.

    :param problems: one sentence per mistake, each beginning with its place, such as ``inputs[2].typeId``.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__("\n".join([f"{count} in the arguments for HubSpot's association limits:", *problems]))


# -- the inputs of a batch --


def check_inputs(
    from_object_type: Any,
    to_object_type: Any,
    inputs: Any,
    action: Any,
    *,
    is_known: Callable[[Any], bool] = lambda value: True,
) -> list[dict[str, Any]]:
    """Check the arguments of one batch.

    :param from_object_type: object type in any spelling that HubSpot accepts; blanks around it are ignored.
    :param to_object_type: the same, for the other side.
    :param inputs: list of ``{"category", "typeId", "maxToObjectIds"}``; for purge without ``maxToObjectIds``.
        Whole numbers may have any form that :func:`whole_number` accepts.
    :param action: ``create``, ``update`` or ``purge``.
    :param is_known: False for values that may still change, such as a template before it is rendered. They are not
        checked, and the inputs that hold them are not returned.
    :return: the inputs in HubSpot's format.
    :raises LimitInputsError: with every mistake that can be seen without asking HubSpot.
    """
    problems = [
        f"{name}: {_OBJECT_TYPE_EXPECTED}, got {_shown(value)}"
        for name, value in (("from_object_type", from_object_type), ("to_object_type", to_object_type))
        if is_known(value) and not is_object_type(stripped(value))
    ]
    if is_known(action) and action not in ACTIONS:
        problems.append(f"action: must be one of {', '.join(ACTIONS)}, got {_shown(action)}")
    items: Sequence[Any] = ()
    if is_known(inputs):
        try:
            items = _list_of_inputs(inputs)
        except LimitInputsError as error:
            problems += error.problems

    checked: dict[int, dict[str, Any]] = {}
    for index, item in enumerate(items):
        if not is_known(item):
            continue
        limit_input, mistakes = _check_input(f"inputs[{index}]", item, action, is_known)
        problems += mistakes
        if limit_input:
            checked[index] = limit_input
    problems += _duplicates(checked)
    problems += _above_object_limit(checked, stripped(from_object_type), stripped(to_object_type))
    if problems:
        raise LimitInputsError(problems)
    return list(checked.values())


def _list_of_inputs(inputs: Any) -> Sequence[Any]:
    inputs = from_text("inputs", inputs)
    if isinstance(inputs, str):
        raise LimitInputsError([f"inputs: must be a list, got str {_shown(inputs)}; {PASS_DATA}"])
    if not isinstance(inputs, (list, tuple)):
        raise LimitInputsError([f"inputs: must be a list, got {type(inputs).__name__}"])
    if not inputs:
        raise LimitInputsError(["inputs: must hold at least one input"])
    return inputs


def _check_input(
    where: str, item: Any, action: Any, is_known: Callable[[Any], bool]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Check one input.

    :param where: its place, for messages.
    :return: the input in HubSpot's format, None if part of it is wrong or not known; and the mistakes.
    """
    if not isinstance(item, Mapping) and hasattr(item, "to_wire"):  # a LimitInput
        item = item.to_wire()
    if not isinstance(item, Mapping):
        return None, [f"{where}: must be a mapping, got {type(item).__name__}"]
    required = ["category", "typeId"] + (["maxToObjectIds"] if action in ("create", "update") else [])
    # An unknown or wrong action may or may not need a limit.
    allowed = required if action in ACTIONS else [*required, "maxToObjectIds"]
    problems = [f"{where}.{key}: is missing" for key in required if key not in item]
    problems += [
        f"{where}.{_shown(key)}: is not part of an input{f' of {action}' if action in ACTIONS else ''}"
        f" ({', '.join(allowed)})"
        for key in item
        if key not in allowed
    ]
    category = item.get("category")
    category = category.value if isinstance(category, AssociationCategory) else stripped(category)
    if "category" in item and is_known(category) and category not in _CATEGORIES:
        problems.append(f"{where}.category: must be one of {', '.join(_CATEGORIES)}, got {_shown(category)}")
    found: dict[str, int] = {}
    for key in allowed[1:]:
        number = whole_number(item.get(key))
        if number is not None and 1 <= number <= MAX_INT32:
            found[key] = number
        elif key in item and is_known(item[key]):
            problems.append(f"{where}.{key}: must be a whole number from 1 to {MAX_INT32}, got {_shown(item[key])}")
    if problems or category not in _CATEGORIES or any(key not in found for key in required[1:]):
        return None, problems
    return {"category": category, **found}, []


def _identity(limit_input: Mapping[str, Any]) -> TypeIdentity:
    return limit_input["category"], limit_input["typeId"]


def _duplicates(checked: dict[int, dict[str, Any]]) -> list[str]:
    first: dict[TypeIdentity, int] = {}
    return [
        f"inputs[{index}]: repeats inputs[{first[identity]}]: {identity[0]} {identity[1]}"
        for index, identity in ((index, _identity(limit_input)) for index, limit_input in checked.items())
        if first.setdefault(identity, index) != index
    ]


def _above_object_limit(checked: dict[int, dict[str, Any]], from_object_type: Any, to_object_type: Any) -> list[str]:
    """Find label limits above the object limit. Source: HubSpot's changelog "Introducing custom association limits".

    Equal limits are left to HubSpot: its documents contradict one another about them.
    """
    if not (is_object_type(from_object_type) and is_object_type(to_object_type)):
        return []
    limits = {_identity(item): item["maxToObjectIds"] for item in checked.values() if "maxToObjectIds" in item}
    if len(set(limits.values())) < 2:
        return []  # without the table of association types, which takes time to load
    unlabeled = unlabeled_type_id(Direction(from_object_type, to_object_type))
    object_limit = limits.get((AssociationCategory.HUBSPOT_DEFINED.value, unlabeled)) if unlabeled else None
    if object_limit is None:
        return []
    return [
        f"inputs[{index}].maxToObjectIds: {limit_input['maxToObjectIds']} is above the object limit of {object_limit}"
        f" (HUBSPOT_DEFINED {unlabeled}) in the same batch; HubSpot wants label limit <= object limit"
        for index, limit_input in checked.items()
        if limit_input.get("maxToObjectIds", 0) > object_limit
    ]


# -- single arguments --


def parse_seconds(values: Mapping[str, Any]) -> dict[str, float]:
    """Check arguments that are lengths of time.

    :param values: name -> seconds as a number, as text (as Jinja renders it), or as a timedelta.
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
        if _is_boolean(value) or not 0 < number < math.inf:
            problems.append(f"{name}: must be a number of seconds above 0, got {_shown(value)}")
        seconds[name] = number
    if problems:
        raise LimitInputsError(problems)
    return seconds


def _seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def check_seconds(name: str, value: Any) -> float:
    """Return one argument that is a length of time, as :func:`parse_seconds` does.

    :raises LimitInputsError: if it is not a length of time.
    """
    return parse_seconds({name: value})[name]


def check_count(name: str, value: Any) -> int:
    """Return an argument that is a number of things.

    :param value: a whole number of at least 1, as :func:`whole_number` accepts it.
    :raises LimitInputsError: if it is none.
    """
    number = whole_number(value)
    if number is None or number < 1:
        raise LimitInputsError([f"{name}: must be a whole number of at least 1, got {_shown(value)}"])
    return number


def whole_number(value: Any) -> int | None:
    """Return the whole number that a value means; None for other values. Arguments and files share this rule.

    Accepted are numbers of any type without a fraction (int, Decimal, numpy.int64, 279.0), and their digits as text,
    as Jinja renders them, with blanks around them: ``"279"``, ``"279.0"``. Everything that other programs read as
    something else is refused: booleans, ``0x10``, ``1_000``, ``010``, ``1e3``, digits of other scripts.
    """
    if isinstance(value, str):
        digits = _DIGITS.fullmatch(value.strip())
        return int(digits[1]) if digits else None
    if _is_boolean(value):
        return None
    try:
        if not isinstance(value, numbers.Number):
            value = operator.index(value)
        # Check the size first: Decimal("1e999999999") as an int would fill the memory.
        is_whole = abs(value) < _HUGE and int(value) == value
        return int(value) if is_whole else None
    except (TypeError, ValueError, ArithmeticError):
        return None


def _is_boolean(value: Any) -> bool:
    return type(value).__name__ in ("bool", "bool_")  # numpy's boolean is not a subclass of Python's


def stripped(value: Any) -> Any:
    """Return text without the white space at its ends, and everything else unchanged."""
    return value.strip() if isinstance(value, str) else value


def connection_id(name: str, value: Any) -> str:
    """Return the id of a connection, without blanks around it.

    :raises LimitInputsError: if it is not text, or is empty.
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
    """Return an object type as it is sent to HubSpot, without blanks around it.

    :raises LimitInputsError: if :func:`check_inputs` would refuse it.
    """
    if not is_object_type(stripped(value)):
        raise LimitInputsError([f"object type: {_OBJECT_TYPE_EXPECTED}, got {_shown(value)}"])
    return str(value).strip()


def from_text(name: str, value: Any) -> Any:
    """Return the dict or list that a text stands for, and everything else unchanged.

    Without native rendering, Jinja turns an XCom into its text in Python (``[{'typeId': 279}]``). Such text, and JSON,
    is read back. Text that begins with neither ``{`` nor ``[`` is returned unchanged.

    :param name: of the argument, for the error.
    :raises LimitInputsError: if the text is not plain data; it says how to pass the data itself.
    """
    if not isinstance(value, str) or value.strip()[:1] not in ("{", "["):
        return value
    try:
        return data_from_text(value)
    except ValueError:
        raise LimitInputsError([f"{name}: cannot be read from the text {_shown(value)}; {PASS_DATA}"]) from None


def is_none(value: Any) -> bool:
    """Return True for None, and for the text that Jinja renders for it."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null"))


def parse_boolean(name: str, value: Any, *, optional: bool = False) -> bool | None:
    """Return the boolean that an argument means.

    :param name: of the argument, for the error.
    :param value: a boolean; 1 or 0; or text in any case: true, yes, on, t, y, 1 or false, no, off, f, n, 0.
        Jinja renders a boolean as ``True`` or ``False``.
    :param optional: also accept None, and the text that Jinja renders for it.
    :raises LimitInputsError: for everything else; the message names the argument.
    """
    if optional and is_none(value):
        return None
    if _is_boolean(value):
        return bool(value)
    meaning = _BOOLEANS.get(value.strip().lower() if isinstance(value, str) else str(whole_number(value)))
    if meaning is None:
        allowed = "true or false" + (", or None" if optional else "")
        raise LimitInputsError([f"{name}: must be {allowed}, got {_shown(value)}"])
    return meaning


_repr = reprlib.Repr()
_repr.maxlevel = 3
_repr.maxstring = _repr.maxother = 60
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = 10


def _shown(value: Any) -> str:
    """Return the value for a message, shortened."""
    try:
        text = _repr.repr(value)  # its size is bounded, unlike that of a few lines of nested YAML aliases
    except ValueError:  # Python writes out no integer of more than some thousand digits
        return f"a huge {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"
