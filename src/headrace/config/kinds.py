"""The kinds of values that options take: how each is read from code or text, checked, and shown without secrets."""

from __future__ import annotations

import importlib
import itertools
import operator
import os
from collections.abc import Iterable, Mapping
from string import ascii_letters, digits
from types import MethodType, ModuleType
from typing import Any, SupportsFloat, SupportsIndex

from headrace.config.encryption import Encryption
from headrace.uri import expand

__all__ = [
    "GIB",
    "HIDDEN",
    "MIB",
    "Choice",
    "Count",
    "EncryptionText",
    "Endpoint",
    "Endpoints",
    "FilePath",
    "Flag",
    "Kind",
    "Name",
    "ProxyServer",
    "RegionName",
    "Seconds",
    "SecretSource",
    "Size",
    "StrategyName",
]

HIDDEN = "(hidden)"
"""What is shown of a secret."""

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_SIZE_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_TIME_UNITS = {"": 1.0, "ms": 1e-3, "s": 1.0, "min": 60.0}
_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_REGION_CHARACTERS = frozenset(ascii_letters + digits + "-_.")
_NOT_IN_URLS = frozenset(' "<>\\^`{|}?#')


class Kind:
    """What values an option takes. A subclass says how one is read from code (`_read`) and from text (`_parse`), and how it looks.

    Attributes:
        accepted: the values, in words.
    """

    accepted: str

    def read(self, value: object, *, text: bool = False) -> object:
        """Return the value in its one form; a value in that form comes back unchanged.

        Args:
            value: as given.
            text: a string is what a variable, the command line or a file gives, not what code gives.

        Raises:
            ValueError: it is not accepted. The message quotes it, but for secrets.
        """
        try:
            return self._parse(value) if text and isinstance(value, str) else self._read(value)
        except (ValueError, TypeError, LookupError, OverflowError):
            # Without its cause, whose message may hold a secret.
            raise ValueError(f"cannot be {self._quote(value)}") from None

    def show(self, value: object) -> str:
        """The value as text, with ``HIDDEN`` in the place of secrets."""
        return "not set" if value is None else self._show(value)

    def may_be_pickled(self, value: object) -> bool:
        """Whether a pickle of the value would hold no secret."""
        return HIDDEN not in self.show(value)

    def _read(self, value: object) -> object:
        raise NotImplementedError

    def _parse(self, text: str) -> object:
        return self._read(text)

    def _show(self, value: object) -> str:
        return str(value)

    def _quote(self, value: object) -> str:
        return repr(value)[:60] if value is None or isinstance(value, (str, int, float)) else f"of type {type(value).__name__}"


class Size(Kind):
    """A number of bytes."""

    def __init__(self, minimum: int, maximum: int | None = None) -> None:
        self._minimum, self._maximum = minimum, maximum
        limits = f"at least {self._show(minimum)}" if maximum is None else f"from {self._show(minimum)} to {self._show(maximum)}"
        self.accepted = f"bytes, or a text such as '8MiB' or '64 MB', {limits}"

    def _read(self, value: object) -> int:
        size = self._bytes_in(value) if isinstance(value, str) else _index(value)
        if size < self._minimum or (self._maximum is not None and size > self._maximum):
            raise ValueError("out of range")
        return size

    def _show(self, value: object) -> str:
        size = _index(value)
        for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
            if size and size % unit == 0:
                return f"{size // unit} {name}"
        return f"{size} B"

    @staticmethod
    def _bytes_in(text: str) -> int:
        number, unit = _split_unit(text)
        whole, _, fraction = number.partition(".")
        # In whole numbers, because a size is exact: 0.1 GB is 100000000 bytes.
        scale: int = 10 ** len(fraction)
        size, rest = divmod(int(whole + fraction) * _SIZE_UNITS[unit], scale)
        if rest or not (whole + fraction).isdecimal():
            raise ValueError("not a number of bytes")
        return size


class Seconds(Kind):
    """A time to wait."""

    accepted = "seconds, or a text such as '10s', '500ms' or '2min', more than 0 and at most 1000000 seconds"

    def _read(self, value: object) -> float:
        if isinstance(value, str):
            number, unit = _split_unit(value)
            seconds = float(number) * _TIME_UNITS[unit]
        elif isinstance(value, SupportsFloat) and not isinstance(value, bool):
            seconds = float(value)
        else:
            raise TypeError("not a number")
        # poll() takes milliseconds in 31 bits.
        if not 0 < seconds <= 1e6:
            raise ValueError("out of range")
        return seconds

    def _show(self, value: object) -> str:
        return f"{self._read(value):g} s"


class Count(Kind):
    """A whole number."""

    def __init__(self, minimum: int) -> None:
        self._minimum = minimum
        self.accepted = f"a whole number, at least {minimum}"

    def _read(self, value: object) -> int:
        number = _index(value)
        if number < self._minimum:
            raise ValueError("out of range")
        return number

    def _parse(self, text: str) -> int:
        return self._read(int(text))


class Flag(Kind):
    """Yes or no. As text only where there is nothing but text: in code, ``"no"`` would be true in every ``if``."""

    accepted = "True or False (in the environment and on the command line: 1, true, yes, on, 0, false, no, off)"

    def _read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError("not a bool")
        return value

    def _parse(self, text: str) -> bool:
        return _TRUTH[text.strip().lower()]

    def _show(self, value: object) -> str:
        return "yes" if value else "no"


class Choice(Kind):
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self.accepted = f"{', '.join(words[:-1])} or {words[-1]}"

    def _read(self, value: object) -> str:
        if value not in self._words:
            raise ValueError("unknown word")
        return str(value)

    def _parse(self, text: str) -> str:
        return self._read(text.strip().lower())


class StrategyName(Choice):
    """A strategy: one of a few words, or in code an object with a method ``choose``."""

    def _read(self, value: object) -> Any:
        return value if callable(getattr(value, "choose", None)) and not isinstance(value, type) else super()._read(value)

    def _show(self, value: object) -> str:
        return value if isinstance(value, str) else f"{type(value).__module__}:{type(value).__qualname__}"


class Name(Kind):
    """A name in the user's own files."""

    accepted = "a name"

    def _read(self, value: object) -> str:
        if not isinstance(value, str) or not value.isprintable() or not value.strip():
            raise ValueError("not a name")
        return value


class RegionName(Kind):
    """The name of a region. It goes into host names and signatures."""

    accepted = "a name of ASCII letters, digits and '-', '_', '.'"

    def _read(self, value: object) -> str:
        if not isinstance(value, str) or not value or not all(char in _REGION_CHARACTERS for char in value):
            raise ValueError("not a region")
        return value


class FilePath(Kind):
    """A path of the file system; ``~`` is the home directory."""

    accepted = "a path"

    def _read(self, value: object) -> str:
        path = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(path, str) or not path or "\0" in path:
            raise ValueError("not a path")
        return os.path.expanduser(path)


class Endpoint(Kind):
    """The address of a service. A user and password in it are secret."""

    accepted = "a URL such as 'https://host', 'http://host:9000' or 'http://host:9000/path'"
    _schemes: tuple[str, ...] = ("http", "https")

    def _read(self, value: object) -> str:
        from urllib.parse import urlsplit

        if not isinstance(value, str) or not value.isprintable() or not _NOT_IN_URLS.isdisjoint(value):
            raise ValueError("not a URL")
        parts = urlsplit(value)
        # .port raises ValueError for what is no port.
        if parts.scheme not in self._schemes or not parts.hostname or parts.port == 0:
            raise ValueError("not the URL of a service")
        return value.rstrip("/")

    def _show(self, value: object) -> str:
        start, at, address = str(value).rpartition("@")
        return f"{start.partition('://')[0]}://{HIDDEN}@{address}" if at else address

    def _quote(self, value: object) -> str:
        return "this text, which may hold a password" if "@" in str(value) else super()._quote(value)


class ProxyServer(Endpoint):
    """The address of an HTTP proxy, or an empty text for none at all."""

    accepted = "a URL such as 'http://[user:password@]host:3128', or 'none' to connect directly whatever the environment says"
    _schemes = ("http",)

    def _read(self, value: object) -> str:
        if value in ("", "none"):
            return ""
        return super()._read(f"http://{value}" if isinstance(value, str) and "://" not in value else value)

    def _show(self, value: object) -> str:
        return super()._show(value) if value else "none"

    def _quote(self, value: object) -> str:
        return super()._quote("@")


class Endpoints(Kind):
    """Several addresses of one service.

    Each has a share of the requests and takes over from the others, which an address that is there twice would do for itself. Some over
    TLS and some without would leave to chance what is encrypted.
    """

    accepted = (
        "1 to 128 different URLs, all http or all https: a list, a text with commas between them, or '@FILE' with one on each line; "
        "templates such as 'http://10.0.0.{1...4}:9000' are expanded"
    )
    _most = 128
    _each = Endpoint()

    def _read(self, value: object) -> tuple[str, ...]:
        value = self._named(value)
        given = self._split(value) if isinstance(value, str) else value
        if not isinstance(given, Iterable) or isinstance(given, (bytes, Mapping)):
            raise TypeError("not a list")
        expanded = itertools.chain.from_iterable(expand(str(template)) for template in given)
        urls = tuple(self._each._read(url) for url in itertools.islice(expanded, self._most + 1))
        if not 1 <= len(urls) <= self._most:
            raise ValueError("too few or too many")
        identities = {_identity(url) for url in urls}
        if len(identities) < len(urls) or len({scheme for scheme, *_ in identities}) > 1:
            raise ValueError("the same twice, or not alike")
        return urls

    @staticmethod
    def _split(text: str) -> list[str]:
        if text.startswith("@"):
            try:
                with open(os.path.expanduser(text[1:]), encoding="utf-8") as file:
                    lines = [line.partition("#")[0] for line in file]
            except OSError:
                raise ValueError("the file cannot be read") from None
            text = " ".join(lines)
        return text.replace(",", " ").split()

    def _show(self, value: object) -> str:
        return ", ".join(self._each._show(url) for url in self._read(value))

    def _quote(self, value: object) -> str:
        text = self._named(value)
        if isinstance(text, str) and text.startswith("@"):
            return f"what {text[1:]!r} holds" if os.path.isfile(os.path.expanduser(text[1:])) else f"{text!r}: there is no such file"
        return self._each._quote(text) if isinstance(text, str) else "these addresses"

    @staticmethod
    def _named(value: object) -> object:
        return f"@{os.fspath(value)}" if isinstance(value, os.PathLike) else value


class SecretSource(Kind):
    """Credentials, or something that gives them."""

    accepted = (
        "a function that returns credentials (as text: 'module:function'), a mapping with access_key, secret_key and token "
        "(for az:// account and key, sas_token, token or connection_string; for gs:// token and expires), or credentials of headrace, "
        "botocore, azure-identity or google-auth"
    )

    def _read(self, value: object) -> object:
        if isinstance(value, str):
            return self._import(value)
        if not callable(value) and not isinstance(value, Mapping) and type(value).__module__ == "builtins":
            raise TypeError("neither credentials nor a source of them")
        return value

    def may_be_pickled(self, value: object) -> bool:
        """Whether it is a function, which travels as its name, or of headrace's own, which refuse by themselves."""
        if isinstance(value, MethodType):
            return isinstance(value.__self__, (type, ModuleType))
        return hasattr(value, "__qualname__") or type(value).__module__.partition(".")[0] == "headrace"

    def _show(self, value: object) -> str:
        if isinstance(value, Mapping):
            return HIDDEN
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}:{named.__qualname__}"

    def _quote(self, value: object) -> str:
        return f"of type {type(value).__name__}"

    @staticmethod
    def _import(text: str) -> object:
        module, _, name = text.partition(":")
        try:
            found: object = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise ValueError("cannot be imported") from None
        if not callable(found):
            raise TypeError("not a function")
        return found


class EncryptionText(Kind):
    """Server-side encryption."""

    accepted = "'AES256', 'aws:kms', 'aws:kms:KEY_ID', a customer's key (its 32 bytes, or 'customer:BASE64'), or 'none'"

    def _read(self, value: object) -> Encryption | None:
        return Encryption.parse(value)

    def _quote(self, value: object) -> str:
        if not isinstance(value, str):
            return super()._quote(value)
        # What follows a colon, and every long text, may be a key.
        word, colon, _ = value.partition(":")
        return repr(f"{word}:..." if colon else word) if len(word) < 16 else "this text"


def _index(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError("not a whole number")
    return operator.index(value)


def _identity(url: str) -> tuple[object, ...]:
    """What two spellings of one endpoint have in common."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme], parts.path


def _split_unit(text: str) -> tuple[str, str]:
    text = text.strip()
    number = text.rstrip(ascii_letters)
    return number.rstrip(), text[len(number) :].lower()
