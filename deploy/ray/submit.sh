#!/bin/sh
# Submits the sample job to a Ray cluster, and follows it to its end.
#
#   RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265 ZOOPIPE_JOB_FOLDER=/data deploy/ray/submit.sh --workers 4
#
# The folder is one that every node reaches. Further options are those of `zoopipe run`.
set -eu
: "${RAY_API_SERVER_ADDRESS:?is to be the address of the job server, like http://127.0.0.1:8265}"
: "${ZOOPIPE_JOB_FOLDER:?is to be a folder that every node reaches}"
[ $# -gt 0 ] || set -- --workers 2
# The driver runs on the head, where Ray tells it the address of the cluster.
exec ray job submit --working-dir "$(dirname "$0")/.." -- \
    env "ZOOPIPE_JOB_FOLDER=$ZOOPIPE_JOB_FOLDER" zoopipe run job.py:pipe --engine ray "$@"
