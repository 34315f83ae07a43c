"""Answer files: noticed when they are whole, read record by record, completed, and then taken away."""
