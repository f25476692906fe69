"""Checks the inputs of a batch before the first request, and names every mistake at once."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airflow_provider_hubassoc.hubspot.models import MAX_INT32, Action, AssociationCategory, LimitInput, TypeIdentity
from airflow_provider_hubassoc.hubspot.object_types import is_object_type, normalize

_CATEGORIES = [category.value for category in AssociationCategory]
_BOOLEAN = TypeAdapter(bool)
ACTIONS: tuple[Action, ...] = ("create", "update", "purge")


class LimitInputsError(ValueError):
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

    :param from_object_type: object type in any spelling that HubSpot takes.
    :param to_object_type: the same, for the other side.
    :param inputs: list of ``{"category", "typeId", "maxToObjectIds"}``; for purge without ``maxToObjectIds``.
        Whole numbers may also come as strings, as Jinja renders them.
    :param action: ``create``, ``update`` or ``purge``.
    :param is_known: False for values that are not what they will be, such as a template before it is rendered;
        nothing is said against them, and the inputs that hold them are not returned.
    :return: the inputs, ready to be sent.
    :raises LimitInputsError: with every mistake that can be seen without asking HubSpot.
    """
    problems = [
        f"{name}: must be a HubSpot object type such as 'contacts' or '0-1', got {_shown(value)}"
        for name, value in (("from_object_type", from_object_type), ("to_object_type", to_object_type))
        if is_known(value) and not is_object_type(value)
    ]
    if is_known(action) and action not in ACTIONS:
        problems.append(f"action: must be one of {', '.join(ACTIONS)}, got {_shown(action)}")
    if not is_known(inputs):
        inputs = []
    elif not isinstance(inputs, (list, tuple)):
        problems.append(f"inputs: must be a list, got {type(inputs).__name__}")
        inputs = []
    elif not inputs:
        problems.append("inputs: must hold at least one input")

    parsed: dict[int, LimitInput] = {}
    for index, raw in enumerate(inputs):
        found, mistakes = _parse_input(f"inputs[{index}]", raw, action, is_known)
        problems += mistakes
        if found:
            parsed[index] = found
    problems += _duplicates(parsed)
    problems += _above_object_limit(parsed, from_object_type, to_object_type)
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
            number = value.total_seconds() if isinstance(value, timedelta) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not 0 < number < math.inf:
            problems.append(f"{name}: must be a number of seconds above 0, got {_shown(value)}")
        seconds[name] = number
    if problems:
        raise LimitInputsError(problems)
    return seconds


def check_count(name: str, value: Any) -> None:
    """Check an argument that is a number of things.

    :raises LimitInputsError: if it is no integer from 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise LimitInputsError([f"{name}: must be an integer of at least 1, got {_shown(value)}"])


def parse_boolean(name: str, value: Any, *, optional: bool = False) -> bool | None:
    """Return the boolean that an argument means.

    :param name: of the argument, for the error.
    :param value: a boolean; 1 or 0; or text in any case: true, yes, on, t, y, 1 or false, no, off, f, n, 0.
        Jinja renders a boolean as ``True`` or ``False``.
    :param optional: accept None, and the text that Jinja renders for it.
    :raises LimitInputsError: for everything else; the message names the argument.
    """
    text = value.strip() if isinstance(value, str) else value
    if optional and (text is None or (isinstance(text, str) and text.lower() in ("none", "null"))):
        return None
    try:
        return _BOOLEAN.validate_python(text)
    except ValidationError:
        allowed = "true or false" + (", or None" if optional else "")
        raise LimitInputsError([f"{name}: must be {allowed}, got {_shown(value)}"]) from None


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
    if isinstance(category, AssociationCategory):
        category = category.value
    if "category" in raw and is_known(category) and category not in _CATEGORIES:
        problems.append(f"{where}.category: must be one of {', '.join(_CATEGORIES)}, got {_shown(category)}")
    numbers: dict[str, int] = {}
    for key in allowed[1:]:
        number = _int32(raw.get(key))
        if number is not None:
            numbers[key] = number
        elif key in raw and is_known(raw[key]):
            problems.append(f"{where}.{key}: must be an integer from 1 to {MAX_INT32}, got {_shown(raw[key])}")
    if problems or category not in _CATEGORIES or any(key not in numbers for key in wanted[1:]):
        return None, problems
    return LimitInput.model_validate({"category": category, **numbers}), []


def _int32(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        value = int(value)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return value if is_integer and 1 <= value <= MAX_INT32 else None


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
    unlabeled = unlabeled_type_id(from_object_type, to_object_type)
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


def unlabeled_type_id(from_object_type: str, to_object_type: str) -> int | None:
    """Return the typeId of the unlabeled HUBSPOT_DEFINED type of a direction, None where HubSpot lists none.

    Source: HubSpot's guide "Associate records", table of association type ids.
    """
    return _unlabeled_types().get((normalize(from_object_type), normalize(to_object_type)))


@cache
def _unlabeled_types() -> dict[tuple[str, str], int]:
    rows = json.loads(files("airflow_provider_hubassoc").joinpath("association_types.json").read_text("utf-8"))
    return {(row["fromObjectTypeId"], row["toObjectTypeId"]): row["typeId"] for row in rows if row["label"] is None}


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
