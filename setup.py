"""Builds the native core: one extension per room behind the face `switch._core`.

SWITCH_BUILD=debug turns bounds checks, overflow checks and assertions of the kernels on.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("SWITCH_BUILD", "release") == "debug"
ROOMS = sorted(path.stem for path in Path("src/switch").glob("*.pyx"))

extensions = [
    Extension(
        f"switch.{room}",
        [f"src/switch/{room}.pyx"],
        extra_compile_args=["-O1", "-g"] if DEBUG else ["-O3", "-g0"],
    )
    for room in ROOMS
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "embedsignature": False,
        },
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        include_path=["src"],
        force=DEBUG,
        quiet=True,
    )
)
