#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Unpacks programs that tests run inside the lab into DIRECTORY/NAME. They are not installed: each
# of them would take over this machine's own resolv.conf or firewall.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 DIRECTORY" >&2
    exit 64
fi
if ! command -v apt-get >/dev/null; then
    echo "$0: needs apt-get and dpkg (Debian or Ubuntu)" >&2
    exit 1
fi
mkdir -p "$1"
cd "$1"

# The first package of each line gives the folder its name.
while read -r name more; do
    [ -d "$name" ] && continue
    work=$(mktemp -d ".$name.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    # shellcheck disable=SC2086 # names of packages, one word each
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$name" $more </dev/null)
    for package in "$work"/*.deb; do
        dpkg -x "$package" "$work/tree"
    done
    # Last, and in one step: a folder that is there is whole.
    mv "$work/tree" "$name"
    rm -rf "$work"
done <<END
systemd-resolved
openresolv
resolvconf
ufw
firewalld python3-firewall python3-nftables
END
