"""The SavedModel: what it holds, how it is written, how it is used from Python."""
