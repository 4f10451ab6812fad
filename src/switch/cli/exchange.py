"""The command `switch exchange`: simulated receivers answer a batch of a home.

It reads what anybody could read, the directory and HOME/out, and changes no home.
"""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import msgspec

from switch import status
from switch.documents import Exchanged
from switch.errors import CopyFailed, EnvironmentFailed, UsageError
from switch.files.disk import copy_into, landing, out_folder
from switch.home.store import Home
from switch.registry.directory import Directory
from switch.sim.receivers.behaviour import plain, varied
from switch.sim.receivers.exchange import exchange, statements


def run_exchange(
    home: Path, batch_id: str | None, out: Path | None, seed: int, plainly: bool = False
) -> Exchanged:
    """Answers of all receivers to a batch (default: the last), in DIR/ID/answers. plainly: none of
    them is wrong. Raises UsageError where there is no such batch, or its clearing files were taken
    away."""
    with Home(home, writing=False) as opened:
        summary = status.batch(opened, batch_id or status.last_batch(opened))
        directory = Directory.of_json(opened.catalog.meta("directory").encode())
        root = out_folder(home, out)
        folder = root / opened.catalog.out_name(summary["batch_id"], summary["seq"])
    request = root / "cycles" / summary["cycle"] / "settlement.json"
    if not (folder / "clearing").is_dir() or not request.is_file():
        raise UsageError(f"{folder}: no clearing files; run the table again to have them written")
    kinds = {p.participant: p.kind for p in directory.participants}
    booked_on = datetime.date.fromisoformat(summary["value_date"])
    asked = msgspec.json.decode(request.read_bytes())
    answers = folder / "answers"
    try:
        # Receivers write where nobody has put links; what they wrote is then copied.
        with tempfile.TemporaryDirectory(prefix="switch-exchange-") as name:
            drafts = Path(name)
            manners = plain(kinds) if plainly else varied(kinds, seed)
            done = exchange(folder / "clearing", drafts, kinds, manners, seed, booked_on)
            statements([asked], drafts / "returns", drafts, booked_on)
            for path in sorted(path for path in drafts.rglob("*") if path.is_file()):
                with landing(root, (answers / path.relative_to(drafts)).relative_to(root)) as file:
                    copy_into(file, path)
    except CopyFailed as error:
        raise error.cause from error
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{folder}: {error}") from error
    except OSError as error:
        raise EnvironmentFailed(f"{error.filename or answers}: {error.strerror}") from error
    return {
        "batch_id": summary["batch_id"],
        "folder": str(answers),
        "seed": seed,
        "lines": done.lines,
        "confirmations": done.confirmations,
        "returns": done.returns,
        "fates": done.fates,
    }
