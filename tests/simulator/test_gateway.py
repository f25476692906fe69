"""Tokens, scopes, OAuth, rate limits and account information."""

from __future__ import annotations

import pytest

from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.simulator.gateway import Gateway
from airflow_provider_hubassoc.simulator.portal import Portal
from airflow_provider_hubassoc.simulator.settings import Settings
from tests.support.simulator_client import Api, limit

DETAILS = "/account-info/2026-03/details"


def error_of(answer, status):
    assert answer.status_code == status
    body = answer.json()
    assert body["status"] == "error"
    assert body["correlationId"] == answer.headers["X-HubSpot-Correlation-Id"]
    return body


@pytest.mark.parametrize("version", ["2026-03", "2026-09", "v3"])
def test_account_info(simulate, version):
    api = simulate(portal_id=77, time_zone="Asia/Kolkata")
    answer = api.call("GET", f"/account-info/{version}/details")
    assert answer.status_code == 200
    assert answer.json() == {
        "portalId": 77,
        "accountType": "DEVELOPER_TEST",
        "timeZone": "Asia/Kolkata",
        "companyCurrency": "USD",
        "additionalCurrencies": [],
        "utcOffset": "+05:30",
        "utcOffsetMilliseconds": 19_800_000,
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "na1",
    }


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer", "Basic x", "wrong"])
def test_bad_token(api, authorization):
    for path in (DETAILS, f"{api.root}/definitions/configurations/all", f"{api.root}/contacts/nonsense/labels"):
        answer = api.call("GET", path, headers={"Authorization": authorization})
        assert error_of(answer, 401)["category"] == "INVALID_AUTHENTICATION"


def test_token_is_stable_and_fake(hubspot):
    assert hubspot.token == "pat-na1-simulator-00000000-0000-0000-0000-000000000000"


def test_revoke(api, hubspot):
    token = hubspot.issue_token()
    assert Api(hubspot, token).call("GET", DETAILS).status_code == 200
    hubspot.revoke(token)
    assert Api(hubspot, token).call("GET", DETAILS).status_code == 401
    assert api.call("GET", DETAILS).status_code == 200


@pytest.mark.parametrize(
    "scope",
    [
        "crm.objects.contacts.read",
        "crm.objects.custom.write",
        "crm.objects.contacts.sensitive.read.v2",
        "crm.objects.deals.highly_sensitive.write.v2",
        "crm.objects.projects.sensitive.read",
        "crm.objects.notes.read",
        "contacts",
        "e-commerce",
        "media_bridge.read",
        "tickets",
        "tickets.sensitive",
        "tickets.highly_sensitive",
        "tickets.highly_sensitive.v2",
    ],
)
def test_any_one_object_scope_is_enough(hubspot, scope):
    api = Api(hubspot, hubspot.issue_token(scopes=[scope]))
    assert api.batch("create", "deals/tickets", limit(27, 1)).status_code == 201
    assert api.limits("all")
    body = error_of(api.call("GET", DETAILS), 403)
    assert body["category"] == "MISSING_SCOPES"
    assert body["errors"][0]["context"]["requiredGranularScopes"] == ["oauth"]


@pytest.mark.parametrize(
    "scope", ["crm.schemas.contacts.write", "crm.objects.owners.read", "crm.objects.contacts.read.v3"]
)
def test_missing_scopes(hubspot, scope):
    api = Api(hubspot, hubspot.issue_token(scopes=["oauth", scope]))
    assert api.call("GET", DETAILS).status_code == 200
    body = error_of(api.batch("create", "contacts/deals", limit(4, 1)), 403)
    assert body["category"] == "MISSING_SCOPES"
    required = body["errors"][0]["context"]["requiredGranularScopes"]
    assert {"contacts", "crm.objects.contacts.read", "crm.objects.contacts.sensitive.read.v2"} <= set(required)
    assert hubspot.limits() == {}


# -- OAuth --


def form_of(hubspot, **changes):
    app = hubspot.oauth
    form = {
        "grant_type": "refresh_token",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "refresh_token": app.refresh_token,
    }
    return form | changes


def refresh(api, version="2026-03", **changes):
    headers = {"Authorization": None}
    return api.call("POST", f"/oauth/{version}/token", data=form_of(api.hubspot, **changes), headers=headers)


@pytest.mark.parametrize("version", ["2026-03", "2026-09", "v3"])
def test_refresh(api, hubspot, version):
    answer = refresh(api, version)
    assert answer.status_code == 200
    body = answer.json()
    token = body.pop("access_token")
    assert "crm.objects.contacts.read" in body.pop("scopes")
    assert body == {
        "refresh_token": hubspot.oauth.refresh_token,
        "expires_in": 1800,
        "token_type": "bearer",
        "token_use": "access_token",
        "hub_id": hubspot.portal_id,
    }
    assert Api(hubspot, token).limits("all") == []
    assert refresh(api).json()["access_token"] != token


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"refresh_token": "wrong"}, "BAD_REFRESH_TOKEN", "invalid_grant"),
        ({"client_id": "wrong"}, "BAD_CLIENT_ID", "invalid_client"),
        ({"client_secret": "wrong"}, "BAD_CLIENT_SECRET", "invalid_client"),
        ({"client_secret": ""}, "BAD_CLIENT_SECRET", "invalid_client"),
        ({"grant_type": "client_credentials"}, "BAD_GRANT_TYPE", "unsupported_grant_type"),
    ],
)
def test_refused_refresh(api, changes, status, error):
    answer = refresh(api, **changes)
    assert answer.status_code == 400
    body = answer.json()
    assert (body["status"], body["error"]) == (status, error)
    assert body["error_description"] == body["message"]


def test_revoked_refresh_token(api, hubspot):
    token = refresh(api).json()["access_token"]
    hubspot.revoke(hubspot.oauth.refresh_token)
    assert refresh(api).json()["status"] == "BAD_REFRESH_TOKEN"
    assert Api(hubspot, token).limits("all") == []


def test_expired_token(api, hubspot):
    hubspot.oauth.expires_in = 0
    token = refresh(api).json()["access_token"]
    answer = Api(hubspot, token).call("GET", DETAILS)
    assert error_of(answer, 401)["category"] == "EXPIRED_AUTHENTICATION"


def test_scopes_of_oauth_tokens_can_be_set(api, hubspot):
    hubspot.oauth.scopes = ("oauth",)
    limited = Api(hubspot, refresh(api).json()["access_token"])
    assert limited.call("GET", f"{api.root}/definitions/configurations/all").status_code == 403


# -- rate limits --


def test_no_rate_limit_headers_without_limits(api):
    assert not [name for name in api.call("GET", DETAILS).headers if "ratelimit" in name.lower()]


def test_ten_secondly_limit(simulate):
    api = simulate(rate_limit=2, portal_id=77)
    remaining = [api.call("GET", DETAILS).headers["X-HubSpot-RateLimit-Remaining"] for _ in range(2)]
    assert remaining == ["1", "0"]
    answer = api.call("GET", f"{api.root}/contacts/companies/labels")
    body = error_of(answer, 429)
    body.pop("correlationId")
    assert body == {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "policyName": "TEN_SECONDLY_ROLLING",
        "groupName": "publicapi:private_app-api-calls-ten-secondly:0:77",
    }
    assert answer.headers["X-HubSpot-RateLimit-Max"] == "2"
    assert answer.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert "Retry-After" not in answer.headers
    # The limit can be removed while the simulator runs.
    api.hubspot.settings.rate_limit = None
    assert api.call("GET", DETAILS).status_code == 200


def test_daily_limit(simulate):
    api = simulate(daily_limit=1)
    answer = api.call("GET", f"{api.root}/definitions/configurations/all")
    assert answer.headers["X-HubSpot-RateLimit-Daily"] == "1"
    assert answer.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "0"
    body = error_of(api.call("GET", DETAILS), 429)
    assert (body["policyName"], body["message"]) == ("DAILY", "You have reached your daily limit.")


def test_errors_carry_rate_limit_headers(simulate):
    api = simulate(rate_limit=9)
    assert api.call("GET", f"{api.root}/x/y/labels").headers["X-HubSpot-RateLimit-Remaining"] == "8"


def test_no_daily_headers_for_oauth_tokens(simulate):
    api = simulate(daily_limit=5, rate_limit=5)
    token = refresh(api).json()["access_token"]
    headers = Api(api.hubspot, token).call("GET", DETAILS).headers
    assert "X-HubSpot-RateLimit-Max" in headers
    assert "X-HubSpot-RateLimit-Daily" not in headers


def test_ten_second_window_is_rolling():
    now = [100.0]
    settings = Settings(rate_limit=2)
    gateway = Gateway(settings, Portal(settings).local_time, clock=lambda: now[0])
    authorization = f"Bearer {Simulator().token}"

    def status():
        try:
            gateway.admit(authorization)
        except Exception as error:
            return getattr(error, "status", None)
        return 200

    answers = []
    for moment in (100.0, 105.0, 106.0, 109.9, 110.0, 112.0, 115.0):
        now[0] = moment
        answers.append(status())
    # Refused requests do not count. An admitted request stops counting after 10 seconds.
    assert answers == [200, 200, 429, 429, 200, 429, 200]
