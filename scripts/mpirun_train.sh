#!/usr/bin/env bash
# One training job by OpenMPI 4, on this machine or on hosts that it reaches by ssh. Before the '--' come the arguments
# of mpirun, after it those of lbexp.main:
#
#   scripts/mpirun_train.sh -n 4 -H host1:2,host2:2 -- --config=experiments/lamb.py --workdir=/shared/lamb
#
# Needs: lbexp in the environment of every host, and a --workdir that all of them see. With a process for each GPU of a
# host, a process takes the GPU of its number; a process that is alone on its host takes all of them.
#
# It starts the job again when a process was lost or hung, or one of them was told to stop (statuses 75, 76, 77; 134,
# 137, 143: killed): the job goes on from its last checkpoint, at most LBEXP_RESTARTS times (20). Ctrl-C, SIGTERM or
# SIGHUP to this script saves, stops and ends with 75. Where hosts are lost for good, start it with others: the curve is
# the same.
#
# Run by the tests with OpenMPI 4.1 and two processes on one machine; -H with several hosts was not run.
set -u

options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    options+=("$1")
    shift
done
if [ $# = 0 ]; then
    echo "lbexp: arguments: no '--' found; rule: $0 OPTIONS OF MPIRUN -- ARGUMENTS OF lbexp.main" >&2
    exit 2
fi
shift

told=
job=
# One process that is told to stop makes all of them save and stop; mpirun itself would kill them after a second.
tell() {
    told=yes
    [ -z "$job" ] || pkill -TERM -P "$job" -f lbexp.main || kill -TERM "$job"
}
trap tell INT TERM HUP
for ((restart = 0; ; restart++)); do
    setsid mpirun "${options[@]}" python -m lbexp.main --start_timeout=300 "$@" & # away from the terminal, whose Ctrl-C is for us
    job=$!
    wait "$job"
    status=$?
    while kill -0 "$job" 2>/dev/null; do # a signal to this script ended the wait, not the job
        wait "$job"
        status=$?
    done
    case $status in
    75 | 76 | 77 | 134 | 137 | 143) ;;
    *) exit "$status" ;;
    esac
    sleep 1
    [ -z "$told" ] || exit "$status"
    if [ "$restart" -ge "${LBEXP_RESTARTS:-20}" ]; then
        echo "lbexp: status $status after $restart restarts" >&2
        exit "$status"
    fi
    echo "lbexp: status $status; restart $((restart + 1)) of at most ${LBEXP_RESTARTS:-20}" >&2
done
