import numpy as np
from numpy.typing import NDArray

def improve(
    sender: NDArray[np.uint16],
    receiver: NDArray[np.uint16],
    amount: NDArray[np.int64],
    ranked: NDArray[np.int32],
    room: NDArray[np.int64],
    kept: NDArray[np.uint8],
    wide: NDArray[np.int64],
    narrow: NDArray[np.int32],
    small: NDArray[np.int8],
    steps: int,
) -> bool: ...
