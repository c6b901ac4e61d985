//! Which processes listen where, as the kernel tells in `/proc`.

use flightdeck_model::PortOwner;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A listening socket by the number that the kernel gives it.
struct Socket {
    address: SocketAddr,
    inode: u64,
}

/// Where these processes listen, in order; what can't be looked at is not among them.
#[must_use]
pub fn of(pids: &[u32]) -> Vec<SocketAddr> {
    let held: BTreeSet<u64> = pids.iter().flat_map(|pid| sockets_of(*pid)).collect();
    let all = listening().into_iter().filter(|socket| held.contains(&socket.inode));
    all.map(|socket| socket.address).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Who listens on a port of this machine; `None`: nobody, or a process of another user.
#[must_use]
pub fn owner(port: u16) -> Option<PortOwner> {
    let wanted: BTreeSet<u64> =
        listening().into_iter().filter(|socket| socket.address.port() == port).map(|socket| socket.inode).collect();
    if wanted.is_empty() {
        return None;
    }
    let pid = super::processes().ok()?.into_iter().find(|pid| sockets_of(*pid).any(|inode| wanted.contains(&inode)))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(PortOwner { pid, name: flightdeck_model::sanitize_line(name.trim()) })
}

/// The sockets that a process holds.
fn sockets_of(pid: u32) -> impl Iterator<Item = u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| {
        let target = fs::read_link(file.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn listening() -> Vec<Socket> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(parse)).collect()
}

/// A line of `/proc/net/tcp` or `tcp6`: `sl local_address rem_address st … inode`. Source: proc_pid_net(5).
fn parse(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
    if state != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    // Words of 32 bits, each as this machine has it in memory.
    let words: Option<Vec<[u8; 4]>> = address
        .as_bytes()
        .chunks(8)
        .map(|word| Some(u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes()))
        .collect();
    let ip = match words?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        words => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
    };
    let address = SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).ok()?);
    Some(Socket { address, inode: inode.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_listens_where_is_read_from_the_kernel() {
        let (four, six) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::1]:0"));
        let address = four.local_addr().unwrap();
        let here = of(&[std::process::id()]);
        assert!(here.contains(&address), "{here:?}");
        // A machine may have no IPv6.
        if let Ok(six) = six {
            let address = six.local_addr().unwrap();
            assert!(of(&[std::process::id()]).contains(&address));
        }
        assert_eq!(owner(address.port()).unwrap().pid, std::process::id());
        drop(four);
        assert!(!of(&[std::process::id()]).contains(&address));
    }

    #[test]
    fn only_listening_sockets_are_read() {
        let line = |state: &str| {
            format!(" 0: 0100007F:1F40 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 4711 1")
        };
        let socket = parse(&line("0A")).unwrap();
        assert_eq!((socket.address, socket.inode), (SocketAddr::from(([127, 0, 0, 1], 8000)), 4711));
        assert!(parse(&line("01")).is_none() && parse("nonsense").is_none());
    }
}
