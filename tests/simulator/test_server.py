"""The log of requests, the routes under /_simulator/, and the lifecycle of the simulator."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading

import pytest
import requests

from airflow_provider_hubassoc.simulator import Simulator
from airflow_provider_hubassoc.simulator.__main__ import main
from tests.support.simulator_client import Api, limit


def test_log_of_requests(api, hubspot):
    api.batch("create", "contacts/companies", limit(279, 5))
    api.call("GET", "/x%20y?a=1&b=%20")
    api.call("POST", "/oauth/2026-03/token", data="grant_type=x")
    first, second, third = hubspot.requests
    assert (first.method, first.status) == ("POST", 201)
    assert first.path == "/crm/associations/2026-03/definitions/configurations/contacts/companies/batch/create"
    assert first.body == {"inputs": [limit(279, 5)]}
    assert first.headers["authorization"] == first.headers["Authorization"] == f"Bearer {hubspot.token}"
    assert (second.path, second.query, second.body, second.status) == ("/x y", "a=1&b=%20", None, 404)
    assert (third.body, third.status) == ("grant_type=x", 400)
    assert first.connection == second.connection
    assert first.connection.startswith("127.0.0.1:")
    assert first.received_at <= second.received_at
    Api(hubspot).limits("all")
    assert len({one.connection for one in hubspot.requests}) == 2
    hubspot.clear_requests()
    assert hubspot.requests == []


def test_correlation_ids_differ(api):
    ids = {api.call("GET", "/account-info/v3/details").headers["X-HubSpot-Correlation-Id"] for _ in range(3)}
    assert len(ids) == 3


def test_set_limit(api, hubspot):
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 5)
    assert hubspot.limits() == {("0-1", "0-2", "HUBSPOT_DEFINED", 279): 5}
    hubspot.set_limit("0-1", "company", "HUBSPOT_DEFINED", 279, None)
    assert hubspot.limits() == {}
    assert hubspot.requests == []
    with pytest.raises(ValueError, match="no association type"):
        hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 4, 5)


# -- control over HTTP --


def control(hubspot, method, path, body=None):
    return requests.request(method, f"{hubspot.url}/_simulator/{path}", json=body, timeout=10)


def test_requests_over_http(api, hubspot):
    api.limits("all")
    (record,) = control(hubspot, "GET", "requests").json()["results"]
    assert record["path"].endswith("/configurations/all")
    assert record["headers"]["authorization"] == f"Bearer {hubspot.token}"
    assert control(hubspot, "DELETE", "requests").status_code == 204
    assert hubspot.requests == []


def test_limits_and_portal_over_http(hubspot):
    body = {
        "fromObjectType": "contacts",
        "toObjectType": "companies",
        "category": "HUBSPOT_DEFINED",
        "typeId": 1,
        "maxToObjectIds": 5,
    }
    assert control(hubspot, "POST", "limits", body).status_code == 204
    state = control(hubspot, "GET", "portal").json()
    assert state["portalId"] == hubspot.portal_id
    assert {"id": "0-1", "name": "CONTACT"} in state["objectTypes"]
    assert len(state["labels"]) > 350
    assert state["limits"] == [
        {
            "fromObjectTypeId": "0-1",
            "fromObjectType": "CONTACT",
            "toObjectTypeId": "0-2",
            "toObjectType": "COMPANY",
            "category": "HUBSPOT_DEFINED",
            "typeId": 1,
            "label": "Primary",
            "name": "Contact to primary company",
            "maxToObjectIds": 5,
        }
    ]
    assert control(hubspot, "POST", "limits", body | {"maxToObjectIds": None}).status_code == 204
    assert hubspot.limits() == {}
    assert control(hubspot, "POST", "limits", body | {"typeId": 4}).status_code == 400
    assert control(hubspot, "POST", "limits", {"typeId": 4}).json()["message"] == "fromObjectType is missing"


def test_faults_over_http(api, hubspot):
    fault = {"path": "*/all", "status": 503, "headers": {"Retry-After": "1"}, "body": {"a": 1}, "times": 2}
    assert control(hubspot, "POST", "faults", fault).status_code == 201
    assert control(hubspot, "GET", "faults").json()["results"][0]["status"] == 503
    answer = api.call("GET", f"{api.root}/definitions/configurations/all")
    assert (answer.status_code, answer.json()) == (503, {"a": 1})
    assert control(hubspot, "DELETE", "faults").status_code == 204
    assert api.limits("all") == []
    for bad in ({"colour": "red"}, {"status": 7}, [], 5):
        assert control(hubspot, "POST", "faults", bad).status_code == 400


def test_object_types_over_http(api, hubspot):
    object_id = control(hubspot, "POST", "object-types", {"name": "plan"}).json()["id"]
    assert api.labels(f"contacts/{object_id}") == api.labels("contacts/p_plan")
    assert control(hubspot, "POST", "object-types", {"name": "plan"}).status_code == 400


# -- lifecycle --


def free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_is_written_while_stopping():
    with Simulator() as hubspot:
        hubspot.inject(delay=60)
        with pytest.raises(requests.ReadTimeout):
            Api(hubspot).batch("create", "contacts/companies", limit(279, 5), timeout=0.05)
    assert hubspot.limits() == {}


def test_importing_the_package_is_cheap():
    """Importing the package loads no web framework; the simulator never loads the client."""
    code = (
        "import sys, airflow_provider_hubassoc.simulator as s; assert 'fastapi' not in sys.modules; s.Simulator; "
        "bad = [m for m in sys.modules if m.split('.')[0] in ('airflow', 'requests') "
        "or m.startswith(("
        "'airflow_provider_hubassoc.hubspot', 'airflow_provider_hubassoc.limits'))]; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stop_frees_port_and_thread():
    threads = set(threading.enumerate())
    with Simulator() as hubspot:
        hubspot.inject(delay=60)
        api = Api(hubspot)
        with pytest.raises(requests.ReadTimeout):
            api.call("GET", "/", timeout=0.05)
        api.limits("all")
        port = hubspot.port
        assert hubspot.url == f"http://127.0.0.1:{port}"
    assert free(port)
    assert set(threading.enumerate()) == threads
    hubspot.stop()
    with Simulator(port=port) as again:
        assert again.port == port
        assert Api(again).limits("all") == []


def test_stop_does_not_wait_for_answers():
    """Leaving the block does not wait for an answer with a delay of a minute."""
    failures = []

    def ask():
        try:
            Api(hubspot).call("GET", "/slow")
        except requests.ConnectionError as error:
            failures.append(error)

    with Simulator() as hubspot:
        hubspot.inject(delay=60, path="/slow")
        client = threading.Thread(target=ask)
        client.start()
        while not hubspot.requests:
            pass
    client.join(10)
    assert len(failures) == 1


def test_a_second_start_fails(hubspot):
    with pytest.raises(RuntimeError, match="running already"):
        hubspot.start()


def test_state_survives_a_restart(hubspot):
    hubspot.set_limit("contacts", "companies", "HUBSPOT_DEFINED", 279, 5)
    hubspot.stop()
    hubspot.start()
    assert len(Api(hubspot).limits("contacts/companies")) == 1


def test_start_failure_is_raised(hubspot):
    with pytest.raises(OSError, match="in use"), Simulator(port=hubspot.port):
        pass


def test_failure_inside_the_thread_is_raised():
    """A process that may open one more file can open a socket, but not an event loop."""
    code = """if True:
        import os, resource
        from airflow_provider_hubassoc.simulator import Simulator

        with Simulator() as hubspot:
            pass
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        try:
            hubspot.start()
        except RuntimeError as error:
            assert isinstance(error.__cause__, OSError), error.__cause__
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "the simulator did not start\n"


def test_many_clients_at_once(hubspot):
    def work(number):
        api = Api(hubspot)
        for value in range(1, 11):
            assert api.batch("update", "contacts/companies", limit((279, 1, 931)[number % 3], value)).ok
            api.limits("all")

    clients = [threading.Thread(target=work, args=(number,)) for number in range(9)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(hubspot.requests) == 180
    assert {one.status for one in hubspot.requests} <= {200, 207}


# -- command line --


def run(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_hubassoc.simulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_command_line(signum):
    with run("--processing-seconds", "3600", "--rate-limit", "50", "--portal-id", "99") as process:
        try:
            lines = []
            while not lines or "AIRFLOW_CONN" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], process.stderr.read()
            text = "".join(lines)
            url = re.search(r"http://127\.0\.0\.1:\d+", text).group()
            token = re.search(r"pat-na1-\S+", text).group()
            variable = shlex.split(lines[-1])[1]
            assert variable.startswith('AIRFLOW_CONN_HUBSPOT_DEFAULT={"conn_type": "hubspot", ')
            assert url in variable
            assert token in variable
            headers = {"Authorization": f"Bearer {token}"}
            answer = requests.get(f"{url}/account-info/2026-03/details", headers=headers, timeout=10)
            assert answer.json()["portalId"] == 99
            assert answer.headers["X-HubSpot-RateLimit-Max"] == "50"
            os.kill(process.pid, signum)
            rest, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert "Traceback" not in rest
    assert free(int(url.rsplit(":", 1)[1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--partial-status", "PENDING"], "invalid choice"),
        (["--processing-seconds", "-1"], "--processing-seconds: must be a number of seconds from 0"),
        (["--port", "70000"], "--port: must be a whole number from 0 to 65535"),
        (["--rate-limit", "0"], "--rate-limit: must be a whole number from 1"),
        (["--port", "abc"], "--port: must be a whole number"),
    ],
)
def test_command_line_refuses_invalid_options(capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 1
    assert message in capsys.readouterr().err
