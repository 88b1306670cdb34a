# Becomes the first process of a host, in namespaces of its own. $1 is a folder for what the host writes, $2 its root file
# system, which is only read, $3 its name.
set -eu
mount --make-rprivate /
cd "$1"
mkdir -p upper work root disk
mount -t overlay -o "lowerdir=$2,upperdir=upper,workdir=work" none root
cd root

# What the kernel and udev provide.
mount -t proc none proc
mount -t sysfs none sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=0755 none run
mount -t tmpfs -o mode=0755 none dev
mkdir dev/net dev/pts dev/shm dev/mqueue
device() { mknod -m 666 "dev/$1" c "$2" "$3"; }
device null 1 3
device zero 1 5
device full 1 7
device random 1 8
device urandom 1 9
device kmsg 1 11
device tty 5 0
device net/tun 10 200
device fuse 10 229
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 none dev/pts
mount -t tmpfs -o mode=1777 none dev/shm
mount -t mqueue none dev/mqueue
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

# Engines mount overlays of their own below these, which cannot lie on an overlay.
for folder in home srv var/lib/containers var/lib/docker var/lib/containerd; do
    mkdir -p "../disk/$folder" "$folder"
    mount --bind "../disk/$folder" "$folder"
done

# A network card that leads nowhere, with a default route.
echo "$3" >etc/hostname
printf '127.0.0.1 localhost %s\n::1 localhost\n' "$3" >etc/hosts
ip link set lo up
ip link add eth0 type veth peer name nowhere
ip address add 192.0.2.10/24 dev eth0
ip link set nowhere up
ip link set eth0 up
ip route add default via 192.0.2.1

pivot_root . mnt
umount -l mnt
# As systemd does it where it is not in a container.
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=tests \
    /usr/lib/systemd/systemd --system --log-target=null --show-status=no
