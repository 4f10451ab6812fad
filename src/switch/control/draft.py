"""Draft: a policy to begin with, a person for each step, and keys to try it with."""

from __future__ import annotations

from pathlib import Path

from switch.arguments import checked
from switch.control.keys import make_key, signer_of
from switch.control.policy import policy_of
from switch.errors import UsageError
from switch.files.disk import land, machine, require_outside

PEOPLE = {
    "maker": ("agency", "prepare"),
    "checker": ("agency", "approve"),
    "controller": ("treasury", "control"),
    "certifier": ("treasury", "certify"),
    "funder": ("treasury", "fund"),
    "releaser": ("treasury", "release"),
    "officer": ("treasury", "hold", "cancel", "policy"),
}
"""Names with the organisation and the roles of each."""
STEPS = ("prepare", "approve", "control", "certify", "fund", "release")
_HEAD = """\
# A policy to begin with. `switch policy HOME policy.toml` sets it; docs/control.md says what else
# may stand here. The keys beside it are to try it with: in earnest each person makes their own
# (`switch key FILE --new`), and gives away the public key alone.
"""


@checked
def draft_policy(folder: str | Path) -> Path:
    """Write a policy to begin with, and a key for each of its people. Returns its path.

    folder: a new one, which gets policy.toml and NAME.pem. Raises UsageError where it is there.
    """
    folder = require_outside(Path(folder).absolute())
    if folder.exists():
        raise UsageError(f"{folder} is there already: name a new folder")
    with machine(folder.parent):
        folder.mkdir(mode=0o700)
    lines = [_HEAD]
    for step in STEPS:
        lines += ["[[steps]]", f'step = "{step}"', ""]
    for name, (organisation, *roles) in PEOPLE.items():
        make_key(folder / f"{name}.pem")
        public = signer_of(folder / f"{name}.pem").public
        told = ", ".join(f'"{role}"' for role in roles)
        lines += ["[[people]]", f'name = "{name}"', f'organisation = "{organisation}"']
        lines += [f"roles = [{told}]", f'keys = [{{ public = "{public}" }}]', ""]
    path = folder / "policy.toml"
    land(path, "\n".join(lines).encode())
    policy_of(path)
    return path
