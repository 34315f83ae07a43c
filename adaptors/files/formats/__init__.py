"""The record formats, one file per format, each declared on frozen pydantic models."""
