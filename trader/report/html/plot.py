"""A report inside a notebook."""

from html import escape


class Plot:
    """A page that a notebook shows in a frame of its own; `html` is the page."""

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" style="width:100%;height:46rem;border:0" '
            'title="Report of the run"></iframe>'
        )
