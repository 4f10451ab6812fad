import numpy as np
from numpy.typing import NDArray

def partition(
    reason: NDArray[np.uint8],
    participant: NDArray[np.uint16],
    order: NDArray[np.uint32],
    starts: NDArray[np.int64],
) -> None: ...
def transfer_ids(
    prefix: NDArray[np.uint8],
    line_no: NDArray[np.uint32],
    given: NDArray[np.uint8] | None,
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
) -> int: ...
def account_texts(
    words: NDArray[np.uint64],
    heap: NDArray[np.uint8],
    table_offsets: NDArray[np.int32],
    table_data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
) -> int: ...
def gather_text(
    order: NDArray[np.uint32],
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    index: NDArray[np.int32] | None,
    out_offsets: NDArray[np.int32],
    out: NDArray[np.uint8],
    row: int,
) -> int: ...
