"""The program of the crash tests: sweeps points and prints what it found as one JSON document.

Started by interposer.start, which puts the interposer before libc. Exit code 1: broken promises.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from harness import Report, Scenario, crowd, random_points, sweep, sweep_recovery, work_folder
from interposer import MODES, Interposer
from powercut import PowerCuts, power_cuts
from reorder import reorderings
from steps import large_steps, small_steps

from switch.files import segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    what = ("make", "calls", "recovery", "random", "reorder", "crowd", "power")
    parser.add_argument("what", choices=what)
    parser.add_argument("--made", type=Path, help="a folder in which `make` made the homes")
    parser.add_argument("--steps", type=int, nargs="*", help="default: all")
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=list(MODES))
    parser.add_argument("--every", type=int, default=1, help="every nth call, or state, alone")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), help="which of how many parts")
    parser.add_argument("--count", type=int, default=2000, help="random points")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prove-every", type=int, default=1, help="verify after every nth point")
    parser.add_argument(
        "--ends-every",
        type=int,
        default=0,
        help="do all later steps after every nth point [every 20th of a step and mode]",
    )
    parser.add_argument("--forget", choices=["sync_file", "sync_folder"], help="break the store")
    options = parser.parse_args()
    if options.forget:
        setattr(segment, options.forget, lambda path: None)
    with work_folder() as name:
        found = {"what": options.what} | run(options, options.made or Path(name), Path(name))
    print(json.dumps(found))
    raise SystemExit(1 if found["faults"] else 0)


def run(options: argparse.Namespace, made: Path, work: Path) -> dict[str, Any]:
    make = large_steps if options.what == "random" else small_steps
    kind = PowerCuts if options.what == "power" else Scenario
    scenario = kind(make(made), made, work, Interposer(), options.prove_every)
    if options.what == "make":
        return Report().document()
    scenario.ends_every = options.ends_every
    steps = list(range(len(scenario.steps))) if options.steps is None else options.steps
    part = tuple(options.part)
    if options.what == "calls":
        return sweep(scenario, steps, options.modes, options.every, part)
    if options.what == "recovery":
        return sweep_recovery(scenario, steps, part)
    if options.what == "reorder":
        return reorderings(scenario, steps, options.every, *([1] if options.forget else []))
    if options.what == "crowd":
        return crowd(scenario, options.count, rounds=3, seed=options.seed)
    if isinstance(scenario, PowerCuts):
        return power_cuts(scenario, steps, options.every)
    return random_points(scenario, options.count, options.seed)


if __name__ == "__main__":
    main()
