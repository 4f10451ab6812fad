"""A PostgreSQL server that the tests of this room share, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Postgres, Way, skip_without


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server on a socket of its own; what needs it skips where PostgreSQL is not installed."""
    server = Postgres(skip_without())
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def way(postgres: Postgres) -> Iterator[Way]:
    """A way to the server that can be cut."""
    made = Way(postgres)
    try:
        yield made
    finally:
        made.close()
