#!/usr/bin/env bash
# The paper's whole recipe on COCO and CrowdPose, on one machine with eight GPUs.
#
#     bash examples/crowdpose_on_eight_gpus.sh                  # litepose-xs, for XS
#     SPACE=litepose bash examples/crowdpose_on_eight_gpus.sh   # for S, M and L
#
# Expected cost: 125 GPU hours for litepose-xs, 132 for litepose, at 1 TMAC/s a GPU. That is an
# estimate by arithmetic, printed by cost_at_full_scale.py; nobody has run this to its end.
#
# Memory: at 512 px the largest network keeps 0.9 GiB of feature maps a picture, so the 16 pictures of
# a GPU take some 20 GB. Where there are 16 GB, add --set precision=float16 to stages 1 and 2, or
# --set accumulate=2, with which batch norm sees 8 pictures at a time. Eight processes of four loaders
# hold some 9 GB of batches in /dev/shm.
#
# Where it departs from the paper, and why:
# - Batch 128 with lr 4e-3 and a warm-up everywhere, as the paper has it for XS only: of a batch of
#   32, each of eight GPUs would measure batch norm over 4 pictures.
# - Weights are learnt on CrowdPose's train, archs and epochs are chosen on val, and test chooses
#   nothing. The paper learns on train and val: --data "$CROWDPOSE/json/crowdpose_trainval.json".
# - Each of the two spaces pre-trains for itself, though their largest networks are the same.
#
# A stage that was interrupted goes on if its line is run again with --resume.
set -euo pipefail

SPACE="${SPACE:-litepose-xs}"
COCO="${COCO:-coco}"                # annotations/, train2017/, val2017/
CROWDPOSE="${CROWDPOSE:-crowdpose}" # json/, images/
RUNS="${RUNS:-runs/crowdpose-$SPACE}"

# 1. The largest network learns heatmaps on COCO: the joints that CrowdPose has, where COCO has them.
torchrun --nproc-per-node 8 -m ofa_pose train --space "$SPACE" --stage pretrain --epochs 100 \
    --skeleton crowdpose --data "$COCO" --data-skeleton coco \
    --batch-size 128 --set lr=4e-3 --set warmup_steps=500 \
    --validations 1 --device cuda --workers 4 --out "$RUNS/pretrain"

# 2. The supernet, its channels sorted by importance first: one arch a step. How many epochs is the
#    recipe of the space: 2,400 for litepose-xs, 800 for litepose.
torchrun --nproc-per-node 8 -m ofa_pose train --space "$SPACE" --init "$RUNS/pretrain" \
    --data "$CROWDPOSE" --val-scenes 500 \
    --batch-size 128 --set lr=4e-3 --set warmup_steps=500 \
    --device cuda --workers 4 --out "$RUNS/supernet"

# 3. The search, within the tiers of the space; every GPU scores archs of its own, 24 a generation so
#    that none waits. The cache holds the scored pictures of a process at one resolution: 2,000 at
#    512 px take 2 GB.
ofa-pose search --supernet "$RUNS/supernet" --data "$CROWDPOSE" --split val --scenes 2000 \
    --report "$CROWDPOSE/json/crowdpose_test.json" --evaluations 400 --batch-size 32 \
    --offspring 24 --cache 3 --device cuda --out "$RUNS/search"

# 4. Every winner is fine-tuned and scored.
for tier in "$RUNS"/search/*.yaml; do
    name="$(basename "$tier" .yaml)"
    if [[ "$name" == config ]]; then continue; fi
    torchrun --nproc-per-node 8 -m ofa_pose finetune "$tier" --epochs 200 \
        --data "$CROWDPOSE" --val-scenes 2000 \
        --batch-size 128 --set lr=4e-3 --set warmup_steps=500 \
        --device cuda --workers 4 --out "$RUNS/$name"
    ofa-pose eval "$RUNS/$name/$name.yaml" --data "$CROWDPOSE" --split test --flip \
        --device cuda --batch-size 32
done

# The paper's XS learns from its S as well; after both spaces' runs:
#   torchrun --nproc-per-node 8 -m ofa_pose finetune runs/crowdpose-litepose-xs/search/XS.yaml \
#       --teacher runs/crowdpose-litepose/S/S.yaml --epochs 200 --data crowdpose ...
