//! Ports for a cluster that will be killed and started again.
//!
//! Owns: a block of ports, leased for as long as the cluster lives. Three things make a plain
//! "bind port 0" unfit here. The system gives such ports from the ephemeral range, and while a
//! node is down an outgoing connection of anyone may take its port as its own end (or connect to
//! itself). A second harness may take it likewise. And a port must be the same after a restart.
//! So: blocks below the ephemeral range, a lock file a block (the system lets go of it when the
//! process ends, however it ends), and each port bound all the time.
//!
//! Bound, but never listened on: Linux lets sockets with `SO_REUSEADDR` share a port for as long
//! as none of them listens (see socket(7)), so a node binds and listens on its own while the
//! lease keeps the port from everyone else. To listen, and to stop just before the node starts,
//! is not enough: a child that another thread has forked and not yet exec'd still listens.
//! Called by `cluster` only.

use super::ClusterError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpSocket;
use uuid::Uuid;

/// The first port of the first block.
const FIRST: u16 = 20_000;
/// The first port that is not ours: Linux's ephemeral range starts at 32,768.
const END: u16 = 32_000;
/// Ports of a block: three a node, up to nine nodes.
const BLOCK: u16 = 30;

/// A block of ports that no other harness on this machine uses.
#[derive(Debug)]
pub(super) struct Lease {
    ports: Vec<u16>,
    /// Held open for their ports.
    _bound: Vec<TcpSocket>,
    /// Held open for its lock.
    _lock: File,
}

impl Lease {
    /// Leases this many ports, all free now.
    pub(super) fn take(count: usize) -> Result<Self, ClusterError> {
        assert!(count <= usize::from(BLOCK), "{count} ports are more than a block");
        let blocks = (END - FIRST) / BLOCK;
        // Start anywhere, so that harnesses started at once seldom meet.
        let start = (Uuid::now_v7().as_u128() % u128::from(blocks)) as u16;
        for step in 0..blocks {
            let block = (start + step) % blocks;
            if let Some(lease) = Self::of_block(FIRST + block * BLOCK, count)? {
                return Ok(lease);
            }
        }
        Err(ClusterError::NoPorts { count })
    }

    fn of_block(first: u16, count: usize) -> Result<Option<Self>, ClusterError> {
        let dir = std::env::temp_dir().join("flashnode-ports");
        std::fs::create_dir_all(&dir).map_err(ClusterError::io("create", &dir))?;
        let path = dir.join(first.to_string());
        let lock = match File::options().create(true).append(true).open(&path) {
            Ok(lock) => lock,
            // Another user's lock file.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(ClusterError::io("open", &path)(error)),
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        let ports: Vec<u16> = (first..first + BLOCK).take(count).collect();
        // A port in use by a program that knows nothing of the locks.
        let Ok(bound) = ports.iter().map(|port| reserve(*port)).collect() else {
            return Ok(None);
        };
        Ok(Some(Self { ports, _bound: bound, _lock: lock }))
    }

    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }
}

/// Binds the port without listening on it.
fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn two_leases_never_meet() {
        let (one, other) = (Lease::take(6).unwrap(), Lease::take(6).unwrap());
        assert_eq!(one.ports().len(), 6);
        assert!(one.ports().iter().all(|port| !other.ports().contains(port)));
        assert!(one.ports().iter().all(|port| (FIRST..END).contains(port)));
    }

    #[test]
    fn a_node_listens_on_a_leased_port_and_nobody_else_then() {
        let lease = Lease::take(2).unwrap();
        let address = (Ipv4Addr::LOCALHOST, lease.ports()[0]);
        let node = TcpListener::bind(address).unwrap();
        assert!(TcpListener::bind(address).is_err());
        drop(node);
        TcpListener::bind(address).expect("the node starts again");
    }

    #[test]
    fn a_port_that_another_program_listens_on_is_not_leased() {
        let lease = Lease::take(1).unwrap();
        let port = lease.ports()[0];
        drop(lease);
        let _other = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(reserve(port).is_err());
    }
}
