"""Pictures of what a model sees and finds, as uint8 RGB arrays."""
