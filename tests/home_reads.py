"""Reading what a home answered, for tests: digests, rows of the catalog, clearing files, states."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from scene import change_catalog, command, new_checkpoint, tree_digest

import switch
from switch.home.chain import link_of


def answer_files(batch: switch.Batch) -> dict[str, str]:
    """Digests of everything that a batch answers. The manifest is not of it: it names the table's
    digest, which differs by format."""
    return {
        name: digest
        for name, digest in tree_digest(batch.folder).items()
        if name != "manifest.json"
    }


def catalog(home: Path, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(home / "catalog.sqlite")
    try:
        return list(db.execute(query))
    finally:
        db.close()


def clearing_rows(batch: switch.Batch) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: pq.read_table(path).to_pylist()
        for path in sorted((batch.folder / "clearing").iterdir())
    }


def line_states(home: Path, batch_id: str, number: int) -> list[tuple[str, str | None]]:
    said = command("--json", "status", home, "--line", f"{batch_id}:{number}")
    assert said.code == 0, said.err
    return [(state["status"], state["reason"]) for state in said.document["states"]]


def forged(home: Path, **changes: Any) -> None:
    """Change what the last audit record says, with a link that fits."""
    seq, at, kind, detail, previous = catalog(
        home, "SELECT seq, at, kind, detail, previous FROM audit ORDER BY seq DESC LIMIT 1"
    )[0]
    text = json.dumps({**json.loads(detail), **changes}, sort_keys=True, separators=(",", ":"))
    link = link_of(previous, seq, at, kind, text)
    change_catalog(home, "UPDATE audit SET detail = ?, link = ? WHERE seq = ?", text, link, seq)
    new_checkpoint(home)
