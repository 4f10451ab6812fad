"""Counts what one batch of one line does to the file system, by kind of call, as JSON.

Started by interposer.start, which puts the interposer before libc: SQLite's calls count too.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import scene
from harness import work_folder
from interposer import COUNT, Interposer


def main() -> None:
    interposer = Interposer()
    with work_folder() as name:
        home = scene.make_home(Path(name) / "home", [scene.person(1)], [scene.account(1)])
        interposer.arm(home, COUNT, 0)
        scene.pay(home, [scene.line(1)], threads=1)
        interposer.disarm()
        print(json.dumps(Counter(interposer.kinds)))


if __name__ == "__main__":
    main()
