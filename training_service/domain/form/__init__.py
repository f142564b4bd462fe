"""Form analysis: what the keypoints of a body, frame by frame, say of repetitions and holds.

`skeleton.py` turns a pose estimator's keypoints into a body, `signal.py` puts frames in order and
smooths, `movements.py` says what is measured of each movement and by which limits, `reps.py`
counts repetitions, `holds.py` finds holds, and `analyzer.py` is all of it, a frame at a time.
Nothing keeps a frame: what is remembered does not grow with their number.

The method is two-dimensional and for a camera at the athlete's side. Monocular pose estimation
errs by several degrees, so that nothing is failed that lies within 5° of a limit. Limits marked
"own" are a choice of this service and come from no study.
"""
