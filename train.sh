#!/usr/bin/env bash
# Trains and evaluates one experiment and writes results/<config>/seed<k>/. The same command again
# resumes an interrupted run.
#
#   ./train.sh                                      the main job, on drawn birds
#   ./train.sh configs/digits/gt_fve.yml --seed 1   another experiment
#   N_MPI=4 ./train.sh CONFIG --gpu 0               four processes by MPI, on four GPUs or a CPU
#   ./train.sh --help                               all options
#
# The first run installs all dependencies into .venv (see environment.sh). Paths are relative to the
# project's folder. The exit code is 0, 1 if one of several runs failed, 2 if there is an error that
# you can fix, or 128 plus the signal's number after an interrupt.
set -euo pipefail

CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")"
source ./environment.sh
if [ "${N_MPI:-1}" -le 1 ]; then
    exec python -m finetune train "$@"
fi
command -v mpiexec >/dev/null || {
    echo "train.sh: N_MPI=$N_MPI needs mpiexec: pip install -e '.[mpi]'" >&2; exit 2; }
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) > N_MPI ? $(nproc) / N_MPI : 1))}
code=0
mpiexec -n "$N_MPI" python -m finetune train "$@" || code=$?
case $code in 0|2|129|130|143) ;; *)
    echo "train.sh: a process of the run died (exit code $code); the same command resumes it." >&2
esac
exit "$code"
