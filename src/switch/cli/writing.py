"""Writing: homes that a command changes, and what to tell whoever interrupts it."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from switch.cli.context import Context, settings_of_run
from switch.errors import SwitchError

if TYPE_CHECKING:
    from switch.engine import Engine

DONE = {
    "batch": "a batch is run",
    "register": "the registers are loaded",
    "directory": "the directory is changed",
    "liquidity": "the balances are set",
    "cycle": "a cycle is closed",
    "settlement": "a cycle is settled or given up",
    "answers": "the answers are taken in",
    "disposition": "the lines are disposed of",
    "day": "the day is signed",
    "note": "the note is recorded",
    "alarm": "the note about alarms is recorded",
    "control": "the step is signed",
    "policy": "the policy is set",
    "portal": "a delivery is taken",
    "cancellation": "the lines are cancelled",
    "expiry": "lines beyond their deadline have left the queue",
    "citizen": "the device is bound, or the try is counted",
    "agencies": "the agencies are loaded",
    "bills": "the bills are loaded",
    "fees": "the payments of fees are taken",
    "refund": "the payment is refunded",
    "withdrawal": "the payment is withdrawn",
}
"""Audit records in words, by their kind."""


def writer(context: Context, home: Path) -> Engine:
    """The engine of a home that is to be changed. Who interrupts the command is told from then on
    what of it is recorded."""
    from switch.engine import Engine

    found = Engine(home, wait=context.wait)
    before, _ = found.home.catalog.audit.head()
    context.stands = functools.partial(_done_since, home, before)
    return found


def _done_since(home: Path, before: int) -> str:
    """A sentence of all that a home recorded behind an audit record."""
    from switch.home.store import Home

    try:
        with Home(home, writing=False) as opened:
            records = [record for record in opened.catalog.audit.records() if record.seq > before]
    except (SwitchError, OSError):
        return f"ask `switch status {home}` what of it was done"
    if not records:
        return f"nothing of it is done, and {home} is as before it"
    done = ", ".join(DONE.get(record.kind, record.kind) for record in records)
    return f"{done}: this stands, and the same command does what is left"


def opened(context: Context, home: Path) -> Engine:
    """The engine of a home, which is closed again where a configuration does not fit it."""
    from switch.files import airlock

    airlock.start()  # The process that reads files gets ready while the home is opened.
    found = writer(context, home)
    with contextlib.ExitStack() as refused:
        refused.callback(found.close)
        settings_of_run(context, found.settings)
        refused.pop_all()
    for name in found.home.quarantined:
        context.log.warning("a crash left this behind; it is in quarantine", folder=name)
    return found
