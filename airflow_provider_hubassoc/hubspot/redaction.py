"""Removal of secrets from texts that HubSpot sends back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from urllib.parse import quote

from airflow_provider_hubassoc.hubspot.parsing import parse_json

_SHORTEST_SECRET = 8
"""Minimum length of a secret to blank; a shorter one could be an ordinary word of an answer."""

_SHORTEST_PART = 12
"""Minimum length of the beginning or end of a secret to blank."""


def redact(text: str, secrets: Collection[str]) -> str:
    """Replace secrets, and their beginnings and ends if these are long enough, by ``***``."""
    spellings = {*secrets, *(quote(secret, safe="") for secret in secrets)}
    for secret in sorted(spellings, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    long_spellings = [secret for secret in spellings if len(secret) > _SHORTEST_PART]
    backwards = [secret[::-1] for secret in long_spellings]
    return _without_beginnings(_without_beginnings(text, long_spellings)[::-1], backwards)[::-1]


def redact_body(body: bytes, secrets: Collection[str]) -> bytes:
    """Replace secrets in the body of an answer; JSON is rewritten without escapes, which could hide a secret."""
    if b"\\" in body:
        with contextlib.suppress(ValueError):  # of a body that is not JSON, in which a backslash is not an escape
            body = json.dumps(parse_json(body), ensure_ascii=False).encode()
    return redact(body.decode("latin-1"), secrets).encode("latin-1")


def _without_beginnings(text: str, secrets: Collection[str]) -> str:
    """Replace the parts of a text that equal the beginning of a secret."""
    for secret in secrets:
        head = secret[:_SHORTEST_PART]
        while (start := text.find(head)) >= 0:
            # Spellings of one secret have the same beginning, and the text may continue as any of them.
            length = max(_common_length(spelling, text[start : start + len(spelling)]) for spelling in secrets)
            text = f"{text[:start]}***{text[start + length :]}"
    return text


def _common_length(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
