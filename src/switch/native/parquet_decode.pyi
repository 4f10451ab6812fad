from typing import Any

import numpy as np
from numpy.typing import NDArray

def page_header(data: NDArray[np.uint8], at: int) -> tuple[int, int, int, int, int, int, int]: ...
def one_run(data: NDArray[np.uint8], at: int, width: int, count: int) -> int: ...
def hybrid(
    data: NDArray[np.uint8], at: int, width: int, limit: int, out: NDArray[np.int32]
) -> None: ...
def delta(data: NDArray[np.uint8], at: int, out: NDArray[Any]) -> int: ...
def summed(lengths: NDArray[np.int32]) -> int: ...
def laid(lengths: NDArray[np.int32], ends: NDArray[np.int32]) -> None: ...
def plain_texts(
    data: NDArray[np.uint8], at: int, ends: NDArray[np.int32], out: NDArray[np.uint8]
) -> None: ...
def shared_texts(
    prefix: NDArray[np.int32],
    suffix: NDArray[np.int32],
    data: NDArray[np.uint8],
    at: int,
    ends: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None: ...
def picked_texts(
    codes: NDArray[np.int32],
    word_ends: NDArray[np.int32],
    words: NDArray[np.uint8],
    ends: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None: ...
