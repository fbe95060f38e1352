"""`headrace.Path`, on objects in memory and on files; ``s3://bucket/prefix`` works just so."""

from __future__ import annotations

import tempfile

from headrace import Path

with tempfile.TemporaryDirectory() as directory:
    for base in (Path("memory://paths/run"), Path(directory) / "run"):
        for step in range(3):
            (base / "checkpoints" / f"{step:03}" / "weights.bin").write_bytes(bytes([step]))
        (base / "notes.txt").write_text("naïve")

        for path in sorted(base.rglob("*.bin"), reverse=True):
            print(path.relative_to(base), path.stat().size)
        latest = max(path for path in (base / "checkpoints").iterdir() if path.is_dir())
        print("latest:", latest.name)
        (latest / "weights.bin").rename(base / "best.bin")
        print(sorted(path.name for path in base.iterdir()))
