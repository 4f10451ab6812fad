"""The job in pandas: merges of frames with Arrow texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .generator import VALUE_DAY
from .job import ANSWER, ANSWER_COLUMNS, FEES, LINE_COLUMNS, Peer

DAY_US = 86_400_000_000
PAYDAY = {"creditor_account": "account", "booked_at": "at"}


def frame(files: list[str], columns: tuple[str, ...], payday: bool) -> pd.DataFrame:
    names = {new: old for old, new in PAYDAY.items()} if payday else {}
    tables = []
    for path in files:
        held = set(pq.read_schema(path).names)
        wanted = [names.get(c, c) for c in columns]
        tables.append(pq.read_table(path, columns=[c for c in wanted if c in held]))
    table = pa.concat_tables(tables)
    table = table.rename_columns([PAYDAY.get(c, c) if payday else c for c in table.column_names])
    out = table.to_pandas(types_mapper=_texts)
    for name in columns:
        if name not in out:
            missing: Any = VALUE_DAY * DAY_US if name == "at" else pd.array(
                [None] * len(out), dtype="str"
            )  # fmt: skip
            out[name] = missing
    if not pd.api.types.is_integer_dtype(out["at"]):
        out["at"] = out["at"].astype("int64")
    for name in ("status", "currency"):
        if name in out:
            out[name] = out[name].astype("str")
    out["day"] = out["at"] // DAY_US
    out["row"] = np.arange(len(out))
    return out


def _texts(kind: Any) -> Any:
    return pd.StringDtype("pyarrow", na_value=np.nan) if pa.types.is_string(kind) else None


def verdict(p: pd.DataFrame) -> Any:
    """What becomes of pairs; columns of the answer end in _r."""
    away, apart = (p["amount"] - p["amount_r"]).abs(), (p["day"] - p["day_r"]).abs()
    refused = (p["status"] == "RJCT").to_numpy(bool)
    known = p["transfer_id"].notna() & p["transfer_id_r"].notna()
    other = known & (p["transfer_id"] != p["transfer_id_r"])
    known = p["account"].notna() & p["account_r"].notna()
    other |= known & (p["account"] != p["account_r"])
    return np.select(
        [
            (p["currency"].notna() & (p["currency"] != "VND")).to_numpy(bool),
            refused & (apart > 0).to_numpy(),
            (away > 0) & away.isin(FEES),
            away > 0,
            other.to_numpy(bool),
            ~refused & (apart > 1).to_numpy(),
        ],
        ["CURRENCY", "STATUS", "FEE", "AMOUNT", "REFERENCE", "TIMING"],
        "MATCHED",
    )


class ToolPeer(Peer):
    name = "pandas"
    loaded: tuple[pd.DataFrame, pd.DataFrame] | None = None

    @staticmethod
    def version() -> str:
        return pd.__version__

    def _frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        job = self.job
        more = () if job.payday else ("participant",)
        return (
            frame(job.lines, (*LINE_COLUMNS, *more), job.payday),
            frame(job.answers, (*ANSWER_COLUMNS, *more), job.payday),
        )

    def load(self) -> None:
        self.loaded = self._frames()

    def solve(self) -> Any:
        lines, answers = self.loaded or self._frames()
        self.told: list[pd.DataFrame] = []
        cut = lines.drop(columns="participant", errors="ignore")
        said = answers.drop(columns="participant", errors="ignore")
        said = said.rename(columns={n: f"{n}_r" for n in cut.columns})
        pairs = cut.merge(said, left_on="transfer_id", right_on="transfer_id_r")
        pairs = pairs[pairs["transfer_id"].notna()]
        pairs["verdict"] = verdict(pairs)
        crowded = pairs["row"].duplicated(keep=False) | pairs["row_r"].duplicated(keep=False)
        self._both(pairs[~crowded])
        self._crowd(pairs[crowded].copy())
        left = cut[~cut["row"].isin(pairs["row"])]
        right = said[~said["row_r"].isin(pairs["row_r"])]
        named = left[left["end_to_end_id"].notna()].merge(
            right, left_on="end_to_end_id", right_on="end_to_end_id_r"
        )
        named["verdict"] = verdict(named)
        self._both(named)
        left = left[~left["row"].isin(named["row"])]
        right = right[~right["row_r"].isin(named["row_r"])]
        near = left.merge(right, left_on=["account", "amount"], right_on=["account_r", "amount_r"])
        near = near[(near["day"] - near["day_r"]).abs() <= 1].copy()
        near["verdict"] = verdict(near)
        several = near["row"].duplicated(keep=False) | near["row_r"].duplicated(keep=False)
        near.loc[several, "verdict"] = "AMBIGUOUS"
        self._both(near)
        left = left[~left["row"].isin(near["row"])]
        right = right[~right["row_r"].isin(near["row_r"])]
        self._rest(left, right)
        return self._answer(lines, answers)

    def _tell(self, side: str, rows: Any, verdicts: Any) -> None:
        told = pd.DataFrame({"side": side, "row": np.asarray(rows), "verdict": verdicts})
        self.told.append(told[told["verdict"] != "MATCHED"])

    def _both(self, pairs: pd.DataFrame) -> None:
        for side, key in (("lines", "row"), ("answers", "row_r")):
            once = pairs.drop_duplicates(key)
            self._tell(side, once[key], once["verdict"].to_numpy())

    def _crowd(self, crowd: pd.DataFrame) -> None:
        crowd["same_amount"] = crowd["amount"] == crowd["amount_r"]
        crowd["same_account"] = (crowd["account"] == crowd["account_r"]).to_numpy(bool)
        crowd = crowd.sort_values(
            ["same_amount", "same_account", "at_r"], ascending=[False, False, True], kind="stable"
        )
        several = crowd.groupby("row")["row_r"].transform("size") > 1
        for one, many, mine, theirs, part in (
            ("row", "row_r", "amount", "amount_r", crowd[several]),
            ("row_r", "row", "amount_r", "amount", crowd[~several]),
        ):
            split = part.groupby(one)[theirs].transform("sum") == part[mine]
            first = ~part[one].duplicated()
            said = np.select([split, first], ["SPLIT", part["verdict"]], "DUPLICATE")
            sides = ("lines", "answers") if one == "row" else ("answers", "lines")
            self._tell(sides[1], part[many], said)
            self._tell(sides[0], part.loc[first, one], said[first.to_numpy()])

    def _rest(self, left: pd.DataFrame, right: pd.DataFrame) -> None:
        right = right.rename(columns={f"{n}_r": n for n in left.columns})
        sums = [side.groupby("account")["amount"].agg(["size", "sum"]) for side in (left, right)]
        both = sums[0].join(sums[1].add_suffix("_r"), how="inner")
        both = both[
            (both["sum"] == both["sum_r"]) & (both[["size", "size_r"]].min(axis=1) == 1)
            & (both["size"] + both["size_r"] > 2)
        ]  # fmt: skip
        back = set()
        for path in self.job.returns:
            back.update(pq.read_table(path, columns=["transfer_id"])["transfer_id"].to_pylist())
        for side, rest in (("lines", left), ("answers", right)):
            status = rest["status"] if side == "answers" else pd.Series("", index=rest.index)
            returned = rest["transfer_id"].isin(back) if side == "lines" else status == "no"
            said = np.select(
                [
                    rest["account"].isin(both.index),
                    self.job.as_of - rest["day"] <= 1,
                    rest["transfer_id"].isna() & rest["amount"].abs().isin(FEES),
                    (status == "RTRN").to_numpy(bool),
                    returned.to_numpy(bool),
                ],
                ["SPLIT", "PENDING", "FEE", "RETURN_UNMATCHED", "MATCHED"],
                "MISSING",
            )
            self._tell(side, rest["row"], said)

    def _answer(self, lines: pd.DataFrame, answers: pd.DataFrame) -> Any:
        told = pd.concat(self.told)
        parts, broken = [], set()
        for side, table in (("lines", lines), ("answers", answers)):
            mine = told[told["side"] == side]
            rows = table.iloc[mine["row"]]
            if "participant" in rows:
                broken |= set(rows["participant"][(mine["verdict"] != "PENDING").to_numpy()])
            parts.append(rows[["transfer_id", "account", "amount"]].assign(
                side=side, verdict=mine["verdict"].to_numpy()
            ))  # fmt: skip
        if not self.job.payday:
            declared = pq.read_table(self.job.folder / "totals.parquet").to_pandas()
            sums = lines.groupby("participant")["amount"].sum()
            drift = declared[
                (declared["participant"].map(sums) != declared["amount"])
                & ~declared["participant"].isin(broken)
            ]
            parts.append(pd.DataFrame({
                "side": "totals", "transfer_id": drift["participant"], "account": None,
                "amount": drift["amount"], "verdict": "TOTAL_DRIFT",
            }))  # fmt: skip
        whole = pd.concat(parts)[ANSWER.names]
        return pa.Table.from_pandas(whole, schema=ANSWER, preserve_index=False)
