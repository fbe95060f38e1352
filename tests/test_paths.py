"""`headrace.Path`: what it is called, over strings alone; and what is there, in memory, in files and on S3."""

from __future__ import annotations

import gc
import os
import pathlib
import pickle
from collections.abc import Iterator

import pytest

import headrace
from headrace import Client, Path
from headrace.errors import AlreadyExists, InvalidOption, InvalidURI, NotFound, ServiceError
from headrace.testing.servers import Server

KEYS = ["a", "a/b", "a//b", "a/../b", "a/./b", "/a", "//a", "a b/%41+", "a///b", "é/ü", "..", "a/.."]


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_literal(key: str) -> None:
    path = Path("s3://bucket") / key
    assert path.uri == str(path) == f"s3://bucket/{key}"
    assert path == Path(path.uri)
    assert path.parent / path.name == path
    assert "/".join(path.parts[1:]) == key
    assert path.parts[0] == "s3://bucket/"


@pytest.mark.parametrize("name", ["a", "a.b", "a.tar.gz", ".hidden", ".a.b", "a.", "..", "a..b", "...", "a b.c d"])
def test_names_are_taken_apart_as_pathlib_does(name: str) -> None:
    path, same = Path("s3://bucket/x") / name, pathlib.PurePosixPath("/bucket/x", name)
    assert path.name == same.name
    if not name.endswith(".") and name != "...":  # which versions of Python see differently
        assert (path.stem, path.suffix, path.suffixes) == (same.stem, same.suffix, same.suffixes)


def test_a_slash_at_the_end_says_prefix() -> None:
    assert Path("s3://b/a/") / "x" == Path("s3://b/a") / "x" == Path("s3://b/a/x")
    assert Path("s3://b/a/") != Path("s3://b/a")
    assert Path("s3://b/a/").name == "a"
    assert Path("s3://b/a/").parent == Path("s3://b")


def test_parents_end_with_the_bucket() -> None:
    assert [path.uri for path in Path("s3://b/x/y/z").parents] == ["s3://b/x/y", "s3://b/x", "s3://b/"]
    assert [path.uri for path in Path("/x/y").parents] == ["file:///x", "file:///"]
    for root in (Path("s3://b"), Path("file:///")):
        assert root.parent == root
        assert (root.name, root.parents, len(root.parts)) == ("", (), 1)


def test_joining() -> None:
    path = Path("s3://b/p")
    assert path.joinpath("x", "y/z").uri == "s3://b/p/x/y/z"
    assert (path / pathlib.PurePosixPath("x")).uri == "s3://b/p/x"
    assert (path / "/x").uri == "s3://b/p//x"
    assert (Path("s3://") / "bucket" / "key").uri == "s3://bucket/key"
    for wrong in (path, 5):
        with pytest.raises(TypeError):
            path / wrong  # type: ignore[operator]


def test_other_names() -> None:
    path = Path("s3://b/p/model.tar.gz")
    assert path.with_name("x").uri == "s3://b/p/x"
    assert path.with_suffix(".zst").uri == "s3://b/p/model.tar.zst"
    assert path.with_suffix("").uri == "s3://b/p/model.tar"
    assert path.with_stem("best").uri == "s3://b/p/best.gz"
    for wrong in (lambda: path.with_name("a/b"), lambda: path.with_name(""), lambda: path.with_suffix("gz"), lambda: path.with_suffix(".")):
        with pytest.raises(ValueError, match=r"name|suffix"):
            wrong()
    with pytest.raises(InvalidOption):
        Path("s3://b").with_name("x")


def test_relations() -> None:
    path = Path("s3://b/p/x/y")
    assert path.is_relative_to("s3://b/p")
    assert path.is_relative_to(Path("s3://b"))
    assert not path.is_relative_to("s3://b/p/x/yy")
    assert not Path("s3://b/pp").is_relative_to("s3://b/p")
    assert not path.is_relative_to("s3://other")
    assert path.relative_to("s3://b/p/") == "x/y"
    assert path.relative_to(path) == ""
    with pytest.raises(ValueError, match="not below s3://b/q"):
        path.relative_to("s3://b/q")


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*.txt", True),
        ("y/*.txt", True),
        ("*.txt/", False),
        ("x/*.txt", False),
        ("x/**/*.txt", True),
        ("a.[st]xt", True),
        ("s3://b/*", False),
    ],
)
def test_matching(pattern: str, matches: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert Path("s3://b/x/y/a.txt").match(pattern) == matches


def test_matching_the_whole() -> None:
    assert Path("s3://b/x/y/a.txt").match("s3://b/**/*.txt")


def test_values() -> None:
    client = Client(region="eu-central-1")
    path = Path("s3://b/x", client=client)
    copy = pickle.loads(pickle.dumps(path / "y"))
    assert copy == Path("s3://b/x/y")
    assert hash(copy) == hash(Path("s3://b/x/y"))
    assert copy._client.options == client.options
    assert Path(path)._client is client
    assert path != "s3://b/x"
    assert sorted([Path("s3://b/b"), Path("s3://b/a/x"), Path("s3://b/a-")]) == [Path("s3://b/a-"), Path("s3://b/a/x"), Path("s3://b/b")]
    assert repr(path) == "Path('s3://b/x')"
    with pytest.raises(TypeError):
        path < "s3://b/x"  # type: ignore[operator]  # noqa: B015 - the comparison is what is tested


def test_only_what_is_local_is_a_path_of_the_system(tmp_path: pathlib.Path) -> None:
    path = Path(tmp_path) / "file"
    path.write_text("text")
    assert os.fspath(path) == f"{tmp_path}/file"
    with open(path, encoding="utf-8") as file:
        assert file.read() == "text"
    for remote in ("s3://b/k", "memory://b/k"):
        with pytest.raises(TypeError, match=r"copy"):
            os.fspath(Path(remote))


def test_every_verb_takes_one(bucket: str) -> None:
    path = Path(f"memory://{bucket}/a")
    headrace.put(path, b"data")
    assert headrace.read_bytes(path) == b"data"
    assert headrace.get_ranges(path, [(1, 2)]) == [b"at"]
    assert [item.uri for item in headrace.get_many([path])] == [path.uri]
    assert [item.info.size for item in headrace.put_many([(path, b"more")]) if item.info] == [4]
    assert [item.uri for item in headrace.stat_many([path])] == [path.uri]
    with headrace.open(path) as file:
        assert file.read() == b"more"
    assert headrace.copy(path, path.with_name("b")).uri == path.with_name("b").uri
    assert [entry.uri for entry in headrace.list(path.parent)] == [f"{path.parent}a", f"{path.parent}b"]
    assert headrace.delete_many([path, path.with_name("b")]) == 2


@pytest.fixture(params=["memory", "file", "s3"])
def base(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, bucket: str) -> Iterator[Path]:
    """An empty prefix, with the client that reaches it."""
    options = {}
    if request.param == "s3":
        server: Server = request.getfixturevalue("ministack")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        options = {"endpoint_url": server.endpoint}
    with Client(**options) as client:
        root = Path(tmp_path if request.param == "file" else f"{request.param}://{bucket}", client=client)
        root.mkdir(exist_ok=True)
        yield root / "base"


@pytest.fixture
def tree(base: Path) -> Path:
    """A prefix with a few objects."""
    for name in ("a.txt", "b.bin", "deep/a.txt", "deep/er/c.txt", "deep/er/d", "z/a.txt"):
        (base / name).write_bytes(name.encode())
    return base


def below(base: Path, found: Iterator[Path]) -> list[str]:
    return [path.uri.removeprefix(f"{base}/") for path in found]


def test_what_is_there(tree: Path) -> None:
    file, folder, nothing = tree / "a.txt", tree / "deep", tree / "nothing"
    assert (file.exists(), file.is_file(), file.is_dir()) == (True, True, False)
    for prefix in (folder, folder / ""):
        assert (prefix.exists(), prefix.is_file(), prefix.is_dir()) == (True, False, True)
    assert (nothing.exists(), nothing.is_file(), nothing.is_dir()) == (False, False, False)
    assert tree.parent.is_dir()
    assert not tree.parent.is_file()
    assert file.stat().size == 5
    with pytest.raises(FileNotFoundError):
        folder.stat()


def test_listing(tree: Path) -> None:
    assert below(tree, tree.iterdir()) == ["a.txt", "b.bin", "deep/", "z/"]
    assert below(tree, (tree / "deep/").iterdir()) == ["deep/a.txt", "deep/er/"]
    assert below(tree, (tree / "nothing").iterdir()) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("*", ["a.txt", "b.bin", "deep/", "z/"]),
        ("*/", ["deep/", "z/"]),
        ("?.[!t]*", ["b.bin"]),
        ("*/*.txt", ["deep/a.txt", "z/a.txt"]),
        ("**/*.txt", ["a.txt", "deep/a.txt", "deep/er/c.txt", "z/a.txt"]),
        ("deep/**", ["deep/a.txt", "deep/er/", "deep/er/c.txt", "deep/er/d"]),
        ("deep/e*/c.*", ["deep/er/c.txt"]),
        ("**/er", ["deep/er/"]),
        ("**/", ["deep/", "deep/er/", "z/"]),
        ("a.txt", ["a.txt"]),
        ("nothing", []),
    ],
)
def test_globs(tree: Path, pattern: str, found: list[str]) -> None:
    assert below(tree, tree.glob(pattern)) == found


def test_globs_at_any_depth(tree: Path) -> None:
    assert below(tree, tree.rglob("a.txt")) == ["a.txt", "deep/a.txt", "z/a.txt"]
    for wrong in ("", "/x"):
        with pytest.raises(ValueError, match="pattern"):
            list(tree.glob(wrong))


def test_a_key_with_special_characters_is_not_a_pattern(base: Path) -> None:
    (base / "a*" / "x").write_text("")
    (base / "ab" / "x").write_text("")
    assert below(base, (base / "a*").glob("*")) == ["a*/x"]


def test_walking(tree: Path) -> None:
    steps = [(path.name, folders, names) for path, folders, names in tree.walk()]
    assert steps == [
        ("base", ["deep", "z"], ["a.txt", "b.bin"]),
        ("deep", ["er"], ["a.txt"]),
        ("er", [], ["c.txt", "d"]),
        ("z", [], ["a.txt"]),
    ]
    assert sorted(path.name for path, _, _ in tree.walk(top_down=False)) == sorted(name for name, _, _ in steps)
    pruned = []
    for path, folders, _ in tree.walk():
        pruned.append(path.name)
        folders[:] = [name for name in folders if name != "deep"]
    assert pruned == ["base", "z"]


def test_text(base: Path) -> None:
    path = base / "text"
    assert path.write_text("naïve\r\nsecond\n") == 14
    assert path.read_text() == "naïve\nsecond\n"
    assert path.write_text("naïve", encoding="latin-1") == 5
    assert path.read_bytes() == b"na\xefve"
    assert path.read_text("utf-8", errors="replace") == "na\ufffdve"
    with path.open("w", newline="\r\n") as file:
        file.write("a\n")
    with path.open(newline="") as file:
        assert file.read() == "a\r\n"
    with path.open("rb") as file:
        assert file.read() == b"a\r\n"
    with pytest.raises(TypeError):
        path.write_text(b"bytes")  # type: ignore[arg-type]


def test_modes(base: Path) -> None:
    path = base / "object"
    with path.open("xb") as file:
        file.write(b"data")
    with pytest.raises(FileExistsError), path.open("x") as file:
        file.write("more")
    for wrong in ("a", "r+", "rw", "", "rbt", "bb"):
        with pytest.raises(ValueError, match="mode"):
            path.open(wrong)
    with pytest.raises(ValueError, match="text"):
        path.open("rb", encoding="utf-8")
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_an_error_publishes_nothing(base: Path, mode: str) -> None:
    path, data = base / "object", "new" if mode == "w" else b"new"
    path.write_text("old")

    def fail() -> None:
        with path.open(mode) as file:
            file.write(data)  # type: ignore[arg-type]
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    file = path.open(mode)
    file.write(data)  # type: ignore[arg-type]
    del file
    gc.collect()
    assert path.read_text() == "old"


def test_a_life(base: Path) -> None:
    path = base / "object"
    path.touch()
    with pytest.raises(AlreadyExists):
        path.touch(exist_ok=False)
    assert path.write_bytes(b"data") == 4
    path.touch()
    moved = path.rename(path.with_name("moved"))
    assert (moved.read_bytes(), path.exists()) == (b"data", False)
    path.write_bytes(b"other")
    assert moved.replace(path).read_bytes() == b"data"
    path.unlink()
    path.unlink(missing_ok=True)
    assert not path.exists()


def test_renaming_to_what_would_be_another_place(tree: Path) -> None:
    if tree.location.scheme == "file":
        return
    with pytest.raises(InvalidOption, match="with_name"):
        (tree / "a.txt").rename("c.txt")
    assert (tree / "a.txt").exists()


def test_directories(base: Path) -> None:
    path = base / "folder"
    path.mkdir(parents=True)
    path.mkdir(parents=True, exist_ok=True)
    (path / "x").write_text("x")
    with pytest.raises(ServiceError) as caught:
        path.rmdir()
    assert caught.value.code == "NotEmpty"
    (path / "x").unlink()
    path.rmdir()
    assert not path.exists()


def test_local_directories_are_as_in_pathlib(tmp_path: pathlib.Path) -> None:
    path = Path(tmp_path) / "a" / "b"
    with pytest.raises(NotFound):
        path.mkdir()
    path.mkdir(parents=True)
    assert path.is_dir()
    with pytest.raises(AlreadyExists):
        path.mkdir()
    path.with_name("file").write_text("")
    with pytest.raises(AlreadyExists):
        path.with_name("file").mkdir(exist_ok=True)


def test_a_bucket_is_not_deleted_by_mistake(tree: Path) -> None:
    if tree.location.scheme == "file":
        return
    container = tree.parent
    with pytest.raises(InvalidURI):
        container.unlink()
    with pytest.raises(InvalidURI):
        container.rename(tree)
    with pytest.raises(ServiceError):
        container.rmdir()
    assert container in {Path(path) for path in Path(f"{tree.location.scheme}://", client=tree._client).iterdir()}
    headrace.Client.delete(tree._verbs, tree, recursive=True)
    container.rmdir()
    assert not container.exists()


def test_a_marker_of_a_folder_is_not_in_itself(bucket: str) -> None:
    folder = Path(f"memory://{bucket}/folder/")
    headrace.put(folder, b"")
    (folder / "x").write_text("")
    assert below(folder.parent, folder.parent.glob("**")) == [f"memory://{bucket}/folder/", f"memory://{bucket}/folder/x"]
    assert list(folder.iterdir()) == [folder / "x"]
    assert [names for _, _, names in folder.parent.walk()] == [[], ["x"]]
