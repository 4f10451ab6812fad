"""Keys of a hardware module, tried with SoftHSM 2, a token in software (Debian: `softhsm2`).

Where it is not installed, tests that sign are skipped. SOFTHSM names a folder like /usr that holds
it elsewhere.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from scene import command
from signing_people import SIGNERS, pem, person, policy, sign_all, table

import switch
from switch.control.keys import is_signed, signer_of

PIN, OTHER_PIN = "24680", "13579"
ED25519 = bytes.fromhex("06032b6570")
"""The curve's name, 1.3.101.112 (RFC 8410), in DER."""


@pytest.fixture(scope="module")
def module() -> str:
    """SoftHSM's module, for the whole of a process: its settings are read once."""
    roots = [Path(os.environ.get("SOFTHSM", "/usr")), Path("/usr/local"), Path("/opt/homebrew")]
    for root in roots:
        for folder in ("lib/softhsm", "lib64/pkcs11", "lib64/softhsm"):
            file = root / folder / "libsofthsm2.so"
            if file.is_file():
                return str(file)
    pytest.skip("there is no SoftHSM 2 here")


@pytest.fixture(scope="module")
def address(module: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a key pair `cuc` in a new token `treasury`."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "pin").write_text(f"{PIN}\n")
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", f"{folder}/softhsm.conf")
        tool = Path(module).parents[2] / "bin/softhsm2-util"
        words = f"--init-token --free --label treasury --so-pin {PIN} --pin {PIN} --module"
        subprocess.run([tool, *words.split(), module], check=True, capture_output=True)
        token = pkcs11.lib(module).get_token(token_label="treasury")
        with token.open(user_pin=PIN, rw=True) as session:
            session.create_domain_parameters(
                pkcs11.KeyType.EC_EDWARDS, {pkcs11.Attribute.EC_PARAMS: ED25519}, local=True
            ).generate_keypair(
                mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="cuc"
            )
        yield f"pkcs11:token=treasury;object=cuc?module-path={module}&pin-source={folder}/pin"


def test_keys__of_a_module_sign_without_leaving_it(address: str) -> None:
    key = signer_of(address)
    again = signer_of(address)
    assert key.public == again.public
    for signer in (key, again):
        signature = signer.sign(b"a table").hex()
        assert is_signed(key.public, b"a table", signature)
        assert not is_signed(key.public, b"another", signature)


def test_keys__of_a_module_certify_a_table_by_the_command_line(
    address: str, village: Path, tmp_path: Path
) -> None:
    told = command("key", address, "--json")
    assert told.code == 0
    public = told.document["public"]
    assert public == signer_of(address).public
    assert command("key", address, "--new").code == 2
    given = policy()
    person(given, "cuc")["keys"] = [{"public": public}]
    with switch.open(village) as engine:
        engine.control.set_policy(given)
        sign_all(engine, table(tmp_path), until="certify")
    assert command("certify", village, "B1", "--by", "cuc", "--key", address).code == 0
    with switch.open(village) as engine:
        for step in ("fund", "release"):
            engine.control.sign("B1", step, by=SIGNERS[step], key=pem(SIGNERS[step]))
        assert engine.control.dossiers().rows()[-1]["state"] == "RELEASED"
    assert switch.verify(village)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("token=treasury", "token=bank", "no token, or several, called 'bank'"),
        ("object=cuc", "object=hoa", "has 0 keys called 'hoa'"),
        ("/pin", "/other", "another PIN"),
    ],
)
def test_addresses__that_lead_nowhere_are_refused(
    address: str, old: str, new: str, said: str
) -> None:
    pin = Path(address.rpartition("=")[2])
    pin.with_name("other").write_text(OTHER_PIN)
    told = command("key", address.replace(old, new))
    assert told.code == 2
    assert said in told.err


ADDRESS = "pkcs11:token=treasury;object=cuc?module-path={0}/none.so&pin-source={0}/pin"


@pytest.fixture
def none(tmp_path: Path) -> str:
    """An address whose module is none. What is tried with it needs no SoftHSM."""
    (tmp_path / "none.so").write_bytes(b"no module")
    (tmp_path / "pin").write_text(PIN)
    return ADDRESS.format(tmp_path)


def test_module__that_is_none_is_told(none: str) -> None:
    told = command("key", none)
    assert told.code == 6
    assert "none.so failed" in told.err
    assert PIN not in told.err


@pytest.mark.parametrize(
    ("old", "new"),
    [("object=cuc", "name=cuc"), ("token=treasury;", ""), ("&pin-source=", "&pin-value=")],
)
def test_address__of_another_form_is_refused(none: str, old: str, new: str) -> None:
    told = command("key", none.replace(old, new))
    assert told.code == 2
    assert "the address of the key is not" in told.err


def test_key__of_a_module_is_not_made_here(none: str) -> None:
    told = command("key", none, "--new")
    assert told.code == 2
    assert "module's own tools" in told.err
