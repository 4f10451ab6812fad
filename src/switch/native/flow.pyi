import numpy as np
from numpy.typing import NDArray

def pair_sums(
    sender: NDArray[np.uint16],
    receiver: NDArray[np.uint16],
    amount: NDArray[np.int64],
    participants: int,
    pair_sum: NDArray[np.int64],
) -> int: ...
def least_cancelled(
    pair_sum: NDArray[np.int64],
    need: NDArray[np.int64],
    cancel: NDArray[np.int64],
    level: NDArray[np.int64],
    distance: NDArray[np.int64],
    stack: NDArray[np.int32],
    arc: NDArray[np.int32],
    seen: NDArray[np.uint8],
) -> None: ...
def zero_groups(
    position: NDArray[np.int64],
    most: NDArray[np.uint8],
    total: NDArray[np.int64],
    group: NDArray[np.uint8],
) -> int: ...
