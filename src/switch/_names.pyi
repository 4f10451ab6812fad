import numpy as np
from numpy.typing import NDArray

def fold(text: str) -> str: ...
def name_keys(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    masks: NDArray[np.uint64] | None,
) -> int: ...
