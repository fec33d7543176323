//! A hub for Ethernet frames between guests.
//!
//! The kernel's "bess" transport speaks `SOCK_SEQPACKET` over a unix socket, one frame a packet, so
//! that a network needs no privilege. The hub learns which port a hardware address lives on.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, setsockopt, socket, sockopt,
};

/// The socket's name in the folder of a network.
const SOCKET: &str = "switch";
/// A frame is at most this long; the transport's own limit is lower.
const FRAME: usize = 65536;

/// The socket that guests of the network in `dir` connect to.
pub(crate) fn socket_in(dir: &Path) -> anyhow::Result<PathBuf> {
    Ok(dir
        .canonicalize()
        .with_context(|| format!("find {}", dir.display()))?
        .join(SOCKET))
}

type Address = [u8; 6];

/// Serves the network in `dir` until killed.
pub(crate) fn serve(dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let listener = listen_at(&socket_in(dir)?)?;
    let mut hub = Hub::default();
    loop {
        for ready in hub.wait(&listener)? {
            if ready == listener.as_raw_fd() {
                hub.add(listener.accept().context("accept a guest")?.0)?;
            } else {
                hub.pass(ready);
            }
        }
    }
}

fn listen_at(path: &Path) -> anyhow::Result<UnixListener> {
    std::fs::remove_file(path).ok();
    let kind = SockType::SeqPacket;
    let socket =
        socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).context("socket")?;
    let address = UnixAddr::new(path).context("a socket's path is too long")?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("bind {}", path.display()))?;
    listen(&socket, Backlog::new(16)?).context("listen")?;
    // The standard library's type serves for packets too: accept, read and write are the same calls.
    Ok(UnixListener::from(socket))
}

#[derive(Default)]
struct Hub {
    ports: BTreeMap<i32, UnixStream>,
    lives_on: BTreeMap<Address, i32>,
}

impl Hub {
    /// The descriptors that have something to say.
    fn wait(&self, listener: &UnixListener) -> anyhow::Result<Vec<i32>> {
        let port_fds = self.ports.values().map(AsFd::as_fd);
        let fds = std::iter::once(listener.as_fd()).chain(port_fds);
        let mut polled: Vec<PollFd<'_>> =
            fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("wait for frames"),
        }
        let ready = polled.iter().filter(|fd| fd.any().unwrap_or(false));
        Ok(ready.map(|fd| fd.as_fd().as_raw_fd()).collect())
    }

    fn add(&mut self, port: UnixStream) -> anyhow::Result<()> {
        port.set_nonblocking(true)
            .context("make a port non-blocking")?;
        // Larger buffers only lose fewer frames; the kernel may cap them.
        setsockopt(&port, sockopt::SndBuf, &(1 << 20)).ok();
        setsockopt(&port, sockopt::RcvBuf, &(1 << 20)).ok();
        self.ports.insert(port.as_raw_fd(), port);
        Ok(())
    }

    /// Passes one frame on from a port, or forgets the port when it has hung up.
    fn pass(&mut self, from: i32) {
        let mut frame = vec![0; FRAME];
        let length = match self.ports.get_mut(&from).map(|port| port.read(&mut frame)) {
            Some(Ok(length)) if length > 0 => length,
            Some(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            _ => return self.forget(from),
        };
        let Some((target, rest)) = frame.split_first_chunk::<6>() else {
            return;
        };
        let Some((source, _)) = rest.split_first_chunk::<6>() else {
            return;
        };
        self.lives_on.insert(*source, from);
        let known = self.lives_on.get(target).copied();
        let frame = frame.get(..length).unwrap_or_default();
        for (&fd, port) in &mut self.ports {
            if fd != from && known.is_none_or(|known| known == fd) {
                // A full port drops frames, as a wire would; a packet is never sent in part.
                port.write_all(frame).ok();
            }
        }
    }

    fn forget(&mut self, port: i32) {
        self.ports.remove(&port);
        self.lives_on.retain(|_, fd| *fd != port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (one, two) = nix::sys::socket::socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_NONBLOCK,
        )
        .unwrap();
        (one.into(), two.into())
    }

    fn frame(target: u8, source: u8) -> Vec<u8> {
        [[target; 6], [source; 6]].concat()
    }

    #[test]
    fn frames_flood_until_the_address_is_known() {
        let mut hub = Hub::default();
        let (near, far): (Vec<_>, Vec<_>) = (0..3).map(|_| pair()).unzip();
        let fds: Vec<i32> = near.iter().map(AsRawFd::as_raw_fd).collect();
        for port in near {
            hub.add(port).unwrap();
        }
        let mut far = far.into_iter();
        let [mut a, mut b, mut c] = [far.next(), far.next(), far.next()].map(Option::unwrap);
        let mut buffer = [0; 64];

        a.write_all(&frame(2, 1)).unwrap();
        hub.pass(fds[0]);
        assert_eq!(b.read(&mut buffer).unwrap(), 12);
        assert_eq!(c.read(&mut buffer).unwrap(), 12);

        b.write_all(&frame(1, 2)).unwrap();
        hub.pass(fds[1]);
        assert_eq!(a.read(&mut buffer).unwrap(), 12);
        assert!(
            c.read(&mut buffer).is_err(),
            "the answer goes to its address alone"
        );

        drop(a);
        hub.pass(fds[0]);
        assert_eq!(hub.ports.len(), 2);
        assert!(!hub.lives_on.contains_key(&[1; 6]));
    }
}
