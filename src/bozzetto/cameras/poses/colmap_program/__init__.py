"""Structure from motion by pycolmap: a separate program, which `estimate.run_job` starts."""
