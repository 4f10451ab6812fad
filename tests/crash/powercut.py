"""Power cuts of a real file system: ext4 on a loop device, shut down by ioctl at chosen calls.

The shutdown drops what was not written, as a cut does: dirty pages, and with NOLOGFLUSH the
journal in memory too. Then the file system is mounted again, which plays its journal back, and the
home is recovered as after any other fault. Needs root and loop mounts; `unavailable` says so.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import traceback
from pathlib import Path
from typing import Any

from harness import Report, Scenario, Wrong, require
from interposer import POWER_CUT, Interposer, Mode
from steps import Step

import switch

SHUTDOWN = 0x8004587D
LOGFLUSH, NOLOGFLUSH = 1, 2
IMAGE_BYTES = 64 << 20
MOUNTS = ("data=ordered", "data=writeback")


def unavailable() -> str:
    """Why the power of no file system can be cut here; '' where it can."""
    if os.geteuid():
        return "power cuts need root, to mount an ext4 image"
    for tool in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"power cuts need {tool}"
    with tempfile.TemporaryDirectory() as name:
        disk = Disk(Path(name))
        try:
            disk.make()
            disk.mount(MOUNTS[0])
            disk.cut(NOLOGFLUSH)
        except (OSError, subprocess.CalledProcessError) as error:
            words = getattr(error, "stderr", None) or error
            return f"power cuts need loop mounts of ext4, and there are none here: {words}"
        finally:
            disk.unmount()
    return ""


class Disk:
    """An ext4 image that is mounted and cut off."""

    def __init__(self, work: Path) -> None:
        self.image, self.top = work / "disk.image", work / "disk"
        self.top.mkdir()

    def make(self) -> None:
        with self.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _call("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", self.image)

    def mount(self, options: str) -> None:
        _call("mount", "-o", f"loop,{options}", self.image, self.top)

    def unmount(self) -> None:
        if self.top.is_mount():
            _call("umount", self.top)

    def cut(self, how: int) -> None:
        top = os.open(self.top, os.O_RDONLY)
        try:
            fcntl.ioctl(top, SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(top)


def _call(*command: object) -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"} | {"PATH": path}
    subprocess.run([*map(str, command)], check=True, capture_output=True, env=environment)


class PowerCuts(Scenario):
    """Steps whose points stand on a disk of their own."""

    def __init__(
        self,
        steps: list[Step],
        made: Path,
        work: Path,
        interposer: Interposer,
        prove_every: int = 1,
    ) -> None:
        super().__init__(steps, made, work, interposer, prove_every)
        self.disk = Disk(work)
        self.point = self.disk.top / "point"
        self.home = self.point / "home"

    def prepare(self, step: int) -> Path:
        """A disk on which the home stands as before a step, all of it written."""
        ready = self.work / "ready.image"
        self.disk.make()
        self.disk.mount(MOUNTS[0])
        shutil.copytree(self.before[step], self.point)
        self.disk.unmount()
        self.disk.image.rename(ready)
        return ready

    def cut(self, step: int, ready: Path, number: int, how: int, options: str) -> None:
        """The power goes at a call of a step, or after the last; then everything is as it was, or
        done, and the step repeated ends as without a cut."""
        _call("cp", "--sparse=always", ready, self.disk.image)
        self.disk.mount(options)
        try:
            said = self.child(self.steps[step].do, Mode(POWER_CUT, how), number)
            fired = self.interposer.state.fired
            require(fired >= 0, f"the power could not be cut: error {-fired}")
            if not fired:
                require(said == "done", f"it ended with {said}")
                self.disk.cut(how)
            self.disk.unmount()
            self.disk.mount(options)
            self.recover(step, said)
        finally:
            self.disk.unmount()

    def prove(self) -> None:
        """Copies in HOME/out are not synced, so that they may be cut short: that is named, and
        mended by the same command again, after which they are what they must be."""
        try:
            switch.verify(self.home)
        except switch.VerificationFailed as fault:
            one = str(fault).startswith("1 of ")
            require(one and "checks failed: copies, HOME/out: " in str(fault), str(fault))


def power_cuts(scenario: PowerCuts, steps: list[int], every: int) -> dict[str, Any]:
    """A cut at every `every`th call of the steps, and one after the last; both ways to cut and
    both ways to mount in turn."""
    report = Report()
    for step in steps:
        ready = scenario.prepare(step)
        shutil.copy(ready, scenario.disk.image)
        scenario.disk.mount(MOUNTS[0])
        require(
            scenario.child(scenario.steps[step].do, Mode(POWER_CUT), 0) == "done",
            "it fails by itself",
        )
        kinds = scenario.interposer.kinds
        scenario.disk.unmount()
        for number in [*range(1, len(kinds) + 1, every), len(kinds) + 1]:
            how = (NOLOGFLUSH, LOGFLUSH)[number % 2]
            options = MOUNTS[number // 2 % 2]
            report.points[f"{options}, {'log' if how == LOGFLUSH else 'no log'}"] += 1
            try:
                scenario.cut(step, ready, number, how, options)
            except Exception as error:
                what = str(error) if isinstance(error, Wrong) else traceback.format_exc()
                kind = kinds[number - 1] if number <= len(kinds) else "END"
                report.faults.append(f"{scenario.steps[step].name}, cut at {number} {kind}: {what}")
    return report.document()
