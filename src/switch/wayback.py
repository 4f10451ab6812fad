"""The way back of an engine: answers taken in, and what becomes of money that came back.

Floor 4, below the engine, which is one of these.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from switch import answers, disposing, returning, sharing, signoff, timeline
from switch.cycles import time_text
from switch.directory import Directory, Settings
from switch.disk import copy_into, landing, out_folder
from switch.reconcile import Rules
from switch.report import positions_table, write_table
from switch.segment import json_of
from switch.store import Home


class WayBack:
    """What an engine does once lines were sent."""

    home: Home
    directory: Directory
    settings: Settings

    def reconcile(
        self,
        *files: str | Path,
        kind: str | None = None,
        rules: Rules | None = None,
        at: datetime.date | str | None = None,
        out: str | Path | None = None,
        strict_columns: bool = False,
        leap: bool = False,
    ) -> dict[str, Any]:
        """Take files of confirmations, returns and statements into the home, in one commit, and
        hold everything against everything (`answers.take_in`). files: paths. at: the time that is
        recorded (ISO 8601), else that of the home: the last that was said to it. leap: it is meant,
        far after all that is known as it may be. out: where requests that changed by
        it are copied to (default HOME/out)."""
        folder = out_folder(self.home.path, out)
        answer = answers.take_in(
            self.home,
            self.directory,
            self.settings,
            [Path(file) for file in files],
            kind=kind,
            rules=rules,
            at=time_text(at) or None,
            strict_columns=strict_columns,
            far=leap,
        )
        self._export(folder)
        return answer

    def _export(self, out: Path) -> None:
        """Copies of what the State Bank is asked for anew by answers, where no settlement has
        written others since."""
        asked = "SELECT request FROM cycles WHERE cycle = ? AND state = 'CLOSED'"
        for folder in answers.folders(self.home):
            requests = {
                cycle: msgspec.json.decode(self.home.rows(asked, cycle)[0]["request"])
                for cycle in folder.detail.get("requests", {})
                if self.home.rows(asked, cycle)
            }
            if "request" in folder.detail:
                requests[folder.detail["cycle"]] = folder.detail["request"]
            for cycle, request in requests.items():
                query = "SELECT * FROM positions WHERE cycle = ? ORDER BY participant"
                rows = [tuple(row)[1:] for row in self.home.rows(query, cycle)]
                with landing(out, f"cycles/{cycle}/positions.parquet") as file:
                    write_table(file, positions_table(rows))
                with landing(out, f"cycles/{cycle}/settlement.json") as file:
                    file.write(json_of(request))

    def line(self, batch_id: str, line_no: int) -> dict[str, Any]:
        """What became of a line, as `status --line --json` gives it: its states, oldest first, and
        the breaks that are open about it. batch_id: SOURCE:ID where several sources use the id.
        Raises UsageError where there is no such line."""
        return timeline.line(self.home, batch_id, line_no)

    def shared_accounts(self, batch_id: str) -> Any:
        """A pyarrow Table of the accounts that receive for more than one person by what a batch
        cleared, most persons first: participant, creditor_account, persons, lines, sum, names (that
        differ), same_name (persons whose name another person of the account has, too). batch_id:
        SOURCE:ID where several sources use the id. Raises UsageError where there is none."""
        return sharing.shared_accounts(
            self.home, int(timeline.batch_row(self.home, batch_id)["seq"])
        )

    def close_day(
        self, at: datetime.date | str, *, out: str | Path | None = None, leap: bool = False
    ) -> dict[str, Any]:
        """End a day and sign it (`signoff.close`). at: its date, or a time of it, not before the
        last day that was closed. leap: it is meant, far after all that is known as it may be. out:
        where the statements are copied to, in days/DATE (default HOME/out)."""
        folder = out_folder(self.home.path, out)
        answer = signoff.close(self.home, self.directory, self.settings, at=time_text(at), far=leap)
        self._export(folder)
        day = f"days/{answer['as_of']}"
        signed = self.home.path / answers.folders(self.home)[-1].name / "statements"
        for path in sorted(signed.iterdir()):
            with landing(folder, f"{day}/statements/{path.name}") as file:
                copy_into(file, self.home.proven(path))
        with landing(folder, f"{day}/day.json") as file:
            file.write(json_of(answer))
        return answer

    def write_back(
        self,
        lines: Sequence[tuple[str, int]] | None = None,
        *,
        at: datetime.date | str | None = None,
    ) -> dict[str, Any]:
        """Returned lines, (batch id, line number), to the budget; without any, all that wait."""
        return self._dispose(returning.WRITE_BACK, lines, at)

    def reissue(
        self,
        lines: Sequence[tuple[str, int]] | None = None,
        *,
        at: datetime.date | str | None = None,
    ) -> dict[str, Any]:
        """Let each of these returned lines be paid once more, by the next line for the same person,
        benefit and period."""
        return self._dispose(returning.REISSUE, lines, at)

    def _dispose(
        self, step: str, lines: Sequence[tuple[str, int]] | None, at: datetime.date | str | None
    ) -> dict[str, Any]:
        chosen = None
        if lines is not None:
            chosen = [
                (int(timeline.batch_row(self.home, name)["seq"]), line) for name, line in lines
            ]
        return disposing.dispose(self.home, step, chosen, at=time_text(at) or None)
