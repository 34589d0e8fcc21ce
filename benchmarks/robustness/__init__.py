"""Generated and failing inputs, killed runs and memory, over all verbs."""
