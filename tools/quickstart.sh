#!/usr/bin/env bash
# From nothing to a served model, on drawn faces that need no download:   bash tools/quickstart.sh
#
# Makes its own environment, trains without labels, exports, measures against annotations, writes a
# report. About five minutes on two CPU cores, beside the download of the packages. Run again, it
# reuses what is there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

run=runs/quickstart_made_faces
"$PYTHON" -m tf_landmarks.train --flagfile=configs/quickstart.cfg --run_dir="$run"
"$PYTHON" tools/synthetic_faces.py --output=runs/made_faces
"$PYTHON" tools/evaluate.py --overwrite --model="$run/export" --data=runs/made_faces --normalizer=left_eye,right_eye
echo
echo "model:  $run/export      report: $run/evaluation/report.html"
echo "serve:  docker run -p 8501:8501 -v \"\$PWD/$run/export:/models/faces\" -e MODEL_NAME=faces tensorflow/serving"
