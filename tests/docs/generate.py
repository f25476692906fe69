"""Write the generated parts of the documentation: ``python -m tests.docs.generate``.

A section stands between two comments in a page, ``<!-- generated: NAME -->`` and ``<!-- /generated: NAME -->``.
`test_generated.py` fails if a section is out of date.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

import airflow_provider_hubassoc
from airflow_provider_hubassoc import cli
from airflow_provider_hubassoc.errors import HubassocError
from airflow_provider_hubassoc.limits.config import json_schema
from airflow_provider_hubassoc.simulator import __main__ as simulator
from tests.docs import pictures
from tests.faults import catalogue

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"

# -- the command line ------------------------------------------------------------------------------------------


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command."""
    (commands,) = (
        action.choices for action in cli.build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    # The simulator has a separate parser.
    return {**commands, "simulator": simulator.build_parser("hubassoc simulator")}


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a command, then its options, without ``--help``."""
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    return sorted(actions, key=lambda action: bool(action.option_strings))


def commands() -> str:
    """Describe every command with its arguments and options."""
    return "\n\n".join(_command(name, parser) for name, parser in parsers().items())


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    options = options_of(parser)
    usage = " ".join(["hubassoc", name, *(_usage(action) for action in options if not action.option_strings)])
    rows = [f"| {_spelling(action)} | {_cell(_sentence(action.help or ''))} |" for action in options]
    table = ["| argument or option | meaning |", "|---|---|", *rows] if rows else []
    return "\n".join(
        [f"### hubassoc {name}", "", parser.description or "", "", "```text", f"{usage} [options]", "```", "", *table]
    ).rstrip()


def _usage(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return {"?": f"[{name}]", "+": f"{name} [{name} ...]", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _spelling(action: argparse.Action) -> str:
    """Return an option as people write it, with its value."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = ""
    if action.nargs != 0:
        name = action.dest.upper().rpartition("_")[2]  # STALE_SECONDS: SECONDS
        value = f" {action.metavar or ' or '.join(map(str, action.choices or ())) or name}"
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text and not text.endswith(".") else text


def _cell(text: str) -> str:
    """Return a text in a form that fits into a cell of a table."""
    return re.sub(r'[\w"\[-]*<\w+>["\]]*', r"`\g<0>`", " ".join(text.split()).replace("|", "\\|"))


# -- the file of limits ----------------------------------------------------------------------------------------

_PLACES = {
    "The file": (),
    "An entry of associations": ("AssociationConfig",),
    "A label": ("LabelConfig",),
    "An entry of types": ("TypeConfig",),
    "An entry of portals": ("PortalConfig",),
}
"""Heading -> where its keys are in the JSON Schema."""

_READING_ORDER = ("from", "to", "category", "typeId", "limit")


def models() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a heading and the JSON Schema of each object in a file."""
    schema = json_schema()
    for heading, path in _PLACES.items():
        model = schema["$defs"][path[0]] if path else schema
        if "properties" not in model:  # a label may also be its limit alone
            (model,) = (variant for variant in model["anyOf"] if "properties" in variant)
        yield heading, model


def file_reference() -> str:
    """Describe every key of a file, with an example."""
    return "\n\n".join(_model(heading, model) for heading, model in models())


def _model(heading: str, model: dict[str, Any]) -> str:
    rows = []
    for key, schema in model["properties"].items():
        required = "required" if key in model.get("required", ()) else _default(schema)
        meaning = _sentence(_cell(schema.get("description", "")))
        rows.append(f"| `{key}` | {meaning} | {_allowed(schema)} | {required} | {_example(key, schema)} |")
    description = _sentence(model.get("description", ""))
    head = ["| key | meaning | value | default | example |", "|---|---|---|---|---|"]
    return "\n".join([f"### {heading}", "", description, "", *head, *rows])


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "" if default is None else f"`{json.dumps(default)}`"


def _allowed(schema: dict[str, Any]) -> str:
    """Say in words which values a key takes."""
    if "anyOf" in schema:
        return ", ".join(dict.fromkeys(_allowed(variant) for variant in schema["anyOf"]))
    if "$ref" in schema:
        return "mapping"
    if "const" in schema:
        return f"`{schema['const']}`"
    names = {"integer": "whole number", "array": "list", "object": "mapping", "string": "text", "null": "`null`"}
    return names.get(schema["type"], schema["type"])


def _example(key: str, schema: dict[str, Any]) -> str:
    examples = schema.get("examples") or ([schema["const"]] if "const" in schema else [])
    if not examples:
        return ""
    text = yaml.safe_dump({key: _in_reading_order(examples[0])}, default_flow_style=True, sort_keys=False, width=1000)
    return f"`{text.strip()[1:-1]}`"


def _in_reading_order(value: Any) -> Any:
    """Return an example with its keys in the order in which people write them; a JSON Schema sorts them."""
    if isinstance(value, list):
        return [_in_reading_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: _READING_ORDER.index(key) if key in _READING_ORDER else len(_READING_ORDER))
    return {key: _in_reading_order(value[key]) for key in keys}


# -- errors ----------------------------------------------------------------------------------------------------

ADVICE = {
    "HubSpotSettingsError": "Correct the fields that the message names in the connection.",
    "HubSpotAuthenticationError": "Store the current token in the connection, or install the OAuth app again.",
    "HubSpotMissingScopesError": "Give the token one of the scopes that the message names.",
    "HubSpotValidationError": "Read HubSpot's reason in the message.",
    "HubSpotUnknownObjectTypeError": "Write custom objects as `2-123` or `p_name`, not `name`.",
    "HubSpotRateLimitError": "Nothing, if the task has `retries`.",
    "HubSpotUnavailableError": "Nothing, if the task has `retries`.",
    "HubSpotServerError": "Nothing, if the task has `retries`.",
    "HubSpotTLSError": "Check `host`, `ca_bundle` and the proxy.",
    "HubSpotUnreadableAnswerError": "Nothing, if the task has `retries`.",
    "HubSpotRefusedAnswerError": "Check `host` and the proxy.",
    "HubSpotOperationError": "Read the reason for each input in the message or in XCom `operation`. Frequent reasons: "
    "a `typeId` of the other direction, or a label limit above the object limit.",
    "HubSpotOperationTimeoutError": "Look at the portal; use a longer `timeout`.",
    "HubSpotPollError": "Nothing, if the task has `retries`. The limits may be in force.",
    "ConfigError": "Correct the lines that the message names. A missing or empty file is retried.",
    "LimitInputsError": "Correct the arguments that the message names.",
    "InvalidArgumentsError": "Correct the arguments that the message names. Literal ones fail when the DAG file is "
    "parsed.",
    "OperationHandleError": "Pass what an operator returned or pushed to XCom under `operation`.",
    "StalePlanError": "Plan again. Nothing was written.",
    "ApplyError": "Read the reason for each change in the message or in XCom `report`.",
    "UsageError": "Correct the command line.",
}
"""Error -> what to do about it."""

_RETRIED_SOMETIMES = {
    "HubSpotAuthenticationError": "if the token has worked before",
    "ConfigError": "if the file is missing or empty",
    "ApplyError": "if some of it may succeed later",
}


def error_classes() -> list[type[HubassocError]]:
    """Return all errors of the package, a base before its subclasses."""
    for module in pkgutil.walk_packages(airflow_provider_hubassoc.__path__, f"{airflow_provider_hubassoc.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def family(base: type[HubassocError]) -> Iterator[type[HubassocError]]:
        yield base
        for error in base.__subclasses__():
            if error.__module__.startswith(airflow_provider_hubassoc.__name__):
                yield from family(error)

    return list(dict.fromkeys(family(HubassocError)))


def _in_order(base: type[HubassocError]) -> list[type[HubassocError]]:
    """Return the direct subclasses in an order that does not depend on what was imported first."""
    return sorted(
        (error for error in error_classes() if base in error.__bases__),
        key=lambda error: (error.__module__, inspect.getsourcelines(error)[1]),
    )


def error_tree() -> str:
    """Draw the tree of errors, with the module of each."""

    def lines(error: type[HubassocError], depth: int) -> Iterator[str]:
        yield f"{'    ' * depth + error.__name__:<44}{error.__module__}"
        for subclass in _in_order(error):
            yield from lines(subclass, depth + 1)

    return "\n".join(["```text", *lines(HubassocError, 0), "```"])


def errors() -> str:
    """Describe every error: what happened, whether Airflow retries it, what to do."""

    def rows(base: type[HubassocError]) -> Iterator[str]:
        for error in _in_order(base):
            if error.__name__ in ADVICE:
                what = _plain(inspect.getdoc(error) or "")
                retried = _RETRIED_SOMETIMES.get(error.__name__) or ("yes" if error.retryable is True else "no")
                yield f"| `{error.__name__}` | {what} | {retried} | {ADVICE[error.__name__]} |"
            yield from rows(error)

    head = ["| error | what happened | Airflow retries | what to do |", "|---|---|---|---|"]
    return "\n".join([*head, *rows(HubassocError)])


def _plain(docstring: str) -> str:
    """Return the first line of a docstring as Markdown."""
    return _cell(docstring.split("\n\n")[0]).replace("``", "`")


# -- pages -----------------------------------------------------------------------------------------------------

SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    "command-line.md": {"commands": commands},
    "errors.md": {"error tree": error_tree, "errors": errors},
    "faults.md": {
        "request faults": catalogue.request_table,
        "batch faults": catalogue.batch_table,
        "tested faults": catalogue.tested_faults,
    },
    "limits-as-code.md": {"file": file_reference},
}
"""Page -> its generated sections."""


def updated(page: str) -> str:
    """Return the text of a page with its generated sections written again.

    :raises ValueError: if the page lacks the comments around a section.
    """
    text = (DOCS / page).read_text("utf-8")
    for name, section in SECTIONS[page].items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- /generated: {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{page} has no {begin} and {end}")
        replacement = f"{begin}\n\n{section()}\n\n{end}"
        text = pattern.sub(lambda match, new=replacement: new, text)
    return text


def main() -> None:
    """Write all generated sections, and the picture of a plan."""
    for page in SECTIONS:
        (DOCS / page).write_text(updated(page), "utf-8")
    pictures.PICTURE.write_text(pictures.picture(), "utf-8")


if __name__ == "__main__":
    main()
