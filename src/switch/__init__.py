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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from switch.citizens import Citizens
    from switch.clearing.dossiers import write_dossier
    from switch.control.draft import draft_policy
    from switch.controlled import Control
    from switch.deliveries import deliver
    from switch.doctor import examine
    from switch.documents import answer_schema
    from switch.engine import Engine, init
    from switch.errors import (
        CopyFailed,
        EnvironmentFailed,
        HomeLocked,
        HomeMoved,
        InputRefused,
        SwitchError,
        UsageError,
        VerificationFailed,
        WorkerLost,
    )
    from switch.fees import Fees
    from switch.home.batch import Batch
    from switch.identities import Identities
    from switch.log import log_events
    from switch.proof.repair import scrub
    from switch.proof.replay import replay
    from switch.proof.verify import verify
    from switch.registry.settings import Settings
    from switch.registry.templates import json_schema, table_template, write_template
    from switch.rehearsal import rehearse
    from switch.report.drawing import draw_rehearsal
    from switch.settlement.liquidity.by_value import settle_by_value
    from switch.settlement.liquidity.clearing_vector import clearing_vector
    from switch.settlement.liquidity.exact import settle_exactly
    from switch.settlement.liquidity.fewest_transfers import fewest_transfers
    from switch.settlement.liquidity.in_order import settle_in_order
    from switch.settlement.liquidity.loss import recast, share_loss
    from switch.settlement.liquidity.queue import PaymentQueue, liquidity_needed
    from switch.settlement.netting import netting_of
    from switch.sim.exchange import exchange
    from switch.sim.world.generate import generate
    from switch.watching import Watch

    open = Engine

__version__ = "0.1.0"

_HOMES = {
    "Batch": "switch.engine",
    "Citizens": "switch.citizens",
    "Control": "switch.controlled",
    "Engine": "switch.engine",
    "Fees": "switch.fees",
    "Identities": "switch.identities",
    "Settings": "switch.registry.settings",
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
    "WorkerLost": "switch.errors",
    "PaymentQueue": "switch.settlement.liquidity.queue",
    "Watch": "switch.watching",
    "answer_schema": "switch.documents",
    "deliver": "switch.deliveries",
    "draft_policy": "switch.control.draft",
    "examine": "switch.doctor",
    "json_schema": "switch.registry.templates",
    "table_template": "switch.registry.templates",
    "write_dossier": "switch.clearing.dossiers",
    "write_template": "switch.registry.templates",
    "draw_rehearsal": "switch.report.drawing",
    "exchange": "switch.sim.exchange",
    "clearing_vector": "switch.settlement.liquidity.clearing_vector",
    "fewest_transfers": "switch.settlement.liquidity.fewest_transfers",
    "generate": "switch.sim.world.generate",
    "log_events": "switch.log",
    "liquidity_needed": "switch.settlement.liquidity.queue",
    "netting_of": "switch.settlement.netting",
    "recast": "switch.settlement.liquidity.loss",
    "rehearse": "switch.rehearsal",
    "replay": "switch.proof.replay",
    "scrub": "switch.proof.repair",
    "settle_by_value": "switch.settlement.liquidity.by_value",
    "settle_exactly": "switch.settlement.liquidity.exact",
    "settle_in_order": "switch.settlement.liquidity.in_order",
    "share_loss": "switch.settlement.liquidity.loss",
    "verify": "switch.proof.verify",
}

# `switch.open` is not among them: `from switch import *` would take Python's own away.
__all__ = [
    "Batch",
    "Citizens",
    "Control",
    "CopyFailed",
    "Engine",
    "EnvironmentFailed",
    "Fees",
    "HomeLocked",
    "HomeMoved",
    "Identities",
    "InputRefused",
    "PaymentQueue",
    "Settings",
    "SwitchError",
    "UsageError",
    "VerificationFailed",
    "Watch",
    "WorkerLost",
    "answer_schema",
    "clearing_vector",
    "deliver",
    "draft_policy",
    "draw_rehearsal",
    "examine",
    "exchange",
    "fewest_transfers",
    "generate",
    "init",
    "json_schema",
    "liquidity_needed",
    "log_events",
    "netting_of",
    "recast",
    "rehearse",
    "replay",
    "scrub",
    "settle_by_value",
    "settle_exactly",
    "settle_in_order",
    "share_loss",
    "table_template",
    "verify",
    "write_dossier",
    "write_template",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A public name, imported when first asked for: `switch --version` needs none of them."""
        if name not in _HOMES:
            raise AttributeError(f"module 'switch' has no attribute {name!r}")
        import importlib

        module = importlib.import_module(_HOMES[name])
        value = module.Engine if name == "open" else getattr(module, name)
        globals()[name] = value
        return value
