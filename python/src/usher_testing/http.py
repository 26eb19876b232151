"""httpx over a component in process: transports, and clients that take `app=`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from .app import App


def _respond(app: App, request: httpx.Request, body: bytes) -> httpx.Response:
    response = app.handle(
        request.method,
        request.url.scheme,
        request.headers.get("host", "test"),
        request.url.raw_path.decode("ascii"),
        [(name.decode("latin-1").lower(), value) for name, value in request.headers.raw],
        body,
    )
    content_type = getattr(response, "content-type")
    headers = [(name, value) for name, value in response.fields]
    # wasmtime wraps this option, whose value may be none too: `json` has no text of its own.
    if content_type.tag == "some":
        headers.append(("content-type", content_type.payload or "application/json"))
    if response.etag is not None:
        headers.append(("etag", response.etag))
    content = bytes(response.body)
    if request.method == "HEAD":
        # The length of a streamed body is not known.
        if content:
            headers.append(("content-length", str(len(content))))
        content = b""
    return httpx.Response(response.status, headers=headers, content=content, request=request)


class Transport(httpx.BaseTransport):
    """A transport of `httpx.Client` to an application."""

    def __init__(self, app: App) -> None:
        self.app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _respond(self.app, request, request.read())


class AsyncTransport(httpx.AsyncBaseTransport):
    """A transport of `httpx.AsyncClient` to an application."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return _respond(self.app, request, await request.aread())


class Client(httpx.Client):
    """`httpx.Client` with the argument `app`."""

    def __init__(self, *, app: App, base_url: str = "http://test", **options: Any) -> None:
        super().__init__(transport=Transport(app), base_url=base_url, **options)


class AsyncClient(httpx.AsyncClient):
    """`httpx.AsyncClient` with the argument `app`, which httpx had before 0.28."""

    def __init__(self, *, app: App, base_url: str = "http://test", **options: Any) -> None:
        super().__init__(transport=AsyncTransport(app), base_url=base_url, **options)
