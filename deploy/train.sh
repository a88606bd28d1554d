#!/usr/bin/env bash
# What every machine of a training runs, in the project's folder: deploy/train.sh RECIPE RANK (docs/scale.md, "Training on several machines").
# Rank 0 runs DVC's stages and owns all files; the others join. One that gets SIGTERM (time limit, preemption, kubectl delete) saves the run first.
set -u
recipe=${1:?deploy/train.sh RECIPE RANK} rank=${2:?deploy/train.sh RECIPE RANK}
[ "$rank" = 0 ] || exec voicelathe join "$recipe"

stages='' stopped=''
trap 'stopped=1; [ -z "$stages" ] || kill -TERM "$stages" 2>/dev/null' TERM INT
dvc repro -s "preflight@$recipe" "train@$recipe" &
stages=$!
[ -z "$stopped" ] || kill -TERM "$stages" 2>/dev/null # asked before DVC had begun
wait "$stages"
code=$?
wait "$stages" 2>/dev/null # a signal ends the first wait before DVC has ended
for lock in checkpoints/"$recipe"/*/.lock; do # the trainer outlives DVC until its state is saved
  [ ! -e "$lock" ] || flock --timeout 600 "$lock" true
done
exit "$code"
