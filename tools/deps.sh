#!/bin/bash
# Debian packages that Weir needs, installed when missing. Sourced by tools/build, tools/up, tools/test.
# Reasons: docs/dependencies.md.
WEIR_BUILD_PACKAGES="g++ cmake ninja-build lld ccache git libasio-dev nlohmann-json3-dev libsimdjson-dev
  libspdlog-dev libfmt-dev libcpp-httplib-dev libnats-dev libgtest-dev libxxhash-dev
  libroaring-dev libssl-dev libcrypt-dev zlib1g-dev python3 python3-yaml"
WEIR_RUN_PACKAGES="prometheus curl"
WEIR_TEST_PACKAGES="clang clang-format libclang-rt-14-dev prometheus prometheus-alertmanager python3-venv curl jq"

# weir_need PACKAGE...: installs what is not there yet. Prints only when it has to.
weir_need() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing Debian packages: ${missing[*]}"
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  $sudo apt-get update -q >/dev/null || { echo "apt-get update failed; is there a network?" >&2; return 1; }
  # Daemons of the packages are not started: tools/up runs its own.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 $sudo apt-get install -y -q --no-install-recommends "${missing[@]}" \
    >/tmp/weir-apt.log 2>&1 || { tail -5 /tmp/weir-apt.log >&2; return 1; }
}
