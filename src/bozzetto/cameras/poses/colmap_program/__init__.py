"""Structure from motion by pycolmap: a program of its own, which `process.run_job` starts."""
