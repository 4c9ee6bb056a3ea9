"""An export at work: from Python, over folders and videos, into files."""
