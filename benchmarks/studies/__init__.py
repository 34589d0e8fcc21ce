"""Studies behind design choices; no row of the tables of figures is made from them."""
