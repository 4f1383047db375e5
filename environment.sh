# Sourced by train.sh and tests/run.sh: puts a `python` with fve_layer and its dependencies on PATH.
#
# That is the active conda or virtual environment if the program is installed there, as in that of
# environment.yml; else .venv beside this file, made with ${PYTHON:-python3} and, if NUMPY is a
# version such as 1.26, that NumPy. A .venv that is broken, incomplete or of another Python or NumPy
# than these is recreated, and one older than pyproject.toml is updated.

fve_root=$(CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fve_say() { echo "environment.sh: $*" >&2; }

# Prints the versions of Python and NumPy if environment $1 has the program and what it needs on any
# machine.
fve_versions() {
    "$1/bin/python" -I -c 'import re, sys; from importlib.metadata import requires, version
for line in requires("fisher-vector-layer"):
    if not re.search("extra == (?!.finetune)|platform", line): version(re.match(r"[\w.-]+", line)[0])
print("%d.%d" % sys.version_info[:2], version("numpy"))' 2>/dev/null
}

# Whether environment $1 is complete and of the requested Python and NumPy.
fve_usable() {
    local versions
    versions=$(fve_versions "$1") || return 1
    [ -z "${PYTHON:-}" ] || [ "${versions% *}" = "$("$PYTHON" -c \
        'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" ] || return 1
    [[ -z ${NUMPY:-} || ${versions#* }. = "$NUMPY".* ]]
}

# The stamp of a finished installation names what it was made by, and its folder.
fve_stamp() {
    echo "$(cat "$fve_root"/{pyproject.toml,setup.py,build-constraints.txt} | cksum) $fve_root"
}

fve_finished() {
    fve_usable "$1" && [ "$(cat "$1/fve_layer.stamp" 2>/dev/null)" = "$(fve_stamp)" ]
}

# On a terminal: the step of pip that its output is about.
fve_progress() {
    local line
    [ -t 2 ] || { cat > /dev/null; return; }
    while read -r line; do
        case $line in Collecting*|Downloading*|Building*|Installing*)
            printf '\r\033[K%s' "${line:0:78}" >&2
        esac
    done
    printf '\r\033[K' >&2
}

# Installs packages into environment $1, never for a user; paths are relative to the project, as pip
# would divide those of its variables at blanks.
fve_pip() {
    (
        set -o pipefail
        cd "$fve_root" &&
        export PIP_CONSTRAINT=build-constraints.txt PIP_USER=0 &&
        # The newest pip refuses constraints of builds where builds have no environment.
        if [ "$2" = --no-build-isolation ]; then unset PIP_BUILD_CONSTRAINT
        else export PIP_BUILD_CONSTRAINT=$PIP_CONSTRAINT; fi &&
        "$1/bin/python" -m pip install --disable-pip-version-check --retries 2 "${@:2}" 2>&1 |
            tee -a "$1/fve_layer.log" | fve_progress
    )
}

# Why pip failed, from its log $1.
fve_reason() {
    if grep -qsE 'NewConnection|ConnectTimeout|NameResolution|ProxyError' "$1"; then
        echo 'the package index cannot be reached; check the network'
    else
        grep -os 'ERROR: .*' "$1" | head -1 | cut -c 8-150
    fi
}

fve_install() {
    rm -f "$1/fve_layer.stamp" "$1/fve_layer.log"
    fve_say "installing fve_layer and its dependencies into $1 (some minutes, once)"
    # ChainerCV, which the shims are tested with, builds with the environment's own NumPy, without
    # its C extension.
    fve_pip "$1" -r build-constraints.txt wheel -e '.[test]' ${NUMPY:+"numpy==$NUMPY.*"} &&
    CC=true LDSHARED=true fve_pip "$1" --no-build-isolation --no-deps chainercv==0.13.1 &&
    fve_stamp > "$1/fve_layer.stamp" ||
    { fve_say "pip could not install fve_layer ($(fve_reason "$1/fve_layer.log")):" \
              "see $1/fve_layer.log, and try again."; return 1; }
}

fve_make_venv() {
    local python=${PYTHON:-python3} venv=$fve_root/.venv
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    { fve_say "$python is missing or older than Python 3.10: set PYTHON to a newer one."
      return 1; }
    [ ! -e "$venv" ] ||
        fve_say 'recreating .venv: it is broken, incomplete or of another Python or NumPy'
    # Debian's Python has no ensurepip, but its pip can install one elsewhere.
    "$python" -m venv --clear "$venv" >/dev/null 2>&1 ||
    { "$python" -m venv --clear --without-pip "$venv" &&
      PIP_USER=0 "$python" -m pip --python "$venv/bin/python" install --quiet pip; } 2>/dev/null ||
    { fve_say "$python cannot make a virtual environment: install its venv module" \
              "(Debian: python3-venv) or set PYTHON."; return 1; }
}

fve_use_venv() {
    local venv=$fve_root/.venv
    PATH=${PATH//"$venv/bin:"/}  # or python3 would be that of the .venv to recreate
    if ! fve_finished "$venv"; then
        # One process at a time; those that waited find it finished.
        (
            ! command -v flock >/dev/null || flock 9
            fve_finished "$venv" || {
                { fve_usable "$venv" || fve_make_venv; } && fve_install "$venv"
            }
        ) 9< "$fve_root/setup.py" || return 1
    fi
    export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
}

fve_environment() {
    local active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    if [ -z "$active" ] || [ "$active" = "$fve_root/.venv" ] || ! fve_usable "$active"; then
        fve_use_venv
    fi
}

fve_environment
