"""The library is loaded when HTTP/2 is asked for, and not before."""

from __future__ import annotations

from tests.processes.scripts import run_script


def test_without_the_library_the_error_says_what_to_install() -> None:
    script = """
    import sys
    sys.modules["h2"] = None
    import headrace
    headrace.Client(http2=False)._session.loop_thread.start()
    for client in (headrace.Client, headrace.aio.Client):
        try:
            client(http2=True)
        except headrace.errors.MissingDependency as error:
            print(error)
    """
    done = run_script(script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "HTTP/2 needs the package 'h2'. Install it: pip install 'headrace[http2]'\n" * 2


def test_without_http2_the_library_is_not_loaded() -> None:
    script = """
    import sys
    import headrace
    headrace.Client()._session.loop_thread.start()
    loaded = [name for name in sys.modules if name.partition(".")[0] in ("h2", "hpack") or ".http2" in name]
    assert loaded == [], loaded
    """
    done = run_script(script)
    assert (done.returncode, done.stderr) == (0, "")
