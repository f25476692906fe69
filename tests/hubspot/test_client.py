"""Every endpoint in every API version: the request that HubSpot gets, and the result that the caller gets."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, get_args

import pytest
import requests

from airflow_provider_hubassoc import __version__
from airflow_provider_hubassoc.hubspot.client import HubSpotClient
from airflow_provider_hubassoc.hubspot.errors import HubSpotError, HubSpotServerError, HubSpotValidationError
from airflow_provider_hubassoc.hubspot.models import BatchStatus, LimitInput
from airflow_provider_hubassoc.hubspot.settings import ApiVersion, HubSpotSettings
from airflow_provider_hubassoc.hubspot.transport import RateLimit
from airflow_provider_hubassoc.limits.operation import BatchOperation
from airflow_provider_hubassoc.simulator import Simulator
from tests.support.wire import TOKEN, Peer, client_of, limit, response

API_VERSIONS = get_args(ApiVersion)
ROOTS = {version: f"/crm/associations/{version}" for version in API_VERSIONS} | {"v4": "/crm/v4/associations"}


@pytest.fixture(params=API_VERSIONS)
def api_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def portal(api_version: str) -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def client(portal: Simulator, api_version: str) -> Iterator[HubSpotClient]:
    with client_of(portal, api_version=api_version) as client:
        yield client


def sent(hubspot: Simulator, root: str = "") -> list[tuple[str, str]]:
    return [(request.method, request.path.removeprefix(root)) for request in hubspot.requests]


def test_limits_are_created_updated_read_and_purged(portal: Simulator, client: HubSpotClient, api_version: str) -> None:
    key = ("0-1", "0-2", "HUBSPOT_DEFINED", 279)

    created = client.create_limits("contacts", "companies", [limit(279, 5)])
    assert created.status is BatchStatus.COMPLETE
    assert [(result.identity, result.max_to_object_ids) for result in created.results] == [
        (("HUBSPOT_DEFINED", 279), 5)
    ]
    assert portal.limits() == {key: 5}

    updated = client.update_limits("0-1", "company", [LimitInput.model_validate(limit(279, 7))])
    assert updated.results[0].max_to_object_ids == 7
    assert portal.limits() == {key: 7}

    (read,) = client.get_limits("contact", "COMPANIES")
    assert (read.identity, read.max_to_object_ids, read.label) == (("HUBSPOT_DEFINED", 279), 7, None)
    all_limits = {result.type_id: result.max_to_object_ids for result in client.get_all_limits()}
    assert all_limits == {279: 7, 280: None}

    purged = client.purge_limits("contacts", "companies", [limit(279, None)])
    assert purged.status is BatchStatus.COMPLETE
    assert not purged.errors
    assert portal.limits() == {}

    pair = "/definitions/configurations/{}/{}"
    assert sent(portal, ROOTS[api_version]) == [
        ("POST", pair.format("contacts", "companies") + "/batch/create"),
        ("POST", pair.format("0-1", "company") + "/batch/update"),
        ("GET", pair.format("contact", "COMPANIES")),
        ("GET", "/definitions/configurations/all"),
        ("POST", pair.format("contacts", "companies") + "/batch/purge"),
    ]
    assert [request.body for request in portal.requests if request.method == "POST"] == [
        {"inputs": [limit(279, 5)]},
        {"inputs": [limit(279, 7)]},
        {"inputs": [limit(279, None)]},
    ]


def test_labels_are_created_renamed_read_and_deleted(
    portal: Simulator, client: HubSpotClient, api_version: str
) -> None:
    rows = client.create_label("contacts", "companies", label="Employer", name="employer", inverse_label="Employee")
    assert {label.label for label in rows} == {"Employer", "Employee"}
    (employer,) = [label for label in client.get_labels("contacts", "companies") if label.label == "Employer"]
    assert employer.category == "USER_DEFINED"

    client.update_label(
        "contacts", "companies", association_type_id=employer.type_id, label="Boss", inverse_label="Staff"
    )
    assert "Boss" in {label.label for label in client.get_labels("contacts", "companies")}
    assert "Staff" in {label.label for label in client.get_labels("companies", "contacts")}

    client.delete_label("contacts", "companies", employer.type_id)
    assert {label.label for label in client.get_labels("contacts", "companies")} & {"Boss"} == set()

    client.create_label("deals", "deals", label="Same", name="same")
    writes = [request for request in portal.requests if request.method != "GET"]
    root = ROOTS[api_version]
    assert [(request.method, request.path, request.body) for request in writes] == [
        (
            "POST",
            f"{root}/contacts/companies/labels",
            {"label": "Employer", "name": "employer", "inverseLabel": "Employee"},
        ),
        (
            "PUT",
            f"{root}/contacts/companies/labels",
            {"associationTypeId": employer.type_id, "label": "Boss", "inverseLabel": "Staff"},
        ),
        ("DELETE", f"{root}/contacts/companies/labels/{employer.type_id}", None),
        ("POST", f"{root}/deals/deals/labels", {"label": "Same", "name": "same"}),
    ]


def test_account_info_uses_one_path_in_every_version(portal: Simulator, client: HubSpotClient) -> None:
    account = client.account_info()
    assert (account.portal_id, account.account_type) == (portal.portal_id, "DEVELOPER_TEST")
    assert (account.time_zone, account.ui_domain) == ("America/New_York", "app.hubspot.com")
    assert sent(portal) == [("GET", "/account-info/2026-03/details")]


def test_internal_names_come_from_the_object_schema(portal: Simulator, client: HubSpotClient, api_version: str) -> None:
    type_id, _ = portal.add_label("contacts", "companies", label="Employer", name="employer")
    names = {row.type_id: row.name for row in client.get_association_names("contacts")}
    assert names[type_id] == "employer"
    version_in_path = "v3" if api_version == "v4" else api_version  # object schemas have no v4
    assert sent(portal) == [("GET", f"/crm-object-schemas/{version_in_path}/schemas/contacts")]


def test_refused_inputs_are_in_the_answer(portal: Simulator, client: HubSpotClient) -> None:
    answer = client.update_limits("contacts", "companies", [limit(279, 5), limit(5, 5), limit(1, 3)])
    assert answer.status is BatchStatus.COMPLETE
    assert {result.type_id for result in answer.results} == {279, 1}
    assert answer.num_errors == 1
    assert answer.errors[0].sub_category == "crm.associations.INVALID_ASSOCIATION_TYPE"
    assert answer.correlation_id
    assert len(portal.limits()) == 2

    canceled = client.create_limits("contacts", "companies", [limit(5, 5)])
    assert canceled.status is BatchStatus.CANCELED
    assert canceled.results == []


def test_a_slow_batch_is_polled_by_its_status_link() -> None:
    with Simulator(processing_seconds=0.05) as portal, client_of(portal) as client:
        answer = client.update_limits("contacts", "companies", [limit()])
        assert answer.status is BatchStatus.PENDING
        link = answer.links["status"]
        while not answer.status.is_terminal:
            answer = client.get_status(link)
        assert answer.results[0].max_to_object_ids == 5
        assert portal.requests[-1].headers["authorization"] == f"Bearer {portal.token}"


# -- the format of requests --


def test_all_requests_share_one_connection(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        client.account_info()
        client.create_limits("contacts", "companies", [limit()])
        client.purge_limits("contacts", "companies", [limit(279, None)])  # 204, without a body
        with pytest.raises(HubSpotValidationError):
            client.get_limits("nonsense", "companies")
        hubspot.inject(status=500, body="<html>no</html>")
        with pytest.raises(HubSpotServerError):
            client.get_limits("contacts", "companies")
        client.without_retries().get_all_limits()
        client.create_label("contacts", "companies", label="x", name="x")
    assert len(hubspot.requests) == 7
    assert len({request.connection for request in hubspot.requests}) == 1


def test_a_closed_client_can_be_used_again(hubspot: Simulator) -> None:
    client = client_of(hubspot)
    client.account_info()
    client.close()
    client.account_info()
    client.close()
    assert len({request.connection for request in hubspot.requests}) == 2


def test_the_headers_of_a_request(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        client.get_all_limits()
        client.update_limits("contacts", "companies", [limit()])
    read, write = (request.headers for request in hubspot.requests)
    assert read["user-agent"] == (
        f"airflow-provider-hubassoc/{__version__} "
        f"(airflow/{version('apache-airflow-core')}; python/{platform.python_version()})"
    )
    assert read["accept"] == "application/json"
    assert read["authorization"] == f"Bearer {hubspot.token}"
    assert "content-type" not in read
    assert write["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("object_type", "segment"),
    [
        ("contacts", b"contacts"),
        ("2-123", b"2-123"),
        ("p_my object", b"p_my%20object"),
        ("a?b#c%2F", b"a%3Fb%23c%252F"),
        ("p_größe", b"p_gr%C3%B6%C3%9Fe"),
        ("a.b", b"a.b"),
        ("a@b:c;d", b"a%40b%3Ac%3Bd"),
        ("x" * 300, b"x" * 300),
    ],
)
def test_an_object_type_is_one_segment_of_the_path(object_type: str, segment: bytes) -> None:
    with Peer(response(b'{"results": []}')) as peer, client_of(f"http://127.0.0.1:{peer.port}") as client:
        client.get_limits(object_type, "deals")
        client.get_labels("deals", object_type)
    lines = [message.split(b"\r\n")[0] for message in peer.received]
    root = b"/crm/associations/2026-03/"
    assert lines == [
        b"GET " + root + b"definitions/configurations/" + segment + b"/deals HTTP/1.1",
        b"GET " + root + b"deals/" + segment + b"/labels HTTP/1.1",
    ]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hook_may_read_the_answer_first(chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing, and libraries that record traffic, read the answer inside of requests."""
    answer = response(b'{"results": []}')
    if chunked:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" + b'{"results": []}' + b"\r\n0\r\n\r\n"
    recorded: list[bytes] = []
    send = requests.Session.send

    def recording_send(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        received = send(self, request, **options)
        recorded.append(received.content)
        return received

    monkeypatch.setattr(requests.Session, "send", recording_send)
    with Peer(answer) as peer, client_of(f"http://127.0.0.1:{peer.port}") as client:
        assert client.get_limits("contacts", "deals") == []
    assert recorded == [b'{"results": []}']


@pytest.mark.parametrize("object_type", ["", ".", "..", "../..", "a/b", " a", "a\r\nX: y", "\x00", "\ud800", None, 5])
def test_an_invalid_object_type_is_not_sent(hubspot: Simulator, object_type: Any) -> None:
    with client_of(hubspot) as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.get_limits(object_type, "deals"),
            lambda: client.update_limits("deals", object_type, [limit()]),
            lambda: client.create_label("deals", object_type, label="x", name="x"),
            lambda: client.delete_label(object_type, "deals", 5),
        ]
        for call in calls:
            with pytest.raises(HubSpotValidationError, match="is not an object type"):
                call()
    assert hubspot.requests == []


@pytest.mark.parametrize(
    ("inputs", "mistake"),
    [
        ([{"typeId": 5}], "inputs.0.category: Field required"),
        ([limit(), {"category": "X", "typeId": 5}], "inputs.1.category: Input should be 'HUBSPOT_DEFINED'"),
        ([{"category": "WORK", "typeId": "x"}], "inputs.0.typeId: Input should be a valid integer"),
        ([5], "inputs.0: "),
        (5, "inputs: "),
    ],
)
def test_invalid_inputs_are_not_sent(hubspot: Simulator, inputs: Any, mistake: str) -> None:
    with client_of(hubspot) as client:
        for send in (client.create_limits, client.update_limits, client.purge_limits):
            with pytest.raises(HubSpotValidationError) as error:
                send("contacts", "companies", inputs)
            assert mistake in str(error.value)
    assert hubspot.requests == []


# -- large batches --

LABELS = 7


@pytest.fixture
def label_ids(hubspot: Simulator) -> list[int]:
    return [hubspot.add_label("contacts", "companies", label=f"L{n}", name=f"l{n}")[0] for n in range(LABELS)]


@pytest.mark.parametrize(("per_request", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_a_large_batch_is_split_and_its_results_are_joined(
    hubspot: Simulator, label_ids: list[int], per_request: int, sizes: list[int]
) -> None:
    inputs = [limit(type_id, 3, "USER_DEFINED") for type_id in label_ids]
    with client_of(hubspot, inputs_per_request=per_request) as client:
        created = client.create_limits("contacts", "companies", inputs)
        assert [result.type_id for result in created.results] == label_ids
        assert created.status is BatchStatus.COMPLETE
        assert created.started_at
        assert created.completed_at
        assert created.correlation_id
        assert [len(request.body["inputs"]) for request in hubspot.requests] == sizes
        assert len(hubspot.limits()) == LABELS
        purged = client.purge_limits(
            "contacts", "companies", [limit(type_id, None, "USER_DEFINED") for type_id in label_ids]
        )
        assert purged.status is BatchStatus.COMPLETE
        assert hubspot.limits() == {}


def test_a_refused_part_does_not_hide_the_applied_parts(hubspot: Simulator, label_ids: list[int]) -> None:
    inputs = [limit(type_id, 3, "USER_DEFINED") for type_id in label_ids[:2]] + [limit(5, 3), limit(279, 9)]
    with client_of(hubspot, inputs_per_request=1) as client:
        answer = client.update_limits("contacts", "companies", inputs)
        assert answer.status is BatchStatus.CANCELED
        assert answer.num_errors == len(answer.errors) == 1
        assert answer.correlation_id
        operation = _operation("update", inputs, answer)
        assert operation.has_failed
        assert [limit_input.type_id for limit_input in operation.applied] == [*label_ids[:2], 279]
        assert [limit_input.type_id for limit_input, _ in operation.refused] == [5]


def test_a_refused_part_of_a_purge_does_not_hide_the_applied_parts(hubspot: Simulator, label_ids: list[int]) -> None:
    for type_id in label_ids:
        hubspot.set_limit("contacts", "companies", "USER_DEFINED", type_id, 4)
    inputs = [limit(type_id, None, "USER_DEFINED") for type_id in label_ids[:3]] + [limit(5, None)]
    with client_of(hubspot, inputs_per_request=3) as client:
        operation = _operation("purge", inputs, client.purge_limits("contacts", "companies", inputs))
    assert operation.has_failed
    assert [limit_input.type_id for limit_input in operation.applied] == label_ids[:3]
    assert [limit_input.type_id for limit_input, _ in operation.refused] == [5]
    assert len(hubspot.limits()) == LABELS - 3


def _operation(action: str, inputs: list[dict[str, Any]], answer: Any) -> BatchOperation:
    handle = {"action": action, "from_object_type": "contacts", "to_object_type": "companies", "inputs": inputs}
    return BatchOperation.from_dict(handle).with_answer(answer)


def test_an_error_in_a_later_part_names_the_number_of_inputs_sent(hubspot: Simulator, label_ids: list[int]) -> None:
    inputs = [limit(type_id, 3, "USER_DEFINED") for type_id in label_ids]
    with client_of(hubspot, inputs_per_request=3, max_retries=0) as client:
        client.account_info()
        hubspot.inject(path="*/batch/update", headers={"X-Nothing": "1"})
        hubspot.inject(path="*/batch/update", status=400, body={"message": "No."})
        with pytest.raises(HubSpotValidationError) as error:
            client.update_limits("contacts", "companies", inputs)
    assert "No. (3 of 7 inputs were sent before)" in str(error.value)
    assert error.value.outcome_unknown
    assert len(hubspot.limits()) == 3


def test_one_pending_part_makes_the_batch_pending(hubspot: Simulator, label_ids: list[int]) -> None:
    pending = {"status": "PENDING", "links": {"status": f"{hubspot.url}/x"}}
    hubspot.inject(path="*/batch/update", status=200, body=pending)
    inputs = [limit(type_id, 3, "USER_DEFINED") for type_id in label_ids]
    with client_of(hubspot, inputs_per_request=4) as client:
        answer = client.update_limits("contacts", "companies", inputs)
    assert answer.status is BatchStatus.PENDING
    assert answer.links == {}  # the link would show one part only
    operation = _operation("update", inputs, answer)
    assert [limit_input.type_id for limit_input in operation.unconfirmed] == label_ids[:4]


def test_an_empty_batch_is_not_sent(hubspot: Simulator) -> None:
    with client_of(hubspot) as client, pytest.raises(HubSpotValidationError, match="inputs"):
        client.update_limits("contacts", "companies", [])
    assert hubspot.requests == []


# -- rate limits --


def test_the_rate_limit_comes_from_the_latest_answer_that_included_it() -> None:
    known: list[RateLimit | None] = []
    with Simulator(rate_limit=100) as portal, client_of(portal) as client:
        known.append(client.rate_limit)
        client.get_all_limits()
        known.append(client.rate_limit)
        client.without_retries().get_all_limits()
        known.append(client.rate_limit)
        portal.settings.rate_limit = None
        client.get_all_limits()
        known.append(client.rate_limit)
    states = [None if state is None else (state.maximum, state.remaining, state.interval) for state in known]
    assert states == [None, (100, 99, 10.0), (100, 98, 10.0), (100, 98, 10.0)]


@pytest.mark.parametrize("value", ["", "x", "1.5", "9" * 5000])
def test_invalid_rate_limit_headers_are_ignored(hubspot: Simulator, value: str) -> None:
    names = ("Max", "Remaining", "Interval-Milliseconds")
    hubspot.inject(headers={f"X-HubSpot-RateLimit-{name}": value for name in names})
    with client_of(hubspot) as client:
        client.get_all_limits()
        assert client.rate_limit is None


@pytest.mark.parametrize(
    ("maximum", "milliseconds", "is_plausible"),
    [(1, 1, True), (1, 60_000, True), (1, 60_001, False), (1, 0, False), (0, 10_000, False), (-1, 10_000, False)],
)
def test_implausible_rate_limits_are_ignored(maximum: int, milliseconds: int, is_plausible: bool) -> None:
    headers = {"Max": maximum, "Remaining": 0, "Interval-Milliseconds": milliseconds}
    rate_limit = RateLimit.from_headers({f"X-HubSpot-RateLimit-{name}": str(value) for name, value in headers.items()})
    assert rate_limit == (RateLimit(maximum, 0, milliseconds / 1000) if is_plausible else None)


def test_a_client_needs_a_token() -> None:
    settings = HubSpotSettings.model_construct(auth_type="access_token", access_token=None)
    with pytest.raises(HubSpotError, match="no access token"):
        HubSpotClient(settings)


def test_the_token_is_not_shown(hubspot: Simulator) -> None:
    with client_of(hubspot) as client:
        client.account_info()
        assert hubspot.token not in repr(client) + repr(vars(client)) + str(client)
    assert TOKEN not in repr(client_of("https://example.com"))
