#!/usr/bin/env bash
# One training job on a Cloud TPU of any size; it creates the TPU, and creates it again when it was preempted:
#
#   SHARED=10.0.0.2:/share scripts/cloud_tpu.sh lamb europe-west4-b v5litepod-16 \
#       --config=experiments/lamb.py --workdir=/shared/lamb
#
# Needs: gcloud with a project that may create TPUs; and, as all hosts must see the workdir, an NFS export (Filestore,
# for one) in the network of the TPU: SHARED is mounted at /shared. Run it in the folder of lbexp, which is copied to
# the hosts. RUNTIME is the TPU's software (default tpu-ubuntu2204-base), CREATE more options of its creation (default
# --spot).
#
# Every host starts the command again where it ends with 75, 76, 77, 134, 137 or 143 (preempted, lost another, hung,
# killed): the job goes on from its last checkpoint, at most LBEXP_RESTARTS times (20) on one TPU. The TPU is deleted at
# the end.
#
# Not run on a Cloud TPU: the tests run it with a gcloud that works on this machine.
set -u

if [ $# -lt 4 ]; then
    echo "lbexp: arguments: found $#; rule: $0 NAME ZONE ACCELERATOR_TYPE ARGUMENTS OF lbexp.main" >&2
    exit 2
fi
name=$1 zone=$2 accelerator=$3
shift 3
tpu() {
    local verb=$1
    shift
    gcloud compute tpus tpu-vm "$verb" "$name" --zone="$zone" --quiet "$@"
}

prepare="set -e
    sudo apt-get -qq update && sudo apt-get -qq install -y python3.11-venv nfs-common
    python3.11 -m venv lbexp-env && lbexp-env/bin/pip install --quiet './lbexp[tpu]'
    sudo mkdir -p /shared && sudo mount -t nfs '${SHARED:?HOST:/EXPORT that all hosts mount}' /shared"
# The hosts start again together: each loops, and waits for the others, who may notice later what it noticed.
printf -v arguments ' %q' "$@"
train="cd lbexp || exit 1
    for ((restart = 0; restart <= ${LBEXP_RESTARTS:-20}; restart++)); do
        ../lbexp-env/bin/python -m lbexp.main --start_timeout=600$arguments
        status=\$?
        case \$status in 75 | 76 | 77 | 134 | 137 | 143) sleep 5 ;; *) break ;; esac
    done
    exit \$status"

state=
trap 'tpu delete; exit 130' INT TERM
while :; do
    # shellcheck disable=SC2086  # several options
    until tpu create --accelerator-type="$accelerator" --version="${RUNTIME:-tpu-ubuntu2204-base}" ${CREATE---spot}; do
        [ -n "$state" ] || exit 1
        sleep 60 # one was taken away: another will be free
    done
    status=1
    if gcloud compute tpus tpu-vm scp --recurse --worker=all --zone="$zone" --quiet "$PWD" "$name:lbexp" &&
        tpu ssh --worker=all --command="$prepare"; then
        tpu ssh --worker=all --command="$train"
        status=$?
    fi
    state=$(tpu describe --format='value(state)')
    state=${state:-GONE}
    tpu delete
    # A TPU that is still there was not preempted: the job has ended by itself.
    [ "$state" != READY ] || exit "$status"
    echo "lbexp: the TPU is $state; another one is created" >&2
done
