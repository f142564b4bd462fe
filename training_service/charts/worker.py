"""The work of the drawing process.

Altair, vl-convert and its JavaScript engine take a second and 150 MB. They are imported inside of
functions, so that the serving process, which refers to these functions, never loads them.
"""

import json
import multiprocessing
import os
import re
import signal
import threading
from html import escape
from typing import Any

from training_service.charts.data import Chart, ChartFormat, Size, Theme

NICENESS = 5
"""A chart can wait a little for the processor; other calls should not."""
VEGA_LITE_VERSION = "6.4"
"""Of those that vl-convert has, the one that Altair writes."""


def start() -> None:
    """Prepares the process: only its parent ends it, and its parent's end ends it too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Sent to the whole group, they would come while the server still finishes its calls.
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.nice(NICENESS)
    _load()


def draw(chart: Chart, form: ChartFormat, theme: Theme, size: Size) -> bytes:
    """Returns a chart as SVG (UTF-8), PNG or Vega-Lite JSON (UTF-8). Raises ValueError for bad
    data.
    """
    from training_service.charts.spec import vega_lite

    return _converted(vega_lite(chart, theme, size), form)


def _converted(spec: dict[str, Any], form: ChartFormat) -> bytes:
    import vl_convert

    # Nothing may be fetched: all data is in the specification.
    options: dict[str, Any] = {"vl_version": VEGA_LITE_VERSION, "allowed_base_urls": []}
    match form:
        case ChartFormat.SVG:
            svg = vl_convert.vegalite_to_svg(spec, **options)
            return described(numbered_anew(svg), spec["description"]).encode()
        case ChartFormat.PNG:
            return vl_convert.vegalite_to_png(spec, **options)
        case ChartFormat.VEGA_LITE:
            return json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode()


def numbered_anew(svg: str) -> str:
    """Returns a picture whose gradients are numbered from 0: Vega goes on counting from one picture
    to the next, and the same data would get other bytes."""
    names = dict.fromkeys(re.findall(r'id="(gradient_\d+)"', svg))
    numbers = {name: f"gradient_{number}" for number, name in enumerate(names)}
    return re.sub(r"\bgradient_\d+\b", lambda found: numbers.get(found[0], found[0]), svg)


def described(svg: str, description: str) -> str:
    """Returns a picture with the text that a screen reader says; Vega leaves it to the page."""
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)


def _load() -> None:
    """Imports what is slow to import."""
    import vl_convert  # noqa: F401

    import training_service.charts.spec  # noqa: F401


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
