"""Every entry point for text and data that a user or HubSpot controls, and the outcomes it allows."""

from __future__ import annotations

import copy
import datetime
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from airflow.sdk.log import _secrets_masker
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from airflow_provider_hubassoc.connection_settings import read_settings
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.error_mapping import from_response
from airflow_provider_hubassoc.hubspot.errors import (
    HubSpotError,
    HubSpotOperationError,
    HubSpotPollError,
    HubSpotSettingsError,
    HubSpotUnreadableAnswerError,
)
from airflow_provider_hubassoc.hubspot.models import AssociationLabel, AssociationLimit, BatchAnswer
from airflow_provider_hubassoc.hubspot.retries import RetryPolicy, parse_retry_after
from airflow_provider_hubassoc.hubspot.settings import HubSpotSettings
from airflow_provider_hubassoc.hubspot.transport import RateLimit
from airflow_provider_hubassoc.limits.apply.batching import steps
from airflow_provider_hubassoc.limits.config import load_config
from airflow_provider_hubassoc.limits.directions import Direction
from airflow_provider_hubassoc.limits.inputs import LimitInputsError, parse_seconds
from airflow_provider_hubassoc.limits.operation import BatchOperation, OperationHandleError, refresh
from airflow_provider_hubassoc.limits.plan import Plan, StalePlanError, build_plan
from airflow_provider_hubassoc.limits.plan.rebase import rebase
from airflow_provider_hubassoc.limits.plan.render import render_markdown, render_text
from airflow_provider_hubassoc.limits.problems import ConfigError
from airflow_provider_hubassoc.limits.state import DirectionState, PortalState
from airflow_provider_hubassoc.operators import (
    HubSpotAssociationLimitsOperator,
    HubSpotAssociationLimitsSyncOperator,
)
from airflow_provider_hubassoc.sensors import HubSpotAssociationLimitsSensor
from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.templating import InvalidArgumentsError
from airflow_provider_hubassoc.triggers import operation_from_event, report_from_event
from tests.support.inputs import parse_inputs
from tests.support.wire import Peer, client_of, limit

PAIR = ("contacts", "companies")
TOKEN_PATH = "/oauth/2026-03/token"


@dataclass
class World:
    """Environment of an entry.

    :param hubspot: simulator with programmed answers.
    :param client: of it; it sends every request once.
    :param folder: for files.
    """

    hubspot: Simulator
    client: HubSpotClient
    folder: Path

    def answer(self, answer: Answer, path: str = "*") -> None:
        # Twice: the client sends a request again when HubSpot rejects a token that has worked before.
        self.hubspot.inject(path=path, status=answer.status, body=answer.body, headers=answer.headers, times=2)


@dataclass(frozen=True)
class Answer:
    """An answer of HubSpot's."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One entry point.

    :param name: of it.
    :param cases: what to put in.
    :param call: puts it in, and uses what comes out.
    :param errors: what may be raised.
    :param names_the_place: whether the message names the place of the mistake.
    :param is_local: whether nothing may be sent.
    """

    name: str
    cases: st.SearchStrategy[Any]
    call: Callable[[World, Any], object]
    errors: tuple[type[Exception], ...]
    names_the_place: Callable[[Any, Any], bool]
    is_local: bool = True

    def __str__(self) -> str:
        return self.name


# -- values ----------------------------------------------------------------------------------------------------


def _deep(depth: int) -> Any:
    value: Any = []
    for level in range(depth):
        value = [value] if level % 2 else {"results": value}
    return value


JUNK: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 2**31 - 1, 2**31, 2**63, 10**400, -(10**400), 1e308, math.nan, math.inf),
    *("", " ", "x", "0", "5", "-5", "1e999", "\ud800", "\x00", "é", "😀", "\u202e", "x" * 5000, "9" * 5000, "{{ x }}"),
    *(
        "contacts",
        "0-1",
        "HUBSPOT_DEFINED",
        "PENDING",
        "unlimited",
        "2026-01-01T00:00:00Z",
        "../..",
        "https://x.invalid",
    ),
    *([], {}, [None], {"": None}, [[]], [1, 2], {"x": {"y": "z"}}, _deep(15), _deep(60), ["x"] * 300),
]
"""JSON values of unexpected types and sizes."""

_junk = st.sampled_from(JUNK)
_names = st.sampled_from(
    [
        *("results", "status", "errors", "numErrors", "links", "context", "category", "typeId", "maxToObjectIds"),
        *("message", "label", "from", "to", "limit", "labels", "types", "version", "associations", "type", "action"),
        *("portalId", "access_token", "expires_in", "outcome", "operation", "report", "error", "retry_after"),
    ]
)
_texts = st.text(max_size=6)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | _texts | _junk | st.integers(-3, 10)
json_values = st.recursive(
    _scalars,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(_names | _texts, each, max_size=4),
    max_leaves=8,
)


def _python_junk() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return [
        *(b"x", (1, 2), {1, 2}, datetime.date(2026, 1, 1), datetime.timedelta(days=1), 10**5000, -(10**5000)),
        *(object(), ValueError("x"), {(1, 2): 3}, {10**5000: 1}, {1: 1, "1": 2}, {None: 1, True: 2, 1.5: 3}),
        *(endless, {"x": endless}, "\ud800\udc00", range(3), len, type),
    ]


PYTHON_JUNK = _python_junk()
"""Further values that a DAG file may contain."""

python_values = json_values | _junk | st.sampled_from(PYTHON_JUNK)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if len(path) < 8:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value) if type(value) is list else ():
            yield from _paths(each, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, valid: Any, junk: st.SearchStrategy[Any] = _junk | json_values) -> Any:
    """Draw a valid value in which up to three places are dropped, renamed, repeated, nested or something else."""
    root = [copy.deepcopy(valid)]
    for _ in range(draw(st.integers(0, 3))):
        *parents, last = draw(st.sampled_from(list(_paths(root[0], (0,)))))
        parent: Any = root
        for part in parents:
            parent = parent[part]
        how = draw(st.sampled_from(["drop", "replace", "replace", "nest", "rename", "repeat"]))
        if how == "drop" and parents:
            del parent[last]
        elif how == "nest":
            parent[last] = draw(st.sampled_from([[parent[last]], {"x": parent[last]}, [[parent[last]] * 2]]))
        elif how == "rename" and isinstance(parent, dict):
            parent[draw(_texts)] = parent.pop(last)
        elif how == "repeat" and isinstance(parent[last], list):
            parent[last] = parent[last] * 3
        else:
            parent[last] = copy.deepcopy(draw(junk))  # it may be changed in turn
    return root[0]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, default=repr)


SNIPPETS = [
    *("{", "}", "[", "]", ",", ":", ": ", "- ", "\n", "\r", "\t", "'", '"', "|", ">", "#", "&a ", "*a", "<<: *a", "? "),
    *("!!python/object/apply:os.system [x]", "!x ", "!!binary x", "%YAML 9.9\n", "%TAG ! x\n", "---\n", "...\n"),
    *(
        "\x00",
        "\x07",
        "\x85",
        "\u2028",
        "\ufeff",
        "\ud800",
        "\\ud800",
        "\\u0000",
        "\\",
        "0x1F",
        "1_000",
        "1:30",
        ".inf",
    ),
    *("NaN", "Infinity", "-", "1e999", "9" * 5000, "[" * 1000, '{"a":' * 1000, "null", "~", "yes", "@", "`", "%"),
]


@st.composite
def garbled(draw: st.DrawFn, valid: str) -> str:
    """Draw a valid text into which up to three snippets are put, or from which pieces are cut."""
    text = valid
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        text = text[:start] + draw(st.sampled_from(SNIPPETS) | _texts) + text[end:]
    return text


ODD_JSON = [
    *("", " ", "null", "[", "]", "{", '{"a":' * 50_000, "[" * 100_000, "1" * 10_000, "-", "\ufeff{}", "<html>x</html>"),
    *('{"status": "COMPLETE", "status": 5}', '{"results": [], "results": {}}', '{"results": [NaN]}', '"\\ud800"'),
    *('{"portalId": 1, "portalId": "x"}', '{"results": [1e999]}', f'{{"portalId": {"9" * 4999}}}', "{}x", "{}{}"),
    *(f'{{"results": {"[" * 300}{"]" * 300}}}', f'{{"status": "COMPLETE", "numErrors": {"9" * 5000}}}'),
]


def bodies(valid: Any) -> st.SearchStrategy[bytes]:
    """Draw bodies that HubSpot or another server may answer with."""
    text = _json(valid)
    return st.one_of(
        mutated(valid).map(_json).map(str.encode),
        garbled(text).map(lambda each: each.encode("utf-8", "surrogatepass")),
        json_values.map(_json).map(str.encode),
        st.binary(max_size=60),
        st.sampled_from(ODD_JSON).map(str.encode),
        st.integers(0, len(text)).map(lambda end: text[:end].encode()),
    )


_header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(
    str.strip
) | st.sampled_from(
    [
        *("0", "5", "-5", "1.5", "1e999", "nan", "inf", "9" * 400, "9" * 5000, "", "soon", "5, 7", "٣"),
        *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 9999 07:28:00 GMT", "Wed, 99 Oct 2015 99:99:99 GMT"),
        *("Fri, 31 Dec 99999 23:59:60 +9999", "1 Jan 0001 00:00:00 -0000", "Mon, 1 Jan 2024 00:00:00 -9900"),
    ]
)
_HEADERS = [
    *("Retry-After", "X-HubSpot-RateLimit-Max", "X-HubSpot-RateLimit-Remaining"),
    *("X-HubSpot-RateLimit-Interval-Milliseconds", "X-HubSpot-Correlation-Id"),
]
_headers = st.dictionaries(st.sampled_from(_HEADERS), _header_texts.filter(str.isascii), max_size=5)
_statuses = (
    st.sampled_from([200, 200, 200, 201, 204, 207])
    | st.sampled_from([300, 302, 304, 400, 401, 403, 404, 409, 414, 423, 429, 437, 477, 500, 502, 503, 504, 521, 524])
    | st.integers(200, 599)
)


def answers(valid: Any) -> st.SearchStrategy[Answer]:
    error = {
        **{"status": "error", "message": "No", "category": "X", "subCategory": "y", "correlationId": "c"},
        **{"policyName": "DAILY", "errorType": "RATE_LIMIT"},
        "errors": [{"message": "No", "context": {"requiredGranularScopes": ["a", "b"]}}],
    }
    good = st.builds(Answer, st.sampled_from([200, 201, 207]), bodies(valid), _headers)
    return good | st.builds(Answer, _statuses, bodies(error) | bodies(valid), _headers)


# -- messages --------------------------------------------------------------------------------------------------

_SETTINGS = [*HubSpotSettings.model_fields, "host", "port", "password (access token)", "extra"]


def _names_a_setting(case: Any, error: HubSpotSettingsError) -> bool:
    _, _, mistakes = str(error).partition("The HubSpot connection cannot be used: ")
    fields = f"(?:{'|'.join(map(re.escape, _SETTINGS))})"
    each = re.split(f"; (?={fields}: )", mistakes)
    return all(re.match(f"{fields}: .|extra is not (JSON|a JSON object)", part) for part in each)


def _begins_with(*places: str) -> Callable[[Any, Any], bool]:
    """Return True if every mistake begins with its place."""
    pattern = re.compile(f"(?:task task: )?(?:{'|'.join(places)})")

    def names_the_place(case: Any, error: Exception) -> bool:
        lines = str(error).splitlines()
        # A parsing error ends with the place in the DAG file; every other error begins with a headline.
        mistakes = lines[:-1] if lines[-1].startswith("The task is defined in ") else lines[1:] or lines
        return all(pattern.match(mistake) or mistake.startswith("... and ") for mistake in mistakes)

    return names_the_place


def _names_a_field(model: type[BaseModel], prefix: str) -> Callable[[Any, Any], bool]:
    """Check that a message names a field of the input, or one that is missing from it."""
    names = {field.alias or name for name, field in model.model_fields.items()}

    def names_the_place(case: Any, error: Exception) -> bool:
        place = re.match(rf"{re.escape(prefix)}(?:(\w+)(?:\.[^ ]+)?: )?(.+)", str(error))
        if place is None:
            return False
        return place[1] in names or (place[1] is None and re.match("Input should be|Value error, inputs:|no", place[2]))  # type: ignore[return-value]

    return names_the_place


_WHOLE = (
    "is empty",
    "is larger than",
    "contains more than",
    "is nested too deeply",
    "is not a limits file",
    "is not UTF-8",
)


def _names_a_line(case: Any, error: ConfigError) -> bool:
    """Return True if every mistake has its line, or at least its path; mistakes of the whole file have neither."""
    is_empty = [problem.found for problem in error.problems] == ["nothing"]
    return is_empty or all(
        problem.line >= 1 if problem.line is not None else problem.path or problem.message.startswith(_WHOLE)
        for problem in error.problems
    )


def _names_a_path(case: Any, error: ConfigError) -> bool:
    of_the_whole = ("allowed: a mapping", "a key must be text", *_WHOLE)
    return all(problem.path or problem.message.startswith(of_the_whole) for problem in error.problems)


def _names_it_in_the_answer(case: Answer, error: HubSpotError) -> bool:
    """Return True if a message names the status of an answer, or the place in its body that cannot be read."""
    if error.status != case.status:
        return False
    if not isinstance(error, HubSpotUnreadableAnswerError):
        return not 200 <= case.status < 300
    places = "(results|batch|account)(\\.[\\w$.-]+)?: .+|no list of results"
    said = f"HubSpot's answer is not (JSON|as documented: ({places}))|HubSpot's answer to the token refresh has no"
    return bool(re.match(said, error.message)) and len(str(error)) < 1000


def _begins(*texts: str) -> Callable[[Any, Any], bool]:
    return lambda case, error: str(error).startswith(texts)


def _never(case: Any, error: Exception) -> bool:
    return False


# -- the connection --------------------------------------------------------------------------------------------

EXTRA = {
    **{"auth_type": "oauth", "client_id": "app", "client_secret": "secret-1", "refresh_token": "secret-2"},
    **{"api_version": "v4", "timeout": [2.5, 5], "max_retries": 3, "proxy": "http://u:p@127.0.0.1:1"},
    **{"ca_bundle": "/nowhere/ca.pem", "other": 1},
}
_hosts = garbled("https://api.hubapi.com:443/x") | st.sampled_from(
    [
        *("http://127.0.0.1", "[::1]", "api.hubapi.com/crm", "a@b", "https://[", "ftp://x", "//", ":", "http://℀"),
        "x" * 300,
    ]
)


def _settings(world: World, fields: dict[str, Any]) -> None:
    masker = _secrets_masker()
    known = (masker.patterns.copy(), masker.replacer)
    try:
        settings = read_settings(Connection(conn_id="hubspot_default", conn_type="hubspot", **fields))
        HubSpotClient(settings).close()
        HubSpotSettings.parse(settings.model_dump())
    finally:
        masker.patterns, masker.replacer = known  # thousands of them make it slow


_connections = st.fixed_dictionaries(
    {"extra": mutated(EXTRA).map(_json) | garbled(_json(EXTRA)) | json_values.map(_json) | st.text() | st.none()},
    optional={
        "host": _hosts | st.text() | st.none(),
        "port": st.integers(-1, 70_000) | st.sampled_from([None, 0, 443, 2**63, 10**5000]),
        "schema": st.sampled_from([None, "", "http", "https", "ftp"]) | st.text(),
        "password": st.sampled_from([None, "", "token-123", "x" * 5000, "a b", "é", "\ud800"]) | st.text(),
        "login": st.text(),
    },
)

# -- arguments -------------------------------------------------------------------------------------------------

INPUTS = [limit(279, 5), limit(931, 2, "USER_DEFINED"), {"category": "WORK", "typeId": "7", "maxToObjectIds": "3"}]
HANDLE: dict[str, Any] = {
    **{"action": "create", "from_object_type": "contacts", "to_object_type": "companies"},
    "inputs": [limit(279, 5), limit(931, 2, "USER_DEFINED")],
    **{"status": "PROCESSING", "verify": False, "in_force": [["HUBSPOT_DEFINED", 279]], "num_errors": 1},
    "results": [{"category": "HUBSPOT_DEFINED", "typeId": 279, "userEnforcedMaxToObjectIds": 5, "label": None}],
    "errors": [{"category": "X", "subCategory": "y", "message": "1-931 is bad", "context": {"type": ["1-931"]}}],
    **{"status_link": "https://api.hubapi.com/x", "correlation_id": "c", "requested_at": "2026-01-01T00:00:00Z"},
}
_object_types = st.sampled_from(["contacts", "0-1", "p_plan", ".", "a/b", "a\nb", "é"]) | python_values
_actions = st.sampled_from(["create", "update", "purge"]) | python_values
_inputs = mutated(INPUTS, python_values) | python_values


def _batch(world: World, case: tuple[Any, ...]) -> None:
    for limit_input in parse_inputs(*case):
        json.dumps(limit_input.to_wire())


def _judged(operation: BatchOperation) -> None:
    """Use an operation like a reader of its handle."""
    again = BatchOperation.from_dict(json.loads(json.dumps(operation.to_dict())))
    assert again.to_dict() == operation.to_dict()
    assert operation.has_succeeded + operation.has_failed <= 1
    operation.with_limits([])
    try:
        operation.raise_for_failure()
    except HubSpotOperationError as error:
        assert operation.has_failed
        _carried(error)


def _carried(error: HubSpotError) -> None:
    """Carry an error from the triggerer to the worker, and into a log."""
    again = HubSpotError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert str(again) == str(error)
    str(error).encode()


_operator_arguments = st.fixed_dictionaries(
    {},
    optional={
        "from_object_type": st.sampled_from(["contacts", "{{ x }}"]) | json_values,
        "to_object_type": st.sampled_from(["companies", "{{ x }}"]) | json_values,
        "inputs": mutated(INPUTS) | json_values,
        "action": st.sampled_from(["create", "update", "purge", "{{ x }}"]) | json_values,
        "poll_interval": json_values | st.sampled_from(PYTHON_JUNK[:8]),
        "max_poll_interval": json_values | st.sampled_from(PYTHON_JUNK[:8]),
        "timeout": json_values | st.sampled_from(PYTHON_JUNK[:8]),
        "max_poll_failures": json_values | st.sampled_from(PYTHON_JUNK[:8]),
        "verify": json_values,
        "hubspot_conn_id": _texts,
    },
)


def _operator(world: World, arguments: dict[str, Any]) -> None:
    known = {"from_object_type": "contacts", "to_object_type": "companies", "inputs": INPUTS}
    HubSpotAssociationLimitsOperator(task_id="task", **{**known, **arguments})


def _sensor_arguments(world: World, arguments: dict[str, Any]) -> None:
    left = {name: value for name, value in arguments.items() if name not in ("poll_interval", "timeout")}
    HubSpotAssociationLimitsSensor(task_id="task", **left)


def _sync(world: World, arguments: dict[str, Any]) -> None:
    HubSpotAssociationLimitsSyncOperator(task_id="task", **arguments)


def _poke(world: World, handle: Any) -> None:
    """Start a sensor as a worker does; raise our own error behind the exception for Airflow."""
    sensor = HubSpotAssociationLimitsSensor(task_id="task", operation=handle, deferrable=True, timeout=5)
    try:
        sensor.execute({"ti": SimpleNamespace(xcom_push=lambda *args, **kwargs: None, try_number=1)})  # type: ignore[arg-type,typeddict-item]
    except TaskDeferred as deferred:
        json.dumps(deferred.trigger.serialize())
    except AirflowException as error:
        raise error.__cause__ or error  # noqa: B904


# -- limits as code --------------------------------------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "version": 1,
    "associations": [
        {
            **{"from": "contacts", "to": "companies", "limit": 5},
            "labels": {"Owner": 2, "Boss": {"limit": 1, "create_missing": True, "inverse": "Report", "name": "boss"}},
        },
        {"from": "deals", "to": "contacts", "types": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "limit": 10}]},
    ],
    "portals": {
        "12345": {"associations": [{"from": "0-1", "to": "company", "limit": "unlimited", "labels": {"Owner": None}}]}
    },
}
YAML = """\
version: 1
associations:
  - from: contacts
    to: companies
    limit: 5   # the object limit
    labels: {Owner: 2, "Boss": {limit: 1, create_missing: true, inverse: Report}}
  - from: deals
    to: contacts
    types:
      - {category: HUBSPOT_DEFINED, typeId: 3, limit: 10}
portals:
  12345:
    associations: [{from: 0-1, to: company, limit: unlimited}]
"""
STATE = PortalState(
    {
        Direction("contacts", "companies"): DirectionState(
            [
                AssociationLimit(category="HUBSPOT_DEFINED", type_id=279, max_to_object_ids=4),
                AssociationLimit(category="USER_DEFINED", type_id=9, max_to_object_ids=1, label="Owner"),
                AssociationLimit(category="NEW_CATEGORY", type_id=9, max_to_object_ids=3),
            ],
            [
                AssociationLabel(category="HUBSPOT_DEFINED", type_id=279),
                AssociationLabel(category="USER_DEFINED", type_id=9, label="Owner"),
                AssociationLabel(category="USER_DEFINED", type_id=10, label="Twice"),
                AssociationLabel(category="USER_DEFINED", type_id=11, label="Twice"),
            ],
        ),
        Direction("deals", "contacts"): DirectionState([]),
    },
    portal_id=12345,
)
_documents = mutated(CONFIG).map(_json) | garbled(YAML) | garbled(_json(CONFIG)) | json_values.map(_json) | st.text()


def _planned(source: Any) -> None:
    config = load_config(source)
    for resolved in (config.resolve(portal_id=12345), config.resolve().with_missing_labels(True)):
        for prune in (False, True):
            _used(build_plan(resolved, STATE, prune=prune))


def _used(plan: Plan) -> None:
    """Show a plan, store it, and compare it with the portal again."""
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    for text in (render_text(plan), render_markdown(plan)):
        text.encode()
    steps(plan.changes)
    with suppress(StalePlanError):  # limits that the text leaves out may be in the portal
        rebase(plan, STATE)


def _limits_in_a_file(world: World, content: bytes) -> None:
    path = world.folder / "limits.yaml"
    path.write_bytes(content)
    _planned(path)


PLAN = build_plan(load_config(CONFIG).resolve(), STATE, prune=True).to_json()


def _as_signed(fields: Any) -> Any:
    """Give a plan the fingerprint of its content, if it has one: a fingerprint is not a signature."""
    try:
        return {**fields, "fingerprint": Plan.model_validate(fields).fingerprint}
    except (TypeError, ValidationError):
        return fields


def _plan(world: World, data: Any) -> None:
    _used(Plan.from_json(data))


# -- events of triggers ----------------------------------------------------------------------------------------

ERROR = {
    **{"type": "HubSpotRateLimitError", "message": "No", "status": 429, "category": "X", "sub_category": None},
    **{"correlation_id": "c", "retry_after": 5.0, "policy": "DAILY"},
}
EVENT = {"outcome": "over", "operation": {**HANDLE, "in_force": [["HUBSPOT_DEFINED", 279], ["USER_DEFINED", 931]]}}
ERROR_EVENT = {"outcome": "poll_failed", "operation": HANDLE, "error": ERROR}
_change = PLAN["changes"][0]
_label = {"from_object_type": "contacts", "to_object_type": "companies", "label": "x", "inverse": None, "name": "x"}
_unread = {"from_object_type": "a", "to_object_type": "b", "reason": "No", "retryable": True, "retry_after": 5.0}
REPORT = {
    **{"applied": [{**_change, "reason": ""}], "refused": [{**_label, "reason": "No"}]},
    **{"unconfirmed": [{**_change, "reason": "No"}], "not_attempted": [], "unread": [_unread]},
    **{"retryable": True, "retry_after": 5.0, "settled": None, "ok": True, "summary": "x", "portal_id": 5},
}
SYNC_EVENT = {"outcome": "timeout", "operations": [HANDLE], "report": REPORT, "error": ERROR}


def _event(world: World, event: Any) -> None:
    try:
        operation = operation_from_event(event)
    except HubSpotError as error:
        _carried(error)
        raise
    assert operation.is_over
    _judged(operation)


def _is_the_event_s_error(event: Any, error: HubSpotError) -> bool:
    """Return True if it is the error in the event, or says that the event cannot be used."""
    said = event.get("error") if isinstance(event, dict) else None
    if str(error).startswith(("The trigger's event cannot be used: ", "The trigger ended without the final state")):
        return isinstance(error, HubSpotPollError)
    return isinstance(said, dict) and said.get("type") == type(error).__name__ and said["message"] == error.message


def _rebuilt(world: World, data: Any) -> None:
    _carried(HubSpotError.from_dict(data))


# -- headers ---------------------------------------------------------------------------------------------------


def _retry_after(world: World, value: str) -> None:
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds < math.inf
    error = from_response(429, b"", retry_after=seconds)
    RetryPolicy().allows(error)
    assert datetime.datetime.now() + datetime.timedelta(seconds=seconds or 0)  # as Airflow does with it
    _carried(error)


def _rate_limit(world: World, headers: dict[str, str]) -> None:
    rate_limit = RateLimit.from_headers(headers)
    # Pacing divides one by the other, and sleeps.
    assert rate_limit is None or (rate_limit.maximum > 0 and 0 < rate_limit.interval <= 3600)


def _raw_answer(world: World, raw: bytes) -> None:
    with Peer(raw) as peer, client_of(f"http://127.0.0.1:{peer.port}", max_retries=0, timeout=5) as client:
        client.get_all_limits()


_raw_lines = st.sampled_from(
    [b"Retry-After", b"X-HubSpot-RateLimit-Max", b"Content-Length", b"Set-Cookie", b""]
).flatmap(lambda name: st.binary(max_size=20).map(lambda value: name + b": " + value))
_raw_answers = st.builds(
    lambda status, lines, body: b"\r\n".join([status, *lines, b"", body]),
    st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 429 X", b"HTTP/1.1 100 Continue", b"HTTP/1.0 999", b"HTTP/9 200"])
    | st.binary(max_size=20),
    st.lists(_raw_lines, max_size=4),
    st.sampled_from([b"", b'{"results": []}']) | st.binary(max_size=20),
)

# -- HubSpot's answers -----------------------------------------------------------------------------------------

ROW = {"category": "USER_DEFINED", "typeId": 9, "userEnforcedMaxToObjectIds": 5, "label": "Owner"}
BATCH = {
    **{"status": "COMPLETE", "results": [ROW], "numErrors": 1, "links": {"status": "https://x.invalid/y"}},
    "errors": [{"category": "X", "subCategory": "y", "message": "0-279 is bad", "context": {"type": ["0-279"]}}],
    **{"requestedAt": "2026-01-01T00:00:00Z", "completedAt": None, "correlationId": "c"},
}
ACCOUNT = {"portalId": 62515, "accountType": "STANDARD", "timeZone": "Europe/Berlin", "uiDomain": "app.hubspot.com"}
TOKEN = {"access_token": "token-123", "expires_in": 1800, "refresh_token": "token-456", "token_type": "bearer"}


def _endpoint(name: str, valid: Any, call: Callable[[HubSpotClient], object]) -> Entry:
    def ask(world: World, answer: Answer) -> None:
        world.answer(answer)
        try:
            found = call(world.client)
        except HubSpotError as error:
            _carried(error)
            raise
        for item in found if isinstance(found, list) else [found]:
            assert isinstance(item, BaseModel)
            json.dumps(item.model_dump(mode="json"))
            if isinstance(item, BatchAnswer):
                _judged(BatchOperation.from_dict(HANDLE).with_answer(item))

    return Entry(name, answers(valid), ask, (HubSpotError,), _names_it_in_the_answer, is_local=False)


def _refresh_token(world: World, answer: Answer) -> None:
    world.answer(answer, TOKEN_PATH)
    world.answer(Answer(200, b'{"results": []}'), "/crm/*")
    oauth = world.hubspot.oauth
    credentials = {"client_id": oauth.client_id, "client_secret": oauth.client_secret}
    with client_of(
        world.hubspot,
        **{**credentials, "auth_type": "oauth", "refresh_token": oauth.refresh_token, "access_token": None},
        max_retries=0,
    ) as client:
        client.get_all_limits()


def _follow(world: World, link: str) -> None:
    operation = BatchOperation.from_dict({**HANDLE, "status_link": link.replace("URL", world.hubspot.url)})
    _judged(refresh(world.client, operation))


def _read_between(world: World, ends: tuple[Any, Any]) -> None:
    world.client.get_limits(*ends)
    world.client.get_labels(*ends)


def _define(world: World, names: dict[str, Any]) -> None:
    world.answer(Answer(200, b'{"results": []}'))
    world.client.create_label(*PAIR, **names)


ENTRIES = [
    Entry("connection", _connections, _settings, (HubSpotSettingsError,), _names_a_setting),
    Entry(
        "parse_inputs",
        st.tuples(_object_types, _object_types, _inputs, _actions),
        _batch,
        (LimitInputsError,),
        _begins_with(r"inputs(\[\d+\])?[.:]", "from_object_type: ", "to_object_type: ", "action: "),
    ),
    Entry(
        "parse_seconds",
        st.dictionaries(st.sampled_from(["timeout", "poll_interval"]), python_values),
        lambda world, values: parse_seconds(values),
        (LimitInputsError,),
        _begins_with("timeout: ", "poll_interval: "),
    ),
    Entry(
        "operator",
        _operator_arguments,
        _operator,
        (InvalidArgumentsError,),
        _begins_with(
            r"(inputs|hubspot_conn_id|from_object_type|to_object_type|action|(max_)?poll_\w+|timeout|verify|deferrable"
            r"|wait_for_completion|max_poll_failures)[\[.:]"
        ),
    ),
    Entry(
        "sensor",
        st.fixed_dictionaries({}, optional={"operation": json_values | mutated(HANDLE)}).flatmap(
            lambda operation: _operator_arguments.map(lambda rest: {**operation, **rest})
        ),
        _sensor_arguments,
        (InvalidArgumentsError,),
        _begins_with(
            r"(inputs|operation|hubspot_conn_id|from_object_type|to_object_type|action|(max_)?po(ll|ke)_\w+|timeout|verify|deferrable)[\[.:]"
        ),
    ),
    Entry(
        "sync operator",
        st.fixed_dictionaries(
            {},
            optional={
                "config": mutated(CONFIG) | json_values,
                "plan": mutated(PLAN) | json_values,
                "mode": st.sampled_from(["apply", "plan", "{{ x }}"]) | json_values,
                "portal": json_values,
                "fail_on_drift": st.booleans(),
                "max_concurrency": json_values | st.sampled_from(PYTHON_JUNK[:8]),
                "verify_timeout": json_values | st.sampled_from(PYTHON_JUNK[:8]),
            },
        ),
        _sync,
        (InvalidArgumentsError,),
        _begins_with("config|plan|mode|portal|fail_on_drift|max_concurrency|verify_timeout|  "),
    ),
    Entry(
        "handle",
        mutated(HANDLE) | json_values | st.sampled_from(PYTHON_JUNK),
        lambda world, handle: _judged(BatchOperation.from_dict(handle)),
        (OperationHandleError,),
        _names_a_field(BatchOperation, "not the handle of a HubSpot batch operation: "),
    ),
    Entry(
        "sensor on a handle",
        mutated(HANDLE) | mutated({**HANDLE, "status_link": None}) | json_values.filter(bool),
        _poke,
        (OperationHandleError, LimitInputsError, HubSpotError, InvalidArgumentsError),
        lambda case, error: bool(str(error)),
        is_local=False,
    ),
    Entry(
        "limits as text",
        _documents.map(lambda text: f"{text}\n"),
        lambda world, text: _planned(text),
        (ConfigError,),
        _names_a_line,
    ),
    Entry(
        "limits in a file",
        _documents.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(),
        _limits_in_a_file,
        (ConfigError,),
        _names_a_line,
    ),
    Entry(
        "limits as a dict",
        mutated(CONFIG, python_values).filter(lambda value: isinstance(value, dict))
        | st.dictionaries(_texts, python_values),
        lambda world, data: _planned(data),
        (ConfigError,),
        _names_a_path,
    ),
    Entry(
        "plan",
        mutated(PLAN).map(_as_signed)
        | mutated(PLAN).map(_as_signed).map(_json)
        | garbled(_json(PLAN))
        | json_values
        | st.binary(),
        _plan,
        (ValueError,),
        _begins("not a plan: ", "The portal has changed since the plan was made"),
    ),
    Entry("event", mutated(EVENT) | mutated(ERROR_EVENT) | json_values, _event, (HubSpotError,), _is_the_event_s_error),
    Entry(
        "event of a sync",
        mutated(SYNC_EVENT) | json_values,
        lambda world, event: json.dumps(report_from_event(event)),
        (HubSpotPollError,),
        _begins("The trigger ended without saying whether the limits have settled"),
    ),
    Entry(
        "error as JSON",
        mutated(ERROR) | json_values,
        _rebuilt,
        (ValueError,),
        _begins("not the dict of a HubSpotError: "),
    ),
    Entry("Retry-After", _header_texts | st.text(), _retry_after, (), _never),
    Entry(
        "rate limit headers",
        st.dictionaries(st.sampled_from(_HEADERS), _header_texts | st.text()),
        _rate_limit,
        (),
        _never,
    ),
    Entry(
        "raw answer",
        _raw_answers,
        _raw_answer,
        (HubSpotError,),
        lambda case, error: bool(error.message),
        is_local=False,
    ),
    _endpoint("get_limits", {"results": [ROW]}, lambda client: client.get_limits(*PAIR)),
    _endpoint("get_all_limits", {"results": [ROW]}, lambda client: client.get_all_limits()),
    _endpoint("get_labels", {"results": [ROW]}, lambda client: client.get_labels(*PAIR)),
    _endpoint("create_label", {"results": [ROW]}, lambda client: client.create_label(*PAIR, label="x", name="x")),
    _endpoint("create_limits", BATCH, lambda client: client.create_limits(*PAIR, [limit()])),
    _endpoint("update_limits", BATCH, lambda client: client.update_limits(*PAIR, [limit()])),
    _endpoint("purge_limits", BATCH, lambda client: client.purge_limits(*PAIR, [limit(279, None)])),
    _endpoint("account_info", ACCOUNT, lambda client: client.account_info()),
    _endpoint("get_status", BATCH, lambda client: client.get_status(f"{client.base_url}/status")),
    Entry("token refresh", answers(TOKEN), _refresh_token, (HubSpotError,), _names_it_in_the_answer, is_local=False),
    Entry(
        "status link",
        garbled("URL/crm/v3/status?x=1#y") | _texts.map(lambda text: f"URL/{text}") | st.text(),
        _follow,
        (HubSpotError, OperationHandleError),
        lambda case, error: bool(str(error)),
        is_local=False,
    ),
    Entry(
        "object types",
        st.tuples(_object_types, _object_types),
        _read_between,
        (HubSpotError,),
        lambda case, error: "object type" in error.message,
        is_local=False,
    ),
    Entry(
        "label",
        st.fixed_dictionaries({"label": st.text(), "name": st.text()}, optional={"inverse_label": st.text()}),
        _define,
        (HubSpotError,),
        _never,
        is_local=False,
    ),
]
