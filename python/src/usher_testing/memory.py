"""SQLite in memory."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from .database import Database, DatabaseError, Rows, parameters

_UNIQUE = re.compile(r"UNIQUE constraint failed: (\w+)\.(\w+(?:, \w+\.\w+)*)$")
_OTHER = [
    ("FOREIGN KEY constraint", "23503"),
    ("NOT NULL constraint", "23502"),
    ("CHECK constraint", "23514"),
    ("attempt to write a readonly database", "25006"),
    ("no such table", "42P01"),
    ("no such column", "42703"),
]


def _refused(error: sqlite3.Error) -> DatabaseError:
    message = str(error)
    if unique := _UNIQUE.search(message):
        # SQLite names the columns; the service expects the name that PostgreSQL gives by default.
        columns = re.sub(r", \w+\.", "_", unique[2])
        return DatabaseError.refused("23505", message, f"{unique[1]}_{columns}_key")
    code = next((code for start, code in _OTHER if message.startswith(start)), "XX000")
    return DatabaseError.refused(code, message)


class Memory(Database):
    """A new SQLite database in memory, or one with the contents of a snapshot."""

    def __init__(self, snapshot: sqlite3.Connection | None = None) -> None:
        super().__init__()
        self.connection = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        if snapshot is not None:
            snapshot.backup(self.connection)
        self.connection.execute("PRAGMA foreign_keys = on")

    def run(self, statement: str, params: Sequence[Any], in_transaction: bool) -> tuple[Rows, int]:
        if self.connection.in_transaction and not in_transaction:
            # There is one connection, and nothing waits for it.
            raise DatabaseError.overloaded()
        if len(params) != parameters(statement):
            wanted = parameters(statement)
            raise DatabaseError.invalid(f"{len(params)} parameters for {wanted}")
        named = re.sub(r"\$(\d+)", r":p\1", statement)
        values = {f"p{number}": value for number, value in enumerate(params, 1)}
        before = self.connection.total_changes
        try:
            cursor = self.connection.execute(named, values)
            rows = cursor.fetchall()
        except sqlite3.ProgrammingError as error:
            raise DatabaseError.invalid(str(error)) from error
        except sqlite3.Error as error:
            raise _refused(error) from error
        columns = [column[0] for column in cursor.description or ()]
        return (columns, rows), self.connection.total_changes - before

    def begin(self, isolation: str, read_only: bool) -> None:
        if self.connection.in_transaction:
            raise DatabaseError.overloaded()
        self.connection.execute(f"PRAGMA query_only = {'on' if read_only else 'off'}")
        self.connection.execute("BEGIN")

    def commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise _refused(error) from error
        finally:
            self.connection.execute("PRAGMA query_only = off")

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.connection.execute("PRAGMA query_only = off")

    def snapshot(self) -> sqlite3.Connection:
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        self.connection.backup(copy)
        return copy

    def restore(self, snapshot: sqlite3.Connection) -> None:
        snapshot.backup(self.connection)

    def close(self) -> None:
        self.connection.close()
