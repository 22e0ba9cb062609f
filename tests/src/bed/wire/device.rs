//! TUN devices in the nodes' network namespaces.

use std::fs::{File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

use crate::bed::network;

/// Name of the device in every namespace, also in the host's.
pub(super) const DEVICE: &str = "wire0";

/// `struct ifreq` as TUNSETIFF reads it (linux/if.h): a name of 16 bytes and flags, padded to the union's size.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    padding: [u8; 22],
}

/// IFF_TUN: packets without Ethernet header; IFF_NO_PI: and without anything before them (linux/if_tun.h).
const TUN_WITHOUT_INFO: u16 = 0x0001 | 0x1000;

nix::ioctl_write_ptr_bad!(
    /// TUNSETIFF of linux/if_tun.h, `_IOW('T', 202, int)`.
    tun_set_interface,
    nix::request_code_write!(b'T', 202, size_of::<nix::libc::c_int>()),
    InterfaceRequest
);

/// Makes `wire0` in the namespace (none: the one this thread is in), with that address and the routes of the bed.
pub(super) fn attach(namespace: Option<&str>, address: Ipv4Addr) -> Result<File> {
    let home = File::open("/proc/thread-self/ns/net")?;
    if let Some(name) = namespace {
        let path = network::path(name);
        let file = File::open(&path).with_context(|| format!("no network namespace {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace: are you root?")?;
    }
    let made = make(address, namespace.is_some());
    setns(home, CloneFlags::CLONE_NEWNET).context("cannot return to the own network namespace")?;
    made
}

fn make(address: Ipv4Addr, all: bool) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("cannot open /dev/net/tun: the wire needs TUN devices (modprobe tun)")?;
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: TUN_WITHOUT_INFO,
        padding: [0; 22],
    };
    for (place, byte) in request.name.iter_mut().zip(DEVICE.bytes()) {
        *place = byte;
    }
    set_interface(&file, &request).with_context(|| format!("cannot make the device {DEVICE}"))?;
    ip(&["addr", "add", &format!("{address}/32"), "dev", DEVICE])?;
    ip(&["link", "set", DEVICE, "txqueuelen", "5000", "up"])?;
    for subnet in [network::NODES, network::PODS] {
        ip(&["route", "add", subnet, "dev", DEVICE])?;
    }
    if all {
        // A Service's address needs a route before it is translated; what nobody translates ends at the wire, not outside.
        ip(&["route", "add", "default", "dev", DEVICE])?;
    }
    Ok(file)
}

#[allow(
    unsafe_code,
    reason = "a TUN device is made by an ioctl, for which there is no safe call"
)]
fn set_interface(file: &File, request: &InterfaceRequest) -> Result<()> {
    // SAFETY: the descriptor is open for the whole call, and the request is a whole, initialised ifreq that outlives it.
    unsafe { tun_set_interface(file.as_raw_fd(), request) }?;
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    let done = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run ip: apt-get install -y iproute2")?;
    ensure!(
        done.status.success(),
        "ip {} failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}
