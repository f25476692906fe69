"""Settings of a client: one error names every wrong field, and shows no secret."""

from __future__ import annotations

import contextlib
import re
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.hubspot.errors import HubSpotSettingsError
from airflow_provider_hubassoc.hubspot.settings import ApiVersion, HubSpotSettings, is_loopback, same_origin
from tests.support.tracebacks import everything_shown

TOKEN = "pat-na1-canary-4711"
OAUTH = {
    "auth_type": "oauth",
    "client_id": "app",
    "client_secret": "canary-client-4712",
    "refresh_token": "canary-refresh-4713",
}


def parse(**values: Any) -> HubSpotSettings:
    return HubSpotSettings.parse({"access_token": TOKEN, **values})


def mistakes(**values: Any) -> str:
    with pytest.raises(HubSpotSettingsError) as error:
        HubSpotSettings.parse(values)
    assert not any(canary in everything_shown(error.value) for canary in ("4711", "4712", "4713", "4714"))
    return str(error.value)


def test_defaults() -> None:
    settings = parse()
    assert settings.base_url == "https://api.hubapi.com"
    assert settings.api_version == "2026-03"
    assert settings.timeout == (10.0, 30.0)
    assert settings.max_retries == 5
    assert (settings.proxy, settings.ca_bundle) == (None, None)


def test_null_and_blank_mean_the_default() -> None:
    for nothing in (None, "", "  "):
        assert parse(**{name: nothing for name in HubSpotSettings.model_fields if name != "access_token"}) == parse()


def test_values_may_be_text() -> None:
    settings = parse(timeout="2.5", max_retries="0", base_url=" https://example.com/ ", api_version="v4")
    assert (settings.timeout, settings.max_retries) == ((2.5, 2.5), 0)
    assert (settings.base_url, settings.api_version) == ("https://example.com", "v4")


@pytest.mark.parametrize("value", [(1, 2), [1, 2], "1,2", "1, 2"])
def test_timeouts_to_connect_and_to_read(value: Any) -> None:
    assert parse(timeout=value).timeout == (1.0, 2.0)


@pytest.mark.parametrize("version", get_args(ApiVersion))
def test_every_api_version_is_accepted(version: str) -> None:
    assert parse(api_version=version).api_version == version


@pytest.mark.parametrize(
    ("given_url", "base_url"),
    [
        ("api.hubapi.com", "https://api.hubapi.com"),
        ("HTTPS://API.hubapi.com:443/", "https://api.hubapi.com"),
        ("https://api-eu1.hubapi.com:8443", "https://api-eu1.hubapi.com:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://LOCALHOST", "http://localhost"),
        ("http://[::1]:80", "http://[::1]"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
    ],
)
def test_addresses_are_normalized(given_url: str, base_url: str) -> None:
    assert parse(base_url=given_url).base_url == base_url


@pytest.mark.parametrize(
    "host", ["api.hubapi.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0"]
)
def test_plain_http_is_for_loopback_only(host: str) -> None:
    assert "host: must be https: http would send the token unencrypted" in mistakes(
        access_token=TOKEN, base_url=f"http://{host}"
    )


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://api.hubapi.com",
        "file:///etc/passwd",
        "https://",
        "https://api.hubapi.com/crm",
        "api.hubapi.com/crm/v4",
        "api.hubapi.com?a=4714",
        "https://api.hubapi.com?a=4714",
        "https://api.hubapi.com#4714",
        "https://user:canary-4714@api.hubapi.com",
        "user:canary-4714@api.hubapi.com",
        "https://api.hubapi.com:0",
        "https://api.hubapi.com:65536",
        "https://api.hubapi.com:canary-4714",
        "https://api.hubapi.com:443:443",
        "https://[canary-4714",
        "https://4714.example.com℀",
    ],
)
def test_invalid_addresses(base_url: str) -> None:
    assert mistakes(access_token=TOKEN, base_url=base_url).startswith(
        "The HubSpot connection cannot be used: host: must be "
    )


@pytest.mark.parametrize(
    ("field", "value", "mistake"),
    [
        ("auth_type", "canary-4714", "auth_type: Input should be 'access_token' or 'oauth'"),
        ("api_version", "v3", "api_version: Input should be '2026-03', '2026-09', '2025-09' or 'v4'"),
        ("timeout", 0, "timeout: Input should be greater than 0."),
        ("timeout", "-1", "timeout: Input should be greater than 0."),
        ("timeout", "1,0", "timeout: Input should be greater than 0."),
        ("timeout", 4000, "timeout: Input should be less than or equal to 3600."),
        ("timeout", "nan", "timeout: "),
        ("timeout", "canary-4714", "timeout: Input should be a valid number"),
        ("timeout", [1, 2, 3], "timeout: "),
        ("max_retries", -1, "max_retries: Input should be greater than or equal to 0"),
        ("max_retries", 21, "max_retries: Input should be less than or equal to 20"),
        ("max_retries", 1.5, "max_retries: "),
        ("proxy", "proxy.example.com", "proxy: must be the URL of an HTTP proxy"),
        ("proxy", "socks5://proxy.example.com", "proxy: must be the URL of an HTTP proxy"),
        ("proxy", "http://user:canary-4714@host:x4714", "proxy: must be the URL of an HTTP proxy"),
        ("proxy", "http://user:canary-4714@", "proxy: must be the URL of an HTTP proxy"),
        ("proxy", "http://[4714", "proxy: must be the URL of an HTTP proxy"),
        ("ca_bundle", 4714, "ca_bundle: Input should be a valid string"),
        ("access_token", "canary 4714", "password (access token): must be visible ASCII characters without spaces"),
        ("access_token", "canary-4714\n-", "password (access token): must be visible ASCII"),
        ("access_token", "canary-4714-é", "password (access token): must be visible ASCII"),
        ("access_token", "4714" * 2000, "password (access token): "),
        ("access_token", 4714, "password (access token): "),
        ("refresh_token", "canary 4714", "refresh_token: must be visible ASCII"),
    ],
)
def test_a_mistake_names_its_field(field: str, value: Any, mistake: str) -> None:
    text = mistakes(**{"access_token": TOKEN, field: value})
    assert mistake in text
    assert text.count(": ") == 2  # one mistake only


def test_missing_credentials_are_named() -> None:
    assert mistakes() == (
        "The HubSpot connection cannot be used: "
        "password (access token): is missing; auth_type access_token requires it."
    )
    assert mistakes(auth_type="oauth") == (
        "The HubSpot connection cannot be used: "
        "client_id: is missing; auth_type oauth requires it; "
        "client_secret: is missing; auth_type oauth requires it; "
        "refresh_token: is missing; auth_type oauth requires it."
    )
    assert "client_id" not in mistakes(**{**OAUTH, "refresh_token": " "})
    assert HubSpotSettings.parse(OAUTH).access_token is None
    assert HubSpotSettings.parse({**OAUTH, "access_token": TOKEN}).access_token is not None


def test_one_error_names_all_mistakes() -> None:
    text = mistakes(
        auth_type="oauth",
        client_secret=OAUTH["client_secret"],
        base_url="http://api.hubapi.com:99999",
        timeout=0,
        max_retries="many",
        api_version="1",
        proxy="x",
    )
    named_fields = [part.split(":")[0] for part in text.partition("used: ")[2].split("; ")]
    assert [field for field in named_fields if " " not in field] == [
        *("host", "client_id", "refresh_token", "api_version", "timeout", "max_retries", "proxy")
    ]


BAD = {"base_url": "https://api.hubapi.com/crm", "port": 99_999, "timeout": 0}


@pytest.mark.parametrize(
    ("credentials", "missing"),
    [
        ({"auth_type": "ouath", "client_secret": OAUTH["client_secret"]}, ["client_id", "refresh_token"]),
        ({**OAUTH, "auth_type": "ouath", "client_id": ""}, ["client_id"]),
        ({"auth_type": "token", "access_token": TOKEN}, []),
        ({"auth_type": ["oauth"]}, ["client_id", "client_secret", "refresh_token", "password (access token)"]),
    ],
)
def test_an_unknown_auth_type_does_not_hide_other_mistakes(credentials: dict[str, Any], missing: list[str]) -> None:
    text = mistakes(**credentials, **BAD)
    named = re.findall(r"(?:; |used: )([\w ()]+): ", text)
    assert sorted(named) == sorted(["port", "host", "auth_type", "timeout", *missing])


@pytest.mark.parametrize("port", [0, -1, 65_536, 2**63, 1.5, True, "x", "٣", "0", [443]])
def test_an_invalid_port(port: Any) -> None:
    assert mistakes(access_token=TOKEN, port=port) == (
        "The HubSpot connection cannot be used: port: must be a whole number from 1 to 65535."
    )


def test_a_port_completes_the_address() -> None:
    assert parse(port=8443).base_url == "https://api.hubapi.com:8443"
    assert parse(base_url="http://127.0.0.1/", port="80").base_url == "http://127.0.0.1"
    assert "host: must be an address" in mistakes(access_token=TOKEN, base_url="https://example.com:1", port=2)


def test_secrets_are_not_shown() -> None:
    settings = HubSpotSettings.parse({**OAUTH, "access_token": TOKEN, "proxy": "http://user:canary-4714@proxy:1"})
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.model_dump()),
        settings.model_dump_json(exclude={"proxy"}),
    ):
        assert not any(canary in shown for canary in ("4711", "4712", "4713"))
    assert "4714" not in repr(settings) + str(settings)


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers() | st.text(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2)
    | st.sampled_from(["oauth", "access_token", "http://127.0.0.1", "https://a:b@c", "v4", "1,2"])
)


@given(st.dictionaries(st.sampled_from([*HubSpotSettings.model_fields, "other"]), values))
def test_any_values_are_accepted_or_refused(raw: dict[str, Any]) -> None:
    with contextlib.suppress(HubSpotSettingsError):
        settings = HubSpotSettings.parse(raw)
        assert (
            HubSpotSettings.parse({"access_token": TOKEN, "base_url": settings.base_url}).base_url == settings.base_url
        )


@given(st.text())
def test_any_address_is_accepted_or_refused(base_url: str) -> None:
    try:
        found = parse(base_url=base_url).base_url
    except HubSpotSettingsError:
        return
    assert found.startswith("https://") or is_loopback(found.removeprefix("http://").partition(":")[0])


# -- origins --


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://api.hubapi.com/x", True),
        ("https://API.HUBAPI.COM:443", True),
        ("https://user@api.hubapi.com/x", True),
        ("http://api.hubapi.com/x", False),
        ("https://api.hubapi.com:444/x", False),
        ("https://api.hubapi.com.example.com/x", False),
        ("https://api.hubapi.com@example.com/x", False),
        ("https://example.com\\@api.hubapi.com/x", True),
        ("//api.hubapi.com/x", False),
        ("/x", False),
        ("", False),
        ("file:///etc/passwd", False),
        ("https://api.hubapi.com:x", False),
        ("https://[", False),
    ],
)
def test_the_same_origin(url: str, same: bool) -> None:
    assert same_origin(url, "https://api.hubapi.com") is same


@given(st.text())
def test_any_text_has_no_origin_or_another_one(url: str) -> None:
    assert same_origin(url, "https://api.hubapi.com") is False


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.com", False),
        ("", False),
        ("localhost.", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
