"""The Markdown pages of the repository, and what is in them: headings, links, code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / ".github").rglob("*.md")])
"""Every page that a person reads."""

USER_PAGES = [page for page in PAGES if page.name == "README.md" or page.parent.name == "docs"]
"""The documentation: README and docs."""

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block of code.

    :param page: where it is.
    :param line: line number of its fence.
    :param language: what follows the fence; empty if nothing does.
    :param code: its text, without the indentation of the fence.
    """

    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text("utf-8")


def code_blocks(page: Path) -> Iterator[CodeBlock]:
    """Yield every fenced block of a page."""
    text = text_of(page)
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        code = "".join(line[indent:] if line.strip() else "\n" for line in match["code"].splitlines(keepends=True))
        yield CodeBlock(page, text.count("\n", 0, match.start()) + 1, match["language"], code)


def prose(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def links(page: Path) -> list[str]:
    """Return the target of every link and image."""
    return _LINK.findall(_INLINE_CODE.sub("`code`", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        number = 1
        anchor = text
        while anchor in found:
            anchor, number = f"{text}-{number}", number + 1
        found.add(anchor)
    return found
