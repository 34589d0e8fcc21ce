"""Camera files: a reader and a writer per format."""
