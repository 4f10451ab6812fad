"""Log: events of the library's calls, for whoever turns them on; by default nobody hears of any.

One call, `log_events`, tells structlog of every public call that is done or refused from then on.
What an event may say is a list of fields, the same as for commands: no id, name or account of a
person is among them. The listener is the process's, as streams and logging are; no answer depends
on it.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Mapping
from typing import Protocol

from switch.errors import UsageError

LOG_FIELDS = frozenset(
    (
        *("event", "level", "timestamp"),
        *("home", "table", "batch_id", "cycle", "lines", "cleared", "folder", "rule"),
        *("population", "accounts", "paid", "replaced_ids"),
    )
)
"""All that a log line may say. What is not here is dropped: nobody's id, name or account comes into
a log because a field was added in a hurry."""


class Listener(Protocol):
    """A logger of structlog, or whatever takes events as it does."""

    def info(self, event: str, **fields: object) -> object: ...

    def warning(self, event: str, **fields: object) -> object: ...


_LISTENERS: list[Listener] = []
WITHIN: contextvars.ContextVar[bool] = contextvars.ContextVar("within", default=False)
"""True within a public call: what it calls itself is no event of its own."""


def log_events(listener: Listener | None = None, *, off: bool = False) -> None:
    """Tell of every public call from now on. listener: a logger of structlog; by default one that
    writes a line of JSON for each event to stderr. off: tell nobody any more."""
    if not isinstance(off, bool):
        raise UsageError("off is no True or False")
    heard = [] if off else [_on_stderr() if listener is None else listener]
    if not all(callable(getattr(one, name, None)) for one in heard for name in ("info", "warning")):
        raise UsageError("listener is no logger: it has no info or no warning")
    _LISTENERS[:] = heard


def done(call: str, given: Mapping[str, object], answer: object) -> None:
    """Tell that a call is done, where somebody listens."""
    where = home_of(given)
    if call == "__init__":
        if not where:
            return  # Of a value, which is no work.
        call = "open"
    for listener in _LISTENERS:
        for part in answer if isinstance(answer, list) and answer else [answer]:
            with contextlib.suppress(Exception):  # What is not told is done.
                listener.info(call, **where, **fields_of(part))


def refused(call: str, given: Mapping[str, object], rule: str) -> None:
    """Tell that a call was refused, and by which rule."""
    for listener in _LISTENERS:
        name = "open" if call == "__init__" else call
        with contextlib.suppress(Exception):
            listener.warning(f"{name} refused", **home_of(given), rule=rule)


def home_of(given: Mapping[str, object]) -> dict[str, object]:
    """The home of a call, by its arguments, as an event may say it."""
    home = getattr(getattr(given.get("self"), "home", None), "path", None)
    return {} if home is None else {"home": str(home)}


def fields_of(answer: object) -> dict[str, object]:
    """Fields of an answer that an event may say."""
    summary = getattr(answer, "summary", answer)
    if not isinstance(summary, Mapping):
        return {}
    plain = {n: v for n, v in summary.items() if n in LOG_FIELDS and isinstance(v, str | int)}
    counts = {"lines": summary.get("received"), "cleared": summary.get("cleared")}
    found = {n: part["count"] for n, part in counts.items() if isinstance(part, Mapping)}
    return {n: v for n, v in {**plain, **found}.items() if n not in ("home", "event")}


def _on_stderr() -> Listener:
    import sys

    import structlog

    made: Listener = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
    )
    return made
