import numpy as np
from numpy.typing import NDArray

BEFORE: int
NOW: int
ZERO_WIDTH: str
APOSTROPHES: str
ALIKE: dict[int, str | None]

def fold(text: str, version: int = ...) -> str: ...
def name_keys(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    masks: NDArray[np.uint64] | None,
    version: int = ...,
) -> int: ...
