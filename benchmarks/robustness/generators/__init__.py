"""Generated inputs with known truth, one file per family, and the judge that reads them with bozzetto.

Generators follow the formats' specifications and the habits of other programs, never bozzetto's readers.
"""
