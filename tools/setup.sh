#!/bin/sh
# Checks what the set-up needs, in plain shell so that any machine can say what it lacks, then hands
# over to build_environment.py. Usage: setup.sh [VENV]; the variable PYTHON names an interpreter.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "setup: $1" >&2
    exit 1
}

is_supported() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14}; do
    if is_supported "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    found=$("${PYTHON:-python3}" --version 2>&1) || found="no ${PYTHON:-python3}"
    fail "Python 3.10 to 3.14 is needed, found $found: install one (Debian, Ubuntu: sudo apt install python3 python3-venv python3-dev) or name it, as in 'make setup PYTHON=python3.12'."
fi

# The interpreter below an active virtual environment, which may be the one that is to be made.
base=$("$python" -c 'import sys
print("%s/bin/python%d.%d" % (sys.base_exec_prefix, *sys.version_info[:2]))')
[ ! -x "$base" ] || python=$base

if [ -n "${ROS_DISTRO:-}" ]; then
    "$python" -c 'import rclpy' 2>/dev/null ||
        fail "ROS_DISTRO is '$ROS_DISTRO', but $python can't import its rclpy: source /opt/ros/$ROS_DISTRO/setup.sh again, name ROS's interpreter with PYTHON=/usr/bin/python3, or unset ROS_DISTRO to use ROS wheels."
else
    machine="$(uname -s) $(uname -m)"
    [ "$machine" = "Linux x86_64" ] ||
        fail "the ROS 2 wheels are for Linux x86_64 only, and this is $machine: source a ROS 2 installation first (source /opt/ros/jazzy/setup.sh), or use the package without ROS ('pip install .')."
fi

"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python lacks the modules venv and ensurepip: install them (Debian, Ubuntu: sudo apt install python3-venv)."

"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    fail "$python lacks its C headers, which the messages are compiled with: install them (Debian, Ubuntu: sudo apt install python3-dev)."

compiler=
for candidate in "${CXX:-c++}" g++ clang++; do
    if command -v "$candidate" >/dev/null; then
        compiler=$candidate
        break
    fi
done
[ -n "$compiler" ] ||
    fail "no C++ compiler found, which the messages are compiled with: install one (Debian, Ubuntu: sudo apt install build-essential) or name it in CXX."

exec "$python" "$here/build_environment.py" "${1:-$here/../.venv}"
