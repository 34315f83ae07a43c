"""EventBridge-compatible event patterns, as used in `@handles(where=...)`.

Operators and their meaning follow the Amazon EventBridge user guide, "Comparison operators for use in event patterns".
"""
