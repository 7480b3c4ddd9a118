"""How Sphinx builds these pages: ``make docs``."""

import re
from pathlib import Path
from typing import Any, NoReturn

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

from gnnreloc import __version__

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments" / "results"
PAGES = {"results": "README.md", "ablations": "ablations.md"}

project = "gnnreloc"
author = "gnnreloc contributors"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
default_role = "code"
highlight_language = "none"

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["tables.css"]
html_css_files = ["tables.css"]
html_show_copyright = False
html_title = f"gnnreloc {release}"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def show_results(app: Any, docname: str, source: list[str]) -> None:
    """Put the committed pages of results, with their links, into the pages that stand for them."""
    if docname in PAGES:
        text = (RESULTS / PAGES[docname]).read_text(encoding="utf-8").partition("\n")[2]
        text = re.sub(r"\]\((?!https?:|#|\w+\.md)", "](../experiments/results/", text)
        source[0] = source[0].replace("{RESULTS}", text)
        main = (ROOT / "README.md").read_text(encoding="utf-8")
        main = main.partition("\n## Results\n")[2].partition("\n**Every system")[0]
        main = re.sub(r"\]\(experiments/results/README\.md#", "](#", main)
        main = re.sub(r"\]\(experiments/results/(\w+)\.md", r"](\1.md", main)
        main = re.sub(r"\]\((?!https?:|#|\w+\.md)", "](../", main)
        source[0] = source[0].replace("{MAIN}", main)


def write_inline(writer: Any, node: Any) -> NoReturn:
    """A formula in a line of text, as MathML: nothing is loaded to show it."""
    writer.body.append(convert(node.astext()))
    raise SkipNode


def write_display(writer: Any, node: Any) -> NoReturn:
    """A formula of its own."""
    body = convert(node.astext().strip(), display="block")
    writer.body.append(f'<div class="math">{body}</div>')
    raise SkipNode


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_display, None))
    app.connect("source-read", show_results)
