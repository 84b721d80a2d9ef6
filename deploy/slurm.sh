#!/bin/bash
# A training whose environments live on all nodes of a SLURM job: sbatch deploy/slurm.sh [--config.KEY=VALUE ...]
#
# Run it in a checkout that all nodes see, with its environment in .venv. The learner runs on the first node. Two minutes
# before the job's time is over the run is saved; the same command with RUN=runs/slurm-NUMBER set goes on with it.
#SBATCH --job-name=avtd3
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail

export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD"
learner_cpus=4 # of the first node
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
others=$((${#hosts[@]} - 1))
environments=$((${#hosts[@]} * SLURM_CPUS_PER_TASK - learner_cpus))
port=$((20000 + SLURM_JOB_ID % 10000))
address="$(srun --nodes=1 --ntasks=1 --nodelist="${hosts[0]}" hostname --ip-address | cut -d' ' -f1):$port"

srun --nodes=1 --ntasks=1 --nodelist="${hosts[0]}" ray start --head --node-ip-address="${address%:*}" --port="$port" \
  --num-cpus="$((SLURM_CPUS_PER_TASK - learner_cpus))" --include-dashboard=false --block &
timeout 120 bash -c "until (exec 3<>/dev/tcp/${address/://}) 2>/dev/null; do sleep 1; done"
if ((others > 0)); then
  srun --nodes="$others" --ntasks="$others" --exclude="${hosts[0]}" \
    ray start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi

run="${RUN:-runs/slurm-$SLURM_JOB_ID}"
resume=()
if [ -d "$run" ]; then
  resume=(--resume)
fi
python -m avtd3_jax.train --config configs/town01.py --workdir "$run" "${resume[@]}" \
  --config.num_envs="$environments" --config.fleet.backend=ray --config.fleet.address="$address" \
  --config.fleet.max_lag_updates=500 "$@" &
training=$!
trap 'kill -TERM "$training"' TERM
code=0
wait "$training" || code=$?
while kill -0 "$training" 2>/dev/null; do # the signal ended the wait, and the run is being saved
  wait "$training" || code=$?
done
exit "$code" # which ends the job, and Ray with it
