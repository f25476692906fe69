"""The generated sections of the documentation are up to date, and nothing is missing from them."""

from __future__ import annotations

import pytest

from tests.docs import generate, pictures


@pytest.mark.parametrize("page", generate.SECTIONS)
def test_generated_sections_are_up_to_date(page: str) -> None:
    text = (generate.DOCS / page).read_text("utf-8")
    assert text == generate.updated(page), "run: python -m tests.docs.generate"


def test_the_picture_shows_what_a_plan_looks_like_today() -> None:
    drawn = pictures.PICTURE.read_text("utf-8")
    assert pictures.visible_text(drawn) == pictures.visible_text(pictures.picture()), (
        "run: python -m tests.docs.generate"
    )


def test_every_error_has_advice() -> None:
    """An error that is only a base needs none."""
    names = {error.__name__ for error in generate.error_classes()}
    assert names - set(generate.ADVICE) == {"HubassocError", "HubSpotError"}
    assert set(generate.ADVICE) - names == set()


@pytest.mark.parametrize(
    ("heading", "model"), list(generate.models()), ids=[heading for heading, _ in generate.models()]
)
def test_every_key_of_the_file_has_a_description_and_an_example(heading: str, model: dict[str, object]) -> None:
    properties = model["properties"]
    assert isinstance(properties, dict)
    bare = [key for key, schema in properties.items() if "description" not in schema]
    bare += [key for key, schema in properties.items() if "examples" not in schema and "const" not in schema]
    assert bare == []


@pytest.mark.parametrize("command", generate.parsers())
def test_every_option_has_a_help_text(command: str) -> None:
    options = generate.options_of(generate.parsers()[command])
    assert [option.option_strings or option.dest for option in options if not option.help] == []
