"""Google Cloud Storage (Cloud Storage JSON API, version 1)."""

from headrace.backends.gcs.backend import GcsBackend

__all__ = ["GcsBackend"]
