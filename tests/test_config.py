"""Options: what they accept, what they refuse, where they come from, and that none of them gives a secret away."""

from __future__ import annotations

import base64
import copy
import dataclasses
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config import SPECS, Encryption, Options, Origin, describe, merge, portable, resolve
from headrace.endpoints import LeastConnections
from headrace.errors import CredentialsError, InvalidOption

MIB = 1 << 20
KEY = bytes(range(32))
KEY_TEXT = base64.b64encode(KEY).decode()
SECRET = "s3cr3t"


def make_credentials() -> Mapping[str, str]:
    return {"access_key": "id", "secret_key": SECRET}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose home directory is empty."""
    return {"HOME": str(tmp_path)}


def options_from(environ: Mapping[str, str], **arguments: object) -> Options:
    return resolve(arguments, environ=environ).options


def write_config(directory: Path, text: str) -> Path:
    path = directory / "headrace" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


class TestAccepted:
    def test_defaults_are_the_documented_ones(self) -> None:
        options = Options()
        assert (options.connect_timeout, options.stall_timeout) == (10, 30)
        assert (options.max_attempts, options.max_redirects, options.max_connections) == (5, 5, 128)
        assert (options.part_size, options.range_threshold, options.multipart_threshold) == (8 * MIB, 8 * MIB, 32 * MIB)
        assert (options.verify_tls, options.anonymous, options.http2, options.follow_redirects) == (True, False, False, False)
        assert (options.checksum, options.addressing, options.endpoint_strategy) == ("auto", "auto", "round_robin")
        unset = {"endpoint_url", "endpoints", "region", "profile", "credentials", "ca_bundle", "proxy"}
        assert all(getattr(options, name) is None for name in unset | {"sign_payload", "sse", "memory_budget", "oplog"})

    @pytest.mark.parametrize(
        ("given_size", "size"),
        [(5 * MIB, 5 * MIB), ("8MiB", 8 * MIB), ("64 MB", 64_000_000), (" 1gib ", 1 << 30), ("0.0625GiB", 64 * MIB), ("8388608", 8 * MIB)],
    )
    def test_sizes(self, given_size: object, size: int) -> None:
        assert Options(part_size=given_size).part_size == size  # type: ignore[arg-type]

    @given(st.integers(1, 1 << 60))
    def test_a_shown_size_is_read_as_the_same_size(self, size: int) -> None:
        kind = SPECS["range_threshold"].kind
        assert kind.read(kind.show(size)) == size

    @given(st.integers(1, 10**6), st.sampled_from([("kB", 10**3), ("MB", 10**6), ("GB", 10**9), ("TB", 10**12)]))
    def test_decimal_fractions_of_sizes_are_exact(self, thousandths: int, unit: tuple[str, int]) -> None:
        text = f"{thousandths // 1000}.{thousandths % 1000:03}{unit[0]}"
        assert Options(range_threshold=text).range_threshold == thousandths * unit[1] // 1000  # type: ignore[arg-type]

    @pytest.mark.parametrize(("given_time", "seconds"), [(3, 3.0), (0.5, 0.5), ("10s", 10.0), ("500ms", 0.5), ("2 min", 120.0), ("7", 7.0)])
    def test_times(self, given_time: object, seconds: float) -> None:
        assert Options(stall_timeout=given_time).stall_timeout == seconds  # type: ignore[arg-type]

    def test_numbers_of_numpy_become_plain_ones(self) -> None:
        options = Options(part_size=np.int64(6 * MIB), stall_timeout=np.float32(2))  # type: ignore[arg-type]
        assert (type(options.part_size), type(options.stall_timeout)) == (int, float)

    @pytest.mark.parametrize(
        ("given_sse", "encryption", "text"),
        [
            ("AES256", Encryption("AES256"), "AES256"),
            ("aws:kms", Encryption("aws:kms"), "aws:kms"),
            ("aws:kms:arn:aws:kms:eu:1:key/a", Encryption("aws:kms", "arn:aws:kms:eu:1:key/a"), "aws:kms:arn:aws:kms:eu:1:key/a"),
            ("aws:kms:dsse", Encryption("aws:kms:dsse"), "aws:kms:dsse"),
            (KEY, Encryption("customer", customer_key=KEY), "customer:(hidden)"),
            (f"customer:{KEY_TEXT}", Encryption("customer", customer_key=KEY), "customer:(hidden)"),
            ("none", None, None),
        ],
    )
    def test_encryption(self, given_sse: object, encryption: Encryption | None, text: str | None) -> None:
        sse = Options(sse=given_sse).sse  # type: ignore[arg-type]
        assert sse == encryption
        assert sse is None or str(sse) == text

    @pytest.mark.parametrize(
        "urls",
        ["http://h{1..3}:80", "http://h1:80, http://h2:80,http://h3:80", ["http://h{1...2}:80", "http://h3:80/"]],
    )
    def test_several_endpoints(self, urls: object) -> None:
        assert Options(endpoints=urls).endpoints == ("http://h1:80", "http://h2:80", "http://h3:80")  # type: ignore[arg-type]

    def test_as_many_endpoints_as_there_may_be(self) -> None:
        assert len(Options(endpoints="http://h{1..128}/").endpoints) == 128  # type: ignore[arg-type]

    def test_endpoints_in_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "endpoints"
        file.write_text("# two racks\nhttp://a{1..2}:9000  # the first\n\nhttp://b:9000, http://c:9000/prefix\n")
        expected = ("http://a1:9000", "http://a2:9000", "http://b:9000", "http://c:9000/prefix")
        assert Options(endpoints=f"@{file}").endpoints == expected  # type: ignore[arg-type]
        assert Options(endpoints=file).endpoints == expected  # type: ignore[arg-type]
        assert resolve(environ={"HEADRACE_ENDPOINTS": f"@{file}"}).options.endpoints == expected
        file.write_text("http://a\nhttps://b\n")
        with pytest.raises(InvalidOption, match=rf"endpoints cannot be what '{file}' holds"):
            Options(endpoints=file)  # type: ignore[arg-type]
        for missing in ("@nowhere", Path("nowhere"), f"@{tmp_path}"):
            with pytest.raises(InvalidOption, match="there is no such file"):
                Options(endpoints=missing)  # type: ignore[arg-type]

    def test_a_strategy_of_ones_own(self) -> None:
        strategy = LeastConnections()
        options = Options(endpoint_strategy=strategy)
        assert options.endpoint_strategy is strategy
        assert repr(options) == "Options(endpoint_strategy='headrace.endpoints.strategies:LeastConnections')"
        assert resolve({"endpoint_strategy": strategy}, environ={"HEADRACE_ENDPOINT_STRATEGY": "round_robin"}).options == options

    @pytest.mark.parametrize(
        ("url", "proxy"),
        [("http://h:1/", "http://h:1"), ("h:3128", "http://h:3128"), ("http://u:p@[::1]:1", "http://u:p@[::1]:1"), ("none", "")],
    )
    def test_proxies(self, url: str, proxy: str) -> None:
        assert Options(proxy=url).proxy == proxy

    def test_paths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/of")
        assert Options(ca_bundle="~/ca.pem").ca_bundle == "/home/of/ca.pem"
        assert Options(oplog=Path("/tmp/log")).oplog == "/tmp/log"  # type: ignore[arg-type]

    def test_a_credentials_function_by_name(self) -> None:
        assert Options(credentials="os:getcwd").credentials is os.getcwd

    def test_equal_options_are_equal_and_hash_alike(self) -> None:
        assert Options(part_size="8MiB") == Options()  # type: ignore[arg-type]
        assert hash(Options(credentials=make_credentials())) == hash(Options())

    def test_every_option_explains_itself(self) -> None:
        assert set(SPECS) == {field.name for field in dataclasses.fields(Options)}
        assert all(spec.help and spec.kind.accepted for spec in SPECS.values())


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("part_size", 5 * MIB - 1),
            ("part_size", "5.1GiB"),
            ("part_size", "8Mi"),
            ("part_size", 8.0 * MIB),
            ("part_size", True),
            ("part_size", None),
            ("range_threshold", "0.5B"),
            ("range_threshold", "-1"),
            ("range_threshold", "1_0"),
            ("range_threshold", "9" * 5000),
            ("range_threshold", ".MiB"),
            ("max_attempts", 0),
            ("max_attempts", "3"),
            ("max_redirects", -1),
            ("connect_timeout", 0),
            ("connect_timeout", float("nan")),
            ("connect_timeout", "inf"),
            ("connect_timeout", 10**400),
            ("stall_timeout", 2_000_000),
            ("stall_timeout", "3h"),
            ("stall_timeout", [1]),
            ("verify_tls", "no"),
            ("verify_tls", 0),
            ("http2", None),
            ("addressing", "Path"),
            ("checksum", "sha1"),
            ("checksum", 32),
            ("endpoint_strategy", "random"),
            ("region", "eu west"),
            ("region", "eu/../west"),
            ("region", ""),
            ("profile", "a\nb"),
            ("endpoint_url", "localhost:9000"),
            ("endpoint_url", "s3://bucket"),
            ("endpoint_url", "http://"),
            ("endpoint_url", "http://h:port"),
            ("endpoint_url", "http://h:70000"),
            ("endpoint_url", "http://h/?a=b"),
            ("endpoint_url", "http://h\r\nx: y"),
            ("endpoint_url", "http://h{1..2}"),
            ("endpoints", []),
            ("endpoints", "http://h{1..129}"),
            ("endpoints", ["http://h", "h"]),
            ("endpoints", ["http://h", "https://i"]),
            ("endpoints", ["http://h", "http://i", "http://H:80/"]),
            ("endpoints", "http://h{1..3} http://h2"),
            ("endpoints", b"http://h"),
            ("endpoint_strategy", LeastConnections),
            ("endpoints", 1),
            ("proxy", "socks5://h:1"),
            ("ca_bundle", ""),
            ("ca_bundle", b"/ca.pem"),
            ("oplog", "a\0b"),
            ("credentials", 1),
            ("credentials", ["id", "secret"]),
            ("credentials", "no_such_module_at_all:f"),
            ("credentials", "os:no_such_function"),
            ("credentials", "os:sep"),
            ("sse", "aes-256"),
            ("sse", "aws:kms:"),
            ("sse", "aws:kms:a b"),
            ("sse", b"short"),
            ("sse", "customer:QUJD"),
            ("sse", "customer:???"),
            ("sse", 1),
            ("memory_budget", 1),
        ],
    )
    def test_the_error_names_the_option_its_origin_and_what_is_accepted(self, name: str, value: object) -> None:
        with pytest.raises(InvalidOption) as caught:
            Options(**{name: value})  # type: ignore[arg-type]
        assert str(caught.value).startswith(f"{name} cannot be ")
        assert "(argument)" in str(caught.value)
        assert SPECS[name].kind.accepted in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sse", f"customer:{SECRET}"),
            ("sse", f"custommer:{SECRET}"),
            ("sse", f"{SECRET}-and-some-more-of-it"),
            ("sse", SECRET.encode()),
            ("proxy", f"http://u:{SECRET}"),
            ("endpoint_url", f"ftp://u:{SECRET}@h"),
            ("endpoints", [f"ftp://u:{SECRET}@h"]),
            ("endpoints", f"ftp://u:{SECRET}@h"),
            ("credentials", ["id", SECRET]),
            ("credentials", SECRET),
        ],
    )
    def test_the_error_holds_no_secret(self, name: str, value: object) -> None:
        with pytest.raises(InvalidOption) as caught:
            Options(**{name: value})  # type: ignore[arg-type]
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize(
        "pair", [{"endpoint_url": "http://h", "endpoints": ["http://h"]}, {"anonymous": True, "credentials": make_credentials}]
    )
    def test_options_that_exclude_each_other(self, pair: dict[str, object]) -> None:
        with pytest.raises(InvalidOption, match=r"^(\w+) \(argument\) and (\w+) \(argument\) exclude each other") as caught:
            resolve(pair, environ={})
        assert all(name in str(caught.value) for name in pair)
        with pytest.raises(InvalidOption, match="exclude each other"):
            Options(**pair)  # type: ignore[arg-type]

    def test_an_unknown_name_brings_the_closest_known_one(self) -> None:
        with pytest.raises(InvalidOption, match=r"no option 'partsize' \(argument\)\. Did you mean part_size\?"):
            resolve({"partsize": 1}, environ={})

    def test_an_unknown_name_like_no_other_brings_them_all(self) -> None:
        with pytest.raises(InvalidOption, match=r"Known are endpoint_url, .*oplog"):
            resolve({"zzz": 1}, environ={})


class TestOrigins:
    def test_each_source_gives_way_to_the_one_before(self, home: dict[str, str]) -> None:
        write_config(Path(home["HOME"]) / ".config", 'region = "file"')
        sources: list[tuple[dict[str, str], dict[str, object], str]] = [
            ({}, {}, "file"),
            ({"AWS_DEFAULT_REGION": "sdk-2"}, {}, "environment AWS_DEFAULT_REGION"),
            ({"AWS_REGION": "sdk-1"}, {}, "environment AWS_REGION"),
            ({"HEADRACE_REGION": "own"}, {}, "environment HEADRACE_REGION"),
            ({}, {"region": "argument"}, "argument"),
        ]
        environ, arguments = dict(home), {}
        for variables, given_arguments, origin in sources:
            environ |= variables
            arguments |= given_arguments
            resolved = resolve(arguments, environ=environ)
            assert str(resolved.origins["region"]).startswith(origin)
            assert resolved.options.region == [*variables.values(), *given_arguments.values(), "file"][0]

    def test_without_sources_every_option_is_at_its_default(self, home: dict[str, str]) -> None:
        resolved = resolve(environ=home)
        assert resolved.options == Options()
        assert set(resolved.origins.values()) == {Origin("default")}
        assert list(resolved.origins) == list(SPECS)

    @pytest.mark.parametrize("name", SPECS)
    def test_every_option_has_a_variable(self, name: str, home: dict[str, str]) -> None:
        examples = {
            "endpoint_url": "http://h",
            "endpoints": "http://h",
            "addressing": "PATH",
            "az_style": "ACCOUNT",
            "checksum": "CRC32",
            "endpoint_strategy": "least_connections",
            "credentials": "os:getcwd",
            "proxy": "h:1",
            "sse": "AES256",
            "part_size": "6MiB",
            "memory_budget": "64 MiB",
            "verify_tls": "OFF",
        }
        resolved = resolve(environ=home | {f"HEADRACE_{name.upper()}": examples.get(name, "1")})
        assert resolved.origins[name] == Origin("environment", f"HEADRACE_{name.upper()}")
        assert getattr(resolved.options, name) != getattr(Options(), name)
        assert resolved.unknown == []

    @pytest.mark.parametrize(
        ("text", "value"), [(text, True) for text in ("1", "true", "Yes", "ON")] + [(text, False) for text in ("0", "false", "no", "Off")]
    )
    def test_truth_as_text(self, text: str, value: bool, home: dict[str, str]) -> None:  # noqa: FBT001 - a parameter of the test
        assert options_from(home | {"HEADRACE_SIGN_PAYLOAD": text}).sign_payload is value

    @pytest.mark.parametrize(
        ("variable", "text", "name", "value"),
        [
            ("AWS_ENDPOINT_URL", "http://h:9000/", "endpoint_url", "http://h:9000"),
            ("AWS_ENDPOINT_URL_S3", "http://s3:9000", "endpoint_url", "http://s3:9000"),
            ("AWS_PROFILE", "dev", "profile", "dev"),
            ("AWS_CA_BUNDLE", "/ca.pem", "ca_bundle", "/ca.pem"),
            ("AWS_NO_SIGN_REQUEST", "true", "anonymous", True),
            ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required", "checksum", "none"),
            ("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_SUPPORTED", "checksum", "auto"),
            ("AWS_MAX_ATTEMPTS", "9", "max_attempts", 9),
            ("AWS_REQUEST_PAYER", "requester", "request_payer", True),
        ],
    )
    def test_variables_of_the_sdk_apply_to_its_service_alone(
        self, variable: str, text: str, name: str, value: object, home: dict[str, str]
    ) -> None:
        environ = home | {variable: text}
        for scheme in ("s3", None):
            resolved = resolve(environ=environ, scheme=scheme)
            assert getattr(resolved.options, name) == value
            assert resolved.origins[name] == Origin("environment", variable)
        assert resolve(environ=environ, scheme="gs").options == Options()

    @pytest.mark.parametrize(
        ("variable", "text", "name", "value"),
        [
            ("STORAGE_EMULATOR_HOST", "localhost:4443", "endpoint_url", "http://localhost:4443"),
            ("STORAGE_EMULATOR_HOST", "https://localhost:4443/", "endpoint_url", "https://localhost:4443"),
            ("GOOGLE_CLOUD_PROJECT", "a-project", "project", "a-project"),
            ("GCLOUD_PROJECT", "a-project", "project", "a-project"),
        ],
    )
    def test_googles_variables_apply_to_its_service_alone(
        self, variable: str, text: str, name: str, value: object, home: dict[str, str]
    ) -> None:
        resolved = resolve(environ=home | {variable: text}, scheme="gs")
        assert getattr(resolved.options, name) == value
        assert resolved.origins[name] == Origin("environment", variable)
        assert resolve(environ=home | {variable: text}, scheme="s3").options == Options()

    def test_the_services_own_endpoint_variable_wins(self, home: dict[str, str]) -> None:
        environ = home | {"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}
        assert options_from(environ).endpoint_url == "http://s3"

    def test_certificates_of_all_services(self, home: dict[str, str]) -> None:
        environ = home | {"SSL_CERT_FILE": "/all.pem", "AWS_CA_BUNDLE": "/aws.pem"}
        assert resolve(environ=environ, scheme="gs").options.ca_bundle == "/all.pem"
        assert resolve(environ=environ, scheme="s3").options.ca_bundle == "/aws.pem"

    def test_empty_variables_and_none_are_not_set(self, home: dict[str, str]) -> None:
        environ = home | {"HEADRACE_REGION": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "eu"}
        assert options_from(environ, region=None).region == "eu"

    def test_a_bad_variable_is_named(self, home: dict[str, str]) -> None:
        with pytest.raises(InvalidOption, match=r"^part_size cannot be '1MiB' \(environment HEADRACE_PART_SIZE\)"):
            resolve(environ=home | {"HEADRACE_PART_SIZE": "1MiB"})

    def test_a_bad_variable_that_is_not_needed_is_no_error(self, home: dict[str, str]) -> None:
        assert options_from(home | {"HEADRACE_PART_SIZE": "1MiB"}, part_size="6MiB").part_size == 6 * MIB

    def test_an_option_displaces_those_it_excludes_of_lower_rank(self, home: dict[str, str]) -> None:
        environ = home | {"AWS_ENDPOINT_URL": "http://h", "AWS_NO_SIGN_REQUEST": "1"}
        resolved = resolve({"endpoints": ["http://a"], "credentials": make_credentials}, environ=environ)
        assert (resolved.options.endpoint_url, resolved.options.anonymous) == (None, False)
        assert resolved.origins["endpoint_url"] == resolved.origins["anonymous"] == Origin("default")
        assert options_from(home | {"HEADRACE_CREDENTIALS": "os:getcwd"}, anonymous=True).credentials is None

    def test_an_option_that_is_off_displaces_nothing(self, home: dict[str, str]) -> None:
        assert options_from(home | {"HEADRACE_CREDENTIALS": "os:getcwd"}, anonymous=False).credentials is not None

    def test_variables_that_exclude_each_other(self, home: dict[str, str]) -> None:
        environ = home | {"HEADRACE_ENDPOINT_URL": "http://h", "HEADRACE_ENDPOINTS": "http://h"}
        with pytest.raises(InvalidOption, match=r"\(environment HEADRACE_ENDPOINT_URL\) and .*\(environment HEADRACE_ENDPOINTS\)"):
            resolve(environ=environ)

    def test_variables_that_nobody_reads_are_listed(self, home: dict[str, str]) -> None:
        environ = home | {"HEADRACE_REGOIN": "eu", "HEADRACE_A": "1", "HEADRACE_TEST_X": "1", "HEADRACE_REGION": "eu", "OTHER": "1"}
        assert resolve(environ=environ).unknown == ["HEADRACE_A", "HEADRACE_REGOIN"]

    def test_the_environment_of_the_process_is_the_default(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("HEADRACE_REGION", "eu")
        assert resolve().options.region == "eu"


class TestFile:
    def test_values_of_every_type(self, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text(
            'part_size = "6MiB"\nmax_attempts = 3\nverify_tls = false\nhttp2 = "yes"\nstall_timeout = 2.5\nendpoints = ["http://a", "http://b"]\n'
        )
        resolved = resolve(environ={}, file=path)
        expected = Options(
            part_size=6 * MIB, max_attempts=3, verify_tls=False, http2=True, stall_timeout=2.5, endpoints=("http://a", "http://b")
        )
        assert resolved.options == expected
        assert resolved.origins["part_size"] == Origin("file", str(path))

    def test_it_is_found_where_xdg_says(self, home: dict[str, str], tmp_path: Path) -> None:
        write_config(tmp_path / ".config", 'region = "home"')
        write_config(tmp_path / "elsewhere", 'region = "xdg"')
        assert options_from(home).region == "home"
        assert options_from(home | {"XDG_CONFIG_HOME": str(tmp_path / "elsewhere")}).region == "xdg"
        assert options_from(home | {"XDG_CONFIG_HOME": "elsewhere"}).region == "home"

    def test_the_home_directory_is_shown_as_a_tilde(self, monkeypatch: pytest.MonkeyPatch, home: dict[str, str]) -> None:
        monkeypatch.setenv("HOME", home["HOME"])
        write_config(Path(home["HOME"]) / ".config", 'region = "eu"')
        assert str(resolve(environ=home).origins["region"]) == "file ~/.config/headrace/config.toml"

    def test_a_variable_names_another(self, home: dict[str, str], tmp_path: Path) -> None:
        write_config(tmp_path / ".config", 'region = "home"')
        other = tmp_path / "other.toml"
        other.write_text('region = "other"')
        resolved = resolve(environ=home | {"HEADRACE_CONFIG": str(other)})
        assert (resolved.options.region, resolved.unknown) == ("other", [])

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("regoin = 'eu'", r"no option 'regoin' \(file .*c\.toml\)\. Did you mean region"),
            ("[s3]\nregion = 'eu'", "no option 's3'"),
            ("part_size = '1MiB'", r"part_size cannot be '1MiB' \(file .*c\.toml\)"),
            ("region = ", "is not TOML"),
            ("\udcff", "is not TOML"),
        ],
    )
    def test_a_bad_file_is_refused(self, text: str, problem: str, tmp_path: Path) -> None:
        path = tmp_path / "c.toml"
        path.write_text(text, errors="surrogateescape")
        with pytest.raises(InvalidOption, match=problem):
            resolve(environ={}, file=path)

    def test_a_named_file_must_exist(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match=r"c\.toml cannot be read: No such file"):
            resolve(environ={}, file=tmp_path / "c.toml")
        with pytest.raises(InvalidOption, match=r"c\.toml cannot be read"):
            resolve(environ={"HEADRACE_CONFIG": str(tmp_path / "c.toml")})

    def test_tomllib_is_loaded_only_for_a_file(self, home: dict[str, str]) -> None:
        code = "import sys, headrace.config; headrace.config.resolve(); print('tomllib' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | home, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


class TestMerge:
    def test_changes_apply_to_the_copy_alone(self) -> None:
        options = Options(region="eu")
        assert merge(options, region="us", part_size="6MiB") == Options(region="us", part_size=6 * MIB)
        assert options == Options(region="eu")

    def test_without_changes_it_is_the_same(self) -> None:
        options = Options()
        assert merge(options) is options

    def test_none_unsets(self) -> None:
        assert merge(Options(region="eu", part_size=6 * MIB), region=None, part_size=None) == Options()

    def test_a_change_displaces_what_it_excludes(self) -> None:
        changed = merge(Options(credentials=make_credentials, endpoint_url="http://h"), anonymous=True, endpoints="http://a")
        assert changed == Options(anonymous=True, endpoints=("http://a",))
        assert merge(changed, credentials=make_credentials).anonymous is False

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"partsize": 1}, "Did you mean part_size"),
            ({"part_size": 1}, "part_size cannot be 1"),
            ({"anonymous": True, "credentials": make_credentials}, "exclude each other"),
        ],
    )
    def test_bad_changes_are_refused(self, changes: dict[str, object], problem: str) -> None:
        with pytest.raises(InvalidOption, match=problem):
            merge(Options(), **changes)


SECRETS: dict[str, object] = {
    "credentials": {"access_key": "id", "secret_key": SECRET},
    "sse": KEY,
    "proxy": f"http://user:{SECRET}@h:1",
    "endpoint_url": f"http://user:{SECRET}@h:1",
    "endpoints": ["http://a", f"http://user:{SECRET}@h:1"],
}


class TestSecrets:
    @pytest.mark.parametrize("name", SECRETS)
    def test_they_are_not_shown(self, name: str) -> None:
        resolved = resolve({name: SECRETS[name]}, environ={})
        setting = next(setting for setting in describe(resolved) if setting.name == name)
        for text in (repr(resolved), repr(resolved.options), str(resolved.options), str(setting)):
            assert SECRET not in text
            assert KEY_TEXT not in text
            assert repr(KEY) not in text
        assert "(hidden)" in setting.value

    @pytest.mark.parametrize("name", SECRETS)
    def test_they_are_not_pickled(self, name: str) -> None:
        with pytest.raises(CredentialsError, match=f"^{name} holds a secret.*HEADRACE_{name.upper()}"):
            portable({name: SECRETS[name]})
        with pytest.raises(CredentialsError):
            pickle.dumps(Options(**{name: SECRETS[name]}))  # type: ignore[arg-type]

    def test_a_customers_key_shows_and_pickles_nowhere(self) -> None:
        encryption = Encryption("customer", customer_key=KEY)
        assert repr(KEY) not in repr(encryption)
        assert str(encryption) == "customer:(hidden)"
        with pytest.raises(CredentialsError):
            pickle.dumps(encryption)

    def test_a_function_that_gives_credentials_is_no_secret(self) -> None:
        resolved = resolve({"credentials": make_credentials}, environ={})
        shown = next(setting.value for setting in describe(resolved) if setting.name == "credentials")
        assert shown.endswith(":make_credentials")
        assert portable({"credentials": make_credentials, "region": None}) == {"credentials": make_credentials, "region": None}

    def test_options_without_secrets_pickle(self) -> None:
        options = Options(region="eu", sse="aws:kms:key", endpoints="http://a,http://b", credentials="os:getcwd")  # type: ignore[arg-type]
        assert pickle.loads(pickle.dumps(options)) == options
        assert copy.deepcopy(options) == options
        assert pickle.loads(pickle.dumps(Encryption("aws:kms", "key"))) == Encryption("aws:kms", "key")

    def test_what_cannot_be_an_option_is_not_portable(self) -> None:
        with pytest.raises(InvalidOption):
            portable({"partsize": 1})


class TestDescribe:
    def test_every_option_with_value_and_origin(self, home: dict[str, str]) -> None:
        resolved = resolve(
            {"part_size": 6 * MIB, "verify_tls": False, "proxy": "none"}, environ=home | {"HEADRACE_STALL_TIMEOUT": "1500ms"}
        )
        settings = {setting.name: setting for setting in describe(resolved)}
        assert list(settings) == list(SPECS)
        shown = {name: (setting.value, setting.origin) for name, setting in settings.items()}
        assert shown["part_size"] == ("6 MiB", "argument")
        assert shown["verify_tls"] == ("no", "argument")
        assert shown["proxy"] == ("none", "argument")
        assert shown["stall_timeout"] == ("1.5 s", "environment HEADRACE_STALL_TIMEOUT")
        assert shown["region"] == ("not set", "default")
        assert shown["max_attempts"] == ("5", "default")
        assert settings["part_size"].help == SPECS["part_size"].help
