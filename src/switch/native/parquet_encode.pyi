from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Kind(IntEnum):
    READY = 0
    NUMBERS = 1
    TEXTS = 2
    SHARED = 3
    CODES = 4

def room_hybrid(count: int, width: int) -> int: ...
def room_delta(count: int) -> int: ...
def hybrid(values: NDArray[np.int32], width: int, out: NDArray[np.uint8]) -> int: ...
def delta(values: NDArray[Any], out: NDArray[np.uint8]) -> int: ...
def shared(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    prefix: NDArray[np.int32],
    suffix: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> int: ...
def room_pages(parts: list[Any], head: bytes) -> tuple[int, int]: ...
def pages(
    parts: list[Any], head: bytes, out: NDArray[np.uint8], work: NDArray[np.int32]
) -> list[int]: ...
