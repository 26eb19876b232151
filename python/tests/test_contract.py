"""The recorded cases of the HTTP contract, without HTTP: see tests/contract."""

import os
import sys

import pytest
from usher_testing import App

sys.path.insert(0, os.environ["USHER_CONTRACT"])
import replay  # noqa: E402

ADDRESS = "testserver:8000"


@pytest.fixture(scope="module")
def app():
    with App() as app:
        yield app


@pytest.mark.parametrize("case", replay.cases(), ids=lambda case: f"{case['group']}/{case['name']}")
def test_recorded_case_has_the_recorded_response(case, app):
    def send(request):
        given = {name.lower(): value for name, value in request.get("headers", {}).items()}
        authority = given.pop("host", ADDRESS)
        # The body is complete, whatever it was transferred in.
        given.pop("transfer-encoding", None)
        response = app.handle(
            request["method"],
            "http",
            authority,
            request["path"],
            [(name, value.encode()) for name, value in given.items()],
            replay.content(request) or b"",
        )
        headers = dict(response.fields)
        content_type = getattr(response, "content-type")
        if content_type.tag == "some":
            headers["content-type"] = content_type.payload or "application/json"
        return response.status, headers, bytes(response.body)

    app.reset()
    assert replay.replay(case, send, ADDRESS) is None
