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
        EnvironmentFailed,
        HomeLocked,
        InputRefused,
        SwitchError,
        UsageError,
        VerificationFailed,
    )
    from switch.proof import verify
    from switch.sim.world import generate

__version__ = "0.1.0"

_HOMES = {
    "Batch": "switch.engine",
    "Engine": "switch.engine",
    "Settings": "switch.directory",
    "init": "switch.engine",
    "open": "switch.engine",
    "EnvironmentFailed": "switch.errors",
    "HomeLocked": "switch.errors",
    "InputRefused": "switch.errors",
    "SwitchError": "switch.errors",
    "UsageError": "switch.errors",
    "VerificationFailed": "switch.errors",
    "generate": "switch.sim.world",
    "verify": "switch.proof",
}

__all__ = [
    "Batch",
    "Engine",
    "EnvironmentFailed",
    "HomeLocked",
    "InputRefused",
    "Settings",
    "SwitchError",
    "UsageError",
    "VerificationFailed",
    "generate",
    "init",
    "open",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when first asked for: `switch --version` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'switch' has no attribute {name!r}")
    import importlib

    module = importlib.import_module(_HOMES[name])
    value = module.Engine if name == "open" else getattr(module, name)
    globals()[name] = value
    return value
