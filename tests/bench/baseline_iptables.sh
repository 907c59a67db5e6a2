#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What bench.cpp compares with: the protection of docs/security.md for a locked machine with one
# tunnel, made as scripts do, by one iptables, ip6tables or ip process for each rule and route.
#
# usage: baseline_iptables.sh up TUNNEL ADDR4 'NET4...' ADDR6 'NET6...' UNDERLAY GATEWAY4 \
#          PORT REMOTE4...
#        baseline_iptables.sh clear
#
# Refused ports come as lists with commas in the environment: DNS_UDP and DNS_TCP, which the routing
# rules refuse as well, NAMES_UDP and NAMES_TCP.
#
# Where iptables can do with fewer rules than one for each line of that table, it does: shared
# chains, and multiport. Left out, in favour of the baseline: the ARP table, names
# (resolv.conf, hosts), the set of bootstrap resolvers (empty but for seconds), comments, and
# all state, locking and reading back. MPTCP is dropped, because iptables cannot strip it.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin

private4='10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16'
private6='fc00::/7 fe80::/10'
lan4="$private4 224.0.0.0/24 239.255.0.0/16"
lan6="$private6 ff02::/16 ff05::/16"
mark=0x00fc0000/0x00ff0000
last_metric=4294967294

clear_all()
{
    for tool in iptables ip6tables; do
        for table in filter raw mangle; do
            "$tool" -t "$table" -F
            "$tool" -t "$table" -X
        done
    done
    for family in -4 -6; do
        ip "$family" rule flush protocol 252
        for table in 64599 64600 64601; do
            ip "$family" route flush table "$table"
        done
    done
    # `flush` passes over these.
    for table in 64600 64601; do
        ip -6 route del unreachable default metric "$last_metric" table "$table" 2>/dev/null || true
    done
}

log()
{
    chain=$1
    shift
    "$tool" -A "$chain" -m limit --limit 6/minute --limit-burst 5 -j LOG --log-prefix "failclosed: $*: "
}

# A chain that packets of one class are sent to.
refusing_chain()
{
    "$tool" -N "$1"
    log "$@"
    "$tool" -A "$1" -j REJECT --reject-with "$reject"
}

# What is refused before the local network is allowed, in output and forward.
past_tunnel()
{
    refusing_chain fc-dns DNS
    refusing_chain fc-server VPN server
    "$tool" -N fc-past
    "$tool" -A fc-past -p udp -m multiport --dports "$DNS_UDP" -g fc-dns
    "$tool" -A fc-past -p tcp -m multiport --dports "$DNS_TCP" -g fc-dns
    "$tool" -A fc-past -p udp -m multiport --dports "$NAMES_UDP" -j REJECT --reject-with "$reject"
    "$tool" -A fc-past -p tcp -m multiport --dports "$NAMES_TCP" -j REJECT --reject-with "$reject"
    "$tool" -A fc-past -s "$address" -j REJECT --reject-with "$reject"
    for remote in "$@"; do
        "$tool" -A fc-past -d "$remote" -p udp --dport "$port" -g fc-server
    done
    for network in $networks; do
        "$tool" -A fc-past -d "$network" -j REJECT --reject-with "$reject"
    done
}

from_tunnel()
{
    "$tool" -N fc-from
    if [ "$tool" = ip6tables ]; then
        for type in 135 136; do
            "$tool" -A fc-from -p icmpv6 --icmpv6-type "$type" -m hl --hl-eq 255 -j RETURN
        done
    fi
    for network in $networks; do
        "$tool" -A fc-from -s "$network" -j RETURN
    done
    for prefix in $private; do
        "$tool" -A fc-from -s "$prefix" -j DROP
    done
}

into_tunnel()
{
    "$tool" -t mangle -N fc-into
    "$tool" -t mangle -A fc-into -p tcp --tcp-option 30 -j DROP
    "$tool" -t mangle -A fc-into -s "$address" -j RETURN
    if [ "$tool" = ip6tables ]; then
        for type in 135 136; do
            "$tool" -t mangle -A fc-into -s fe80::/10 -p icmpv6 --icmpv6-type "$type" \
                -m hl --hl-eq 255 -j RETURN
        done
    fi
    "$tool" -t mangle -A fc-into -j DROP
    "$tool" -t mangle -A POSTROUTING -o "$tunnel" -j fc-into
}

prerouting()
{
    "$tool" -t raw -A PREROUTING -i lo -j RETURN
    "$tool" -t raw -A PREROUTING -d "$address" ! -i "$tunnel" -j DROP
    "$tool" -t mangle -A PREROUTING -m conntrack --ctstate ESTABLISHED,RELATED \
        -m connmark --mark "$mark" -j MARK --set-xmark "$mark"
}

forward()
{
    "$tool" -N fc-between
    for prefix in $lan; do
        "$tool" -A fc-between -d "$prefix" -j RETURN
    done
    log fc-between forwarded
    "$tool" -A fc-between -j REJECT --reject-with "$reject"
    "$tool" -N fc-forward
    "$tool" -A fc-forward -i "$tunnel" -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
    "$tool" -A fc-forward -i "$tunnel" -j DROP
    "$tool" -A fc-forward -o "$tunnel" -j RETURN
    "$tool" -A fc-forward -j fc-past
    for prefix in $lan; do
        "$tool" -A fc-forward -s "$prefix" -g fc-between
    done
    log fc-forward forwarded
    "$tool" -A fc-forward -j REJECT --reject-with "$reject"
    "$tool" -A FORWARD -j fc-forward
}

input4()
{
    iptables -A fc-in -p icmp --icmp-type destination-unreachable \
        -m conntrack --ctstate RELATED -m connmark --mark "$mark" -j RETURN
    iptables -A fc-in -p udp --sport 67 --dport 68 -j RETURN
    iptables -A fc-in -p icmp --icmp-type redirect -j DROP
}

input6()
{
    for type in 1 2; do
        ip6tables -A fc-in -p icmpv6 --icmpv6-type "$type" \
            -m conntrack --ctstate RELATED -m connmark --mark "$mark" -j RETURN
    done
    ip6tables -A fc-in -s fe80::/10 -d fe80::/10 -p udp --sport 547 --dport 546 -j RETURN
    ip6tables -A fc-in -s fe80::/10 -p icmpv6 --icmpv6-type 134 -m hl --hl-eq 255 -j RETURN
    for type in 135 136; do
        ip6tables -A fc-in -p icmpv6 --icmpv6-type "$type" -m hl --hl-eq 255 -j RETURN
    done
    ip6tables -A fc-in -s fe80::/10 -p icmpv6 --icmpv6-type 130 -m hl --hl-eq 1 -j RETURN
    ip6tables -A fc-in -p icmpv6 --icmpv6-type 137 -j DROP
}

# input4 or input6, then the servers.
input()
{
    of_family=$1
    shift
    "$tool" -N fc-in
    "$tool" -A fc-in -i lo -j RETURN
    "$tool" -A fc-in -i "$tunnel" -g fc-from
    for remote in "$@"; do
        "$tool" -A fc-in -s "$remote" -p udp --sport "$port" \
            -m conntrack --ctstate ESTABLISHED -j RETURN
    done
    "$of_family"
    for network in $networks; do
        "$tool" -A fc-in -s "$network" -j DROP
    done
    for prefix in $lan; do
        "$tool" -A fc-in -s "$prefix" -j RETURN
    done
    log fc-in in
    "$tool" -A fc-in -j DROP
    "$tool" -A INPUT -j fc-in
}

output4()
{
    iptables -A fc-out -d 255.255.255.255 -p udp --sport 68 --dport 67 -j RETURN
}

# TYPE HOP-LIMIT DESTINATION
neighbour_out()
{
    ip6tables -A fc-out -d "$3" -p icmpv6 --icmpv6-type "$1" -m hl --hl-eq "$2" -j RETURN
}

output6()
{
    ip6tables -A fc-out -s fe80::/10 -d ff02::1:2 -p udp --sport 546 --dport 547 -j RETURN
    neighbour_out 133 255 ff02::2
    neighbour_out 135 255 ff02::1:ff00:0/104
    neighbour_out 135 255 fe80::/10
    neighbour_out 136 255 ff02::1
    neighbour_out 136 255 fe80::/10
    neighbour_out 131 1 ff02::/16
    neighbour_out 132 1 ff02::2
    neighbour_out 143 1 ff02::16
}

# output4 or output6, then the servers.
output()
{
    of_family=$1
    shift
    "$tool" -N fc-admit
    "$tool" -A fc-admit -j CONNMARK --set-xmark "$mark"
    "$tool" -N fc-out
    "$tool" -A fc-out -o lo -j RETURN
    "$tool" -A fc-out -o "$tunnel" -j RETURN
    for remote in "$@"; do
        "$tool" -A fc-out -d "$remote" -p udp --dport "$port" -m owner --uid-owner 0 -g fc-admit
        "$tool" -A fc-out -d "$remote" -p udp --dport "$port" -m connmark --mark "$mark" -j RETURN
    done
    "$of_family"
    "$tool" -A fc-out -j fc-past
    for prefix in $lan; do
        "$tool" -A fc-out -d "$prefix" -j RETURN
    done
    log fc-out out
    "$tool" -A fc-out -j REJECT --reject-with "$reject"
    "$tool" -A OUTPUT -j fc-out
}

# SERVER...
firewall()
{
    past_tunnel "$@"
    from_tunnel
    into_tunnel
    prerouting
    forward
    input "input$number" "$@"
    output "output$number" "$@"
}

rule()
{
    ip "-$number" rule add "$@" protocol 252
}

route()
{
    ip "-$number" route add "$@" protocol 252
}

# SERVER...
routing()
{
    for table in 64600 64601; do
        route default dev "$tunnel" table "$table" metric 1024
        route unreachable default table "$table" metric "$last_metric"
        for network in $networks; do
            route "$network" dev "$tunnel" table "$table" metric 1024
        done
    done
    for destination in $lan "$@"; do
        route throw "$destination" table 64601 metric 1024
    done
    rule priority 5020 lookup 64601
    rule priority 5030 lookup main suppress_prefixlength 7
    rule priority 5031 lookup 64599
    rule priority 5032 lookup main
    rule priority 4980 fwmark "$mark" goto 5030
    for network in $networks; do
        rule priority 5000 to "$network" lookup 64600
    done
    IFS=,
    for service in $DNS_UDP; do
        rule priority 5012 ipproto udp dport "$service" unreachable
    done
    for service in $DNS_TCP; do
        rule priority 5012 ipproto tcp dport "$service" unreachable
    done
    unset IFS
    rule priority 5013 lookup main
    rule priority 5014 lookup 64600
    rule priority 5015 unreachable
    for prefix in $lan; do
        rule priority 5001 to "$prefix" goto 5012
    done
    rule priority 5010 lookup 64600
    rule priority 5011 unreachable
}

# NUMBER ADDRESS NETWORKS SERVER...
protect()
{
    number=$1
    address=$2
    networks=$3
    shift 3
    if [ "$number" = 4 ]; then
        tool=iptables private=$private4 lan=$lan4 reject=icmp-admin-prohibited
    else
        tool=ip6tables private=$private6 lan=$lan6 reject=icmp6-no-route
    fi
    firewall "$@"
    routing "$@"
}

case ${1:-} in
up)
    tunnel=$2
    address4=$3
    networks4=$4
    address6=$5
    networks6=$6
    underlay=$7
    gateway=$8
    port=$9
    shift 9
    protect 4 "$address4" "$networks4" "$@"
    route default via "$gateway" onlink dev "$underlay" table 64599
    rule priority 4985 iif lo uidrange 0-0 ipproto udp dport "$port" goto 5020
    rule priority 5001 to "$gateway" iif lo uidrange 0-0 goto 5012
    protect 6 "$address6" "$networks6"
    echo 1 >/proc/sys/net/ipv4/conf/all/src_valid_mark
    ;;
clear) clear_all ;;
*)
    sed -n '/^# usage/,/^#$/s/^# //p' "$0" >&2
    exit 64
    ;;
esac
