"""Measures an exported model on annotated images, against two baselines.

    python tools/evaluate.py --model=runs/mine/export --data=my_data --normalizer=head,abdomen

The same as `tf-landmarks evaluate` and `python -m tf_landmarks.evaluate`; --help explains the flags.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module("tf_landmarks.evaluate", run_name="__main__", alter_sys=True)
