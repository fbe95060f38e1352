"""What the backends on a file system share: the meaning of paths, errors, listings, and writes that appear whole or not at all."""
