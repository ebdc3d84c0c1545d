#!/bin/sh
# Builds the preload library of `ioasis record`: build.sh [OUTPUT]. CC and CFLAGS as usual.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/../dist/recorder/libioasis-record.so}
mkdir -p "$(dirname "$output")"
# Fortified headers would turn the functions that are defined here into calls of others.
# shellcheck disable=SC2086
${CC:-cc} -std=gnu11 -O2 -fPIC -shared -pthread -fvisibility=hidden -Wall -Wextra -U_FORTIFY_SOURCE ${CFLAGS:-} \
  -Wl,-z,now -Wl,--no-undefined -o "$output.tmp" "$here"/preload/*.c -ldl
mv "$output.tmp" "$output"
