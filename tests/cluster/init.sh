#!/bin/bash
# The first process of the cluster's namespaces: init.sh RUN LOGS ADDRESS
#
# Lays out network and files, says so, and then only reaps. When it ends, the kernel ends every
# process inside and takes mounts, bridge and pods along: that is all there is to stopping.
set -euo pipefail
run=$1 logs=$2 address=$3
trap 'exit 0' TERM

ip link set lo up
ip link add pods type bridge
ip address add "$address/24" dev pods
ip link set pods up
ip route add default dev pods # the kubelet wants a default route
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables # Services between pods of one bridge

# Places that programs have fixed ideas about; in memory, so that they go with the namespaces.
# Images belong there too: each layer's unmount would write back all that a disk still waits for.
for folder in /run /var/lib/cni /var/lib/kubelet /var/log/containers; do
  mkdir -p "$folder"
  mount -t tmpfs tmpfs "$folder"
done
mkdir /run/headrace
mount --bind "$run" /run/headrace # one name inside, wherever the cache is
mkdir -p /run/headrace/logs
mount --bind "$logs" /run/headrace/logs

# Kernel settings of the whole machine that the kubelet would set: it writes to files instead.
mkdir -p /run/sysctl
for name in vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
  cat "/proc/sys/$name" >"/run/sysctl/${name##*/}"
  mount --bind "/run/sysctl/${name##*/}" "/proc/sys/$name"
done

touch /run/headrace/prepared
while :; do
  sleep infinity &
  wait $! || true
done
