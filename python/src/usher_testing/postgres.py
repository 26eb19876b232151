"""A PostgreSQL database of a test's own, on a server that the process starts from the installed
programs, or on the one that `TEST_DATABASE_URL` names."""

from __future__ import annotations

import atexit
import glob
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

try:
    import psycopg
except ImportError as error:  # pragma: no cover
    raise ImportError("PostgreSQL needs: pip install 'usher-testing[postgres]'") from error

from .database import Database, DatabaseError, Rows

_server: Server | None = None


class Server:
    """A server on which tests make databases. `shared` starts it once in a process."""

    def __init__(self, url: str) -> None:
        # SQLAlchemy names its driver after a plus sign.
        scheme, rest = url.split("://", 1)
        self.url = f"{scheme.split('+')[0]}://{rest}"
        self.admin = psycopg.connect(self.url, autocommit=True)

    @classmethod
    def shared(cls) -> Server:
        global _server
        if _server is None:
            _server = cls(os.environ.get("TEST_DATABASE_URL") or _start_cluster())
        return _server

    def create(self, template: str | None = None) -> str:
        """Creates a database, a copy of another one if it is given, and returns its name."""
        name = f"usher_test_{os.getpid()}_{secrets.token_hex(4)}"
        of = f" TEMPLATE {template}" if template else ""
        if template and self.admin.info.server_version >= 150_000:
            of += " STRATEGY file_copy"
        self.admin.execute(f"CREATE DATABASE {name}{of}")
        return name

    def drop(self, name: str) -> None:
        self.admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self.url, dbname=name, autocommit=True, cursor_factory=psycopg.RawCursor
        )


def _programs() -> str:
    if found := shutil.which("initdb"):
        return os.path.dirname(os.path.realpath(found))
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version)
    if folders:
        return folders[-1]
    raise RuntimeError("PostgreSQL is not installed: install it, or set TEST_DATABASE_URL")


def _version(folder: str) -> int:
    number = folder.split("/")[-2]
    return int(number) if number.isdigit() else 0


def _start_cluster() -> str:
    """Makes a throw-away cluster, which ends with this process, and returns its URL."""
    programs = _programs()
    folder = tempfile.mkdtemp(prefix="usher-testing-")
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [f"{programs}/{program}", *arguments],
            **user,
            cwd="/",
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")

    password = secrets.token_hex(16)
    secret = f"{folder}/password"
    with open(secret, "w") as file:
        file.write(password)
    if user:
        os.chown(secret, user["user"], user["group"])
    data = f"{folder}/data"
    run("initdb", "-D", data, "-U", "usher", "-A", "scram-sha-256", "--pwfile", secret, "-N")
    # Bound until the server listens, which this option allows, so that no other program gets it.
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    settings = (
        f"-h 127.0.0.1 -p {port} -k '' -c fsync=off -c synchronous_commit=off "
        "-c full_page_writes=off -c max_connections=200"
    )
    log = f"{folder}/log"

    def stop() -> None:
        try:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    with reserved:
        run("pg_ctl", "-D", data, "-l", log, "-o", settings, "-w", "start")
    return f"postgresql://usher:{password}@127.0.0.1:{port}/postgres"


class Postgres(Database):
    """A new PostgreSQL database, or a copy of the one with this name."""

    dialect = "postgres"

    def __init__(self, template: str | None = None) -> None:
        super().__init__()
        self.server = Server.shared()
        self.name = self.server.create(template)
        self.connection = self.server.connect(self.name)

    def run(self, statement: str, params: Sequence[Any], in_transaction: bool) -> tuple[Rows, int]:
        if not in_transaction and self.connection.info.transaction_status.value != 0:
            # There is one connection, and nothing waits for it.
            raise DatabaseError.overloaded()
        try:
            cursor = self.connection.execute(statement, params, prepare=True)
            columns = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _error(error) from error
        return (columns, rows), max(cursor.rowcount, 0)

    def begin(self, isolation: str, read_only: bool) -> None:
        level = isolation.replace("-", " ").upper()
        mode = "READ ONLY" if read_only else "READ WRITE"
        self._control(f"BEGIN ISOLATION LEVEL {level} {mode}")

    def commit(self) -> None:
        self._control("COMMIT")

    def rollback(self) -> None:
        self._control("ROLLBACK")

    def _control(self, statement: str) -> None:
        try:
            self.connection.execute(statement)
        except psycopg.Error as error:
            raise _error(error) from error

    def snapshot(self) -> str:
        """The name of a copy, which is there until the process ends."""
        self.connection.close()
        name = self.server.create(self.name)
        self.connection = self.server.connect(self.name)
        atexit.register(self.server.drop, name)
        return name

    def restore(self, snapshot: str) -> None:
        self.connection.close()
        self.server.drop(self.name)
        self.name = self.server.create(snapshot)
        self.connection = self.server.connect(self.name)

    def close(self) -> None:
        self.connection.close()
        self.server.drop(self.name)


def _error(error: psycopg.Error) -> DatabaseError:
    if error.sqlstate is None:
        return DatabaseError.unavailable(str(error))
    diagnostic = error.diag
    return DatabaseError.refused(
        error.sqlstate,
        diagnostic.message_primary or str(error),
        diagnostic.constraint_name,
        diagnostic.column_name,
    )
