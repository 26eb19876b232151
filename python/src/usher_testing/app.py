"""The component over a database of its own, called in process."""

from __future__ import annotations

import os
import pathlib
import uuid
from typing import Any

from wasmtime import Trap, WasmtimeError
from wasmtime.component import Component, Variant

from . import component as parts
from .database import Call, Database, record
from .memory import Memory
from .users import Users

_METHODS = {"get", "head", "post", "put", "delete", "connect", "options", "trace", "patch"}

# The migrated databases of this process, by component and kind of database.
_migrated: dict[tuple[int, type], Any] = {}


class StreamedResponse(Exception):
    """The component can only stream its response by `wasi:http`, which is not there."""


class BrokenResponse(Exception):
    """The component failed after its streamed response had begun. A client gets it truncated."""


class App:
    """The component over a database: a new one in memory if none is given.

    Requests have the methods of `httpx.Client` and return its responses. No socket is opened: each
    is one call of `usher:service/buffered-handler`, which passes a complete request and returns a
    complete response. One that the component streams (NDJSON) is read to its end by
    `usher:service/streamed-handler`, which components on the SDK export, too.
    """

    def __init__(
        self,
        database: Database | None = None,
        *,
        component: str | os.PathLike[str] | None = None,
        migrate: bool = True,
        coverage: str | os.PathLike[str] | None = None,
    ) -> None:
        from .http import Client

        self.component: Component = parts.load(component)
        self._migrate = migrate
        self._given = database
        self._coverage = coverage
        self.client = Client(app=self)
        self._start(database)

    def _start(self, database: Database | None) -> None:
        from .canned import Canned

        self.database = Memory() if database is None else database
        self._instance = parts.Instance(self.component, self.database)
        if not self._migrate or isinstance(self.database, Canned):
            return
        key = (id(self.component), type(self.database))
        if key in _migrated:
            self.database.restore(_migrated[key])
        else:
            self.migrate()
            try:
                _migrated[key] = self.database.snapshot()
            except NotImplementedError:
                pass
        self.database.log.clear()

    def migrate(self) -> None:
        """Applies the component's migrations, if it has any."""
        if not self._instance.exports(parts.MIGRATIONS):
            return
        applied = self._instance.call(parts.MIGRATIONS, "apply")
        if isinstance(applied, Variant):
            raise RuntimeError(f"the migrations failed: {applied.tag}: {applied.payload}")

    def reset(self) -> None:
        """Begins again with a new database in memory, or with the first contents of another one."""
        if self._given is None:
            self.database.close()
            self._start(None)
            return
        snapshot = _migrated.get((id(self.component), type(self.database)))
        if snapshot is not None:
            self.database.restore(snapshot)
        self.database.log.clear()

    def snapshot(self) -> Any:
        """The contents of the database as they are now."""
        return self.database.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Replaces the contents of the database."""
        self.database.restore(snapshot)

    @property
    def statements(self) -> list[Call]:
        """The component's calls on its database, in order."""
        return self.database.log

    @property
    def users(self) -> Users:
        """The service as typed calls, without HTTP."""
        return Users(self)

    def call(self, interface: str, name: str, *arguments: Any) -> Any:
        """Calls an export of the component. After a trap the next call gets a new instance."""
        try:
            return self._instance.call(interface, name, *arguments)
        except (Trap, WasmtimeError):
            self.database.rollback()
            self._instance = parts.Instance(self.component, self.database)
            raise

    def handle(
        self, method: str, scheme: str, authority: str, target: str, fields: Any, body: bytes
    ) -> Any:
        """Passes one request to the component and returns its response as a record."""
        lower = method.lower()
        request = record(
            method=lower if lower in _METHODS else "other",
            scheme=scheme if scheme in ("http", "https") else "http",
            authority=authority,
            target=target,
            fields=fields or None,
            body=body or None,
        )
        response = self.call(parts.HANDLER, "handle", request)
        if response is None:
            if not self._instance.exports(parts.STREAMED):
                raise StreamedResponse(f"{method} {target}: only a host with wasi:http can stream it")
            response = self._streamed(request, reads=lower != "head")
        return response

    def _streamed(self, request: Any, reads: bool) -> Any:
        """As `handle`, for a response that is made while it is read."""
        response, chunks = self.call(parts.STREAMED, "handle", request)
        if chunks is None:
            return response
        body = bytearray(response.body)
        # The instance that made them: after a trap there is another one.
        instance = self._instance
        try:
            while reads:
                chunk = self.call(parts.STREAMED, "[method]chunks.next", chunks)
                if chunk.tag != "ok":
                    raise BrokenResponse("the component failed after its response had begun")
                if chunk.payload is None:
                    break
                body += chunk.payload
        finally:
            if self._instance is instance:
                chunks.drop(instance.store)
        response.body = bytes(body)
        return response

    def close(self) -> None:
        """Ends it and its database, and writes what has run of a component that counts it."""
        if self._coverage is not None and (profile := self._instance.coverage()):
            folder = pathlib.Path(self._coverage)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{uuid.uuid4()}.profraw").write_bytes(profile)
        self.database.close()

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def request(self, method: str, url: str, **options: Any) -> Any:
        return self.client.request(method, url, **options)

    def get(self, url: str, **options: Any) -> Any:
        return self.client.get(url, **options)

    def head(self, url: str, **options: Any) -> Any:
        return self.client.head(url, **options)

    def options(self, url: str, **options: Any) -> Any:
        return self.client.options(url, **options)

    def post(self, url: str, **options: Any) -> Any:
        return self.client.post(url, **options)

    def put(self, url: str, **options: Any) -> Any:
        return self.client.put(url, **options)

    def patch(self, url: str, **options: Any) -> Any:
        return self.client.patch(url, **options)

    def delete(self, url: str, **options: Any) -> Any:
        return self.client.delete(url, **options)
