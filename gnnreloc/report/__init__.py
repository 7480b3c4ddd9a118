"""Self-contained HTML pages: tables, curves, adjacency matrices and timelines in one file."""

from gnnreloc.report.charts import LineChart, Series
from gnnreloc.report.page import Listing, Note, Page, Part, Section, Table, TableRow, write_page
from gnnreloc.report.pictures import Matrices, Matrix, Timeline

__all__ = [
    "LineChart",
    "Listing",
    "Matrices",
    "Matrix",
    "Note",
    "Page",
    "Part",
    "Section",
    "Series",
    "Table",
    "TableRow",
    "Timeline",
    "write_page",
]
