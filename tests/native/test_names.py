"""Name keys: the native keys are equal exactly where the contract calls two spellings one name."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import name_key, name_unusable

from switch.files.columns import Texts
from switch.registry.register import name_keys
from switch.registry.versions import mask_text

ONE_NAME = (
    ("Hoà", "Hòa", "HOA", "hoa", "  Hoa ", "Hoa\u0300", "HO\u0300A"),
    (
        "Nguyễn Văn Đức",
        "NGUYEN VAN DUC",
        "nguyễn  văn\u00a0đức",
        "Nguyê\u0303n Va\u0306n Đư\u0301c",
    ),
    (
        "Đặng Thị Ánh",
        "DANG THI ANH",
        "đặng thị ánh",
        "Ðặng Thị Ánh",
        "ðặng thị ánh",
        "Ɖặng Thị Ánh",
        "ɖặng thị ánh",
    ),
    ("H'Hen Niê", "H’HEN NIE", "hʼhen nie", "H‘hen Niê", "H`Hen Niê"),
    ("An Bình", "\u200bAn\u200c Bình\u2060", "A\u200dn \ufeff Bình"),
    ("Trần Quốc Khánh", "TRÂ\u0300N QUÔ\u0301C KHANH"),
    ("Lê Thị Ý", "LE THI Y", "Lê\u2003Thị\u3000Ý"),
    ("O'Brien-Ng", "o'brien-ng"),
    ("Straße", "STRASSE"),
    ("ﬁ", "FI"),
    ("漢字 Nguyễn", "漢字  NGUYEN"),
)
OTHER_NAMES = (
    ("Hoa", "Hoan"),
    ("Nguyen Van An", "Nguyen Vanan"),
    ("Nguyen Van An", "Nguyen An Van"),
    ("An", "An An"),
    ("AB", "A B"),
    ("ABCDEFGH", "ABCDEFGHI"),
    ("ABCDEFGH I", "ABCDEFGHI"),
    ("漢", "字"),
    ("A", "A."),
)
UNUSABLE = (
    "", " ", "\u00a0\u3000", "\u0301", "a\nb", "\ta", "a\x00", "\u200b", "\u200eAn",
    "An\u202e", "An\u2028Bo",
    "x" * 141, "ễ" * 141, "漢" * 141, "e\u0301" * 71, "\u2060\ufeff", "\u00adAn", "\U000e0001A",
)  # fmt: skip
USABLE = ("x" * 140, "ễ" * 140, "漢" * 140, "e\u0301" * 70, "=1+1", "@An", "-An", "1", "\U0001f600")

NAMES = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="aáàAĐđdD eẽễE\u0301\u0303\u0306 \u00a0-", max_size=10),
    st.text(alphabet="ßﬁİıſK\u0345ªºǅ漢가\u1e9e\u0130ΰӐŉ d", max_size=6),
)


def keys_of(names: list[str]) -> list[int]:
    keys, _, bad = name_keys(Texts(pa.array(names, pa.string()), None))
    assert bad == -1
    return [int(key) for key in keys]


def raw_texts(values: list[bytes]) -> Texts:
    """Any bytes as a string array, as a careless writer would make one."""
    return Texts(pa.array(values, pa.binary()).view(pa.string()), None)


@pytest.mark.parametrize("spellings", ONE_NAME)
def test_names__spellings_of_one_name_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({name_key(name) for name in spellings}) == 1, "the examples are right"
    keys = set(keys_of(list(spellings)))
    assert len(keys) == 1
    assert keys != {0}


@pytest.mark.parametrize(("one", "other"), OTHER_NAMES)
def test_names__other_names_have_other_keys(one: str, other: str) -> None:
    assert name_key(one) != name_key(other)
    first, second = keys_of([one, other])
    assert first != second


@pytest.mark.parametrize("name", UNUSABLE)
def test_names__unusable_names_have_no_key(name: str) -> None:
    assert keys_of([name]) == [0]


@pytest.mark.parametrize("name", USABLE)
def test_names__odd_but_usable_names_have_a_key(name: str) -> None:
    assert not name_unusable(name)
    assert keys_of([name]) != [0]


@settings(max_examples=600, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=8))
def test_names__keys_are_equal_where_the_twins_are(names: list[str]) -> None:
    keys = keys_of(names)
    for one, key in zip(names, keys, strict=True):
        assert (key == 0) == (name_unusable(one) or not name_key(one)), ascii(one)
        for other, other_key in zip(names, keys, strict=True):
            if key and other_key:
                same = name_key(one) == name_key(other)
                assert (key == other_key) == same, (ascii(one), ascii(other))


@settings(max_examples=200, deadline=None)
@given(NAMES)
def test_names__own_canonical_form_has_the_same_key(name: str) -> None:
    key, canonical = keys_of([name, name_key(name)])
    if key and canonical:
        assert key == canonical, ascii(name)


def test_names__every_character_of_the_planes_in_use_is_keyed_as_the_twin_does() -> None:
    """One character at a time, between letters so that white space counts."""
    points = [p for p in range(0x3100) if not 0xD800 <= p <= 0xDFFF] + list(range(0xFB00, 0xFFFE))
    names = [f"a{chr(point)}b" for point in points]
    canonical = [name_key(name) for name in names]
    keys, twins = keys_of(names), keys_of(canonical)
    for name, key, twin in zip(names, keys, twins, strict=True):
        if name_unusable(name):
            assert key == 0, ascii(name)
        elif twin:
            assert key == twin, ascii(name)


def test_names__keys_of_many_names_do_not_collide() -> None:
    names = [f"NGUYEN {a} {b}" for a in range(300) for b in range(300)]
    assert len(set(keys_of(names))) == len(names)


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff",
        b"\xc3",
        b"a\xe1\xbb",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"An\xf1o",
    ],
)
def test_names__invalid_utf8_is_found(broken: bytes) -> None:
    assert name_keys(raw_texts([b"An", b"", broken, b"\xff"]))[2] == 2
    assert name_keys(raw_texts([b"An", broken]), with_masks=True)[2] == 1


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=6), min_size=1, max_size=5))
def test_names__validity_of_utf8_is_pythons(values: list[bytes]) -> None:
    def valid(value: bytes) -> bool:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True

    first = next((at for at, value in enumerate(values) if not valid(value)), -1)
    assert name_keys(raw_texts(values))[2] == first


def test_names__slices_and_dictionaries_are_keyed_by_row() -> None:
    names = pa.array(["An", "Bình", "Cường", "Bình"])
    whole = keys_of(names.to_pylist())
    keys, _, _ = name_keys(Texts(names.slice(1, 2), None))
    assert list(keys) == whole[1:3]
    coded = names.dictionary_encode()
    keys, _, bad = name_keys(Texts(coded.dictionary, coded.indices.to_numpy()))
    assert (list(keys), bad) == (whole, -1)
    assert len(name_keys(Texts(pa.array([], pa.string()), None))[0]) == 0


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Nguyễn Văn Đức", "N* V* D*"), ("an", "A*"), ("漢 An", "?* A*"), ("", ""), ("1 2", "1* 2*")],
)
def test_names__a_message_shows_initials_only(name: str, shown: str) -> None:
    _, masks, _ = name_keys(Texts(pa.array([name]), None), with_masks=True)
    assert mask_text(int(masks[0])) == shown
