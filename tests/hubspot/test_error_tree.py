"""The tree in the docstring of ``errors.py`` shows every error of the package, in its place."""

from __future__ import annotations

import importlib
import pkgutil
import re

import airflow_provider_hubassoc
from airflow_provider_hubassoc import errors
from airflow_provider_hubassoc.errors import HubassocError

_LINE = re.compile(r"(?P<indent>[│├└─ ]*)(?P<name>\w+Error)\b(?: {2,}(?P<module>[a-z_/]+(?:\.py)?)\b)?")


def documented_tree() -> dict[str, tuple[str | None, str | None]]:
    """Return class name -> (name of its base, module) from the docstring; subclasses share the module of their base."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line.removeprefix("    "))
        if match:
            depth = len(match["indent"]) // 4
            path[depth:] = [match["name"]]
            base = path[depth - 1] if depth else None
            is_first_level = depth == 1
            tree[match["name"]] = (base, match["module"] if is_first_level else tree[base][1] if base else None)
    return tree


def subclasses(base: type) -> list[type]:
    """Return all classes derived from a class."""
    return [found for child in base.__subclasses__() for found in (child, *subclasses(child))]


def test_the_tree_shows_every_error_below_its_base() -> None:
    package = airflow_provider_hubassoc
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {
        error.__name__: error for error in subclasses(HubassocError) if error.__module__.startswith(package.__name__)
    }
    tree = documented_tree()
    assert set(tree) == {"HubassocError", *found}
    for name, error in found.items():
        base, module = tree[name]
        assert module is not None, name
        assert base in {parent.__name__ for parent in error.__bases__}, name
        assert f"{error.__module__.replace('.', '/')}.py".startswith(f"{package.__name__}/{module}"), name
