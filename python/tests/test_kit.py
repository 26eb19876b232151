"""The fixtures, the databases and the faults."""

import json

import httpx
import pytest
from usher_testing import App, BrokenResponse, Canned, DatabaseError, Memory, UsersError

ANN = {"name": "Ann", "email": "ann@example.com"}


def test_request_with_json_returns_an_httpx_response(usher_app):
    created = usher_app.post("/users/", json=ANN)
    assert isinstance(created, httpx.Response)
    assert (created.status_code, created.json()) == (200, {"id": 1, **ANN})
    read = usher_app.get("/users/1")
    assert read.headers["etag"] == '"1"'
    assert read.headers["content-type"] == "application/json"
    assert usher_app.get("/users/1", headers={"if-none-match": '"1"'}).status_code == 304
    assert usher_app.head("/users/1").content == b""
    assert usher_app.get("/docs").headers["content-type"] == "text/html; charset=utf-8"


def test_database_of_each_test_is_new(usher_app):
    assert usher_app.get("/users/1").status_code == 404


def test_typed_calls_return_users_and_raise_errors(usher_users):
    ann = usher_users.create("Ann", "Ann@EXAMPLE.com")
    assert (ann.id, ann.email, ann.version) == (1, "Ann@example.com", 1)
    assert usher_users.get(1) == ann
    with pytest.raises(UsersError) as taken:
        usher_users.create("Ann", "Ann@example.com")
    assert taken.value.kind == "email-taken"
    with pytest.raises(UsersError) as invalid:
        usher_users.create("Ann", "nope")
    assert [field for field, _ in invalid.value.faults] == ["email"]
    with pytest.raises(UsersError, match="stale"):
        usher_users.change(1, name="Bo", if_version=9)
    assert usher_users.change(1, name="Bo", if_version=1).version == 2
    assert usher_users.replace(1, "Cy", "cy@example.com").name == "Cy"
    usher_users.create("Di", "di@example.com")
    page = usher_users.list(limit=1)
    assert ([user.name for user in page.users], page.more) == (["Cy"], True)
    assert usher_users.delete(1) is None
    with pytest.raises(UsersError, match="not-found"):
        usher_users.get(1)


def test_statements_are_logged_with_parameters_and_outcomes(usher_app):
    usher_app.post("/users/", json=ANN)
    usher_app.post("/users/", json=ANN)
    first, second = usher_app.statements
    assert first.params == ["Ann", "ann@example.com"]
    assert first.outcome == "1 row"
    assert "23505" in second.outcome


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DatabaseError.unavailable(), 503),
        (DatabaseError.overloaded(), 503),
        (DatabaseError.timeout(), 504),
        (DatabaseError.in_doubt(), 503),
        (DatabaseError.denied("no"), 503),
        (DatabaseError.invalid("no"), 500),
        (DatabaseError.too_large(1), 500),
        (DatabaseError.refused("23505", constraint="users_email_key"), 409),
        (DatabaseError.refused("23503"), 409),
        (DatabaseError.refused("23514"), 422),
        (DatabaseError.refused("42P01"), 500),
    ],
    ids=str,
)
def test_each_error_of_the_database_has_its_status(usher_app, error, status):
    usher_app.database.fail(error)
    assert usher_app.post("/users/", json=ANN).status_code == status
    # Nothing was written, and the instance serves on.
    assert usher_app.post("/users/", json=ANN).json()["id"] == 1


def test_write_in_doubt_after_its_effect_is_not_answered_as_done(usher_app):
    usher_app.database.fail(DatabaseError.in_doubt(), takes_effect=True)
    assert usher_app.post("/users/", json=ANN).status_code == 503
    assert usher_app.get("/users/1").status_code == 200


def test_conflict_runs_the_statement_again(usher_app):
    usher_app.database.fail(DatabaseError.refused("40001"))
    assert usher_app.post("/users/", json=ANN).status_code == 200
    assert len(usher_app.statements) == 2


def test_snapshot_restores_the_contents(usher_app):
    usher_app.post("/users/", json=ANN)
    snapshot = usher_app.snapshot()
    usher_app.delete("/users/1")
    assert usher_app.get("/users/1").status_code == 404
    usher_app.restore(snapshot)
    assert usher_app.get("/users/1").status_code == 200


def test_streamed_response_is_complete_or_raises(usher_app):
    for number in range(1200):
        user = {"name": "Ann", "email": f"ann{number}@example.com"}
        assert usher_app.post("/users/", json=user).status_code == 200
    streamed = usher_app.get("/users.ndjson")
    assert streamed.headers["content-type"] == "application/x-ndjson"
    users = [json.loads(line) for line in streamed.text.splitlines()]
    assert [user["id"] for user in users] == list(range(1, 1201))
    # A cursor, and more than one batch of it.
    assert [call.statement for call in usher_app.statements[1200:]].count("FETCH") > 1
    head = usher_app.head("/users.ndjson")
    assert (head.status_code, head.text) == (200, "")

    # The first batch is read before the response begins.
    usher_app.database.fail(DatabaseError.timeout(), after=1)
    assert usher_app.get("/users.ndjson").status_code == 504
    usher_app.database.fail(DatabaseError.timeout(), after=2)
    with pytest.raises(BrokenResponse):
        usher_app.get("/users.ndjson")
    assert usher_app.get("/users/1").status_code == 200


class TestCanned:
    @pytest.fixture
    def usher_database(self):
        row = {"name": "Ann", "email": "ann@example.com", "version": 3}
        return Canned(
            {
                "SELECT * FROM users WHERE id = $1": lambda id: [row] if id == 7 else [],
                "DELETE *": DatabaseError.in_doubt(),
            }
        )

    def test_answers_come_from_the_dictionary(self, usher_app):
        assert usher_app.get("/users/7").json() == {"id": 7, **ANN}
        assert usher_app.get("/users/8").status_code == 404
        assert usher_app.delete("/users/7").status_code == 503
        assert usher_app.post("/users/", json=ANN).status_code == 500
        assert "there is no answer for: INSERT" in usher_app.statements[-1].outcome


class TestPostgres:
    @pytest.fixture
    def usher_database(self):
        postgres = pytest.importorskip("usher_testing.postgres")
        return postgres.Postgres()

    def test_service_runs_on_it(self, usher_app):
        assert usher_app.database.dialect == "postgres"
        assert usher_app.post("/users/", json=ANN).json() == {"id": 1, **ANN}
        assert usher_app.post("/users/", json=ANN).status_code == 409
        assert usher_app.patch("/users/1", json={"name": "Bo"}).json()["name"] == "Bo"
        assert usher_app.get("/users/?limit=1").json() == [{"id": 1, **ANN, "name": "Bo"}]

    def test_next_test_has_a_database_of_its_own(self, usher_app):
        assert usher_app.get("/users/1").status_code == 404

    def test_snapshot_restores_the_contents(self, usher_app):
        usher_app.post("/users/", json=ANN)
        snapshot = usher_app.snapshot()
        usher_app.delete("/users/1")
        usher_app.restore(snapshot)
        assert usher_app.get("/users/1").status_code == 200


def test_app_works_without_fixtures():
    with App(Memory()) as app, app.client as client:
        assert client.post("/users/", json=ANN).status_code == 200


def test_failed_test_shows_its_statements(pytester):
    pytester.makepyfile(
        """
        def test_fails(usher_app):
            assert usher_app.get("/users/1").status_code == 200
        """
    )
    result = pytester.runpytest("-p", "no:asyncio")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*statements of the component*", "1. SELECT *($1 = 1)", "*0 rows"])
