from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

def transfer_ids(
    prefix: NDArray[np.uint8],
    line_no: NDArray[np.uint32],
    given: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
) -> int: ...

@disjoint_base
class Outboxes:
    def __new__(cls, count: int, rows_max: int) -> Self: ...
    @property
    def waiting(self) -> int: ...
    def open(self, index: int, columns: dict[str, Any]) -> None: ...
    def rows(self, index: int) -> int: ...
    def empty(self, index: int) -> None: ...
    def append(
        self,
        start: int,
        reason: NDArray[np.uint8],
        participant: NDArray[np.uint16],
        transfer: tuple[Any, Any, Any],
        account: NDArray[np.uint64],
        heap: NDArray[np.uint8],
        given: tuple[Any, Any, Any],
        name: tuple[Any, Any, Any],
        end_to_end: tuple[Any, Any, Any] | None,
        amount: NDArray[np.int64],
        benefit: NDArray[np.uint16],
        purpose_of: NDArray[np.int32],
        month: NDArray[np.uint16],
        period_of: NDArray[np.int32],
        debtor: NDArray[np.uint16],
    ) -> int: ...
