"""Lives with a policy: what is played of control in them, and bugs that have to be found there."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from planted_seeds import is_found

from switch import engine
from switch.control import dossiers, judge, portal, spool, take
from switch.control.policy import Policy, Step
from switch.sim import simulate
from switch.sim.auditor import control as auditor
from switch.sim.simulate import Failure, live, live_twice, script_of

CONTROLLED_SEEDS = [60, 56, 82, 73]
"""Seeds whose lives have a policy."""
PLANTED_SEEDS = [*CONTROLLED_SEEDS, 36, 6]
FOUND_ONCE = [73, 76]
"""Seeds that once found a difference: a disk that was full as a refusal was noted, and lines of a
queue in another order than theirs that were cancelled twice."""
KINDS = ("SetPolicy", "Prepare", "Sign", "Stop", "Release", "Deliver")


@cache
def lived(seed: int) -> tuple[str, ...]:
    """The words of a life."""
    result = live(script_of(seed), seed, again=True)
    assert not isinstance(result, Failure), str(result)
    return result.words


def test_lives__are_controlled_by_a_stream_of_their_own() -> None:
    """A life without a policy says nothing of control, and one in seven or so has one."""
    found = []
    for seed in range(1, 101):
        names = {type(operation).__name__ for operation in script_of(seed).operations}
        found += [seed] if names & set(KINDS) else []
        assert seed not in CONTROLLED_SEEDS or set(KINDS) <= names
    assert set(CONTROLLED_SEEDS) <= set(found)
    assert 10 <= len(found) <= 20


def test_lives__have_what_control_is_for_in_them() -> None:
    """Acts of every step, stops, runs that are refused, deliveries of every outcome, and faults."""
    words: Counter[str] = Counter()
    for seed in CONTROLLED_SEEDS:
        words.update(word for line in lived(seed) for word in _words(line))
    for step in (*auditor.STEPS, "hold", "resume", "cancel", "refuse"):
        assert words[step], step
    for rule in (
        *("NOT_RELEASED", "BUDGET_EXCEEDED", "FUNDS_MISSING", "DEADLINE_PASSED", "KEY_UNKNOWN"),
        *("ROLE_MISSING", "SIGNATURE_INVALID", "DOSSIER_THERE", "CERTIFICATE_USED"),
        *("SIGNER_TWICE", "SIGNER_NOT_APART", "TABLE_OTHER"),
        *("MANIFEST_MISSING", "MANIFEST_REPEATED", "MANIFEST_REUSED", "FILE_HASH"),
    ):
        assert words[rule], rule
    for outcome in ("taken", "refused", "missing", "repeated", "crashed", "failed"):
        assert words[outcome], outcome


def _words(line: str) -> set[str]:
    return set(line.replace(":", " ").replace(",", " ").split())


@pytest.mark.parametrize("seed", FOUND_ONCE)
def test_lives__engine_and_auditor_agree(seed: int) -> None:
    result = live_twice(seed)
    assert not isinstance(result, Failure), str(result)


# --- planted bugs ---------------------------------------------------------------------------------


def _nothing(*_: Any) -> None:
    """Judge nothing."""


def _anybody_signs_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "_require_once", _nothing)


def _one_house_signs_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "_require_apart", _nothing)


def _deadlines_never_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "_require_in_time", _nothing)


def _any_role_signs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "_require_role", _nothing)


def _any_signature_is_good(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judge, "is_signed", lambda *_: True)


def _keys_of_the_first_version_sign(patch: pytest.MonkeyPatch) -> None:
    key = judge._require_key
    first: list[Policy] = []

    def lenient(person: Any, public: str, now: Policy, day: Any) -> None:
        first[:] = first or [now]
        key(person, public, first[0], day)

    patch.setattr(judge, "_require_key", lenient)


def _an_act_is_taken_again(patch: pytest.MonkeyPatch) -> None:
    stand = take.Stand

    def forgetful(**said: Any) -> Any:
        return dataclasses.replace(stand(**said), ran=False)

    patch.setattr(take, "Stand", forgetful)


def _budgets_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(take, "_require_budgets", _nothing)


def _funds_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(take, "_require_funds", _nothing)


def _sums_above_need_no_more(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "signers_for", lambda step, _: step.signers)


def _what_is_held_is_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dossiers.Dossier, "state", property(lambda dossier: dossier.reached))


def _runs_need_no_release(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "require_released", _nothing)


def _anybody_delivers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(portal, "_require_party", _nothing)


def _files_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    copied = spool._copied

    def lenient(source: Path, target: Path) -> Any:
        found = copied(source, target)
        if ".taking" not in str(target):
            return found
        manifest = spool.read_small(source.with_name(spool.MANIFEST))
        named = spool.msgspec.json.decode(manifest, type=spool.Manifest).contents
        return next(content for content in named if content.name == source.name)

    patch.setattr(spool, "_copied", lenient)


def _the_auditor_lets_anybody_sign_twice(patch: pytest.MonkeyPatch) -> None:
    """The other way round: an auditor that errs differs from an engine that is right."""
    faults = auditor.Control._faults_of_step

    def lenient(control: Any, act: Any, dossier: Any) -> set[str]:
        return faults(control, act, dossier) - {"SIGNER_TWICE", "SIGNER_OWN_BATCH"}

    patch.setattr(auditor.Control, "_faults_of_step", lenient)


PLANTED = [
    _anybody_signs_twice,
    _one_house_signs_twice,
    _deadlines_never_pass,
    _any_role_signs,
    _any_signature_is_good,
    _keys_of_the_first_version_sign,
    _an_act_is_taken_again,
    _budgets_are_not_asked,
    _funds_are_not_asked,
    _sums_above_need_no_more,
    _what_is_held_is_released,
    _runs_need_no_release,
    _anybody_delivers,
    _files_are_not_compared,
    _the_auditor_lets_anybody_sign_twice,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_lives__find_a_bug_planted_in_control(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # `verify` judges acts by itself: the auditor has to find it without that help.
    monkeypatch.setattr(simulate, "VERIFY_EVERY", 10**9)
    plant(monkeypatch)
    assert is_found(plant, PLANTED_SEEDS)
