"""Instructions per line of every kernel, counted by callgrind: a slower core shows without a clock.

    python -m bench.instructions            compare with bench/instructions.json (5 % tolerance)
    python -m bench.instructions --record   write it anew

A kernel's figure is the difference between going over the same lines twice and once, so the
interpreter's start and the making of the lines cancel out. Counts depend on the compiler, which is
recorded; against another compiler nothing is compared.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LINES = 20_000
TOLERANCE = 0.05
RECORD = Path(__file__).with_name("instructions.json")
KERNELS = (
    "names", "screen", "post", "transfer_ids", "outboxes", "hybrid", "delta", "shared", "expect",
    "answer",
)  # fmt: skip


def kernels() -> dict[str, Callable[[], Any]]:
    """A call a kernel, each over the same LINES made lines (no file, no randomness)."""
    import numpy as np
    import pyarrow as pa

    from switch.files.columns import text_buffers
    from switch.native import ledger as ledger_kernel
    from switch.native import match, outbox, parquet_encode, people_table
    from switch.native import screen as screen_kernel
    from switch.native.names import name_keys
    from switch.schema import MONTHS, NO_ROW

    people = LINES
    number = np.arange(people, dtype=np.uint64)
    ids = np.uint64(1_000_000_000) + number * np.uint64(7_919)
    names = pa.array([f"Nguyễn Văn {'ABCDEFGH'[i % 8]}n {i % 977}" for i in range(people)])
    offsets, data = text_buffers(names)
    keys = np.empty(people, np.uint64)
    name_keys(offsets, data, keys, None)
    table = people_table.PeopleTable(people)
    rows = np.empty(people, np.uint32)
    none = np.zeros(people, np.uint8)
    table.put_people(ids, keys, none, none, rows)
    accounts = np.zeros(
        people,
        [("account", "<u8"), ("row", "<u4"), ("from", "<i4"), ("to", "<i4"), ("code", "<u2"),
         ("priority", "u1"), ("kind", "u1")],
    )  # fmt: skip
    accounts["account"] = (np.uint64(10) << np.uint64(57)) | (number + np.uint64(1))
    accounts["row"], accounts["from"], accounts["to"] = rows, -(2**31), 2**31 - 1
    accounts["code"] = number % 60
    starts = np.arange(people + 1, dtype=np.uint32)
    table.put_accounts(starts, accounts.view(np.uint8), starts[:-1].copy())
    empty, codes = np.empty(0, np.uint8), np.arange(60, dtype=np.uint16)
    limits = np.full(60, 10**9, np.int64)
    screen = screen_kernel.Screen(
        table, empty, empty, codes, np.zeros(60, np.uint8), limits, 500_000_000, 20_000
    )
    order = ((number * np.uint64(6_151)) % np.uint64(people)).astype(np.int64)
    amount = (number.astype(np.int64) % 977 + 1) * 1000
    benefit = (number % np.uint64(7)).astype(np.uint16)
    debtor = (number % np.uint64(5)).astype(np.uint16)
    month = np.full(people, 1522, np.uint16)
    line_ids, line_keys = ids[order], keys[order]
    reason, row = np.empty(people, np.uint8), np.empty(people, np.uint32)
    participant, account = np.empty(people, np.uint16), np.empty(people, np.uint64)

    def run_screen() -> None:
        screen.lines(
            amount, line_ids, line_keys, benefit, debtor, None, reason, row, participant, account, 0
        )

    run_screen()
    pairs = [np.zeros(3600, np.int64) for _ in range(2)]
    sums = [np.zeros(7, np.int64) for _ in range(2)]
    ledger = ledger_kernel.Ledger(7, 60, *pairs, *sums)
    bits = [np.zeros(2 * (people // 64 + 1), np.uint64) for _ in range(7)]
    for code in range(7):
        ledger.use(code * MONTHS + 1522, bits[code])
    agents = np.zeros(6, np.uint16)

    def run_post() -> None:
        for part in bits:
            part.fill(0)
        reason.fill(0)
        ledger.post(reason, row, benefit, month, debtor, agents, participant, amount, 0)

    prefix = np.frombuffer(b"20261125-000001-", np.uint8)
    line_no = (number + np.uint64(1)).astype(np.uint32)
    id_offsets, ids_out = np.zeros(people + 1, np.int32), np.empty(64 * people, np.uint8)
    living = np.ones(people, np.uint8)
    outbox.transfer_ids(prefix, line_no, living, id_offsets, ids_out)

    boxes = outbox.Outboxes(60, people)
    for code in range(60):
        texts = {
            name: (np.zeros(people + 1, np.int32), np.empty(32 * people // 30 + 4096, np.uint8))
            for name in ("transfer_id", "end_to_end_id", "creditor_account", "creditor_name")
        }
        numbers = {name: np.empty(people, np.int32) for name in ("purpose", "period")}
        boxes.open(
            code,
            {
                **texts,
                **numbers,
                "debtor_account": np.empty(people, np.int32),
                "amount": np.empty(people, np.int64),
                "no_end_to_end_id": np.empty(people, np.uint8),
            },
        )
    purposes, periods = np.zeros(7, np.int32), np.full(MONTHS, 202611, np.int32)
    no_texts = (np.zeros(1, np.int32), empty, None)

    def run_outboxes() -> None:
        for code in range(60):
            boxes.empty(code)
        done = boxes.append(
            0, none, participant, (id_offsets, ids_out, None), account, empty, no_texts,
            (offsets, data, None), None, amount, benefit, purposes, month, periods, debtor,
        )  # fmt: skip
        assert done == people

    codes_of = participant.astype(np.int32)
    page = np.empty(16 * people + 4096, np.uint8)
    shares, adds = np.empty(people, np.int32), np.empty(people, np.int32)
    suffixes = np.empty(32 * people, np.uint8)

    words = text_buffers(pa.array((number + np.uint64(10**11)).astype(str).tolist()))
    records = (id_offsets, ids_out, *words, amount, np.zeros(people, np.int64))
    first, claim = np.empty(people, np.uint32), np.empty(people, np.uint32)
    expected = match.Lines(people, 7)
    expected.expect(*records, first)

    def run_answer() -> None:
        claim.fill(NO_ROW)
        expected.answer(*records, living, 0, 0, 0, claim, none, first)
        assert none.all()
        none.fill(0)

    return {
        "names": lambda: name_keys(offsets, data, keys, None),
        "screen": run_screen,
        "post": run_post,
        "transfer_ids": lambda: outbox.transfer_ids(prefix, line_no, living, id_offsets, ids_out),
        "outboxes": run_outboxes,
        "hybrid": lambda: parquet_encode.hybrid(codes_of, 6, page),
        "delta": lambda: parquet_encode.delta(amount, page),
        "shared": lambda: parquet_encode.shared(id_offsets, ids_out, shares, adds, suffixes),
        "expect": lambda: match.Lines(people, 7).expect(*records, first),
        "answer": run_answer,
    }


def count(kernel: str, times: int) -> int:
    """Instructions of a process that goes over the kernel's lines so many times."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += [sys.executable, "-m", "bench.instructions", "--go", kernel, str(times)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"callgrind failed: {done.stderr[-500:]}")
    return int(found[1])


def measure(names: tuple[str, ...] = KERNELS) -> dict[str, float]:
    """Instructions per line by kernel."""
    return {name: round((count(name, 6) - count(name, 1)) / (5 * LINES), 1) for name in names}


def compiler() -> str:
    """The compiler that builds the core, with its version."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        return "none"
    return subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]  # fmt: skip  # noqa: E501


def differences(found: dict[str, float]) -> list[str]:
    """What differs from the record by more than the tolerance, in words."""
    known = json.loads(RECORD.read_text("utf-8"))["instructions_per_line"]
    return [
        f"{name}: {now} instructions a line, recorded {known[name]}"
        for name, now in found.items()
        if abs(now - known[name]) > TOLERANCE * known[name]
    ]


def main() -> None:
    if "--go" in sys.argv:
        kernel, times = sys.argv[-2], int(sys.argv[-1])
        call = kernels()[kernel]
        for _ in range(times):
            call()
        return
    found = measure()
    for name, value in found.items():
        print(f"{name:15} {value:8.1f} instructions a line")
    if "--record" in sys.argv:
        content = {
            "compiler": compiler(),
            "machine": platform.machine(),
            "lines": LINES,
            "instructions_per_line": found,
        }
        RECORD.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        return
    known = json.loads(RECORD.read_text("utf-8"))
    if (known["compiler"], known["machine"]) != (compiler(), platform.machine()):
        print(f"recorded with {known['compiler']}: not compared")
        return
    wrong = differences(found)
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
