#!/usr/bin/env bash
# One training job on the nodes of a Slurm cluster, one process a node, with all of the node's devices:
#
#   sbatch --nodes=4 --gpus-per-node=8 scripts/slurm_train.sh --config=experiments/lamb.py --workdir=/shared/lamb
#
# Needs: lbexp in the environment of the shell that submits, and a --workdir that all nodes see, as they do the folder
# where it is submitted. Options of sbatch before the script's name win over those below; what follows it goes to
# lbexp.main. For a process per GPU give --ntasks-per-node as well: a process then takes the GPU of its number.
#
# Before its time limit, or where another job takes its nodes, the job saves and waits for nodes again; so it does when
# a process was lost or hung (statuses 75, 76, 77; 134, 137, 143: killed). It goes on from its last checkpoint, at most
# LBEXP_RESTARTS times (20). It ends where it is done, or would only fail again: a wrong configuration, no usable
# checkpoint, a full disk, all trials diverged; and where scancel ends it.
#
# Run by the tests on a Slurm 22.05 of two nodes on one machine.
#SBATCH --job-name=lbexp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@120
#SBATCH --output=%x-%j.out
set -u

restart=${SLURM_RESTART_COUNT:-0}
# srun returns the largest status, and processes that it killed for another's failure have 137. The cause is the status
# of the first that failed: it is kept here.
export LBEXP_CAUSE=$PWD/.lbexp-$SLURM_JOB_ID-$restart
# shellcheck disable=SC2016  # the shell of the task expands it
srun --kill-on-bad-exit=1 --wait=60 bash -c '
    trap : TERM  # for Python, which saves and stops
    python -m lbexp.main --start_timeout=300 "$@"
    status=$?
    [ $status = 0 ] || (set -o noclobber; echo $status >"$LBEXP_CAUSE") 2>/dev/null
    exit $status' lbexp "$@"
status=$?
if [ -f "$LBEXP_CAUSE" ]; then
    status=$(<"$LBEXP_CAUSE")
    rm -f "$LBEXP_CAUSE"
fi

case $status in
75 | 76 | 77 | 134 | 137 | 143)
    if [ "$restart" -lt "${LBEXP_RESTARTS:-20}" ]; then
        echo "lbexp: status $status; restart $((restart + 1)) of at most ${LBEXP_RESTARTS:-20}"
        scontrol requeue "$SLURM_JOB_ID"
    else
        echo "lbexp: status $status after $restart restarts"
    fi
    ;;
esac
exit "$status"
