"""A map-style PyTorch dataset over URIs, read by the worker processes of a DataLoader.

The client is used before the workers are forked, and by them afterwards: each process opens connections of its own. A batch is read
as a whole, many objects at once, because the dataset has ``__getitems__``.

    python examples/pytorch_loader.py            # needs PyTorch: pip install torch
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence

import numpy as np

import headrace

try:
    import torch
    from torch.utils.data import DataLoader, Dataset
except ModuleNotFoundError:
    sys.exit("This example needs PyTorch, which is not installed. Install it: pip install torch")

SAMPLES = 64
SHAPE = (32, 32)


class ObjectDataset(Dataset[torch.Tensor]):
    """Objects of float32 numbers as tensors.

    Args:
        uris: one object for each sample.
        shape: the shape of a sample.
        client: reads them.
    """

    def __init__(self, uris: Sequence[str], shape: tuple[int, ...], client: headrace.Client) -> None:
        self._uris = uris
        self._shape = shape
        self._client = client

    def __len__(self) -> int:
        return len(self._uris)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._tensor(self._client.get(self._uris[index]))

    def __getitems__(self, indices: list[int]) -> list[torch.Tensor]:
        """A batch; DataLoader prefers this to one item after another."""
        items = self._client.get_many([self._uris[index] for index in indices], ordered=True)
        return [self._tensor(item.data) for item in items if item.data is not None]

    def _tensor(self, data: memoryview) -> torch.Tensor:
        # The tensor lies in the memory that the object was received into.
        return torch.frombuffer(data, dtype=torch.float32).reshape(self._shape)


def main() -> None:
    """Write samples, and read them by two workers for two epochs."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory, headrace.Client() as client:
        uris = [f"file://{directory}/{number:03}.f32" for number in range(SAMPLES)]
        list(client.put_many((uri, np.full(SHAPE, number, np.float32)) for number, uri in enumerate(uris)))

        dataset = ObjectDataset(uris, SHAPE, client)
        loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=2, multiprocessing_context="fork")
        for epoch in range(2):
            seen = torch.cat([batch[:, 0, 0] for batch in loader])
            assert sorted(seen.tolist()) == list(range(SAMPLES))
            print(f"epoch {epoch}: {len(loader)} batches, {len(seen)} samples, the first ones {seen[:5].int().tolist()}")


if __name__ == "__main__":
    main()
