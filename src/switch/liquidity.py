"""The former name of `switch.settlement.liquidity`; it goes on until version 0.3."""

import sys
import warnings

from switch.settlement import liquidity
from switch.settlement.liquidity import (
    by_value,
    clearing_vector,
    exact,
    fewest_transfers,
    in_order,
    loss,
    proof,
    queue,
)

_MOVED = {
    "by_value": by_value,
    "exact": exact,
    "in_order": in_order,
    "proof": proof,
    "queue": queue,
    "stress": clearing_vector,
    "transfers": fewest_transfers,
    "unwind": loss,
}

warnings.warn(
    "switch.liquidity stands in switch.settlement.liquidity now", DeprecationWarning, stacklevel=2
)
sys.modules.update({f"{__name__}.{name}": module for name, module in _MOVED.items()})
sys.modules[__name__] = liquidity
