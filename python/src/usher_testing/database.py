"""What stands behind `usher:database`: the contract of a database, its errors and its log."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from wasmtime.component import Record, Variant

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

_KINDS = {
    "23505": "unique-violation",
    "23503": "foreign-key-violation",
    "23502": "not-null-violation",
    "23514": "check-violation",
    "40001": "serialization-failure",
    "40P01": "serialization-failure",
}


def record(**fields: Any) -> Record:
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


class DatabaseError(Exception):
    """An error of `usher:database`, as the component sees it.

    A test raises one from a database of its own, or has a call fail with it: `Database.fail`.
    """

    def __init__(self, kind: str, payload: Any = None, text: str = "") -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind, self.payload = kind, payload

    def variant(self) -> Variant:
        return Variant(self.kind, self.payload)

    @classmethod
    def unavailable(cls, why: str = "no connection") -> DatabaseError:
        return cls("unavailable", why, why)

    @classmethod
    def overloaded(cls) -> DatabaseError:
        return cls("overloaded")

    @classmethod
    def timeout(cls) -> DatabaseError:
        return cls("timeout")

    @classmethod
    def in_doubt(cls) -> DatabaseError:
        return cls("in-doubt")

    @classmethod
    def denied(cls, why: str) -> DatabaseError:
        return cls("denied", why, why)

    @classmethod
    def invalid(cls, why: str) -> DatabaseError:
        return cls("invalid", why, why)

    @classmethod
    def too_large(cls, limit: int) -> DatabaseError:
        return cls("too-large", limit, f"{limit} bytes")

    @classmethod
    def refused(
        cls,
        code: str,
        message: str = "",
        constraint: str | None = None,
        column: str | None = None,
    ) -> DatabaseError:
        """The database's own error, by its SQLSTATE. Of a unique constraint give the name, by which
        the service tells which one it is: `users_email_key`."""
        refusal = record(
            kind=_KINDS.get(code, "other"),
            code=code,
            message=message,
            constraint=constraint,
            column=column,
        )
        return cls("refused", refusal, f"{message or code} ({code})")


@dataclasses.dataclass
class Call:
    """One call of the component on its database."""

    statement: str
    params: list[Any]
    outcome: str = "no result"

    def __str__(self) -> str:
        params = ", ".join(f"${number} = {p!r}" for number, p in enumerate(self.params, 1))
        shown = f" ({params})" if params else ""
        return f"{self.statement}{shown}\n      {self.outcome}"


Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]


class Database(ABC):
    """A database behind the component's import. `log` has its calls, in order."""

    dialect = "sqlite"

    def __init__(self) -> None:
        self.log: list[Call] = []
        self._faults: list[tuple[int, DatabaseError, bool]] = []

    def fail(
        self, error: DatabaseError, *, after: int = 0, takes_effect: bool = False
    ) -> None:
        """Has the next call fail, or a later one, `after` so many that succeed. With `takes_effect`
        it does what it does, and fails nevertheless."""
        self._faults.append((after, error, takes_effect))

    def _take_fault(self) -> tuple[DatabaseError, bool] | None:
        due = None
        waiting = []
        for after, error, takes_effect in self._faults:
            if after == 0 and due is None:
                due = (error, takes_effect)
            else:
                waiting.append((max(after - 1, 0), error, takes_effect))
        self._faults = waiting
        return due

    def call(self, statement: str, params: Sequence[Any], work: Any) -> Any:
        """Runs one call, logs it, and returns its result or the error as a variant."""
        call = Call(statement, list(params))
        self.log.append(call)
        fault = self._take_fault()
        try:
            if fault is not None:
                error, takes_effect = fault
                if takes_effect:
                    work()
                raise error
            result, call.outcome = work()
            return result
        except DatabaseError as error:
            call.outcome = f"{error} (injected)" if fault else str(error)
            return error.variant()

    @abstractmethod
    def run(self, statement: str, params: Sequence[Any], in_transaction: bool) -> tuple[Rows, int]:
        """Runs one statement: its columns and rows, and the number of affected rows."""

    def begin(self, isolation: str, read_only: bool) -> None:
        """Begins the transaction."""

    def commit(self) -> None:
        """Commits it."""

    def rollback(self) -> None:
        """Rolls it back."""

    def snapshot(self) -> Any:
        """The contents as they are now, for `restore`."""
        raise NotImplementedError(f"{type(self).__name__} has no snapshots")

    def restore(self, snapshot: Any) -> None:
        """Replaces the contents."""
        raise NotImplementedError(f"{type(self).__name__} has no snapshots")

    def close(self) -> None:
        """Ends it, and removes what was made for it."""


def lower(value: Variant) -> Any:
    """A parameter of the component as a value of Python."""
    if value.tag == "uuid":
        high, low = value.payload
        return uuid.UUID(int=high << 64 | low)
    if value.tag == "timestamp":
        return EPOCH + datetime.timedelta(microseconds=value.payload)
    if value.tag == "decimal":
        return decimal.Decimal(value.payload)
    return value.payload


def lift(value: Any) -> Variant:
    """A value of Python as one of the interface."""
    if value is None:
        return Variant("null")
    if isinstance(value, bool):
        return Variant("boolean", value)
    if isinstance(value, int):
        return Variant("integer", value)
    if isinstance(value, float):
        return Variant("real", value)
    if isinstance(value, str):
        return Variant("text", value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Variant("bytes", bytes(value))
    if isinstance(value, uuid.UUID):
        return Variant("uuid", (value.int >> 64, value.int & (1 << 64) - 1))
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return Variant("timestamp", (aware - EPOCH) // datetime.timedelta(microseconds=1))
    if isinstance(value, decimal.Decimal):
        return Variant("decimal", str(value))
    if isinstance(value, (dict, list)):
        return Variant("json", json.dumps(value))
    raise DatabaseError.invalid(f"a column of type {type(value).__name__} has no counterpart")


def parameters(statement: str) -> int:
    """The highest parameter of a statement. The texts of the service have no quoted dollar sign."""
    return max((int(number) for number in re.findall(r"\$(\d+)", statement)), default=0)
