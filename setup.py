"""Builds the native core: one extension a file of `switch.native`, and their face `switch._core`.

SWITCH_BUILD says how: release; debug, with bounds checks and assertions of the kernels; sanitize,
which is debug under AddressSanitizer and UndefinedBehaviorSanitizer (`make sanitize` gives it a
folder of its own); quick, release without optimisation, for mutants that live for one test.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

BUILD = os.environ.get("SWITCH_BUILD", "release")
CHECKED = BUILD in ("debug", "sanitize")
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
COMPILE = {
    "release": ["-O3", "-g0"],
    "debug": ["-O1", "-g"],
    # CPython is built with -fwrapv; here a signed overflow is to be seen.
    "sanitize": ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv", *SANITIZERS],
    "quick": ["-O0", "-g0"],
}
LINK = {"sanitize": SANITIZERS}
ROOMS = sorted(Path("src").rglob("*.pyx"))

extensions = [
    Extension(
        ".".join(room.relative_to("src").with_suffix("").parts),
        [str(room)],
        extra_compile_args=COMPILE[BUILD],
        extra_link_args=LINK.get(BUILD, []),
    )
    for room in ROOMS
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "initializedcheck": CHECKED,
            "cdivision": True,
            "embedsignature": False,
        },
        build_dir="build/cython" if BUILD == "release" else f"build/cython-{BUILD}",
        include_path=["src"],
        force=CHECKED,
        quiet=True,
    )
)
