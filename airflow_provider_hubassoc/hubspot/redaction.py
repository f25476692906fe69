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
    for secret in {*secrets, *(quote(secret, safe="") for secret in secrets)}:
        if len(secret) < _SHORTEST_SECRET:
            continue
        text = text.replace(secret, "***")
        if len(secret) > _SHORTEST_PART:
            text = _without_ends_of(secret, _without_beginnings_of(secret, text))
    return text


def redact_body(body: bytes, secrets: Collection[str]) -> bytes:
    """Replace secrets in the body of an answer; JSON is rewritten without escapes, which could hide a secret."""
    if b"\\" in body:
        with contextlib.suppress(ValueError):  # of a body that is not JSON, in which a backslash is not an escape
            body = json.dumps(parse_json(body), ensure_ascii=False).encode()
    return redact(body.decode("latin-1"), secrets).encode("latin-1")


def _without_beginnings_of(secret: str, text: str) -> str:
    head = secret[:_SHORTEST_PART]
    while (start := text.find(head)) >= 0:
        length = _common_length(secret, text[start : start + len(secret)])
        text = f"{text[:start]}***{text[start + length :]}"
    return text


def _without_ends_of(secret: str, text: str) -> str:
    tail = secret[-_SHORTEST_PART:]
    while (start := text.find(tail)) >= 0:
        end = start + len(tail)
        length = _common_length(secret[::-1], text[:end][::-1])
        text = f"{text[: end - length]}***{text[end:]}"
    return text


def _common_length(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
