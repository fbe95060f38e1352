"""What a service may lack, and which of those that headrace is tested with lack what: the one table."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["AZURITE", "CAPABILITIES", "CEPH", "DIRECT", "FAKE_GCS", "FILE", "FSSPEC", "FSSPEC_LOCAL", "MEMORY", "MINISTACK", "NGINX", "WEB"]

CAPABILITIES: Mapping[str, str] = {
    "aborted_is_not_found": "an unfinished write that was given up is unknown from then on",
    "aborted_is_not_listed": "an unfinished write that was given up is not listed any more",
    "backslash": "a name may hold a backslash",
    "buckets": "the authority of a URI is a container, whose deletion must be asked for by that word",
    "content_type": "keeps the content type of an object",
    "create_only_in_parts": "`create_only` holds for a write in parts",
    "create_tells": "creating a container that is there fails",
    "delete_tells": "deleting one object that is not there fails",
    "dot_segments": "`a/./b` and `a/../b` are names of their own",
    "if_match": "a write with `if_match` replaces the version that it names",
    "if_match_in_parts": "a write in parts with `if_match` fails where another version is there",
    "if_match_is_checked": "a write with `if_match` fails where another version is there, or none",
    "key_beside_prefix": "`a` and `a/b` can both be objects",
    "list_uploads": "lists unfinished writes in parts",
    "literal_segments": "`a//b` is a name of its own",
    "long_names": "a segment of a name may be longer than 255 bytes",
    "metadata": "keeps the user's own key-value pairs",
    "metadata_hyphens": "the name of such a pair may hold a hyphen",
    "missing_is_not_empty": "listing a missing container fails",
    "needs_container": "a container must be created before it is written to",
    "parts_are_checked": "completing a write with a part that it never had fails",
    "presign": "makes URLs that anybody may use for a while",
    "presign_plain_put": "such a URL for writing needs no header besides",
    "presign_is_verified": "refuses such a URL that was changed",
    "trailing_slash": "a name may end with a slash",
}
"""What each capability means. A backend is tested for all that its ``lacks`` does not name."""

FILE: Mapping[str, str] = {
    "buckets": "a file:// URI has no authority",
    "content_type": "a file has no content type",
    "key_beside_prefix": "a name is either a file or a directory",
    "dot_segments": "the system resolves dots",
    "literal_segments": "the system merges slashes",
    "long_names": "a segment has at most 255 bytes",
    "metadata": "a file has no metadata",
    "metadata_hyphens": "a file has no metadata",
    "missing_is_not_empty": "a prefix is no directory: nothing is below it, whether it is there or not",
    "needs_container": "directories are made when they are needed",
    "presign": "a file has no URL that others could use",
    "presign_plain_put": "a file has no URL that others could use",
    "presign_is_verified": "a file has no URL that others could use",
    "trailing_slash": "such a name is a directory's",
}
"""``file://``."""

DIRECT: Mapping[str, str] = FILE
"""``direct://``."""

FSSPEC: Mapping[str, str] = {
    "content_type": "fsspec has no word for it that all filesystems know",
    "key_beside_prefix": "a name is either a file or a directory",
    "metadata": "fsspec has no word for it that all filesystems know",
    "metadata_hyphens": "fsspec has no word for it that all filesystems know",
    "needs_container": "fsspec's memory makes directories when they are needed",
    "presign": "fsspec's memory has no URL that others could use",
    "presign_plain_put": "fsspec's memory has no URL that others could use",
    "presign_is_verified": "fsspec's memory has no URL that others could use",
    "trailing_slash": "fsspec leaves the slash out",
}
"""Any filesystem of fsspec's; what is said of its memory is that of the one it is tested with."""

FSSPEC_LOCAL: Mapping[str, str] = {
    **{name: FSSPEC[name] for name in ("content_type", "key_beside_prefix", "metadata", "metadata_hyphens", "trailing_slash")},
    "buckets": "the paths of fsspec's local files have no authority",
    "literal_segments": "fsspec resolves dots and merges slashes",
    "long_names": "a segment has at most 255 bytes",
    "missing_is_not_empty": "a prefix is no directory: nothing is below it, whether it is there or not",
    "needs_container": "directories are made when they are needed",
    "presign": "a file has no URL that others could use",
    "presign_plain_put": "a file has no URL that others could use",
    "presign_is_verified": "a file has no URL that others could use",
}
"""``local://``, the files of this machine as fsspec sees them."""

MEMORY: Mapping[str, str] = {
    "needs_container": "containers are made when they are needed",
    "presign": "no other process could use a URL",
    "presign_plain_put": "no other process could use a URL",
    "presign_is_verified": "no other process could use a URL",
}
"""``memory://``."""

MINISTACK: Mapping[str, str] = {
    "create_tells": "creating a bucket that is one's own succeeds, as in us-east-1",
    "delete_tells": "S3 answers 204 whether there was an object or not",
}
"""S3, as MiniStack has it: nearly all of Amazon's."""

CEPH: Mapping[str, str] = {
    "aborted_is_not_found": "Ceph 16 says for ever that its completion is in progress",
    "create_only_in_parts": "Ceph 16 ignores If-None-Match when an upload is completed",
    "create_tells": "creating a bucket that is one's own succeeds, as in us-east-1",
    "delete_tells": "S3 answers 204 whether there was an object or not",
    "if_match": "Ceph 16 compares the tag with its quotes to the one without, and refuses",
    "if_match_in_parts": "Ceph 16 ignores If-Match when an upload is completed",
}
"""S3, as Ceph 16 has it."""

NGINX: Mapping[str, str] = {
    "content_type": "the small S3 on nginx keeps bytes only",
    "delete_tells": "S3 answers 204 whether there was an object or not",
    "if_match_in_parts": "If-Match is ignored when an upload is completed",
    "key_beside_prefix": "objects are files: a name is either a file or a directory",
    "list_uploads": "not implemented",
    "dot_segments": "objects are files: such names are refused",
    "literal_segments": "objects are files: such names are refused",
    "long_names": "objects are files: a segment has at most 255 bytes",
    "metadata": "the small S3 on nginx keeps bytes only",
    "metadata_hyphens": "the small S3 on nginx keeps bytes only",
    "presign_is_verified": "signatures are not looked at",
    "trailing_slash": "objects are files: such names are refused",
}
"""S3, as headrace's own small server on nginx has it, which is for speed."""

FAKE_GCS: Mapping[str, str] = {
    "aborted_is_not_found": "a part is an object of its own, which nothing keeps from being written",
    "create_only_in_parts": "fake-gcs-server ignores the condition of a composition",
    "if_match_in_parts": "fake-gcs-server ignores the condition of a composition",
    "presign_is_verified": "fake-gcs-server does not look at signatures",
}
"""Google Cloud Storage, as fake-gcs-server has it."""

AZURITE: Mapping[str, str] = {
    "aborted_is_not_found": "Azure has no request to give up blocks: it drops them after a week",
    "aborted_is_not_listed": "Azure has no request to give up blocks: it drops them after a week",
    "backslash": "Azure takes it for a slash, so it is refused",
    "dot_segments": "Azure resolves them, so they are refused",
    "metadata_hyphens": "the names of metadata are identifiers of C#",
    "presign_plain_put": "Azure wants the header x-ms-blob-type with every blob",
}
"""Azure, as Azurite has it."""

WEB: Mapping[str, str] = {
    "content_type": "the server that has the files says what they are",
    "metadata": "a web server has none to tell",
    "metadata_hyphens": "a web server has none to tell",
    "presign": "the URL itself is what others can use",
    "presign_plain_put": "nothing is written there",
    "presign_is_verified": "the URL itself is what others can use",
}
"""``http://`` and ``https://``, of whose contract only reading applies: nothing is written or listed there."""
