from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

class Fault(IntEnum):
    FINE = 0
    MISSING = 1
    FORMAT = 2
    RANGE = 3
    ENCODING = 4
    ROW_WIDTH = 5
    ROW_BLANK = 6
    QUOTE = 7
    LINE_END = 8
    LINE_LENGTH = 9

def parse_ids(
    offsets: NDArray[np.int32], data: NDArray[np.uint8], ids: NDArray[np.uint64]
) -> int: ...
def parse_amounts(
    offsets: NDArray[np.int32], data: NDArray[np.uint8], amounts: NDArray[np.int64]
) -> tuple[int, Fault]: ...
def odd_accounts(
    offsets: NDArray[np.int32], data: NDArray[np.uint8], odd: NDArray[np.uint8]
) -> int: ...

@disjoint_base
class CsvScan:
    def __init__(self, row_bytes_max: int) -> None: ...
    @property
    def fault(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def row_bytes(self) -> int: ...
    def feed(self, block: bytes | memoryview | NDArray[np.uint8]) -> bool: ...
    def finish(self) -> bool: ...
