"""The command line: `adaptor`."""

from adapter_sdk.cli.app import main

__all__ = ["main"]
