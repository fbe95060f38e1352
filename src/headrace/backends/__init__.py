"""One file or folder a storage service. Each turns the verbs of `protocol` into operations; none knows another."""
