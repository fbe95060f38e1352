"""Signed URLs of Google Cloud Storage ("V4 signing process" and "Canonical requests" in its documentation)."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from headrace.auth.bearer import UrlSigner
from headrace.auth.sigv4 import canonical_query
from headrace.errors import InvalidOption
from headrace.http.messages import Origin

__all__ = ["signed_url"]

_ALGORITHM = "GOOG4-RSA-SHA256"
_LONGEST = 7 * 24 * 3600


def signed_url(method: str, origin: Origin, path: str, *, expires: int, signer: UrlSigner, now: float) -> str:
    """A URL that allows ``method`` on one object for ``expires`` seconds from ``now`` (POSIX seconds). Blocks if the signer does.

    Args:
        method: such as GET or PUT.
        origin: the server.
        path: ``/bucket/key``, percent-encoded but for its slashes.
        expires: seconds, at most a week.
        signer: whose right it is to do this.
        now: when it begins.

    Raises:
        InvalidOption: ``expires`` is no time that the service accepts.
    """
    if not 0 < expires <= _LONGEST:
        raise InvalidOption(f"expires must be from 1 to {_LONGEST} seconds, not {expires}")
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/auto/storage/goog4_request"
    query = canonical_query(
        [
            ("X-Goog-Algorithm", _ALGORITHM),
            ("X-Goog-Credential", f"{signer.email}/{scope}"),
            ("X-Goog-Date", moment),
            ("X-Goog-Expires", str(expires)),
            ("X-Goog-SignedHeaders", "host"),
        ]
    )
    canonical = f"{method}\n{path}\n{query}\nhost:{origin.authority}\n\nhost\nUNSIGNED-PAYLOAD"
    message = f"{_ALGORITHM}\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    return f"{origin}{path}?{query}&X-Goog-Signature={signer.sign(message.encode()).hex()}"
