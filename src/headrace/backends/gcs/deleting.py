"""Deleting many objects of one bucket."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.backends.gcs.batches import Outcome, batch, outcomes
from headrace.backends.gcs.exchange import Exchange
from headrace.backends.gcs.replies import error_of, names_bucket
from headrace.errors import HeadraceError
from headrace.http.effects import Operation
from headrace.uri import Location

__all__ = ["BATCH_SIZE", "delete_objects"]

BATCH_SIZE = 100
"""Requests that the service takes in one batch."""


def delete_objects(exchange: Exchange, bucket: Location, objects: Sequence[tuple[str, str]]) -> Operation[list[HeadraceError | None]]:
    """Delete objects of the bucket of ``bucket``, each given by name and generation (any, if that is empty).

    The result tells for each what went wrong, if anything; those that are not there count as deleted.

    Raises:
        HeadraceError: the service was busy or failed, with one of them or all: it is to be tried again.
    """
    errors: list[HeadraceError | None] = []
    for start in range(0, len(objects), BATCH_SIZE):
        some = objects[start : start + BATCH_SIZE]
        targets = [
            exchange.object_path(bucket.container, name) + (f"?generation={generation}" if generation else "") for name, generation in some
        ]
        kind, body = batch(targets)
        reply = yield from exchange.send_checked(
            "POST", f"{exchange.base}/batch/storage/v1", headers={"content-type": kind}, body=[memoryview(body)], repeatable=True
        )
        for (name, _), outcome in zip(some, outcomes(reply, len(some)), strict=True):
            errors.append(_error(bucket.at(name), outcome))
    return errors


def _error(location: Location, outcome: Outcome) -> HeadraceError | None:
    if outcome.status < 300:
        return None
    error = error_of(outcome.status, outcome.headers, outcome.body).with_context(uri=location.uri, operation="delete")
    if outcome.status == 404 and not names_bucket(error):
        return None
    if outcome.status == 429 or outcome.status >= 500:
        raise error
    return error
