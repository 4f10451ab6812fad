"""Changes of the catalog: one small record for each kind, and the statement that makes it.

Whoever works on a home says what changes, and `Catalog.apply` does it inside the commit. A record's
fields are the values of its statement, in this order.
"""

from __future__ import annotations

from typing import NamedTuple

from switch.home.chain import Record
from switch.home.rows import FileRow, PositionRow, PostingRow, RegisterRow


class AddBatch(NamedTuple):
    """Names a committed batch. Raises where (source, batch_id) is there: no table clears twice."""

    seq: int
    source: str
    batch_id: str
    digest: str
    value_date: str
    at: str
    cycle: str
    lines: int
    amount: str
    state: str
    manifest: str
    summary: str


class SetBatches(NamedTuple):
    """Sets the state of all batches of a cycle."""

    state: str
    cycle: str


class CloseBatch(NamedTuple):
    """Sets a batch CLOSED: a day found that nothing of it is open."""

    seq: int


class OpenCycle(NamedTuple):
    """Opens a cycle of the calendar where it is not there; its cut-off then stays what it is."""

    cycle: str
    closes: str


class CloseCycle(NamedTuple):
    """Lets a cycle take no more lines; opens it first where no batch has."""

    cycle: str
    closes: str
    at: str
    request: str


class EndCycle(NamedTuple):
    """Settles or aborts a cycle; both states are final."""

    state: str
    at: str
    answer: str
    cycle: str


class SetRequest(NamedTuple):
    """Sets what the State Bank is asked for in a cycle."""

    request: str
    cycle: str


class PutCycle(NamedTuple):
    """Puts a cycle into a state, whatever it was before: replay makes old states again."""

    cycle: str
    closes: str
    state: str
    at: str


class AddPosition(PositionRow):
    """Adds to what a participant has in a cycle."""


class AddPosting(PostingRow):
    """Books an amount."""


class SetBalance(NamedTuple):
    """Sets the balance of an account."""

    account: str
    balance: int


class SetPaid(NamedTuple):
    """Names the file of paid bits of a (benefit, period). origin: history or cleared."""

    origin: str
    benefit: str
    period: int
    path: str


class AddRegister(RegisterRow):
    """Names a version of the register."""


class ForgetRegisterFiles(NamedTuple):
    """Forgets the files of all versions of the register: those before the current are dropped."""


class ForgetHistory(NamedTuple):
    """Forgets the paid bits of the loaded history; a new version of the register has its own."""


class AddMeta(NamedTuple):
    """Adds a setting to a new catalog."""

    name: str
    value: str


class SetMeta(NamedTuple):
    """Sets the directory or the settings."""

    value: str
    name: str


class AddFile(FileRow):
    """Names a committed file."""


class PutRecord(Record):
    """Puts a record into the audit chain as another catalog has it: replay alone does that."""


Change = (
    AddBatch
    | SetBatches
    | CloseBatch
    | OpenCycle
    | CloseCycle
    | EndCycle
    | SetRequest
    | PutCycle
    | AddPosition
    | AddPosting
    | SetBalance
    | SetPaid
    | AddRegister
    | ForgetRegisterFiles
    | ForgetHistory
    | AddMeta
    | SetMeta
    | AddFile
    | PutRecord
)

STATEMENTS: dict[type[Change], str] = {
    AddBatch: "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    SetBatches: "UPDATE batches SET state = ? WHERE cycle = ?",
    CloseBatch: "UPDATE batches SET state = 'CLOSED' WHERE seq = ?",
    OpenCycle: "INSERT INTO cycles VALUES (?, ?, 'OPEN', '', '', '') ON CONFLICT DO NOTHING",
    CloseCycle: "INSERT INTO cycles VALUES (?, ?, 'CLOSED', ?, ?, '')"
    " ON CONFLICT (cycle) DO UPDATE"
    " SET state = 'CLOSED', at = excluded.at, request = excluded.request",
    EndCycle: "UPDATE cycles SET state = ?, at = ?, answer = ? WHERE cycle = ?",
    SetRequest: "UPDATE cycles SET request = ? WHERE cycle = ?",
    PutCycle: "INSERT OR REPLACE INTO cycles VALUES (?, ?, ?, ?, '', '')",
    AddPosition: "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET credit_count = credit_count + excluded.credit_count,"
    " credit_sum = credit_sum + excluded.credit_sum,"
    " debit_count = debit_count + excluded.debit_count,"
    " debit_sum = debit_sum + excluded.debit_sum, net = net + excluded.net",
    AddPosting: "INSERT INTO postings (batch, cycle, step, debit, credit, amount)"
    " VALUES (?, ?, ?, ?, ?, ?)",
    SetBalance: "INSERT OR REPLACE INTO balances VALUES (?, ?)",
    SetPaid: "INSERT OR REPLACE INTO paid VALUES (?, ?, ?, ?)",
    AddRegister: "INSERT INTO registers VALUES (?, ?)",
    ForgetRegisterFiles: "DELETE FROM files WHERE path LIKE 'registers/%'",
    ForgetHistory: "DELETE FROM paid WHERE origin = 'history'",
    AddMeta: "INSERT INTO meta VALUES (?, ?)",
    SetMeta: "UPDATE meta SET value = ? WHERE name = ?",
    AddFile: "INSERT INTO files VALUES (?, ?, ?)",
    PutRecord: "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)",
}
