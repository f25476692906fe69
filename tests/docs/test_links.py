"""Every link in every page leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import PAGES, REPOSITORY, anchors, links, name, text_of

ADDRESS = "https://github.com/airflow-provider-hubassoc/airflow-provider-hubassoc"
RAW = "https://raw.githubusercontent.com/airflow-provider-hubassoc/airflow-provider-hubassoc/main/"


def problem(page: Path, target: str) -> str | None:
    """Return the problem of a link; None if there is none. Nothing is fetched from other sites."""
    parts = urlsplit(target)
    if target.startswith((RAW, f"{ADDRESS}/blob/main/")):
        path = target.removeprefix(RAW).removeprefix(f"{ADDRESS}/blob/main/")
        return None if (REPOSITORY / path).exists() else "no such file in the repository"
    if parts.scheme:
        is_sound = parts.scheme in ("https", "mailto") and (parts.netloc or parts.scheme == "mailto")
        return None if is_sound else "not a well-formed https address"
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not file.exists():
        return "no such file"
    if not file.is_relative_to(REPOSITORY):
        return "outside of the repository"
    if parts.fragment and parts.fragment not in anchors(file):
        return f"no such heading in {name(file)}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_resolves(page: Path) -> None:
    problems = {target: problem(page, target) for target in links(page)}
    assert {target: found for target, found in problems.items() if found} == {}


def test_a_broken_link_is_noticed() -> None:
    readme = REPOSITORY / "README.md"
    assert problem(readme, "docs/nowhere.md") == "no such file"
    assert problem(readme, "docs/airflow.md#nowhere") == "no such heading in docs/airflow.md"
    assert problem(readme, f"{RAW}.github/images/nowhere.svg") == "no such file in the repository"
    assert problem(readme, "http://example.com") == "not a well-formed https address"
    assert problem(readme, "../elsewhere") == "no such file"


def test_every_page_of_the_documentation_is_linked_from_the_readme() -> None:
    readme = REPOSITORY / "README.md"
    linked = {(readme.parent / target.partition("#")[0]).resolve() for target in links(readme)}
    assert set((REPOSITORY / "docs").glob("*.md")) - linked == set()


def test_pages_of_the_documentation_are_linked_with_one_another() -> None:
    pages = sorted((REPOSITORY / "docs").glob("*.md"))
    for page in pages:
        linked = {(page.parent / target.partition("#")[0]).resolve() for target in links(page)}
        assert set(pages) - {page} - linked == set(), name(page)


def test_pictures_in_the_readme_have_absolute_addresses() -> None:
    """The package index shows the README without the rest of the repository."""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text_of(REPOSITORY / "README.md"))
    assert pictures
    assert [picture for picture in pictures if not picture.startswith(RAW)] == []


def test_the_address_of_the_repository_is_the_same_everywhere() -> None:
    assert f'Repository = "{ADDRESS}"' in (REPOSITORY / "pyproject.toml").read_text("utf-8")
    found = {
        address
        for page in PAGES
        for address in re.findall(r"https://(?:raw\.)?github(?:usercontent)?\.com/[\w-]+/[\w-]+", text_of(page))
    }
    assert found <= {ADDRESS, RAW.removesuffix("/main/")}
