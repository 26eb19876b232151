"""The service that runs in Usher, as the component that runs in production, in a Python test.

The component runs in wasmtime. Behind its only import, `usher:database`, is whatever the test puts
there: SQLite in memory, PostgreSQL, or a dictionary of canned answers. See the fixtures of
`usher_testing.plugin`, and `App` for use without pytest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import App, BrokenResponse, StreamedResponse
    from .canned import Canned
    from .database import Call, Database, DatabaseError
    from .http import AsyncClient, AsyncTransport, Client, Transport
    from .memory import Memory
    from .users import User, UsersError

_MODULES = {
    "App": "app",
    "AsyncClient": "http",
    "AsyncTransport": "http",
    "Call": "database",
    "Canned": "canned",
    "Client": "http",
    "Database": "database",
    "DatabaseError": "database",
    "Memory": "memory",
    "BrokenResponse": "app",
    "StreamedResponse": "app",
    "Transport": "http",
    "User": "users",
    "UsersError": "users",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Imports a name when it is used: pytest loads this package with its plug-ins."""
    if name not in _MODULES:
        raise AttributeError(f"usher_testing has no {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
