#!/bin/sh
# Runs the sample job on a Dask cluster; the driver is this process.
#
#   DASK_SCHEDULER_ADDRESS=tcp://127.0.0.1:8786 ZOOPIPE_JOB_FOLDER=/data deploy/dask/submit.sh --workers 4
#
# The folder is one that every node reaches. Further options are those of `zoopipe run`.
set -eu
: "${DASK_SCHEDULER_ADDRESS:?is to be the address of the scheduler, like tcp://127.0.0.1:8786}"
: "${ZOOPIPE_JOB_FOLDER:?is to be a folder that every node reaches}"
[ $# -gt 0 ] || set -- --workers 2
exec zoopipe run "$(dirname "$0")/../job.py:pipe" --engine dask "$@"
