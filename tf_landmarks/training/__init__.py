"""Running a method's stages: strategy, loop, checkpoints, what is written down."""
