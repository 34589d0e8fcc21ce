"""Structure from motion by pycolmap: a program of its own, which runs as `python THIS_FOLDER job.json`."""
