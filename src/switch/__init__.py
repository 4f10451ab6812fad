"""A payment switch engine with a native core for bulk social-security credit transfers.

    import switch

    with switch.init("home", participants=..., debtors=...) as engine:
        engine.register(population=people, accounts=accounts, paid_history=paid)
        batch = engine.run(table, source="VSS", batch_id="PENS-2026-11",
                           value_date="2026-11-25", count=..., sum=...)
        batch.status, batch.positions

Tables are paths (Parquet, Arrow IPC, CSV) or anything with `__arrow_c_stream__`: pyarrow, Polars,
DuckDB, pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from switch.directory import Settings
    from switch.engine import Batch, Engine, init
    from switch.engine import Engine as open
    from switch.errors import (
        CopyFailed,
        EnvironmentFailed,
        HomeLocked,
        InputRefused,
        SwitchError,
        UsageError,
        VerificationFailed,
    )
    from switch.liquidity.by_value import settle_by_value
    from switch.liquidity.exact import settle_exactly
    from switch.liquidity.in_order import settle_in_order
    from switch.liquidity.queue import PaymentQueue, liquidity_needed
    from switch.liquidity.stress import clearing_vector
    from switch.liquidity.transfers import fewest_transfers
    from switch.liquidity.unwind import recast, share_loss
    from switch.netting import netting_of
    from switch.proof import verify
    from switch.sim.world import generate

__version__ = "0.1.0"

_HOMES = {
    "Batch": "switch.engine",
    "Engine": "switch.engine",
    "Settings": "switch.directory",
    "init": "switch.engine",
    "open": "switch.engine",
    "CopyFailed": "switch.errors",
    "EnvironmentFailed": "switch.errors",
    "HomeLocked": "switch.errors",
    "HomeMoved": "switch.errors",
    "InputRefused": "switch.errors",
    "SwitchError": "switch.errors",
    "UsageError": "switch.errors",
    "VerificationFailed": "switch.errors",
    "PaymentQueue": "switch.liquidity.queue",
    "clearing_vector": "switch.liquidity.stress",
    "fewest_transfers": "switch.liquidity.transfers",
    "generate": "switch.sim.world",
    "liquidity_needed": "switch.liquidity.queue",
    "netting_of": "switch.netting",
    "recast": "switch.liquidity.unwind",
    "settle_by_value": "switch.liquidity.by_value",
    "settle_exactly": "switch.liquidity.exact",
    "settle_in_order": "switch.liquidity.in_order",
    "share_loss": "switch.liquidity.unwind",
    "verify": "switch.proof",
}

__all__ = [
    "Batch",
    "CopyFailed",
    "Engine",
    "EnvironmentFailed",
    "HomeLocked",
    "HomeMoved",
    "InputRefused",
    "PaymentQueue",
    "Settings",
    "SwitchError",
    "UsageError",
    "VerificationFailed",
    "clearing_vector",
    "fewest_transfers",
    "generate",
    "init",
    "liquidity_needed",
    "netting_of",
    "open",
    "recast",
    "settle_by_value",
    "settle_exactly",
    "settle_in_order",
    "share_loss",
    "verify",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: `switch --version` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'switch' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(_HOMES[name])
    value = module.Engine if name == "open" else getattr(module, name)
    globals()[name] = value
    return value
