"""The provider's public keys, read from the file that an administrator put on this machine; nothing is fetched.

Read anew for every answer, so that new keys count without a restart; it is small.
"""

from pathlib import Path

from joserfc.jwk import KeySet

from appliance.core.openid import keys_of
from appliance.errors import Misconfigured

FILE_BYTES_MAX = 256 * 1024


def read(path: Path) -> KeySet:
    """Raises Misconfigured("oidc-keys-file") where the file is away, too long, or no key set."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        raise Misconfigured("oidc-keys-file", "review.oidc_keys_file") from None
    if len(data) > FILE_BYTES_MAX:
        raise Misconfigured("oidc-keys-file", "review.oidc_keys_file")
    return keys_of(data)
