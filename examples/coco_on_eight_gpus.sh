#!/usr/bin/env bash
# The paper's networks for COCO: what was found on CrowdPose is fine-tuned on COCO by eight GPUs.
#
#     bash examples/coco_on_eight_gpus.sh                  # XS, after crowdpose_on_eight_gpus.sh
#     SPACE=litepose bash examples/coco_on_eight_gpus.sh   # S, M and L
#
# Expected cost: 24 GPU hours for litepose-xs, 504 for litepose, at 1 TMAC/s a GPU. That is an
# estimate by arithmetic, printed by cost_at_full_scale.py; nobody has run this to its end.
#
# Memory: L takes nearly as much as crowdpose_on_eight_gpus.sh says of the largest network, XS 3 GB.
#
# COCO has 17 joints and CrowdPose 14, so all but the heads is taken over. Batch and rate are those
# of crowdpose_on_eight_gpus.sh, where it says why. The one validation, on val2017, is at the end:
# it chooses nothing.
set -euo pipefail

SPACE="${SPACE:-litepose-xs}"
COCO="${COCO:-coco}" # annotations/, train2017/, val2017/
FOUND="${FOUND:-runs/crowdpose-$SPACE/search}"
RUNS="${RUNS:-runs/coco-$SPACE}"

for tier in "$FOUND"/*.yaml; do
    name="$(basename "$tier" .yaml)"
    if [[ "$name" == config ]]; then continue; fi
    torchrun --nproc-per-node 8 -m ofa_pose train --space "$SPACE" --arch "$tier" \
        --stage finetune --init "$tier" --skeleton coco --data "$COCO" \
        --epochs 500 --set schedule=step --set 'milestones=[[350, 0.1], [480, 0.1]]' \
        --batch-size 128 --set lr=4e-3 --set warmup_steps=500 --validations 1 \
        --device cuda --workers 4 --out "$RUNS/$name"
    # The tier is called after its arch: 256-16-16-32-48-80-16-24-24.yaml, for example.
    ofa-pose eval "$RUNS/$name"/[0-9]*.yaml --data "$COCO" --split val --flip \
        --device cuda --batch-size 32
done
