"""The SavedModel: what it holds and how it is written."""
