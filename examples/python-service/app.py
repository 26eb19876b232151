"""A service of items in Python, against the same interfaces as the services in Rust.

`componentize-py` makes one component of this file, CPython and the standard library, and loads all
of it at build time: an instance begins with everything imported.
"""

import json
import re
from dataclasses import dataclass
from http import HTTPStatus

import statements
import wit_world
from componentize_py_types import Err, Ok
from wit_world.exports import buffered_handler as buffered
from wit_world.exports import migrations
from wit_world.imports import database, wasi_http_types
from wit_world.imports import usher_database_types as types


class Problem(Exception):
    """An error response (RFC 9457)."""

    def __init__(self, status: int, detail: str | None = None, **headers: str) -> None:
        self.status, self.detail, self.headers = status, detail, headers


@dataclass
class Response:
    status: int
    body: bytes
    content_type: str
    headers: dict[str, str]


# The database.

def value(plain: str | int) -> types.Value:
    return types.Value_Text(plain) if isinstance(plain, str) else types.Value_Integer(plain)


def query(statement: str, *params: str | int) -> list[dict[str, object]]:
    """The rows of a statement, each by the names of its columns."""
    try:
        rows = database.query(statement, [value(param) for param in params])
    except Err as error:
        raise refused(error.value) from error
    return [dict(zip(rows.columns, (cell.value for cell in row))) for row in rows.rows]


def refused(error: types.Error) -> Problem:
    match error:
        case types.Error_Refused(types.Refusal(kind=types.RefusalKind.UNIQUE_VIOLATION)):
            return Problem(409, "another item has this name")
        case types.Error_Unavailable() | types.Error_Overloaded():
            return Problem(503, "the database is not available", **{"retry-after": "1"})
        case types.Error_InDoubt():
            return Problem(503, "whether it was done is unknown", **{"retry-after": "1"})
        case types.Error_Timeout():
            return Problem(504, "the database took too long")
    print(error)
    return Problem(500)


# The routes.

def list_items() -> Response:
    return answer(200, query(statements.LIST))


def create_item(content_type: str, body: bytes) -> Response:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "application/json is expected")
    try:
        new = json.loads(body)
    except ValueError as error:
        raise Problem(400, f"the body is no JSON: {error}") from error
    match new:
        case {"name": str(name), "quantity": int(quantity)} if type(quantity) is int:
            if not name.strip() or not 0 <= quantity < 2**63:
                raise Problem(422, "the name is empty, or the quantity out of range")
        case _:
            raise Problem(422, "a name and a quantity are expected")
    [item] = query(statements.CREATE, name, quantity)
    return answer(201, item, location=f"/items/{item['id']}")


def read_item(number: str) -> Response:
    if not re.fullmatch("[0-9]{1,18}", number):
        raise Problem(422, "the id is no number")
    for item in query(statements.READ, int(number)):
        return answer(200, item)
    raise Problem(404, "there is no such item")


def route(method: str, target: str, content_type: str, body: bytes) -> Response:
    path = target.partition("?")[0]
    allowed = {"GET", "HEAD"}
    if path == "/items":
        allowed = {"GET", "HEAD", "POST"}
        if method == "POST":
            return create_item(content_type, body)
        if method in allowed:
            return list_items()
    elif found := re.fullmatch("/items/([^/]+)", path):
        if method in allowed:
            return read_item(found[1])
    else:
        raise Problem(404)
    raise Problem(405, allow=", ".join(sorted(allowed)))


def answer(status: int, body: object, **headers: str) -> Response:
    text = json.dumps(body, ensure_ascii=False).encode()
    return Response(status, text, "application/json", headers)


def handle(method: str, target: str, content_type: str, body: bytes) -> Response:
    try:
        return route(method, target, content_type, body)
    except Problem as problem:
        parts = {"title": HTTPStatus(problem.status).phrase, "status": problem.status}
        if problem.detail:
            parts["detail"] = problem.detail
        response = answer(problem.status, parts, **problem.headers)
        response.content_type = "application/problem+json"
        return response


# The exports. A traceback of what is not caught ends the request with 500, and is in the log.

class BufferedHandler(wit_world.exports.BufferedHandler):
    """A request and its response in one call."""

    def header_fields(self) -> list[buffered.HeaderField]:
        return [buffered.HeaderField("content-type", None)]

    def handle(self, request: buffered.Request) -> buffered.Response:
        content_type = dict(request.fields or []).get("content-type", b"").decode("latin-1")
        response = handle(request.method.name, request.target, content_type, request.body or b"")
        content = buffered.Content_Other(response.content_type)
        if response.content_type == "application/json":
            content = buffered.Content_Json()
        headers = list(response.headers.items())
        return buffered.Response(response.status, content, None, headers, response.body)


class IncomingHandler(wit_world.exports.IncomingHandler):
    """The same in many calls, for hosts that do not know `buffered-handler`."""

    def handle(self, request: wasi_http_types.IncomingRequest,
               response_out: wasi_http_types.ResponseOutparam) -> None:
        method = type(request.method()).__name__.removeprefix("Method_").upper()
        [content_type, *_] = request.headers().get("content-type") or [b""]
        body = bytearray()
        with request.consume() as incoming, incoming.stream() as stream:
            while True:
                try:
                    body += stream.blocking_read(1 << 16)
                except Err:
                    break
        target = request.path_with_query() or "/"
        response = handle(method, target, content_type.decode("latin-1"), bytes(body))
        fields = {"content-type": response.content_type, **response.headers}
        outgoing = wasi_http_types.OutgoingResponse(wasi_http_types.Fields.from_list(
            [(name, text.encode()) for name, text in fields.items()]))
        outgoing.set_status_code(response.status)
        outgoing_body = outgoing.body()
        wasi_http_types.ResponseOutparam.set(response_out, Ok(outgoing))
        with outgoing_body.write() as stream:
            for start in range(0, len(response.body), 4096):
                stream.blocking_write_and_flush(response.body[start:start + 4096])
        wasi_http_types.OutgoingBody.finish(outgoing_body, None)


class Migrations(wit_world.exports.Migrations):
    """One migration, which can be applied any number of times."""

    def apply(self) -> list[migrations.Migration]:
        dialect = database.dialect().name.lower()
        try:
            if database.query(statements.EXISTS[dialect], []).rows:
                return []
            database.execute(statements.TABLE[dialect], [])
        except Err as error:
            raise Err(migrations.Error_Unavailable(str(error.value))) from error
        return [migrations.Migration(1, "items")]
