"""Where AWS credentials come from: real files, programs, processes and a real endpoint."""

from __future__ import annotations

import functools
import json
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep, time
from types import SimpleNamespace
from typing import ClassVar

import pytest
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials  # type: ignore[import-untyped]

from headrace.auth.aws import (
    BotocoreSource,
    CallableSource,
    CredentialSource,
    EnvironmentSource,
    StaticSource,
    chain,
    region_from_profile,
)
from headrace.auth.sigv4 import Credentials
from headrace.errors import ConnectionFailed, CredentialsError, InvalidOption

KEYS = Credentials("key", "hidden-secret")
TEMPORARY = Credentials("key", "hidden-secret", "hidden-token", 4e9)
ISO_4E9 = "2096-10-02T07:06:40Z"


def importable() -> Credentials:
    return KEYS


class Owner:
    @classmethod
    def by_class(cls) -> Credentials:
        return KEYS

    def by_object(self) -> Credentials:
        return KEYS


class Endpoint:
    """A container's credentials endpoint on loopback: every reply carries the next access key."""

    def __init__(self, life: float) -> None:
        self.served = 0
        self.life = life
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/role"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = endpoint.reply()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def reply(self) -> bytes:
        self.served += 1
        end = datetime.now(UTC) + timedelta(seconds=self.life)
        keys = {"AccessKeyId": f"key{self.served}", "SecretAccessKey": "hidden-secret", "Token": "hidden-token"}
        return json.dumps(keys | {"Expiration": end.isoformat()}).encode()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    endpoint = Endpoint(life=5)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
    thread = threading.Thread(target=endpoint.server.serve_forever, args=(0.01,))
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    thread.join()
    endpoint.server.server_close()


class TestStaticSource:
    def test_is_what_it_was_given(self) -> None:
        source = StaticSource(KEYS)
        source.invalidate(KEYS)
        assert source.current() is source.refresh() is KEYS

    def test_after_the_end(self) -> None:
        source = StaticSource(Credentials("key", "hidden-secret", None, time() - 1))
        assert source.current() is None
        with pytest.raises(CredentialsError, match="ended at"):
            source.refresh()

    def test_refuses_to_be_pickled(self) -> None:
        with pytest.raises(CredentialsError, match="pickle would carry the secret"):
            pickle.dumps(StaticSource(KEYS))


class TestEnvironmentSource:
    ENVIRON: ClassVar = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden-secret"}

    def test_long_lived_keys(self) -> None:
        assert EnvironmentSource(self.ENVIRON | {"AWS_SESSION_TOKEN": ""}).refresh() == KEYS

    def test_temporary_keys(self) -> None:
        environ = self.ENVIRON | {"AWS_SESSION_TOKEN": "hidden-token", "AWS_CREDENTIAL_EXPIRATION": ISO_4E9}
        assert EnvironmentSource(environ).refresh() == TEMPORARY

    @pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_half_a_pair_names_the_other_half(self, missing: str) -> None:
        with pytest.raises(CredentialsError, match=f"^{missing} not set") as caught:
            EnvironmentSource(self.ENVIRON | {missing: ""}).refresh()
        assert "hidden" not in str(caught.value)

    def test_is_read_again_after_a_rejection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.ENVIRON.items():
            monkeypatch.setenv(name, value)
        source = EnvironmentSource()
        assert source.refresh() == KEYS
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "newer")
        assert source.current() == KEYS
        source.invalidate(KEYS)
        assert source.refresh().access_key == "newer"

    def test_pickled_it_reads_the_new_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = EnvironmentSource(self.ENVIRON)
        source.refresh()
        data = pickle.dumps(source)
        assert b"hidden" not in data
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "there")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
        assert pickle.loads(data).refresh().access_key == "there"


class TestCallableSource:
    @pytest.mark.parametrize(
        "given",
        [
            TEMPORARY,
            {"access_key": "key", "secret_key": "hidden-secret", "token": "hidden-token", "expires": 4e9},
            {"AccessKeyId": "key", "SecretAccessKey": "hidden-secret", "SessionToken": "hidden-token", "Expiration": ISO_4E9},
            {
                "AccessKeyId": "key",
                "SecretAccessKey": "hidden-secret",
                "Token": "hidden-token",
                "Expiration": datetime.fromtimestamp(4e9, UTC),
            },
            {"aws_access_key_id": "key", "aws_secret_access_key": "hidden-secret", "aws_session_token": "hidden-token", "expires": ISO_4E9},
            SimpleNamespace(access_key="key", secret_key="hidden-secret", token="hidden-token", expires=4e9),
        ],
    )
    def test_what_the_function_may_return(self, given: object) -> None:
        assert CallableSource(lambda: given).refresh() == TEMPORARY

    def test_botocores_frozen_credentials(self) -> None:
        assert CallableSource(lambda: ReadOnlyCredentials("key", "hidden-secret", None)).refresh() == KEYS

    @pytest.mark.parametrize("given", [None, 42, "key:hidden-secret", {"access_key": "key"}, {"access_key": "key", "secret_key": 1}])
    def test_what_it_may_not_return(self, given: object) -> None:
        with pytest.raises(CredentialsError, match="no access key and secret key") as caught:
            CallableSource(lambda: given).refresh()
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("end", ["tomorrow", "2096-10-02T07:06:40", datetime(2096, 10, 2)])
    def test_an_end_that_means_nothing(self, end: object) -> None:
        with pytest.raises(CredentialsError, match="the end of the credentials"):
            CallableSource(lambda: {"access_key": "key", "secret_key": "hidden-secret", "expires": end}).refresh()

    def test_is_called_once_and_again_after_a_rejection(self) -> None:
        serial = iter(range(9))
        source = CallableSource(lambda: Credentials(f"key{next(serial)}", "hidden-secret"))
        first = source.refresh()
        assert source.refresh() is source.current() is first
        source.invalidate(first)
        assert source.refresh().access_key == "key1"

    def test_its_own_error_is_the_cause(self) -> None:
        def vault() -> Credentials:
            raise LookupError("hidden-secret")

        with pytest.raises(CredentialsError, match=r"raised LookupError$") as caught:
            CallableSource(vault).refresh()
        assert isinstance(caught.value.__cause__, LookupError)

    def test_headraces_errors_pass(self) -> None:
        def vault() -> Credentials:
            raise ConnectionFailed("the vault is away")

        with pytest.raises(ConnectionFailed, match="vault is away"):
            CallableSource(vault).refresh()

    def test_coroutine_functions_are_refused(self) -> None:
        async def coroutine() -> Credentials:
            return KEYS

        class Callable:
            async def __call__(self) -> Credentials:
                return KEYS

        for function in (coroutine, Callable(), functools.partial(coroutine)):
            with pytest.raises(InvalidOption, match="coroutine"):
                CallableSource(function)

    def test_coroutines_are_refused(self) -> None:
        async def coroutine() -> Credentials:
            return KEYS

        def function() -> object:
            return coroutine()

        with pytest.raises(InvalidOption, match="coroutine"):
            CallableSource(function).refresh()

    def test_what_cannot_be_called_is_refused(self) -> None:
        with pytest.raises(InvalidOption, match="not dict"):
            CallableSource({})  # type: ignore[arg-type]

    @pytest.mark.parametrize("function", [importable, Owner.by_class])
    def test_pickled_by_name(self, function: Callable[[], Credentials]) -> None:
        source = CallableSource(function)
        source.refresh()
        data = pickle.dumps(source)
        assert b"hidden" not in data
        assert pickle.loads(data).refresh() == KEYS

    @pytest.mark.parametrize("function", [lambda: KEYS, functools.partial(Credentials, "key", "hidden-secret"), Owner().by_object])
    def test_refuses_to_be_pickled_without_a_name(self, function: Callable[[], Credentials]) -> None:
        with pytest.raises(CredentialsError, match=r"cannot be imported by name.*top level of a module"):
            pickle.dumps(CallableSource(function))


class TestBotocoreSource:
    def test_shared_files(self, aws_home: Path) -> None:
        (aws_home / "credentials").write_text(
            "[default]\naws_access_key_id = key\naws_secret_access_key = hidden-secret\n"
            "[other]\naws_access_key_id = other\naws_secret_access_key = hidden-other\naws_session_token = hidden-token\n"
        )
        assert BotocoreSource().refresh() == KEYS
        assert BotocoreSource("other").refresh() == Credentials("other", "hidden-other", "hidden-token")

    def test_changed_files_are_read_after_a_rejection(self, aws_home: Path) -> None:
        files = aws_home / "credentials"
        files.write_text("[default]\naws_access_key_id = key\naws_secret_access_key = hidden-secret\n")
        source = BotocoreSource()
        source.invalidate(source.refresh())
        files.write_text("[default]\naws_access_key_id = newer\naws_secret_access_key = hidden-secret\n")
        assert source.refresh().access_key == "newer"

    def test_credential_process(self, aws_home: Path) -> None:
        keys = {
            "Version": 1,
            "AccessKeyId": "key",
            "SecretAccessKey": "hidden-secret",
            "SessionToken": "hidden-token",
            "Expiration": ISO_4E9,
        }
        program(aws_home, f"print({json.dumps(keys)!r})")
        assert BotocoreSource("program").refresh() == TEMPORARY

    @pytest.mark.parametrize("failure", ["import sys; sys.exit('vault is locked')", "print('not json, hidden-secret')"])
    def test_credential_process_that_fails(self, aws_home: Path, failure: str) -> None:
        program(aws_home, failure)
        with pytest.raises(CredentialsError, match="botocore could not load the AWS profile 'program'") as caught:
            BotocoreSource("program").refresh()
        assert "hidden" not in "".join(traceback.format_exception(caught.value))
        # Its attributes and frames hold what the program printed.
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)

    def test_container_endpoint(self, endpoint: Endpoint) -> None:
        endpoint.life = 3600
        source = BotocoreSource()
        first = source.refresh()
        assert (first.access_key, first.secret_key, first.token) == ("key1", "hidden-secret", "hidden-token")
        assert first.expires == pytest.approx(time() + 3600, abs=60)
        assert source.current() is first
        assert endpoint.served == 1

    def test_container_credentials_that_end_are_replaced(self, endpoint: Endpoint) -> None:
        source = BotocoreSource()
        first = source.refresh()
        while source.current() is first:
            sleep(0.05)
        second = source.refresh()
        assert second != first
        assert source.current() is second

    def test_container_credentials_that_are_rejected_are_replaced(self, endpoint: Endpoint) -> None:
        endpoint.life = 3600
        source = BotocoreSource()
        first = source.refresh()
        source.invalidate(first)
        assert source.refresh().access_key == "key2"

    def test_container_endpoint_that_is_away(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endpoint, "reply", lambda: b"no json")
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.RETRY_ATTEMPTS", 1)
        with pytest.raises(CredentialsError, match="botocore could not load AWS credentials"):
            BotocoreSource().refresh()

    def test_nothing_anywhere(self, aws_home: Path) -> None:
        with pytest.raises(CredentialsError, match="no AWS credentials found") as caught:
            BotocoreSource().refresh()
        for part in ("environment", "/credentials", "/config", "metadata", "AWS_ACCESS_KEY_ID", "profile", "anonymous"):
            assert part in str(caught.value)

    def test_profile_without_keys(self, aws_home: Path) -> None:
        (aws_home / "config").write_text("[profile empty]\nregion = eu-west-1\n")
        with pytest.raises(CredentialsError, match=r"no AWS credentials found\. Looked at the profile 'empty'"):
            BotocoreSource("empty").refresh()

    def test_unknown_profile(self) -> None:
        with pytest.raises(CredentialsError, match=r"AWS profile 'typo'.*could not be found"):
            BotocoreSource("typo").refresh()

    def test_broken_file_does_not_show_what_is_in_it(self, aws_home: Path) -> None:
        (aws_home / "credentials").write_text("[default]\naws_access_key_id = key\naws_secret_access_key hidden-secret\n")
        with pytest.raises(CredentialsError, match="credentials") as caught:
            BotocoreSource().refresh()
        assert "hidden" not in "".join(traceback.format_exception(caught.value))

    def test_pickled_by_profile(self, aws_home: Path) -> None:
        (aws_home / "credentials").write_text("[other]\naws_access_key_id = key\naws_secret_access_key = hidden-secret\n")
        source = BotocoreSource("other")
        source.refresh()
        data = pickle.dumps(source)
        assert b"hidden" not in data
        assert pickle.loads(data).refresh() == KEYS


class TestChain:
    ENVIRON: ClassVar = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden-secret"}

    def test_code_before_profile_before_environment_before_the_rest(self) -> None:
        assert isinstance(chain(credentials=KEYS, profile="other", environ=self.ENVIRON), StaticSource)
        assert isinstance(chain(profile="other", environ=self.ENVIRON), BotocoreSource)
        assert isinstance(chain(environ=self.ENVIRON), EnvironmentSource)
        assert isinstance(chain(environ={"AWS_ACCESS_KEY_ID": ""}), BotocoreSource)

    def test_half_a_pair_in_the_environment_is_not_passed_over(self) -> None:
        with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY not set"):
            chain(environ={"AWS_ACCESS_KEY_ID": "key"}).refresh()

    @pytest.mark.parametrize(
        "given",
        [
            KEYS,
            {"access_key": "key", "secret_key": "hidden-secret"},
            importable,
            StaticSource(KEYS),
            ReadOnlyCredentials("key", "hidden-secret", None),
        ],
    )
    def test_what_may_be_given_in_code(self, given: object) -> None:
        source = chain(credentials=given)
        assert isinstance(source, CredentialSource)
        assert source.refresh() == KEYS

    @pytest.mark.parametrize("given", [42, {}, {"access_key": "key"}, "key:hidden-secret"])
    def test_what_may_not(self, given: object) -> None:
        with pytest.raises(CredentialsError, match="no access key and secret key"):
            chain(credentials=given)

    def test_botocores_refreshable_credentials_stay_fresh(self) -> None:
        def fetch(life: float) -> dict[str, str]:
            end = datetime.now(UTC) + timedelta(seconds=life)
            return {"access_key": f"key{life}", "secret_key": "hidden-secret", "token": "hidden-token", "expiry_time": end.isoformat()}

        refreshable = RefreshableCredentials.create_from_metadata(fetch(1), lambda: fetch(3600), "test")
        credentials = chain(credentials=refreshable).refresh()
        assert credentials.access_key == "key3600"
        assert credentials.expires == pytest.approx(time() + 3600, abs=60)

    def test_botocores_refreshable_credentials_refuse_to_be_pickled(self) -> None:
        refreshable = RefreshableCredentials("key", "hidden-secret", None, None, dict, "test")
        with pytest.raises(CredentialsError, match="cannot be imported by name"):
            pickle.dumps(chain(credentials=refreshable))

    @pytest.mark.parametrize("source", ["chain()", "chain(credentials={'access_key': 'key', 'secret_key': 'hidden-secret'})"])
    def test_keys_at_hand_never_import_botocore(self, source: str) -> None:
        program = (
            f"import sys; from headrace.auth.aws import *; {source}.refresh(); region_from_profile(None); print('botocore' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | self.ENVIRON, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr) == ("False\n", "")


class TestRegionFromProfile:
    def test_of_a_profile_and_of_the_default_one(self, aws_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (aws_home / "config").write_text(
            "[default]\nregion = eu-west-1\n[profile other]\nregion = eu-west-2\n[profile bare]\noutput = json\n"
        )
        assert region_from_profile(None) == "eu-west-1"
        assert region_from_profile("other") == "eu-west-2"
        assert region_from_profile("bare") is None
        monkeypatch.setenv("AWS_PROFILE", "other")
        assert region_from_profile(None) == "eu-west-2"

    def test_without_files(self) -> None:
        assert region_from_profile(None) is None

    def test_elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "elsewhere").write_text("[default]\nregion = eu-west-3\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "elsewhere"))
        assert region_from_profile(None) == "eu-west-3"

    def test_unknown_profile(self) -> None:
        with pytest.raises(CredentialsError, match="AWS profile 'typo'"):
            region_from_profile("typo")


def program(aws_home: Path, source: str) -> None:
    """Make the profile ``program`` run this."""
    (aws_home / "program.py").write_text(source)
    (aws_home / "config").write_text(f"[profile program]\ncredential_process = {sys.executable} {aws_home / 'program.py'}\n")
