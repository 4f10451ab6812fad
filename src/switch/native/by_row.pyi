import numpy as np
from numpy.typing import NDArray

def span(rows: NDArray[np.uint32]) -> tuple[int, int, int]: ...
def sort(
    rows: NDArray[np.uint32],
    least: int,
    low: int,
    bits: int,
    starts: NDArray[np.uint32],
    words: NDArray[np.uint32],
) -> None: ...
