"""Structure from motion by pycolmap: a program of its own, which `estimate.run_job` starts."""
