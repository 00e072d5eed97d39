#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A worker of a Ray cluster of your own machines; infra/README.md says how to use it.
#
#   HEAD_ADDRESS=10.0.0.1 NODE_ADDRESS=10.0.0.2 infra/ray/worker.sh
#
# CPUS and GPUS limit what Ray may use of the machine; without them it takes all. A SIGTERM lets
# Ray tell the head first; what it was working on is done by others.
set -euo pipefail

: "${HEAD_ADDRESS:?the address of the head}"
: "${NODE_ADDRESS:?the address by which others reach this machine, in a private network}"
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
export RAY_USAGE_STATS_ENABLED=0 OMP_WAIT_POLICY=PASSIVE
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
    echo "No token at $RAY_AUTH_TOKEN_PATH: copy the head's to this machine (chmod 600)." >&2
    exit 2
fi
SPILL="${SPILL:-/var/tmp/bracketflow-spill}"
mkdir -p "$SPILL"

exec ray start --block --disable-usage-stats \
    --address "$HEAD_ADDRESS:${PORT:-6379}" \
    --node-ip-address "$NODE_ADDRESS" \
    --node-manager-port "${NODE_MANAGER_PORT:-6380}" \
    --object-manager-port "${OBJECT_MANAGER_PORT:-6381}" \
    --runtime-env-agent-port "${RUNTIME_ENV_AGENT_PORT:-6382}" \
    --dashboard-agent-grpc-port "${AGENT_GRPC_PORT:-6383}" \
    --dashboard-agent-listen-port "${AGENT_PORT:-6384}" \
    --metrics-export-port "${METRICS_PORT:-8080}" \
    --min-worker-port "${MIN_WORKER_PORT:-11000}" \
    --max-worker-port "${MAX_WORKER_PORT:-11999}" \
    ${CPUS:+--num-cpus "$CPUS"} \
    ${GPUS:+--num-gpus "$GPUS"} \
    --object-store-memory "${OBJECT_STORE_BYTES:-1073741824}" \
    --object-spilling-directory "$SPILL" \
    ${RAY_TEMP_DIR:+--temp-dir "$RAY_TEMP_DIR"}
