import numpy as np
from numpy.typing import NDArray

LANES: int

def add(
    amount: NDArray[np.int64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    sums_of_first: NDArray[np.int64],
    sums_of_second: NDArray[np.int64],
) -> bool: ...
