"""Every scheme that headrace does not know itself, through the filesystem that fsspec knows for it."""

from headrace.backends.fsspec.backend import FsspecBackend

__all__ = ["FsspecBackend"]
