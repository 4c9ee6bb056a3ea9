"""Where images, pairs of images and annotations come from."""
