"""Charts of an athlete's progress: plain data in, a picture or its Vega-Lite specification out.

`data.py` says what each chart shows, `spec*.py` turn it into Vega-Lite with Altair, and `render.py`
does that and the drawing in a process of its own.
"""
