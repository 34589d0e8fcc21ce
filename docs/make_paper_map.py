"""Write `paper_map.md`: which function computes which equation, from tags in the docstrings.

A tag is a paragraph of the docstring of the function or class that computes it:

    Source: Park et al. 2019, equation 4. Differs: a second term keeps the field a distance everywhere.

It names a publication by its label in `bozzetto.citations`, then what of it, and after `Differs:` where the
code departs from it and why. Of the package only that list is imported, so this runs without dependencies.

    python docs/make_paper_map.py           # write the page
    python docs/make_paper_map.py --check   # fail if it is not up to date
"""

import ast
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "bozzetto"
PAGE = ROOT / "docs" / "paper_map.md"

TAG = re.compile(r"Source: (?P<label>[^,:]+? \d{4})(?:, (?P<part>.+?))?\.(?: Differs: (?P<differs>.+))?")

HEAD = """# From the papers to the code

Which function computes which equation, and where it differs from what was published. The page is made from tags
in the docstrings by `docs/make_paper_map.py`, and a test fails when it is out of date. "As released" means that
the authors' own code was followed where paper and code differ. Files are those of `src/bozzetto`.
`bozzetto cite ENGINE` prints the BibTeX entries.
"""

MAIN = (
    "Nicolet et al. 2021",
    "Laine et al. 2020",
    "Park et al. 2019",
    "Cai et al. 2020",
    "Height study 2025",
)
"""Publications with a section of their own, beside those of which much is used; the rest share a table."""
MUCH = 3
"""Tags from which on a publication has a section."""


@dataclass(frozen=True)
class Entry:
    """One tag.

    Attributes:
        label: The publication.
        part: Which equation, section or idea of it.
        what: First sentence of the docstring.
        file: Path within the package.
        name: Qualified name of the function or class.
        differs: Where it departs from the publication; empty if nowhere.
    """

    label: str
    part: str
    what: str
    file: str
    name: str
    differs: str


def load_citations():
    """`bozzetto.citations` by its path, without the package."""
    spec = importlib.util.spec_from_file_location("paper_map_citations", PACKAGE / "citations.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(package: Path = PACKAGE) -> list[Entry]:
    """All tags of a package, in order of files and lines.

    Raises:
        ValueError: A paragraph begins like a tag and is none.
    """
    found = []
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "Source: " in source:
            file = path.relative_to(package).as_posix()
            for name, text in docstrings(ast.parse(source)):
                found += [
                    Entry(*tag, file=file, name=name, differs=d) for *tag, d in tags(text, f"{file}: {name}")
                ]
    return found


def located_first(entry: Entry) -> bool:
    """Sorts what has an equation, a section or the like of the paper before the rest."""
    return re.match(r"(equation|section|algorithm|table|figure)s? \d", entry.part) is None


def docstrings(node: ast.AST, within: str = "") -> list[tuple[str, str]]:
    """Qualified names and docstrings of all functions and classes."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            name = f"{within}.{child.name}" if within else child.name
            if text := ast.get_docstring(child):
                found.append((name, text))
            found += docstrings(child, name)
    return found


def tags(text: str, place: str) -> list[tuple[str, str, str, str]]:
    """(label, part, what, differs) of the tags of one docstring."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    cited = r"( \([^()]*\b\d{4}\b[^()]*\)|, see [^,]+ \d{4}, section [\d.]+)"  # said in another column
    what = re.split(r"(?<!\bal\.)(?<=\.)\s", re.sub(cited, "", paragraphs[0]))[0].rstrip(".:")
    found = []
    for paragraph in paragraphs:
        if not paragraph.startswith("Source: "):
            continue
        match = TAG.fullmatch(paragraph)
        if match is None:
            raise ValueError(f"{place}: not `Source: LABEL YEAR, PART. Differs: TEXT`: {paragraph}")
        found.append((match["label"], match["part"] or "", what, match["differs"] or ""))
    return found


def page(found: list[Entry], references) -> str:
    """The page in Markdown.

    Raises:
        ValueError: A tag names a publication that is not in the list.
    """
    labels = [reference.label for reference in references]
    if unknown := {entry.label for entry in found} - set(labels):
        raise ValueError(f"not in bozzetto.citations: {', '.join(sorted(unknown))}")
    by_label = {label: sorted((e for e in found if e.label == label), key=located_first) for label in labels}
    parts = [HEAD]
    rest = []
    for reference in references:
        of_it = by_label[reference.label]
        if reference.label in MAIN or len(of_it) >= MUCH:
            parts.append(f"\n## {reference.label}\n\n{described(reference)}\n\n{table(of_it)}")
        else:
            rest += of_it
    parts.append(f"\n## Others\n\n{table(rest, with_label=True)}")
    return "".join(parts)


def described(reference) -> str:
    """A publication in one line."""
    if not reference.title:
        return f"{reference.note}."
    return f"{', '.join(reference.authors)}: *{reference.title}*. {reference.venue}, {reference.year}."


def table(found: list[Entry], with_label: bool = False) -> str:
    """Rows of entries; of several publications with the label."""
    lines = [["publication" if with_label else "where in the paper", "what", "code", "how it differs"]]
    lines.append(["---"] * 4)
    for e in found:
        part = ", ".join(filter(None, [e.label, e.part])) if with_label else e.part
        row = [part, e.what, f"`{e.file}`<br>`{e.name}`", e.differs]
        lines.append([cell.replace("|", "\\|") for cell in row])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page, or with --check compare it."""
    text = page(entries(), load_citations().REFERENCES)
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
