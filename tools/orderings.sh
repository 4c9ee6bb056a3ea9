#!/usr/bin/env bash
# Whether ContrastLandmark and DVE order things on drawn faces as the papers' tables do:   bash tools/orderings.sh [SEED]
#
# Trains small networks (some 45 minutes on one CPU core, of which DVE takes most), then measures what docs/contrastlandmark.md and
# docs/dve.md tell of them. Run again, it goes on where it was.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

seed="${1:-0}"
out="runs/orderings_$seed"
faces=runs/orderings_faces
"$PYTHON" tools/synthetic_faces.py --output="$faces" --num_train=4000 --num_test=400

train() { # NAME FLAGS...: trains a run, unless its export is there
  local name="$1"
  shift
  [ -d "$out/$name/export" ] || "$PYTHON" -m tf_landmarks.train --data="$faces/train" --run_dir="$out/$name" --seed="$seed" "$@"
}
contrast=(--flagfile=configs/cpu_contrastlandmark.cfg --image_size=48 --crop_fraction=0.75)
projection=("${contrast[@]}" --batch_size=32 --steps=625 --contrastlandmark_projection_alone
  --contrastlandmark_projection_dim=32 --contrastlandmark_projection_steps=0)
plain=(--contrastlandmark_projection_dim=0 --contrastlandmark_projection_steps=0)
train trained "${contrast[@]}" "${plain[@]}" --steps=2500
train random "${contrast[@]}" "${plain[@]}" --steps=0
train projected "${projection[@]}" --init_from="$out/trained"
train random_projected "${projection[@]}" --init_from="$out/random"
for name in trained random projected random_projected; do
  [ -e "$out/$name/matching/matching.json" ] ||
    "$PYTHON" tools/measure_matching.py --model="$out/$name" --data="$faces" --output="$out/$name/matching"
done
[ -e "$out/few_labels/few_labels.json" ] ||
  "$PYTHON" tools/few_labels.py --models="$out/trained,$out/projected,$out/random" --data="$faces" --head=ridge \
    --counts=5,20,100,500 --rivals=pixels,hog --supervised= --seed="$seed" \
    --normalizer=left_eye,right_eye --output="$out/few_labels"

dve=(--method=dve --dve_network=smallnet --dve_descriptor_dim=16 --image_size=32 --batch_size=16 --steps=3000)
train dve "${dve[@]}"
train dve_plain "${dve[@]}" --nodve_exchange
for name in dve dve_plain; do
  [ -e "$out/$name/matching/matching.json" ] ||
    "$PYTHON" tools/measure_matching.py --model="$out/$name" --data="$faces" --matching=dve --output="$out/$name/matching"
done
