#!/bin/sh
# Install this distribution with the locked dependencies of its extras that are named into /opt/venv. Called by every
# Dockerfile.
set -eu
extras=$(printf -- " --extra %s" "$@")
uv=/opt/tools/bin/uv

python3 -m venv /opt/tools
/opt/tools/bin/pip install --quiet --disable-pip-version-check "uv==$(sed -n 's/^UV_VERSION := //p' Makefile)"

# The wheel is built by what the lock names, outside the environment that is shipped.
$uv export --quiet --frozen --only-group package --no-emit-project --output-file /tmp/package.txt
$uv pip install --quiet --python /opt/tools --require-hashes --requirement /tmp/package.txt
$uv build --quiet --wheel --no-build-isolation --python /opt/tools/bin/python --out-dir /tmp/dist .

$uv venv --quiet --python python3 /opt/venv
# shellcheck disable=SC2086 # words, on purpose
$uv export --quiet --frozen --no-dev $extras --no-emit-project --output-file /tmp/requirements.txt
$uv pip install --quiet --python /opt/venv --compile-bytecode --require-hashes --requirement /tmp/requirements.txt
$uv pip install --quiet --python /opt/venv --compile-bytecode --no-deps /tmp/dist/splitway-*.whl
rm -f /opt/venv/.lock # anybody could write to it
