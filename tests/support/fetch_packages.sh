#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Unpacks the DNS programs that tests run inside the lab into DIRECTORY/NAME. They are not
# installed: each of them would take over this machine's own resolv.conf.
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

for name in systemd-resolved openresolv resolvconf; do
    [ -d "$name" ] && continue
    work=$(mktemp -d ".$name.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$name")
    dpkg -x "$work"/*.deb "$work/tree"
    # Last, and in one step: a folder that is there is whole.
    mv "$work/tree" "$name"
    rm -rf "$work"
done
