"""The fixtures, which pytest finds by itself.

`usher_app` is the application and `usher_users` the same service as typed calls. A test overrides
the database by the fixture `usher_database`, as FastAPI's `app.dependency_overrides` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

# The rest is imported by the fixtures: pytest loads this file in every project, and before it
# measures coverage.
if TYPE_CHECKING:
    from .app import App
    from .database import Database
    from .users import Users


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "the component's file [default: USHER_COMPONENT, or the one in the package]"
    parser.addini("usher_component", text)
    group = parser.getgroup("usher")
    group.addoption(
        "--usher-coverage",
        metavar="DIR",
        help="where to write what of the component has run, if it is one that counts that",
    )
    group.addoption(
        "--usher-database",
        choices=["memory", "postgres"],
        default="memory",
        help="the database of tests that do not choose one",
    )


@pytest.fixture
def usher_database(request: pytest.FixtureRequest) -> Database:
    """The database behind the component: a new one for each test. Override it to choose another."""
    if request.config.getoption("--usher-database") == "postgres":
        from .postgres import Postgres

        return Postgres()
    from .memory import Memory

    return Memory()


@pytest.fixture
def usher_app(
    request: pytest.FixtureRequest, usher_database: Database
) -> Iterator[App]:
    """The component over `usher_database`."""
    from .app import App

    path = request.config.getini("usher_component") or None
    coverage = request.config.getoption("--usher-coverage")
    with App(usher_database, component=path, coverage=coverage) as app:
        request.node.stash[_APP] = app
        yield app


@pytest.fixture
def usher_users(usher_app: App) -> Users:
    """The same application as typed calls."""
    return usher_app.users


_APP = pytest.StashKey[Any]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    """Shows the statements of a failed test with parameters and outcomes."""
    report = yield
    app = item.stash.get(_APP, None)
    if report.failed and app is not None and app.statements:
        lines = [f"{number}. {made}" for number, made in enumerate(app.statements, 1)]
        report.sections.append(("statements of the component", "\n".join(lines)))
    return report
