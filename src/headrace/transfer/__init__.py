"""Many operations as one act: parallel ranges, writes in parts, batches, listings, files."""
