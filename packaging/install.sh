#!/bin/sh
# Installs the gateway's programs, units and default configuration into a tree that is laid out like the gateway's root.
# A configuration that is there already stays as it is. Nothing is started, no user is made: on the gateway itself,
# afterwards (as root):
#
#   systemd-sysusers && systemd-tmpfiles --create && journalctl --update-catalog && systemctl daemon-reload && systemctl enable --now keros-agent
set -eu

usage() {
    echo "usage: $0 DESTDIR [BINARIES]" >&2
    echo "  DESTDIR   root of the tree, e.g. / on a gateway, or an empty folder to make a package from" >&2
    echo "  BINARIES  folder with the built programs [default: target/gateway of this source tree]" >&2
    exit 64
}

[ $# -ge 1 ] && [ $# -le 2 ] && [ -n "$1" ] || usage
source_folder=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
destination=${1%/}
binaries=${2:-$source_folder/target/gateway}

if [ ! -f "$binaries/keros-agent" ]; then
    echo "$0: there is no $binaries/keros-agent; build first: cargo build --profile gateway -p keros-agent -p keros-executor (or name the folder, e.g. target/release)" >&2
    exit 1
fi

# BusyBox's install has no -D: folders come first.
folder() { # MODE PATH
    mkdir -p "$destination$2"
    chmod "$1" "$destination$2"
}

put() { # MODE SOURCE PATH: the new file is complete before it takes the old one's place
    cp "$2" "$destination$3.new"
    chmod "$1" "$destination$3.new"
    mv -f "$destination$3.new" "$destination$3"
}

for path in /usr/bin /usr/lib/systemd/system /usr/lib/systemd/catalog /usr/lib/sysusers.d /usr/lib/tmpfiles.d /etc/keros-agent \
    /etc/keros-agent/config.d /etc/keros-agent/trust; do
    # The modes of /usr and the like are the system's business once they exist.
    [ -d "$destination$path" ] || folder 0755 "$path"
done
[ -d "$destination/etc/keros-agent/tls" ] || folder 0750 /etc/keros-agent/tls

for program in keros-agent keros-executor; do
    # The executor may be installed by itself.
    [ ! -f "$binaries/$program" ] || put 0755 "$binaries/$program" "/usr/bin/$program"
done
units=/usr/lib/systemd/system
for unit in "$source_folder"/systemd/*.service "$source_folder"/systemd/*.socket "$source_folder"/systemd/*.timer \
    "$source_folder"/systemd/*.slice; do
    [ ! -f "$unit" ] || put 0644 "$unit" "$units/${unit##*/}"
done
# What a job is owed is finished whether or not somebody thinks of enabling that, and without the agent.
want() { # TARGET UNIT
    [ -d "$destination$units/$1.wants" ] || folder 0755 "$units/$1.wants"
    ln -sf "../$2" "$destination$units/$1.wants/$2"
}
want multi-user.target keros-executor-settle.service
want timers.target keros-executor-settle.timer
want timers.target keros-agent-renew.timer
# Technicians ask it for log lines; it runs nothing until they do.
want sockets.target keros-logs.socket
# What the journal tells of our events (journalctl -x), after `journalctl --update-catalog`.
put 0644 "$source_folder/systemd/keros.catalog" /usr/lib/systemd/catalog/keros.catalog
for kind in sysusers tmpfiles; do
    for file in "$source_folder"/systemd/*."$kind".conf; do
        name=${file##*/}
        [ ! -f "$file" ] || put 0644 "$file" "/usr/lib/$kind.d/${name%".$kind.conf"}.conf"
    done
done

if [ -e "$destination/etc/keros-agent/config.yaml" ]; then
    echo "kept $destination/etc/keros-agent/config.yaml"
else
    put 0644 "$source_folder/packaging/config.yaml" /etc/keros-agent/config.yaml
fi
