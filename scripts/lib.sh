# shellcheck shell=bash
#
# What the commands in this folder share. Sourcing it moves to the top of the
# repository and arranges for everything temporary to be cleaned up at the end.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One language and encoding for every message, sort order and file, whatever
# the user's are. LANGUAGE would win over LC_ALL.
export LC_ALL=C.UTF-8
unset LANGUAGE

scratch=$(mktemp -d -t snapshot.XXXXXX)    # logs and other files of this run
server_pid=             # the process that keeps the private server, if any
server_input=           # its standard input: closing it ends the server

say() {
    printf '== %s\n' "$*"
}

fail() {
    printf 'scripts/%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

clean_up() {
    stop_private_server
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

# --- Debian packages ---------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Packages are needed: stop if there is no way to install them.
require_installer() {
    command -v apt-get >/dev/null ||
        fail "this needs Debian or Ubuntu: there is no apt-get to install $* with."
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        fail "some Debian packages are missing, and installing them takes root or sudo." \
             "Ask an administrator to run: apt-get install $*"
}

# Run apt-get without a word, unless it fails.
quiet_apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300 "$@" \
        </dev/null >"$scratch/apt.log" 2>&1 || {
        tail -n 5 "$scratch/apt.log" >&2
        fail "apt-get $1 failed; its last words are above."
    }
}

# The package lists of a new machine are empty or old. Once a run is enough.
update_package_lists() {
    [ -z "${package_lists_updated-}" ] || return 0
    say "Updating the package lists"
    quiet_apt_get update
    package_lists_updated=yes
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_missing PACKAGE…: install those that are not there yet.
install_missing() {
    local package missing=()
    for package; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    require_installer "${missing[@]}"
    update_package_lists
    say "Installing ${missing[*]}"
    quiet_apt_get install --no-install-recommends "${missing[@]}"
}

# Set postgres_major to the PostgreSQL version that this distribution packages:
# the one that its metapackage "postgresql" stands for (15+248 means 15).
find_postgres_major() {
    local version=
    if is_installed postgresql; then
        version=$(dpkg-query -W -f='${Version}' postgresql)
    else
        require_installer postgresql
        apt-cache show postgresql >/dev/null 2>&1 || update_package_lists
        version=$(apt-cache show --no-all-versions postgresql 2>/dev/null |
            sed -n 's/^Version: //p') || true
    fi
    postgres_major=${version%%[!0-9]*}
    [ -n "$postgres_major" ] || fail "apt finds no package postgresql; are its sources right, is the network up?"
    [ "$postgres_major" -ge 15 ] ||
        fail "the package needs PostgreSQL 15 or later, and this distribution has $postgres_major."
}

# --- Python ------------------------------------------------------------------

# Make .venv from tests/requirements.txt, or keep it if it was made from just
# that. It is the distribution's Python, so a pyenv's in the PATH changes nothing.
make_venv() {
    { /usr/bin/python3 --version; cat tests/requirements.txt; } >"$scratch/venv"
    cmp -s "$scratch/venv" .venv/made-from && return

    say "Installing the Python packages of tests/requirements.txt"
    rm -rf .venv
    /usr/bin/python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r tests/requirements.txt >"$scratch/pip.log" 2>&1 || {
        tail -n 5 "$scratch/pip.log" >&2
        fail "pip failed; its last words are above."
    }
    cp "$scratch/venv" .venv/made-from
}

# --- The private server ------------------------------------------------------

# Forget whatever points to the user's databases or changes how their clients
# behave: variables, ~/.psqlrc, Sqitch's configuration outside this project.
forget_user_settings() {
    unset "${!PG@}" "${!PSQL@}" "${!SQITCH_@}"
    export PSQLRC=/dev/null PSQL_HISTORY="$scratch/psql_history"
    export SQITCH_USER_CONFIG=/dev/null SQITCH_SYSTEM_CONFIG=/dev/null
}

# in_private_server [-v MAJOR] [-o NAME=VALUE]… COMMAND…: run the command, which may
# be a function of this shell, while a throw-away PostgreSQL server of its own runs
# and the PG* variables point to it. -o sets a server parameter; -v chooses another
# version than the distribution's, and needs servers.sh.
#
# pg_virtualenv makes the server in a temporary directory and removes it when
# the command that it was given ends. That command is here a "cat" that waits
# for this shell to close the pipe, or to end, be it by SIGKILL. Signals that
# Ctrl-C or a closed terminal send to all are for this shell alone to act on.
in_private_server() {
    local major=$postgres_major server_of=distribution_server options=() output setting
    if [ "$1" = -v ]; then
        major=$2
        shift 2
    fi
    [ "$major" = "$postgres_major" ] || server_of=other_server
    while [ "$1" = -o ]; do
        options+=(-o "$2")
        shift 2
    done

    forget_user_settings
    # shellcheck disable=SC2016
    coproc server {
        trap '' HUP INT TERM
        "$server_of" "$major" "${options[@]}" \
            bash -c 'env | grep "^PG" >&3; echo ready >&3; exec 3>&-; cat' \
            3>&1 >"$scratch/server.log" 2>&1
    }
    server_pid=$!
    server_input=${server[1]}
    output=${server[0]}
    while read -r setting; do
        [ "$setting" = ready ] && break
        export "${setting?}"
    done <&"$output"
    [ "${setting-}" = ready ] || {
        cat "$scratch/server.log" >&2
        fail "the private PostgreSQL server did not start; see the messages above."
    }

    "$@"
    stop_private_server
}

# distribution_server MAJOR [-o NAME=VALUE]… COMMAND…
distribution_server() {
    local major=$1 try
    shift
    for try in 1 2 3 4; do
        # USER: so that the superuser is called postgres whoever runs this.
        USER=postgres pg_virtualenv -t -v "$major" -c '--locale=C.UTF-8 --encoding=UTF8' "$@" && return
        # Who starts another at the same moment may take its port.
        grep -q 'Port conflict\|Address already in use' "$scratch/server.log" || return
        sleep $((try + RANDOM % 3))
    done
    return 1
}

stop_private_server() {
    [ -n "$server_pid" ] || return 0
    exec {server_input}>&-
    wait "$server_pid" || true
    server_pid=
}
