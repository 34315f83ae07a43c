"""The stock database: a legacy system that knows nothing of events."""
