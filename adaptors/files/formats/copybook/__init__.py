"""COBOL copybooks turned into models: `source` to `entries` to `module`, which is Python source text."""
