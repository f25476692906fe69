"""Every fault that can be injected: the answer that a client gets, and the state of the portal afterwards."""

from __future__ import annotations

import http.client
import socket

import pytest
import requests

from tests.support.simulator_client import limit

CREATED = [3]


def create(api, **options):
    return api.batch("create", "contacts/companies", limit(279, 3), **options)


def values(hubspot):
    return list(hubspot.limits().values())


@pytest.mark.parametrize("status", [423, 429, 437, 477, 500, 502, 503, 504, 521, 523, 524])
@pytest.mark.parametrize("body", [None, "<html>Bad</html>", {"status": "error", "message": "no"}])
def test_status_and_body(api, hubspot, status, body):
    hubspot.inject(status=status, body=body, headers={"Retry-After": "3"})
    answer = create(api)
    assert answer.status_code == status
    assert answer.headers["Retry-After"] == "3"
    kind = "text/html" if isinstance(body, str) else "application/json"
    assert answer.headers["Content-Type"].startswith(kind)
    if isinstance(body, dict):
        assert answer.json() == body
    else:
        assert answer.text == (body or "")
    assert values(hubspot) == []
    assert create(api).status_code == 201
    assert [one.status for one in hubspot.requests] == [status, 201]


def test_fault_after_the_write(api, hubspot):
    hubspot.inject(status=503, body="<html>", after=True)
    assert create(api).status_code == 503
    assert values(hubspot) == CREATED


def test_headers_alone_keep_the_normal_answer(api, hubspot):
    hubspot.inject(headers={"X-Extra": "1", "content-TYPE": "text/plain", "X-HubSpot-Correlation-Id": None})
    answer = create(api)
    assert (answer.status_code, answer.json()["status"]) == (201, "COMPLETE")
    assert (answer.headers["X-Extra"], answer.headers["Content-Type"]) == ("1", "text/plain")
    assert "X-HubSpot-Correlation-Id" not in answer.headers


def test_body_alone(api, hubspot):
    hubspot.inject(body=b"\xff{", times=2)
    hubspot.inject(body={"results": 7}, after=True)
    answers = [create(api) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 201]
    assert [one.content for one in answers[:2]] == [b"\xff{"] * 2
    assert answers[2].json() == {"results": 7}
    assert values(hubspot) == CREATED


def test_redirect(api, hubspot):
    hubspot.inject(status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"})
    answer = create(api, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")


@pytest.mark.parametrize("after", [False, True])
def test_reset(api, hubspot, after):
    hubspot.inject(method="POST", reset=True, after=after)
    with pytest.raises(requests.ConnectionError, match=r"reset by peer|Connection reset"):
        create(api)
    assert values(hubspot) == (CREATED if after else [])
    assert [one.status for one in hubspot.requests] == [None]
    assert create(api).status_code == 201


def test_truncated_answer(api, hubspot):
    hubspot.inject(truncate=10)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        create(api)
    assert values(hubspot) == CREATED


def test_truncated_fault_is_not_processed(api, hubspot):
    hubspot.inject(truncate=0, status=200, body={"results": []})
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(api)
    assert values(hubspot) == []


def test_reset_in_the_middle_of_the_body(api, hubspot):
    hubspot.inject(truncate=10, reset=True, after=True)
    answer = create(api, stream=True)
    assert answer.status_code == 201
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError), match="reset"):
        answer.content  # noqa: B018
    assert values(hubspot) == CREATED


def test_stalled_body(api, hubspot):
    hubspot.inject(stall=30)
    answer = create(api, stream=True, timeout=0.2)
    with pytest.raises(requests.ConnectionError, match="timed out"):
        answer.content  # noqa: B018
    assert values(hubspot) == CREATED


def test_stall_ends(api, hubspot):
    hubspot.inject(stall=0.05)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(api)


@pytest.mark.parametrize("after", [False, True])
def test_delay(api, hubspot, after):
    hubspot.inject(delay=30, after=after)
    with pytest.raises(requests.ReadTimeout):
        create(api, timeout=0.2)
    assert values(hubspot) == (CREATED if after else [])


def test_short_delay_answers_normally(api, hubspot):
    hubspot.inject(delay=0.05)
    assert create(api).status_code == 201
    hubspot.inject(delay=0.05, after=True)
    assert create(api).status_code == 201


def test_latency(simulate):
    api = simulate(latency_seconds=30)
    with pytest.raises(requests.ReadTimeout):
        create(api, timeout=0.2)
    api.hubspot.settings.latency_seconds = 0
    assert create(api).status_code == 201


def test_content_length_too_large(api, hubspot):
    hubspot.inject(headers={"Content-Length": "9999"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        create(api)


def test_content_length_too_small(api, hubspot):
    hubspot.inject(headers={"Content-Length": "5"})
    assert create(api).text == '{"sta'
    # The rest of the body must not be read as the next answer.
    assert create(api).status_code == 201


def test_no_content_type(api, hubspot):
    hubspot.inject(headers={"Content-Type": None})
    assert "Content-Type" not in create(api).headers


def test_a_body_with_status_204(hubspot):
    hubspot.inject(status=204, body="surprise")
    with socket.create_connection(("127.0.0.1", hubspot.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert received.endswith(b"\r\n\r\nsurprise")


def test_large_body(api, hubspot):
    hubspot.inject(body=b" " * 20_000_000)
    assert len(create(api).content) == 20_000_000


def test_matching_and_order(api, hubspot):
    hubspot.inject(method="get", path="*/definitions/configurations/*", status=500, times=2)
    hubspot.inject(path="*/labels", status=502)
    hubspot.inject(status=503)
    paths = ["contacts/companies/labels", *["definitions/configurations/all"] * 4]
    answers = [api.call("GET", f"{api.root}/{path}").status_code for path in paths]
    assert answers == [502, 500, 500, 503, 200]
    assert hubspot.faults == []


def test_pending_faults_can_be_cleared(api, hubspot):
    hubspot.inject(status=500, times=5)
    assert hubspot.faults[0].times == 5
    hubspot.clear_faults()
    assert api.limits("all") == []


def test_token_endpoint_can_fail(api, hubspot):
    hubspot.inject(path="/oauth/*", status=500)
    assert api.call("POST", "/oauth/2026-03/token").status_code == 500


@pytest.mark.parametrize("fault", [{"status": 99}, {"status": 600}, {"times": 0}, {"delay": -1}, {"truncate": -1}])
def test_invalid_faults(hubspot, fault):
    with pytest.raises(ValueError, match=r"must"):
        hubspot.inject(**fault)


def test_connection_survives_a_plain_fault(hubspot):
    connection = http.client.HTTPConnection("127.0.0.1", hubspot.port, timeout=10)
    hubspot.inject(status=503)
    for _ in range(2):
        connection.request("GET", "/account-info/2026-03/details")
        connection.getresponse().read()
    connection.close()
    assert len({one.connection for one in hubspot.requests}) == 1
