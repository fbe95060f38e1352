"""Copies by the service: Copy Blob within an account, Put Blob From URL between two."""

from __future__ import annotations

from headrace.auth.azure_signing import BearerToken
from headrace.backends.azure.exchange import Exchange
from headrace.backends.azure.options import description_headers
from headrace.backends.azure.replies import error_from, write_error
from headrace.backends.protocol import WriteOptions
from headrace.backends.service.writing import condition_headers
from headrace.errors import NotSupported, ObjectChanged, ProtocolError, ServiceError
from headrace.http.codec import Reply
from headrace.http.effects import Operation, Sleep, with_cleanup
from headrace.models import ObjectInfo
from headrace.uri import Location

__all__ = ["copy"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


def copy(exchange: Exchange, source: Location, info: ObjectInfo, destination: Location, options: WriteOptions) -> Operation[ObjectInfo]:
    """Copy the version of a blob that ``info`` describes; see `Backend.copy`.

    The service may go on copying after it has replied; it is then asked until it has ended. Meanwhile the destination is an empty
    blob; if the copy fails or is interrupted, that blob is removed.
    """
    headers = {**description_headers(options), **condition_headers(options)}
    # A content type of its own needs another request, and a copy keeps that of the source.
    headers.pop("x-ms-blob-content-type", None)
    if info.etag:
        headers["x-ms-source-if-match"] = info.etag
    headers |= yield from _named_source(exchange, source, destination)
    reply: Reply = yield from exchange.send("PUT", destination, headers=headers, repeatable=not options.conditional)
    if reply.status == 412 and reply.headers.get("x-ms-error-code") == "SourceConditionNotMet":
        raise _source_changed(reply)
    if reply.status >= 300:
        raise write_error(reply, options)
    etag = reply.headers.get("etag")
    if reply.headers.get("x-ms-copy-status", "success") != "success":
        etag = yield from _wait(exchange, destination, reply)
    return ObjectInfo(uri=destination.uri, size=info.size, etag=etag, version_id=reply.headers.get("x-ms-version-id"))


def _named_source(exchange: Exchange, source: Location, destination: Location) -> Operation[dict[str, str]]:
    """The headers that name the source, and prove that it may be read: within an account the request's own proof is enough."""
    account = exchange.addressing.account_of
    if exchange.source is None:
        return {"x-ms-copy-source": exchange.url(source)}
    credentials = yield from exchange.credentials("copy")
    query = getattr(credentials, "token", "")
    if account(source) == account(destination):
        return {"x-ms-copy-source": exchange.url(source, query)}
    if not isinstance(credentials, BearerToken):
        raise NotSupported("a copy between two accounts needs a token, which is good for both", hint="Or download and upload it.")
    return {
        "x-ms-copy-source": exchange.url(source),
        "x-ms-copy-source-authorization": credentials.header,
        "x-ms-blob-type": "BlockBlob",
    }


def _wait(exchange: Exchange, destination: Location, reply: Reply) -> Operation[str | None]:
    copy_id = reply.headers.get("x-ms-copy-id", "")
    if not copy_id:
        raise ProtocolError("a copy that goes on, without an id", status=reply.status)
    return (yield from with_cleanup(_until_done(exchange, destination, copy_id), lambda: _give_up(exchange, destination, copy_id)))


def _until_done(exchange: Exchange, destination: Location, copy_id: str) -> Operation[str | None]:
    pause = _FIRST_PAUSE
    while True:
        yield Sleep(pause)
        reply = yield from exchange.send_checked("HEAD", destination)
        status = reply.headers.get("x-ms-copy-status", "")
        if reply.headers.get("x-ms-copy-id") != copy_id:
            raise ObjectChanged("the destination was replaced while it was copied to", status=reply.status)
        if status == "success":
            return reply.headers.get("etag")
        if status != "pending":
            raise _failed(reply, status)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _failed(reply: Reply, status: str) -> ServiceError:
    description = reply.headers.get("x-ms-copy-status-description", "")[:200]
    request_id = reply.headers.get("x-ms-request-id")
    return ServiceError(f"the service's copy was {status or 'lost'}: {description}", code="CopyFailed", request_id=request_id)


def _give_up(exchange: Exchange, destination: Location, copy_id: str) -> Operation[None]:
    """Stop the copy and remove the empty blob that it has left, unless another write has taken its place."""
    query = [("comp", "copy"), ("copyid", copy_id)]
    yield from exchange.send("PUT", destination, query=query, headers={"x-ms-copy-action": "abort"})
    left: Reply = yield from exchange.send("HEAD", destination)
    etag = left.headers.get("etag")
    if left.status == 200 and left.headers.get("x-ms-copy-id") == copy_id and etag:
        yield from exchange.send("DELETE", destination, headers={"if-match": etag})


def _source_changed(reply: Reply) -> ObjectChanged:
    error = error_from(reply)
    return ObjectChanged(
        "the source was replaced while it was copied", status=412, code=error.code, request_id=error.request_id, hint="Copy it again."
    )
