#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What bench.cpp compares with: the protection of a locked machine with one tunnel, made as
# scripts do, by one iptables, ip6tables or ip process for each rule and route.
#
# usage: baseline_iptables.sh up TUNNEL ADDR4 NET4 ADDR6 NET6 PORT REMOTE4...
#        baseline_iptables.sh clear
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin

private4='10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16'
private6='fc00::/7 fe80::/10'

clear_all()
{
    for tool in iptables ip6tables; do
        for table in filter raw; do
            "$tool" -t "$table" -F
            "$tool" -t "$table" -X
        done
    done
    for family in -4 -6; do
        ip "$family" rule flush protocol 252
        for table in 64600 64601; do
            ip "$family" route flush table "$table"
        done
    done
    # `flush` passes over these.
    for table in 64600 64601; do
        ip -6 route del unreachable default metric 4294967295 table "$table" 2>/dev/null || true
    done
}

# Rules that both families have: TOOL ADDRESS REJECT-WITH
common_rules()
{
    tool=$1
    address=$2
    for chain in fc-out fc-in fc-forward; do
        "$tool" -N "$chain"
    done
    "$tool" -A fc-out -o lo -j RETURN
    "$tool" -A fc-out -o "$tunnel" -s "$address" -j RETURN
    "$tool" -A fc-out -o "$tunnel" -j DROP
    "$tool" -A fc-in -i lo -j RETURN
    "$tool" -A fc-forward -o "$tunnel" -j RETURN
    "$tool" -A fc-forward -i "$tunnel" -m conntrack --ctstate ESTABLISHED -j RETURN
    "$tool" -A fc-forward -j DROP
    "$tool" -t raw -A PREROUTING -d "$address" ! -i "$tunnel" -j DROP
}

# TOOL PREFIX...: DNS is refused before the local network is allowed.
lan_rules()
{
    tool=$1
    shift
    for port in 53 853; do
        for transport in udp tcp; do
            "$tool" -A fc-out -p "$transport" --dport "$port" -j REJECT
        done
    done
    for prefix in "$@"; do
        "$tool" -A fc-out -d "$prefix" -j RETURN
        "$tool" -A fc-in -s "$prefix" ! -i "$tunnel" -j RETURN
    done
    "$tool" -A fc-out -j REJECT
    "$tool" -A fc-in -i "$tunnel" -j RETURN
    "$tool" -A fc-in -j DROP
    "$tool" -A OUTPUT -j fc-out
    "$tool" -A INPUT -j fc-in
    "$tool" -A FORWARD -j fc-forward
}

firewall()
{
    common_rules iptables "$address4"
    for remote in "$@"; do
        iptables -A fc-out -d "$remote" -p udp --dport "$port_of_servers" \
            -m owner --uid-owner 0 -j RETURN
        iptables -A fc-in -s "$remote" -p udp --sport "$port_of_servers" -j RETURN
    done
    iptables -A fc-out -d 255.255.255.255 -p udp --sport 68 --dport 67 -j RETURN
    iptables -A fc-in -p udp --sport 67 --dport 68 -j RETURN
    # shellcheck disable=SC2086 # one word each
    lan_rules iptables $private4 224.0.0.0/24 239.255.0.0/16

    common_rules ip6tables "$address6"
    for type in 133 135 136 143; do
        ip6tables -A fc-out -p icmpv6 --icmpv6-type "$type" -j RETURN
    done
    for type in 134 135 136; do
        ip6tables -A fc-in -p icmpv6 --icmpv6-type "$type" -j RETURN
    done
    ip6tables -A fc-out -p udp --sport 546 --dport 547 -j RETURN
    ip6tables -A fc-in -p udp --sport 547 --dport 546 -j RETURN
    # shellcheck disable=SC2086
    lan_rules ip6tables $private6 ff02::/16 ff05::/16
}

# FAMILY TUNNEL-NETWORK LAN-PREFIX...
routing()
{
    family=$1
    network=$2
    shift 2
    for table in 64600 64601; do
        ip "$family" route add default dev "$tunnel" table "$table" protocol 252
        ip "$family" route add unreachable default metric 4294967295 table "$table" protocol 252
    done
    ip "$family" rule add priority 5000 to "$network" lookup 64600 protocol 252
    for prefix in "$@"; do
        ip "$family" rule add priority 5001 to "$prefix" lookup main protocol 252
    done
    ip "$family" rule add priority 5020 lookup 64601 protocol 252
    ip "$family" rule add priority 5010 lookup 64600 protocol 252
}

case ${1:-} in
up)
    tunnel=$2
    address4=$3
    network4=$4
    address6=$5
    network6=$6
    port_of_servers=$7
    shift 7
    firewall "$@"
    # shellcheck disable=SC2086
    routing -4 "$network4" $private4
    ip rule add priority 5002 iif lo uidrange 0-0 ipproto udp dport "$port_of_servers" \
        goto 5020 protocol 252
    for remote in "$@"; do
        ip route add throw "$remote" table 64601 protocol 252
    done
    # shellcheck disable=SC2086
    routing -6 "$network6" $private6
    ;;
clear) clear_all ;;
*)
    sed -n '/^# usage/,/^#  /s/^# //p' "$0" >&2
    exit 64
    ;;
esac
