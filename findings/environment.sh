# For the other scripts: `environment PACKAGE...` installs packages into a virtual environment of its
# own. It lies in $work, which is gone when the script ends; Python is `$python`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
python=$work/venv/bin/python

environment() {
    "${PYTHON:-python3}" -m venv "$work/venv"
    "$python" -m pip install --quiet --disable-pip-version-check "$@" || exit 2
}
