#!/bin/sh
# Install PostgreSQL, Redis, RabbitMQ, Chromium, strace and libfaketime from the distribution, where that is possible
# without asking, for the tests that start them privately. Elsewhere those tests are skipped with their reason; with
# CI=true they fail instead.
set -eu

has_postgresql() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

missing=
has_postgresql || missing="$missing postgresql"
command -v redis-server >/dev/null || missing="$missing redis-server"
[ -e /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing="$missing rabbitmq-server"
command -v chromium >/dev/null || missing="$missing chromium"
command -v strace >/dev/null || missing="$missing strace"
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing libfaketime"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Tests on these servers will be skipped, they are not installed:$missing" >&2
    exit 0
fi
echo "Installing for the tests:$missing"
# shellcheck disable=SC2086
said=$(apt-get update -qq 2>&1 &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing 2>&1) ||
    { echo "$said" >&2; exit 1; }
