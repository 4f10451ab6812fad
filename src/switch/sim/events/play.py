"""Play: all events, one after the other, and a report of each.

    python -m switch.sim.events.play             as large as docs/events.md has them
    python -m switch.sim.events.play --share 0.1 --seed 2

An event that goes other than whoever made its tables knows ends it with a `Surprise`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from switch.sim.events import flood, september, tet
from switch.sim.events.told import Told

EVENTS: dict[str, Callable[[Path, int, float], Told]] = {
    "tet": tet.play,
    "september": september.play,
    "flood": flood.play,
}
ROOM = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Folder in which events are played: what is written need not survive."""


def main() -> None:
    """Play the events that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", nargs="*", metavar="EVENT", help="default: all")
    parser.add_argument("--share", type=float, default=1.0, help="of their lines")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name in given.events or EVENTS:
        with tempfile.TemporaryDirectory(prefix="switch-event-", dir=ROOM) as folder:
            told = EVENTS[name](Path(folder) / name, given.seed, given.share)
        print("\n".join(told.lines()), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
