"""Amazon S3 and the services that speak its protocol (Amazon S3 API Reference, version 2006-03-01)."""

from headrace.backends.s3.backend import S3Backend

__all__ = ["S3Backend"]
