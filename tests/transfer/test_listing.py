"""Listings, page by page."""

from __future__ import annotations

import pytest

from headrace.errors import InvalidOption
from headrace.http.messages import Request
from headrace.stores.store import Store
from headrace.testing.contract.stepping import Answer, Script
from headrace.transfer.listing import Lister
from headrace.uri import Location

PLACE = Location("s3", "bucket", "p/")
PAGES = [["p/a", "p/b"], [], ["p/c"]]


def pages(request: Request) -> Answer:
    """Three pages, the second of them empty."""
    number = next(number for number in (2, 1, 0) if number == 0 or f"continuation-token={number}" in request.target)
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in PAGES[number])
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{number + 1}</NextContinuationToken>" if number < 2 else ""
    return Answer(body=f"<ListBucketResult>{contents}{more}</ListBucketResult>".encode())


def names(lister: Lister, script: Script) -> list[list[str]]:
    found = []
    while not lister.exhausted:
        found.append([entry.uri.removeprefix("s3://bucket/") for entry in script.run(lister.next_page())])
    return found


def test_an_empty_page_is_not_the_end(store: Store) -> None:
    assert names(Lister(store, PLACE), Script(server=pages)) == PAGES


def test_one_page_is_one_request(store: Store) -> None:
    script = Script(server=pages)
    Lister(store, PLACE)
    assert script.requests == []
    script.run(Lister(store, PLACE).next_page())
    assert len(script.requests) == 1


def test_what_a_pattern_leaves_of_each_page(store: Store) -> None:
    assert names(Lister(store, PLACE, pattern="^[bc]"), Script(server=pages)) == [["p/b"], [], ["p/c"]]


@pytest.mark.parametrize("after", ["p/a", "s3://bucket/p/a"])
def test_after_a_key_or_a_uri(store: Store, after: str) -> None:
    script = Script(server=pages)
    lister = Lister(store, PLACE, start_after=after)
    names(lister, script)
    # The token of a page says already where it begins.
    assert ["start-after=p%2Fa" in request.target for request in script.requests] == [True, False, False]


def test_a_pattern_that_is_none(store: Store) -> None:
    with pytest.raises(InvalidOption, match="regular expression"):
        Lister(store, PLACE, pattern="*")
