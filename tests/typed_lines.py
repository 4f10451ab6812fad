"""Lines of a shell block as somebody types them: `switch` runs in this process, which starts once;
all else, and what a shell has to put together, in a shell."""

from __future__ import annotations

import glob
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from scene import Said, command

SHELL = re.compile(r"[|&;<>()$`]")
"""Signs by which a line needs a shell."""


def typed(block: str) -> Iterator[str]:
    """Commands of a block, in order: lines that go on, and texts that follow, are of one."""
    lines = iter(block.replace("\\\n", " ").splitlines())
    for line in lines:
        ends = re.search(r"<<'(\w+)'", line)
        if ends is not None:
            text = [line]
            while text[-1] != ends[1]:
                text.append(next(lines))
            yield "\n".join(text) + "\n"
        elif line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def played(text: str, folder: Path, environment: Mapping[str, str]) -> Said:
    """What a command says and its exit code. folder: that in which it is typed, which this process
    stands in; environment: that of a shell."""
    words = [] if "\n" in text else shlex.split(text, comments=True)
    if words[:1] == ["switch"] and not SHELL.search(" ".join(words)):
        names = (sorted(glob.glob(word)) if "*" in word else [word] for word in words[1:])
        return command(*(name for found in names for name in found))
    done = subprocess.run(
        ["sh", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)
