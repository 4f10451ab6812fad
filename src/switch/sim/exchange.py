"""Exchange: simulated receivers answer a batch of a home, as far as its cycle lets them.

It reads what anybody could read, clearing files, requests and lists of recalled lines, and changes
no home.
"""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import msgspec

from switch import status
from switch.arguments import checked
from switch.documents import Exchanged
from switch.errors import CopyFailed, EnvironmentFailed, UsageError
from switch.files.disk import copy_into, landing, out_folder
from switch.home.history import RECALL, SETTLED, folders, recasts
from switch.home.store import Home
from switch.home.times import micros_of
from switch.registry.directory import Directory
from switch.sim.receivers.behaviour import plain as plainly
from switch.sim.receivers.behaviour import varied
from switch.sim.receivers.exchange import Exchanged as Counts
from switch.sim.receivers.exchange import Finality, statements
from switch.sim.receivers.exchange import exchange as answer
from switch.sim.receivers.recalled import Asked


@checked
def exchange(
    home: str | Path,
    batch_id: str | None = None,
    *,
    out: str | Path | None = None,
    seed: int = 1,
    plain: bool = False,
) -> Exchanged:
    """Let simulated receivers answer a batch, into OUT/ID/answers. Before its cycle has settled
    they credit nothing: they send the refusals that come before the cut-off, and no statement.
    Lines that were recalled before it settled are not answered. Of others most are given back: an
    answer to the recall, and a return.

    home: its folder. batch_id: as of `Engine.line`, by default the last batch. out: the folder that
    the batch was copied to (default HOME/out). seed: the same one, the same answers. plain: nobody
    answers wrong. Raises UsageError where there is no such batch, or its files were taken away.
    """
    place = Path(home)
    with Home(place, writing=False) as opened:
        summary = status.batch(opened, batch_id or status.last_batch(opened))
        directory = Directory.of_json(opened.catalog.meta("directory").encode())
        root = out_folder(place, out)
        folder = root / opened.catalog.out_name(summary["batch_id"], summary["seq"])
        recalls = [
            Asked(path, micros_of(at))
            for folder, at in _recalls(opened, summary["cycle"])
            for path in sorted((opened.path / folder / "recall").iterdir())
        ]
        request = root / "cycles" / summary["cycle"] / "settlement.json"
        finality = Finality(summary["state"] in SETTLED, recalls)
        is_there = request.is_file() or not finality.settled
        if not (folder / "clearing").is_dir() or not is_there:
            missing = "no clearing files; run the table again to have them written"
            raise UsageError(f"{folder}: {missing}")
        asked = [msgspec.json.decode(request.read_bytes())] if finality.settled else []
        booked_on = datetime.date.fromisoformat(summary["value_date"])
        kinds = {p.participant: p.kind for p in directory.participants}
        manners = plainly(kinds) if plain else varied(kinds, seed)
        answers = folder / "answers"
        try:
            # Receivers write where nobody has put links; what they wrote is then copied.
            with tempfile.TemporaryDirectory(prefix="switch-exchange-") as name:
                drafts = Path(name)
                done = answer(
                    folder / "clearing", drafts, kinds, manners, seed, booked_on, finality
                )
                if finality.settled:
                    statements(asked, drafts / "returns", drafts, booked_on)
                _copy(drafts, root, answers)
        except CopyFailed as error:
            raise error.cause from error
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{folder}: {error}") from error
        except OSError as error:
            failed = f"{error.filename or answers}: {error.strerror}"
            raise EnvironmentFailed(failed) from error
    return _told(summary["batch_id"], answers, seed, done)


def _recalls(home: Home, cycle: str) -> list[tuple[str, str]]:
    """Folders with lists of recalled lines, and their times: of recasts of a cycle, and of all
    recalls."""
    found = [(one.folder, one.at) for one in recasts(home) if one.cycle == cycle]
    return found + [(one.name, one.at) for one in folders(home) if one.kind == RECALL]


def _copy(drafts: Path, root: Path, answers: Path) -> None:
    for path in sorted(path for path in drafts.rglob("*") if path.is_file()):
        with landing(root, (answers / path.relative_to(drafts)).relative_to(root)) as file:
            copy_into(file, path)


def _told(batch_id: str, folder: Path, seed: int, done: Counts) -> Exchanged:
    return {
        "batch_id": batch_id,
        "folder": str(folder),
        "seed": seed,
        "lines": done.lines,
        "confirmations": done.confirmations,
        "returns": done.returns,
        "resolutions": done.resolutions,
        "fates": done.fates,
    }
