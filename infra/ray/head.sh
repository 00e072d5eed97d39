#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The head of a Ray cluster of your own machines; infra/README.md says how to use it.
#
#   HEAD_ADDRESS=10.0.0.1 infra/ray/head.sh
#
# It stays in the foreground (for systemd), asks for a token from everybody, keeps the dashboard on
# loopback (ssh -L 8265:127.0.0.1:8265 HEAD), and uses the ports below alone, for the firewall.
set -euo pipefail

: "${HEAD_ADDRESS:?the address by which the workers reach this machine, in a private network}"
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
export RAY_USAGE_STATS_ENABLED=0 OMP_WAIT_POLICY=PASSIVE
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
    echo "No token at $RAY_AUTH_TOKEN_PATH: make one with 'ray get-auth-token --generate', and" \
         "copy it to every node (chmod 600)." >&2
    exit 2
fi
SPILL="${SPILL:-/var/tmp/bracketflow-spill}"
mkdir -p "$SPILL"

exec ray start --head --block --disable-usage-stats \
    --node-ip-address "$HEAD_ADDRESS" \
    --port "${PORT:-6379}" \
    --node-manager-port "${NODE_MANAGER_PORT:-6380}" \
    --object-manager-port "${OBJECT_MANAGER_PORT:-6381}" \
    --runtime-env-agent-port "${RUNTIME_ENV_AGENT_PORT:-6382}" \
    --dashboard-agent-grpc-port "${AGENT_GRPC_PORT:-6383}" \
    --dashboard-agent-listen-port "${AGENT_PORT:-6384}" \
    --metrics-export-port "${METRICS_PORT:-8080}" \
    --min-worker-port "${MIN_WORKER_PORT:-11000}" \
    --max-worker-port "${MAX_WORKER_PORT:-11999}" \
    --include-dashboard "${DASHBOARD:-true}" \
    --dashboard-host 127.0.0.1 \
    --dashboard-port "${DASHBOARD_PORT:-8265}" \
    --num-cpus "${CPUS:-0}" \
    --num-gpus "${GPUS:-0}" \
    --object-store-memory "${OBJECT_STORE_BYTES:-536870912}" \
    --object-spilling-directory "$SPILL" \
    ${RAY_TEMP_DIR:+--temp-dir "$RAY_TEMP_DIR"}
