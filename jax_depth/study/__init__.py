"""Why models of one family speak in different numbers: several, over the same photos.

ranges          what the raw values span
common_form     one form for every kind of map
agreement       how far two maps agree once aligned
disagreement    where they do not
probe           token norms and sizes of every stage inside a network
edits           parameters changed by hand: what reaches the output, what does not
findings        what the figures say, in sentences
run             all of it over photos; `document` as JSON and CSV, `html` as a page
                whose words and tags are those of report.html
"""

from typing import TYPE_CHECKING

from jax_depth._lazy import lazy as _lazy

if TYPE_CHECKING:
    from jax_depth.study.document import to_document as to_document
    from jax_depth.study.html import to_html as to_html
    from jax_depth.study.models import open_models as open_models
    from jax_depth.study.run import Study as Study
    from jax_depth.study.run import begin as begin

__getattr__, __dir__, __all__ = _lazy(  # pyright: ignore[reportUnsupportedDunderAll]
    __name__,
    {
        "Study": "run",
        "begin": "run",
        "open_models": "models",
        "to_document": "document",
        "to_html": "html",
    },
)
