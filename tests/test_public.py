"""The public names: complete, documented, alike in both drivers, picklable, and cheap to import."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import headrace
from headrace import Client, Item, ObjectInfo, Path, Prefix, aio, errors
from headrace.auth.sigv4 import Credentials
from headrace.backends.protocol import Backend
from headrace.errors import CredentialsError, HeadraceError
from headrace.models import BucketInfo
from headrace.stores.store import Store
from headrace.transfer.files import ObjectReader, ObjectWriter

SUBJECTS = {"uri", "uris", "items", "data", "ranges", "source", "destination", "mode", "encoding"}
"""Parameters that may be given by position: what a verb is about."""

LIFE = {"close", "options"}

HEAVY = [
    "asyncio",
    "boto3",
    "botocore",
    "concurrent.futures.process",
    "fsspec",
    "multiprocessing",
    "pytest",
    "rich",
    "tomllib",
    "typer",
    "xml",
    "zstandard",
]
"""Modules that a program pays for only when it needs what they do."""


def verbs_of(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")} - LIFE


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    for kind in (Client, aio.Client, aio.AsyncFile, ObjectReader, ObjectWriter, Path):
        for name, member in vars(kind).items():
            if not name.startswith("_") and inspect.isfunction(member):
                yield f"{kind.__module__}.{kind.__qualname__}.{name}", member
    for kind in (Client, aio.Client, ObjectInfo, Prefix, BucketInfo, Item, *ERRORS):
        yield kind.__qualname__, kind


ERRORS = [getattr(errors, name) for name in errors.__all__]
CALLABLES = dict(public_callables())


def test_the_module_has_every_verb_of_the_client_and_nothing_that_is_not_said() -> None:
    said = set(headrace.__all__)
    assert verbs_of(Client) <= said
    defined = {
        name
        for name, value in vars(headrace).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", "").partition(".")[0] == "headrace"
    }
    assert defined <= said
    assert all(getattr(headrace, name) is not None for name in said)
    assert len(said) == len(headrace.__all__)


def test_both_modules_have_the_same_verbs() -> None:
    assert verbs_of(aio.Client) == verbs_of(Client)
    assert set(aio.__all__) == verbs_of(Client) | {"AsyncFile", "Client"}


def test_names_are_sorted() -> None:
    for module in (aio, errors):
        assert list(module.__all__) == sorted(module.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'gett'"):
        headrace.gett  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize("name", CALLABLES)
def test_everything_public_is_documented(name: str) -> None:
    documentation = inspect.getdoc(CALLABLES[name])
    assert documentation
    assert documentation[0].isupper() or documentation[0] == "`"


@pytest.mark.parametrize("name", sorted(verbs_of(Client)))
def test_only_what_a_verb_is_about_is_given_by_position(name: str) -> None:
    for kind in (Client, aio.Client):
        for parameter in list(inspect.signature(getattr(kind, name)).parameters.values())[1:]:
            by_position = parameter.kind is not parameter.KEYWORD_ONLY
            assert by_position == (parameter.name in SUBJECTS)
            assert not (by_position and isinstance(parameter.default, bool))


@pytest.mark.parametrize("name", sorted(verbs_of(Client)))
def test_both_drivers_have_the_same_parameters(name: str) -> None:
    blocking, twin = (inspect.signature(getattr(kind, name)).parameters.values() for kind in (Client, aio.Client))
    assert [(one.name, one.kind, one.default) for one in blocking] == [(one.name, one.kind, one.default) for one in twin]


def test_a_store_has_every_method_of_a_backend_itself() -> None:
    """What a wrapper does not wrap would reach the user without retries, or not at all. The patience of ``again`` is its own matter."""
    methods = {name for name, member in vars(Backend).items() if inspect.isfunction(member) and not name.startswith("_")}
    assert methods <= set(vars(Store))
    for name in methods:
        expected = inspect.signature(getattr(Backend, name)).parameters.keys() - {"again"}
        assert inspect.signature(getattr(Store, name)).parameters.keys() == expected


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_pickles_with_all_that_it_tells(kind: type[HeadraceError]) -> None:
    context = {"uri": "s3://b/k", "operation": "get", "status": 500, "code": "X", "request_id": "1", "attempts": 3, "elapsed": 1.5}
    error = kind("it failed", retry_after=2.0, hint="Do this.", **context)  # type: ignore[arg-type]
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error) == "get s3://b/k: it failed (500 X, request id 1, 3 attempts, 1.5 s). Do this."
    assert (copy.args, getattr(copy, "errno", None)) == (error.args, getattr(error, "errno", None))


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        ("NotFound", FileNotFoundError),
        ("AlreadyExists", FileExistsError),
        ("PermissionDenied", PermissionError),
        ("Stalled", TimeoutError),
        ("ConnectionFailed", ConnectionError),
        ("InvalidURI", ValueError),
        ("InvalidOption", ValueError),
        ("MissingDependency", ImportError),
    ],
)
def test_an_error_is_the_builtin_that_fits(kind: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, kind), builtin)


def test_an_item_pickles_with_its_bytes() -> None:
    info = ObjectInfo(uri="s3://b/k", size=3, last_modified=datetime.now(UTC), metadata={"a": "b"})
    error = errors.NotFound("not there", uri="s3://b/k")
    for item in (Item(0, "s3://b/k", memoryview(bytearray(b"abc")), info), Item(1, "s3://b/k", error=error), Item(2, "s3://b/k")):
        copy = pickle.loads(pickle.dumps(item))
        assert (copy.index, copy.uri, copy.data, copy.info, str(copy.error)) == (
            item.index,
            item.uri,
            item.data,
            item.info,
            str(item.error),
        )
        assert copy.data is None or not copy.data.readonly


@pytest.mark.parametrize(
    "value", [Prefix("s3://b/a/"), BucketInfo(uri="s3://b/", created=datetime.now(UTC)), ObjectInfo(uri="s3://b/k", size=1)]
)
def test_a_value_pickles_and_cannot_be_changed(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(AttributeError):
        value.uri = "s3://elsewhere"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [Client, aio.Client])
def test_a_client_pickles_as_its_configuration(kind: type[Client]) -> None:
    client = kind(endpoint_url="http://127.0.0.1:9", region="eu-central-1", part_size="16MiB", anonymous=True)
    copy = pickle.loads(pickle.dumps(client))
    assert type(copy) is kind
    assert copy.options == client.options
    assert copy.options.part_size == 16 << 20


def test_a_client_that_was_used_pickles() -> None:
    client = Client(max_attempts=2)
    client.put("memory://pickled/object", b"data")
    assert list(client.get_many(["memory://pickled/object"]))
    assert pickle.loads(pickle.dumps(client)).options == client.options


def test_a_function_that_gives_credentials_travels_by_its_name() -> None:
    client = Client(credentials=pickle.loads)
    assert pickle.loads(pickle.dumps(client)).options.credentials is pickle.loads


@pytest.mark.parametrize(
    "secret",
    [
        {"credentials": Credentials("AKIDEXAMPLE", "the secret")},
        {"sse": b"a customer key of just 32 bytes!"},
        {"sse": "customer:YSBjdXN0b21lciBrZXkgb2YganVzdCAzMiBieXRlcyE="},
        {"proxy": "http://user:the-secret@127.0.0.1:9"},
    ],
    ids=["credentials", "customer key", "customer key as text", "proxy"],
)
@pytest.mark.parametrize("kind", [Client, aio.Client])
def test_a_secret_given_in_code_is_neither_pickled_nor_shown(kind: type[Client], secret: dict[str, Any]) -> None:
    client = kind(**secret)
    for shown in (repr(client), str(client), repr(client.options)):
        for piece in ("the secret", "the-secret", "a customer key", "YSBjdXN0"):
            assert piece not in shown
    with pytest.raises(CredentialsError, match="pickle") as caught:
        pickle.dumps(client)
    assert any(way in str(caught.value) for way in ("HEADRACE_", "AWS_ACCESS_KEY_ID"))


def test_an_open_file_is_not_picklable() -> None:
    client = Client()
    client.put("memory://pickled/file", b"data")
    for mode in ("rb", "wb"):
        with client.open("memory://pickled/file", mode) as file, pytest.raises(TypeError, match=r"pickle"):  # type: ignore[arg-type]
            pickle.dumps(file)


@pytest.mark.parametrize("module", ["headrace", "headrace.errors"])
def test_the_import_is_cheap(module: str) -> None:
    script = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_name_loads_what_it_needs() -> None:
    script = (
        "import sys, headrace; before = {'numpy', 'headrace.client'} & set(sys.modules)\n"
        "headrace.put('memory://b/k', b'x'); assert headrace.stat is headrace.stat and headrace.Client is type(headrace.get.__self__)\n"
        "print(before, set(headrace.__all__) <= set(dir(headrace)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set() True"


def test_a_local_read_needs_no_more() -> None:
    script = f"import sys, headrace; headrace.get(__import__('os').__file__); print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_keys_from_the_environment_never_load_botocore(nginx: Any, bucket: str) -> None:
    script = (
        "import sys, headrace\n"
        f"client = headrace.Client(endpoint_url={nginx.endpoint!r})\n"
        f"client.create_container('s3://{bucket}'); client.put('s3://{bucket}/k', b'x'); client.get('s3://{bucket}/k')\n"
        "print('botocore' in sys.modules)"
    )
    environment = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "False"
