"""``headrace presign``: a URL for others."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Invocation, JSONLines
from headrace.cli.locations import locate
from headrace.cli.printing import as_json
from headrace.cli.sizes import seconds_in

__all__ = ["presign"]


def presign(
    invocation: Invocation,
    uri: Annotated[str, typer.Argument(metavar="URI", help="The object.")],
    *,
    method: Annotated[
        str, typer.Option("--method", metavar="WORD", help="What the URL lets one do: GET (if not said), PUT, HEAD, DELETE.")
    ] = "GET",
    expires: Annotated[
        str, typer.Option("--expires", metavar="SECONDS", help="How long it does so, such as 15min, 1h (if not said), 7d.")
    ] = "1h",
    json: JSONLines = False,
) -> None:
    """Print a URL that lets others read or write one object, for a while. Treat it as a secret."""
    seconds = seconds_in(expires, "--expires")
    location = locate(uri).require_object()
    with invocation.client() as client:
        url = client.presign(location.uri, method=method.upper(), expires=seconds)
    print(as_json({"uri": location.uri, "method": method.upper(), "expires": seconds, "url": url}) if json else url)
