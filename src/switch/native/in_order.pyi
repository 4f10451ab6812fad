import numpy as np
from numpy.typing import NDArray

def settle_in_order(
    sender: NDArray[np.uint16],
    receiver: NDArray[np.uint16],
    amount: NDArray[np.int64],
    priority: NDArray[np.uint8],
    least: NDArray[np.int64],
    limit: NDArray[np.int64],
    left: NDArray[np.int64],
    pair_sum: NDArray[np.int64],
    breaches: NDArray[np.int32],
    tail: NDArray[np.int32],
    last: NDArray[np.int32],
    before: NDArray[np.int32],
    work: NDArray[np.int32],
    kept: NDArray[np.uint8],
    dropped: NDArray[np.int32],
) -> int: ...
