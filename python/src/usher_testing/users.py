"""The users service as typed calls."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from wasmtime.component import Variant

from .component import USERS
from .database import record

if TYPE_CHECKING:
    from .app import App


@dataclasses.dataclass(frozen=True)
class User:
    """A stored user."""

    id: int
    name: str
    email: str
    version: int


@dataclasses.dataclass(frozen=True)
class Page:
    """A page of users, and whether more follow."""

    users: list[User]
    more: bool


class UsersError(Exception):
    """Why a call failed: `kind` is a case of `usher:users`, such as `not-found` or `email-taken`;
    `faults` are the fields that are wrong, with what is wrong with them."""

    def __init__(self, kind: str, payload: Any) -> None:
        self.kind = kind
        self.faults = [(f.field, f.message) for f in payload] if kind == "invalid" else []
        super().__init__(f"{kind}: {self.faults or payload}" if payload else kind)


def _user(found: Any) -> User:
    return User(found.id, found.name, found.email, found.version)


class Users:
    """`usher:users/users`. Every call raises `UsersError` if it fails."""

    def __init__(self, app: App) -> None:
        self._app = app

    def _call(self, name: str, *arguments: Any) -> Any:
        result = self._app.call(USERS, name, *arguments)
        if isinstance(result, Variant):
            raise UsersError(result.tag, result.payload)
        return result

    def create(self, name: str, email: str) -> User:
        return _user(self._call("create", record(name=name, email=email)))

    def get(self, id: int) -> User:
        return _user(self._call("get", id))

    def list(self, limit: int = 100, after: int = 0, email: str | None = None) -> Page:
        page = self._call("list", record(limit=limit, after=after, email=email))
        return Page([_user(user) for user in page.users], page.more)

    def replace(self, id: int, name: str, email: str, if_version: int | None = None) -> User:
        return _user(self._call("replace", id, record(name=name, email=email), if_version))

    def change(
        self,
        id: int,
        name: str | None = None,
        email: str | None = None,
        if_version: int | None = None,
    ) -> User:
        return _user(self._call("change", id, record(name=name, email=email), if_version))

    def delete(self, id: int, if_version: int | None = None) -> None:
        self._call("delete", id, if_version)
