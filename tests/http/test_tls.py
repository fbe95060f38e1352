"""TLS contexts: made once, and strict unless told otherwise."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from headrace.errors import InvalidOption
from headrace.http.tls import client_context


def test_contexts_verify_and_are_made_once(authority: Any) -> None:
    context = client_context(authority.ca_bundle, verify=True)
    assert context is client_context(authority.ca_bundle, verify=True)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_bundle_is_trusted_instead_of_the_system(authority: Any) -> None:
    subjects = [certificate["subject"] for certificate in client_context(authority.ca_bundle, verify=True).get_ca_certs()]
    assert len(subjects) == 1


def test_a_bundle_may_be_a_directory(tmp_path: Any) -> None:
    assert client_context(str(tmp_path), verify=True).get_ca_certs() == []


def test_a_bundle_that_is_not_there_is_an_option_that_is_wrong() -> None:
    with pytest.raises(InvalidOption, match="nowhere"):
        client_context("/nowhere/bundle.pem", verify=True)


def test_what_is_unverified_is_not_what_is_verified(authority: Any) -> None:
    unverified = client_context(authority.ca_bundle, verify=False)
    assert (unverified.check_hostname, unverified.verify_mode) == (False, ssl.CERT_NONE)
    assert client_context(authority.ca_bundle, verify=True).verify_mode == ssl.CERT_REQUIRED
