"""Numbers of what was found: arrays in, numbers out; no model, no file."""
