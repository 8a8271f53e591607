"""The site key where an operator keeps it sealed to this machine: opened for a verb of root's, never written.

A service is handed the opened key as a credential by systemd and needs none of this. Whoever runs a verb as root may
have it opened by `systemd-creds`, with the machine's own secret or its TPM; nobody else can, here or elsewhere.
"""

import subprocess
from pathlib import Path

CREDENTIAL = "site-key"  # the name that is sealed with it, and under which triage's unit asks for it
SUFFIX = ".cred"
PROGRAM, OPENS_S = "/usr/bin/systemd-creds", 20.0


def sealed_path(file: Path) -> Path:
    """Where the sealed one lies beside the plain file that it took the place of."""
    return file.with_name(f"{file.name}{SUFFIX}")


def opened(path: Path) -> bytes | None:
    """The key in a sealed file; None where it is not there or does not open for us."""
    if not path.exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - no word comes from outside
            [PROGRAM, "decrypt", f"--name={CREDENTIAL}", str(path), "-"],
            capture_output=True,
            check=False,
            timeout=OPENS_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and done.stdout else None
