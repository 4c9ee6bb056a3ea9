"""Pictures made with exported models."""
