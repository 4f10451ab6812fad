"""A process that does one step of a home, struck at one of its calls to the file system.

    one_step.py HOME STEP NUMBER MODE CALL

Exits with 0 where the step was done, and 6 where the machine failed; prints how many calls it made.
"""

from __future__ import annotations

import sys
from pathlib import Path

from interposer import MODES, Interposer
from served_homes import STEPS

import switch
from switch.errors import EnvironmentFailed


def main(home: str, step: str, number: str, mode: str, call: str) -> int:
    interposer, way = Interposer(), MODES[mode]
    interposer.arm(Path(home), way.how, int(call), way.error, way.bits)
    try:
        with switch.open(home) as engine:
            STEPS[step](engine, int(number))
    except EnvironmentFailed:
        return EnvironmentFailed.exit_code
    finally:
        interposer.disarm()
        print(interposer.state.calls)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
