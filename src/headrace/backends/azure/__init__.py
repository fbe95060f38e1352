"""Azure Blob Storage and the emulators that speak its protocol (Azure Storage REST API reference, "Blob Storage REST API")."""

from headrace.backends.azure.addressing import account_in_url
from headrace.backends.azure.backend import AzureBackend

__all__ = ["AzureBackend", "account_in_url"]
