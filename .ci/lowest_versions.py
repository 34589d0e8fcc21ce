"""Print pip constraints that pin every dependency, also of the tests, to the lowest version allowed."""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
optional = project["optional-dependencies"]
for requirement in [*project["dependencies"], *(r for name in sys.argv[2:] for r in optional[name])]:
    match = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)", requirement)
    if match is None:
        sys.exit(f"{requirement} has no lower bound of the form name>=version")
    sys.stdout.write(f"{match[1]}=={match[2]}\n")
