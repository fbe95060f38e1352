"""The options of a client: one name in code, in the environment (``HEADRACE_<NAME>``) and on the command line (``--<name>``).

`resolve` finds the value of every option and where it comes from. `Options` holds the values and refuses those that make no sense.
What is known of an option (its kind of value, its help, the SDKs' variables for it) is written once, in `Options`.
"""

from headrace.config.encryption import Encryption
from headrace.config.options import SPECS, Options, merge, portable
from headrace.config.resolution import Origin, Resolved, Setting, describe, resolve

__all__ = ["SPECS", "Encryption", "Options", "Origin", "Resolved", "Setting", "describe", "merge", "portable", "resolve"]
