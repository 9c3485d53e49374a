"""The report of one run or several: tables, curves and pictures, as Markdown and as one self-contained HTML page."""
