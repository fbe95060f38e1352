"""headrace as filesystems of fsspec's, and so in pandas, pyarrow, zarr, xarray, dask and Hugging Face datasets.

    import pandas

    pandas.read_parquet("headrace+s3://bucket/table.parquet")

``headrace+s3``, ``headrace+gs``, ``headrace+az``, ``headrace+file``, ``headrace+direct`` and ``headrace+memory`` are known to fsspec when
headrace is installed; `register` puts headrace in the place of the filesystems for ``s3``, ``gs`` and ``az``.

Needs fsspec: ``pip install 'headrace[fsspec]'``.
"""

from headrace.adapters.fsspec.filesystem import (
    AzureFileSystem,
    DirectFileSystem,
    GoogleFileSystem,
    HeadraceFileSystem,
    LocalFileSystem,
    MemoryFileSystem,
    S3FileSystem,
    register,
)

__all__ = [
    "AzureFileSystem",
    "DirectFileSystem",
    "GoogleFileSystem",
    "HeadraceFileSystem",
    "LocalFileSystem",
    "MemoryFileSystem",
    "S3FileSystem",
    "register",
]
