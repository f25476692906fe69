"""Secrets are removed from texts, in whole and in part."""

from __future__ import annotations

import pytest

from airflow_provider_hubassoc.hubspot.redaction import redact, redact_body

SECRET = "pat-na1-canary+0815"


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        ("1234567", "a 1234567 z", "a 1234567 z"),  # too short: could be an ordinary word
        ("12345678", "a 12345678 z", "a *** z"),
        ("123456789012", "a 123456789 z", "a 123456789 z"),  # too short for parts
        ("1234567890123", "a 123456789012 z", "a *** z"),
        (SECRET, f"a {SECRET} z", "a *** z"),
        (SECRET, f"a {SECRET[:12]} z", "a *** z"),
        (SECRET, f"a {SECRET[:11]} z", f"a {SECRET[:11]} z"),
        (SECRET, f"a {SECRET[:-1]} z", "a *** z"),
        (SECRET, f"a {SECRET[-12:]} z", "a *** z"),
        (SECRET, f"a {SECRET[-11:]} z", f"a {SECRET[-11:]} z"),
        (SECRET, f"{SECRET[:13]}, {SECRET[-13:]}", "***, ***"),
        (SECRET, "a pat-na1-canary%2B0815 z", "a *** z"),
    ],
)
def test_secrets_and_their_ends_are_redacted(secret: str, text: str, expected: str) -> None:
    assert redact(text, {secret}) == expected


def test_each_secret_is_redacted() -> None:
    assert redact("first-secret second-secret", {"first-secret", "second-secret"}) == "*** ***"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"message": "\\u0070at-na1-canary+0815"}', b'{"message": "***"}'),
        (b"not JSON \\ pat-na1-canary+0815", b"not JSON \\ ***"),
        (b"\xff pat-na1-canary+0815", b"\xff ***"),
    ],
)
def test_secrets_in_a_body_are_redacted(body: bytes, expected: bytes) -> None:
    assert redact_body(body, {SECRET}) == expected
