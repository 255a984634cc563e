#!/usr/bin/env bash
# What `status` costs with many pipelines: the time of the whole command, and how much a screen shows.
#
#   benches/status.sh [BINARY [PIPELINES]]     target/release/edgepurge, 60
set -euo pipefail
binary=$(realpath "${1:-target/release/edgepurge}")
many=${2:-60}
home=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || { kill "$daemon"; wait "$daemon" || true; }; rm -rf "$home"' EXIT
{
  printf '[scaleway]\napi_url = "sandbox"\n[state]\ndirectory = "%s/state"\n' "$home"
  printf '[admin]\nlisten = "off"\nsocket = "%s/admin.sock"\n' "$home"
  for n in $(seq "$many"); do
    mkdir -p "$home/sites/$n"
    echo one >"$home/sites/$n/index.html"
    printf '[[pipeline]]\nname = "site-%d"\nid = "11111111-1111-4111-8111-%012d"\n' "$n" "$n"
    printf '[[pipeline.origin]]\nroot = "%s/sites/%d"\n' "$home" "$n"
  done
} >"$home/config.toml"
"$binary" --config "$home/config.toml" --log-level error run &
daemon=$!
status=("$binary" --config "$home/config.toml" status)
until "${status[@]}" --check 2>/dev/null | grep -q "^OK - $many pipelines fresh"; do
  kill -0 "$daemon"
  sleep 0.1
done
for _ in $(seq 21); do
  before=$(date +%s%N)
  "${status[@]}" >/dev/null
  echo $((($(date +%s%N) - before) / 10000))
done | sort -n | awk '{ all[NR] = $1 / 100 } END { printf "status: median %.1f ms, most %.1f ms, of %d\n", all[int(NR / 2) + 1], all[NR], NR }'
# What it takes of a core, however busy the machine is.
TIMEFORMAT='%U %S'
{ time for _ in $(seq 20); do "${status[@]}" >/dev/null; done; } 2>&1 |
  awk '{ printf "status: %.1f ms of a core\n", ($1 + $2) * 50 }'
{ time for _ in $(seq 20); do "$binary" --version >/dev/null; done; } 2>&1 |
  awk '{ printf "a process that starts and ends: %.1f ms of a core\n", ($1 + $2) * 50 }'
curl --silent --output /dev/null --write-out '%{time_total}' --unix-socket "$home/admin.sock" http://localhost/api/v1/status |
  awk '{ printf "the answer of the daemon alone: %.1f ms\n", $1 * 1000 }'
rows=$(script --quiet --return --command "stty cols 80 rows 24; ${status[*]}" /dev/null | wc -l)
echo "on a terminal of 80 columns and 24 rows: $rows lines"
