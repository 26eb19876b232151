"""The recorded cases of the HTTP contract, for scripts that replay them in other hosts.

Each case begins with an empty database. `tests/tests/suite/contract.rs` is Usher's own test.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESPONSE_LIMIT = 30  # Seconds, for a response.

Response = tuple[int, dict[str, str], bytes]
Send = Callable[[dict[str, Any]], Response]


def cases() -> list[dict[str, Any]]:
    recorded = Path(__file__).with_name("cases.jsonl").read_text()
    return [json.loads(line) for line in recorded.splitlines() if line]


def content(request: dict[str, Any]) -> bytes | None:
    """The body of a request."""
    if "body_b64" in request:
        return base64.b64decode(request["body_b64"])
    body = request.get("body")
    return None if body is None else body.encode()


def send(request: dict[str, Any], address: str) -> Response:
    """The response to a request on a connection of its own, whose end is the response's end."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), RESPONSE_LIMIT) as connection:
        try:
            connection.sendall(encoded(request, address))
        except ConnectionError:
            pass  # A server may respond and close before it has read everything.
        received = b""
        while part := connection.recv(65536):
            received += part
    return parsed(received, request["method"] == "HEAD")


def encoded(request: dict[str, Any], address: str) -> bytes:
    """A request's bytes as they are recorded. An HTTP client would correct some of them."""
    body = content(request)
    headers = [*request.get("headers", {}).items(), ("connection", "close")]
    given = {name.lower() for name, _ in headers}
    if "host" not in given:
        headers.insert(0, ("host", address))
    if "transfer-encoding" in given:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body or b""), body or b"")
    elif body is not None and "content-length" not in given:
        headers.append(("content-length", str(len(body))))
    lines = [f"{request['method']} {request['path']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def parsed(received: bytes, head_only: bool) -> Response:
    head, separator, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = re.match(r"HTTP/1\.1 (\d{3})( |$)", first)
    if not separator or not status:
        raise ValueError(f"not an HTTP response: {received[:100]!r}")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if head_only:
        body = b""
    elif "transfer-encoding" in headers:
        body = unchunked(body)
    elif len(body) != int(headers.get("content-length", 0)):
        raise ValueError("the body has another length")
    return int(status[1]), headers, body


def unchunked(rest: bytes) -> bytes:
    parts = []
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if len(rest) < length + 2:
            raise ValueError("the body is cut short")
        if length == 0:
            return b"".join(parts)
        parts.append(rest[:length])
        rest = rest[length + 2 :]


def content_type(value: str | None) -> str | None:
    return value and ";".join(part.strip() for part in value.lower().split(";"))


def errors(body: Any, every: bool) -> Any:
    """The type and place of every error, or only the beginning of the first."""
    detail = body.get("detail") if isinstance(body, dict) else None
    if not isinstance(detail, list):
        return body
    if every:
        return [[error["type"], error["loc"]] for error in detail]
    return [[error["type"], error["loc"][:1]] for error in detail[:1]]


def differ(what: str, want: Any, got: Any) -> str | None:
    # As text, because 1 equals True in Python.
    want, got = json.dumps(want, sort_keys=True), json.dumps(got, sort_keys=True)
    return None if want == got else f"{what} {got} in place of {want}"


def fault(case: dict[str, Any], response: Response, address: str) -> str | None:
    """The difference of a response, by the case's level: exact, shape, type or status."""
    want, level = case["response"], case["level"]
    status, headers, body = response
    if status != want["status"]:
        return f"status {status} in place of {want['status']}: {body[:200]!r}"
    if level == "status":
        return None
    recorded = want.get("headers", {})
    differs = differ(
        "content type",
        content_type(recorded.get("content-type")),
        content_type(headers.get("content-type")),
    )
    if location := recorded.get("location"):
        location = location.replace("{host}", address)
        differs = differs or differ("location", location, headers.get("location"))
    if differs:
        return differs
    if "json" not in want:
        return differ("body", want.get("text", ""), body.decode())
    found = json.loads(body)
    if level == "exact":
        return differ("body", want["json"], found)
    every = level == "shape"
    return differ("errors", errors(want["json"], every), errors(found, every))


def replay(case: dict[str, Any], send: Send, address: str) -> str | None:
    """Sends the requests of a case to an empty service. Returns how the last response differs.

    `address` is what the service takes for its own, in `Location`.
    """
    setup_ids = case.get("setup_ids", [])
    for number, request in enumerate(case["setup"]):
        status, _, body = send(request)
        user = setup_ids[number] if number < len(setup_ids) else None
        if user is not None and (status != 200 or json.loads(body)["id"] != user):
            return f"setup request {number} is to store user {user}: {status} {body!r}"
    return fault(case, send(case["request"]), address)
