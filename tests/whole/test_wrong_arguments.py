"""Public calls with arguments of wrong types: refused in words of our own, never of Python's.

Every name of `switch.__all__` and every public method of an engine is called with values of all
kinds in place of right ones. What comes out is an answer or a SwitchError; a TypeError is allowed
where Python itself finds an argument missing, one too many, or an unknown name.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import inspect
import itertools
import pickle
import typing
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scene import (
    DEBTORS,
    PARTICIPANTS,
    account,
    line,
    make_home,
    payment_table,
    people_table,
    person,
    person_id,
)

import switch
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
from switch.proof.repair import scrub
from switch.proof.replay import replay
from switch.rehearsal import rehearse
from switch.sim.authority import SimulatedAuthority

TABLE = payment_table([line(1), line(2)])
PEOPLE = people_table([person(1), person(2)])
QUEUE = switch.PaymentQueue([0, 1], [1, 0], [5, 7], participants=2)


class Odd:
    """An object that says nothing of itself."""

    def __repr__(self) -> str:
        raise AssertionError("nobody asks for it")


class Hostile:
    """A table whose stream is none."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return 5


JUNK: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        3,
        2**63,
        -(2**63),
        2**64,
        10**40,
        1.5,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        "x",
        "3",
        "B",
        "B:1",
        ":",
        "\0",
        "\udcff",
        "x" * 300,
        "2026-11-25",
        "2026-13-45",
        "0001-01-01",
    ),
    *("9999-12-31T23:59:59-14:00", "/", "/proc/self/mem", "/dev/null", "no/such", "🙂"),
    *(b"", b"x", b"\xff" * 40, bytearray(b"x"), memoryview(b"x")),
    *(
        [],
        [1],
        ["x"],
        [None],
        [[1], [2, 3]],
        [("B", 1)],
        [("B", "1")],
        [("B",)],
        [(1, "B")],
        ["B:1"],
    ),
    *({}, {"x": 1}, {1: 2}, {"clearing_limit": "x"}, {"cutoffs": 5}, {"cutoffs": ["25:99"]}),
    *((), (1, 2), (1, 2, 3), {1}, frozenset("x"), range(3), iter([1])),
    *(Odd(), Odd, Hostile(), len, lambda: None, lambda *a: 1 / 0 if len(a) > 9 else None),
    *(Path(), Path("no/such"), Path("\0"), Path("x" * 300), Path("/")),
    *(dt.date(2026, 11, 25), dt.date.min, dt.date.max, dt.datetime(2026, 11, 25), dt.time(1)),
    *(
        dt.datetime.min,
        dt.datetime.max,
        dt.timedelta(1),
        decimal.Decimal("1.5"),
        Fraction(1, 3),
        1j,
    ),
    *(np.int64(5), np.float64(1.5), np.bool_(True), np.datetime64("2026-11-25"), np.zeros((2, 2))),
    *(
        np.array([]),
        np.array([1, 2]),
        np.array(5),
        np.array(["x"]),
        np.array([None]),
        np.zeros((2, 3), int),
    ),
    *(np.array([1, 2], "u8") << np.uint64(62), np.array([True, False]), np.full((2, 2), -1)),
    *(
        pa.table({}),
        pa.table({"x": [1]}),
        TABLE,
        TABLE.slice(0, 0),
        PEOPLE,
        pa.array([1]),
        pa.scalar(5),
    ),
    *(
        TABLE.to_batches()[0],
        TABLE.schema,
        pa.chunked_array([[1]]),
        TABLE.to_pydict(),
        TABLE.to_pylist(),
    ),
    *(QUEUE, switch.Settings(), switch.Settings(clearing_limit="x"), ValueError("x"), ...),  # type: ignore
]


def whole_run() -> dict[str, Any]:
    return {
        "source": "VSS",
        "batch_id": "N",
        "value_date": "2026-11-25",
        "count": 2,
        "sum": 2_000_003,
    }


LIQUIDITY = {"queue": QUEUE, "balance": [0, 0], "floor": 0}
RIGHT: dict[str, dict[str, Any]] = {
    "change_directory": {"participants": None, "debtors": None, "programmes": None,
                         "balances": None, "settings": None, "at": ""},
    "close": {},
    "close_day": {"at": "2026-11-26", "out": None, "leap": False},
    "export": {"batch": "B", "out": None},
    "line": {"batch_id": "B", "line_no": 1},
    "open_register": {},
    "reconcile": {"kind": None, "rules": None, "at": "2026-11-26", "out": None,
                  "strict_columns": False, "leap": False},
    "register": {"population": PEOPLE, "accounts": None, "paid_history": None, "replaced": None,
                 "replace": False, "at": "", "strict_columns": False, "progress": None},
    "reissue": {"lines": [("B", 1)], "at": None, "leap": False},
    "run": {"table": TABLE, **whole_run(), "out": None, "threads": 1, "chunk_rows": 10, "at": None,
            "strict_columns": False, "form": "parquet", "progress": None, "leap": False},
    "replay": {"batch_id": "B", "table": TABLE, "register": None},
    "settle": {"cycle": None, "at": None, "out": None, "close_only": False, "abort": None,
               "leap": False},
    "shared_accounts": {"batch_id": "B"},
    "write_back": {"lines": [("B", 1)], "at": None, "leap": False},
}  # fmt: skip
"""Right arguments of the public methods of an engine; each is put wrong in turn."""

FUNCTIONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "PaymentQueue": (switch.PaymentQueue, {"sender": [0], "receiver": [1], "amount": [5],
                                           "participants": 2, "priority": None}),
    "clearing_vector": (switch.clearing_vector, {"liabilities": [[0, 5], [0, 0]], "cash": [1, 0],
                                                 "external": None, "recovery_cash": 1,
                                                 "recovery_claims": 1, "exact": False}),
    "fewest_transfers": (switch.fewest_transfers, {"position": [5, -5]}),
    "liquidity_needed": (switch.liquidity_needed, {"queue": QUEUE}),
    "netting_of": (switch.netting_of, {"pair_sum": [[0, 5], [3, 0]]}),
    "recast": (switch.recast, {"pair_sum": [[0, 5], [3, 0]], "defaulters": [0],
                               "keep_receipts": False}),
    "settle_by_value": (switch.settle_by_value, {**LIQUIDITY, "steps_max": 1000}),
    "settle_exactly": (switch.settle_exactly, {**LIQUIDITY, "seconds_max": 1.0, "gap_min": 0.1}),
    "settle_in_order": (switch.settle_in_order, {**LIQUIDITY, "reserved": None, "limit": None}),
    "share_loss": (switch.share_loss, {"amount": 5, "weights": [1, 2]}),
    "value_of": (QUEUE.value_of, {"kept": np.array([True, False])}),
}  # fmt: skip
FACES = {
    "control": "Control",
    "citizens": "Citizens",
    "identities": "Identities",
    "fees": "Fees",
    "watch": "Watch",
}
"""Faces of an engine, and their classes."""
TRIED_BELOW = {"Batch", "Engine", "Settings", "generate", "init", "open", "verify", *FACES.values()}
"""Names of `__all__` that other tests here call, or of results."""


USUAL: dict[str, Any] = {
    "batch_id": "B",
    "batch": "B",
    "line_no": 1,
    "at": "2026-11-26",
    "kind": "returns",
    "table": "table.parquet",
    "source": "VSS",
    "value_date": "2026-11-25",
    "path": "new.csv",
    "home": "home",
    "tables": ["table.parquet"],
    "copy": "copy",
    "person_id": person_id(1),
    "secrets": b"a secret of the authority, kept outside",
    "out": "phone",
    "names": ["day-open:2026-11-25"],
    "authority": SimulatedAuthority(people_table([])),
}
"""Right values of parameters that have no default."""


def right_of(call: Callable[..., Any]) -> dict[str, Any]:
    """Right arguments of a call: its defaults, and what is usual where there is none."""
    right: dict[str, Any] = {}
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            (options,) = typing.get_args(typing.get_type_hints(call)[parameter.name])
            right |= dict.fromkeys(typing.get_type_hints(options))
        elif parameter.kind is not parameter.VAR_POSITIONAL and parameter.name != "self":
            is_needed = parameter.default is parameter.empty
            right[parameter.name] = (
                USUAL.get(parameter.name, "B") if is_needed else parameter.default
            )
    return right


def rights() -> dict[str, dict[str, Any]]:
    """Right arguments of all public methods of an engine, RIGHT's where it has them."""
    methods = inspect.getmembers(switch.Engine, inspect.isfunction)
    return {name: RIGHT.get(name) or right_of(m) for name, m in methods if name[0] != "_"}


def calls_of_faces() -> list[tuple[str, str]]:
    """Public methods of faces that take anything, each with its face."""
    return [
        (face, name)
        for face, kind in FACES.items()
        for name, method in inspect.getmembers(getattr(switch, kind), inspect.isfunction)
        if name[0] != "_" and right_of(method)
    ]


def other_functions() -> list[str]:
    """Public functions that no table here names: they are called as they say themselves."""
    known = {*FUNCTIONS, *TRIED_BELOW}
    return [n for n in switch.__all__ if n not in known and inspect.isfunction(getattr(switch, n))]


few = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """What comes out is an answer or an error of ours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SwitchError as error:
        require_told(error)


def require_told(error: SwitchError) -> None:
    """An error says something, without a number of the system, and survives a pickle."""
    assert str(error)
    assert "Errno" not in str(error), error
    assert pickle.loads(pickle.dumps(error)).__dict__.keys() == error.__dict__.keys()


def wrong(right: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Right arguments of which one to three are others."""
    names = st.lists(st.sampled_from(sorted(right)), min_size=1, max_size=3, unique=True)
    junk = st.sampled_from(range(len(JUNK)))
    names = names.filter(lambda n: "progress" not in n)
    changes = names.flatmap(lambda n: st.fixed_dictionaries(dict.fromkeys(n, junk)))
    return changes.map(lambda c: {**right, **{name: JUNK[i] for name, i in c.items()}})


def each_wrong(right: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Right arguments of which one is another: all of them."""
    for name, junk in itertools.product(right, JUNK):
        if not (name == "progress" and callable(junk)):  # A call of theirs may fail as it likes.
            yield {**right, name: junk}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[switch.Engine]:
    monkeypatch.chdir(tmp_path)
    home = make_home(tmp_path / "home", [person(1), person(2)], [account(1), account(2)])
    with switch.open(home) as opened:
        opened.run(TABLE, **whole_run() | {"batch_id": "B"})
        yield opened


def test_table_of_calls__is_whole() -> None:
    assert set(RIGHT) <= set(rights())
    errors = {n for n in switch.__all__ if isinstance(getattr(switch, n), type)
              and issubclass(getattr(switch, n), SwitchError)}  # fmt: skip
    assert {*FUNCTIONS, *TRIED_BELOW, *errors, *other_functions()} >= {*switch.__all__}


@pytest.mark.parametrize("name", [n for n, right in rights().items() if right and n != "run"])
def test_engine__takes_or_refuses_every_argument(engine: switch.Engine, name: str) -> None:
    for arguments in each_wrong(rights()[name]):
        with ours():
            getattr(engine, name)(**arguments)
    assert not engine.home.stopped


@pytest.mark.parametrize(("face", "name"), calls_of_faces())
def test_faces__take_or_refuse_every_argument(engine: switch.Engine, face: str, name: str) -> None:
    for arguments in each_wrong(right_of(getattr(getattr(switch, FACES[face]), name))):
        with ours():
            getattr(getattr(engine, face), name)(**arguments)
    assert not engine.home.stopped


def test_run__takes_or_refuses_every_argument(engine: switch.Engine) -> None:
    for number, arguments in enumerate(each_wrong(RIGHT["run"])):
        if arguments["batch_id"] is RIGHT["run"]["batch_id"]:
            arguments["batch_id"] = f"N{number}"
        with ours():
            engine.run(**arguments)
    assert not engine.home.stopped


def test_reconcile__takes_or_refuses_every_file(engine: switch.Engine) -> None:
    for junk in JUNK:
        with ours():
            engine.reconcile(junk, at="2026-11-26")
        with ours():
            engine.reconcile(junk, kind="returns", at="2026-11-26")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions__take_or_refuse_every_argument(name: str) -> None:
    call, right = FUNCTIONS[name]
    call(**right)
    for arguments in each_wrong(right):
        with ours():
            call(**arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
@few
@given(st.data())
def test_functions__of_several_wrong_arguments(name: str, data: st.DataObject) -> None:
    call, right = FUNCTIONS[name]
    with ours():
        call(**data.draw(wrong(right)))


@few
@given(st.data())
def test_engine__of_several_wrong_arguments(engine: switch.Engine, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name, right in rights().items() if right]))
    with ours():
        getattr(engine, name)(**data.draw(wrong(rights()[name])))


@pytest.mark.parametrize("name", other_functions())
def test_other_functions__take_or_refuse_every_argument(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in each_wrong(right_of(getattr(switch, name))):
        with ours():
            getattr(switch, name)(**arguments)
    switch.log_events(off=True)


def test_init__takes_or_refuses_every_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right: dict[str, Any] = {
        "participants": pa.Table.from_pylist(list(PARTICIPANTS)),
        "debtors": pa.Table.from_pylist(list(DEBTORS)),
        **dict.fromkeys(("programmes", "balances", "settings", "key", "signing_key")),
        "at": "",
        "catalog": "",
        "files": "",
    }
    for number, arguments in enumerate(each_wrong(right)):
        with ours(), switch.init(tmp_path / str(number), **arguments):
            pass
    for junk in JUNK:
        with (
            ours(),
            switch.init(junk, participants=right["participants"], debtors=right["debtors"]),
        ):
            pass


def test_calls_by_home__take_or_refuse_every_argument(
    engine: switch.Engine, tmp_path: Path
) -> None:
    engine.close()
    home = engine.home.path
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (switch.open, {"home": home, "mode": "w", "wait": 0}),
        (switch.open, {"home": home, "mode": "r", "wait": 0}),
        (switch.verify, {"path": home, "checkpoint": None, "public_key": None}),
        (replay, {"path": home, "batch": "B", "table": TABLE, "register": None}),
        (scrub, {"path": home, "copy": tmp_path / "copy", "dry_run": True, "at": ""}),
        (switch.exchange, {"home": home, "batch_id": "B", "out": None, "seed": 1, "plain": True}),
        (switch.draw_rehearsal, {"told": rehearse(home, []), "path": "day.svg"}),
        (rehearse, {"home": home, "tables": [], "at": None, "threads": 1, "clearing_limit": None,
                    "leap": False}),
    ]  # fmt: skip
    for call, right in calls:
        for arguments in each_wrong(right):
            with ours():
                found = call(**arguments)
                if isinstance(found, switch.Engine):
                    found.close()


def test_generate__takes_or_refuses_every_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right = {"people": 5, "lines": 3, "seed": 1, "period": 202611,
             "value_date": dt.date(2026, 11, 25), "progress": None}  # fmt: skip
    more = [{"rates": junk} for junk in JUNK] + [{"folder": junk} for junk in JUNK]
    for number, arguments in enumerate(
        itertools.chain(each_wrong(right), ({**right, **m} for m in more))
    ):
        with ours():
            switch.generate(**{"folder": tmp_path / f"w{number}", **arguments})


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: e.line("B1", "3"), "line_no '3' is no whole number"),
        (lambda e: e.run(5, **whole_run()), "a int is no table"),
        (lambda e: e.run(TABLE, threads=0), "threads 0 is not in 1..256"),
        (lambda e: e.run(TABLE, chunk_rows=0), "chunk_rows 0 is not in 1..1048576"),
        (lambda e: e.run(TABLE, form="csv"), "form 'csv' is none of parquet, arrow"),
        (lambda e: e.settle(5), "cycle 5 is no text"),
        (lambda e: e.settle(out=""), "out is empty: name a place"),
        (lambda e: e.close_day(at=5), "at 5 is no ISO 8601 time"),
        (lambda e: e.write_back(["B:1"]), "lines 'B:1' is no pair"),
        (lambda e: e.write_back([("B", "1")]), "lines '1' is no whole number"),
        (lambda e: e.write_back([("B",)]), "lines holds a 1-tuple in place of 2 parts"),
        (lambda e: e.register(replace="yes"), "replace 'yes' is no True or False"),
        (lambda e: e.register(warn=5), "warn 5 is no function"),
        (lambda e: e.change_directory(settings=5), "settings 5 is no settings or mapping"),
        (lambda e: e.change_directory(settings={"limit": 5}), "unknown 'limit'; known are"),
        (lambda e: e.change_directory(settings={"clearing_limit": "x"}), "Expected `int`"),
        (lambda e: e.line("B\udcff", 1), "batch_id is not UTF-8"),
        (lambda e: switch.init("n", participants=TABLE, debtors=TABLE, key="a secret"),
         r"key \(of type str\) is no bytes"),
        (lambda e: switch.open(5), "home 5 is no path"),
        (lambda e: switch.netting_of([[0, -1], [0, 0]]), "pair_sum holds a negative amount"),
    ],
)  # fmt: skip
def test_wrong_arguments__are_named(
    engine: switch.Engine, call: Callable[[switch.Engine], object], said: str
) -> None:
    with pytest.raises(SwitchError, match=said):
        call(engine)


def test_unknown_and_missing_arguments__stay_words_of_python(engine: switch.Engine) -> None:
    call: Any = engine.run
    with pytest.raises(TypeError, match="unexpected keyword argument 'thread'"):
        call(TABLE, thread=1)
    with pytest.raises(TypeError, match="missing a required argument: 'table'"):
        call()


def test_export__writes_copies_again_to_a_folder_that_is_text(
    engine: switch.Engine, tmp_path: Path
) -> None:
    batch = engine.run(TABLE, **whole_run())
    for which, name in ((batch, "a"), ("N", "b"), ("VSS:N", "c")):
        folder = engine.export(which, str(tmp_path / name))
        assert folder == tmp_path / name / "N"
        assert (folder / "status.parquet").exists()
    assert engine.export("N") == engine.home.path / "out" / "N"
    with pytest.raises(UsageError, match="no batch 'X'"):
        engine.export("X")


def test_settings__of_a_mapping_are_checked_as_those_of_a_file(tmp_path: Path) -> None:
    given: dict[str, object] = {"cutoffs": ["11:00"], "holidays": ["2026-11-27"]}
    with switch.open(make_home(tmp_path / "home", settings=given)) as engine:
        assert engine.settings.cutoffs == ("11:00",)
        engine.change_directory(settings={"clearing_limit": 5})
        assert (engine.settings.cutoffs, engine.settings.clearing_limit) == (("11:00",), 5)
        with pytest.raises(UsageError, match="cutoffs are not times"):
            engine.change_directory(settings={"cutoffs": ["x"]})


# --- errors in other processes --------------------------------------------------------------------

ERRORS: list[SwitchError] = [
    UsageError("no home"),
    InputRefused("RULE", "what", remedy="do", file="f", row=3, column="c"),
    HomeLocked("locked"),
    HomeMoved("moved"),
    VerificationFailed("differs"),
    EnvironmentFailed("disk full"),
    WorkerLost("gone"),
    CopyFailed(EnvironmentFailed("disk full")),
]


def _raised(number: int) -> None:
    raise ERRORS[number]


def every_kind(kind: type[SwitchError] = SwitchError) -> set[type[SwitchError]]:
    return {kind}.union(*map(every_kind, kind.__subclasses__()))


def test_errors__come_out_of_a_pool_of_processes_as_they_were() -> None:
    assert {type(error) for error in ERRORS} == every_kind() - {SwitchError}
    with ProcessPoolExecutor(1) as pool:
        for number, error in enumerate(ERRORS):
            found = pool.submit(_raised, number).exception()
            assert type(found) is type(error)
            assert (str(found), found.told()) == (str(error), error.told())
            wanted = {name: str(value) for name, value in error.__dict__.items()}
            assert {name: str(value) for name, value in found.__dict__.items()} == wanted
            assert found.exit_code == error.exit_code


def _run_refused(home: Path) -> None:
    with switch.open(home) as engine:
        engine.run(TABLE, **whole_run() | {"count": 3})


def test_refusal__of_one_table_breaks_no_pool(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [person(1)], [account(1)])
    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(InputRefused) as caught:
            pool.submit(_run_refused, home).result()
        assert (caught.value.rule, caught.value.remedy) == ("CONTROL_COUNT", caught.value.remedy)
        assert pool.submit(len, "the pool works on").result() == 17
