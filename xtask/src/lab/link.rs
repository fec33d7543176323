//! Network interfaces up and addressed through netlink, so that the guest needs no `ip`.
//!
//! Message layouts: `linux/netlink.h`, `linux/rtnetlink.h`, `linux/if_addr.h` (all integers in the
//! machine's byte order).

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use anyhow::{Context, bail};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Sets the interface up, with an IPv4 address `ADDRESS[/LENGTH]` when one is given.
pub(crate) fn up(name: &str, address: Option<&str>) -> anyhow::Result<()> {
    let index = if_nametoindex(name).with_context(|| format!("find interface {name}"))?;
    if let Some(text) = address {
        let (address, length) = parse_address(text)?;
        request(
            RTM_NEWADDR,
            NLM_F_CREATE,
            &address_body(index, address, length),
        )
        .with_context(|| format!("give {name} the address {text}"))?;
    }
    request(RTM_NEWLINK, 0, &link_body(index)).with_context(|| format!("set {name} up"))
}

fn parse_address(text: &str) -> anyhow::Result<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "24"));
    let length: u8 = length.parse().context("read the prefix length")?;
    if length > 32 {
        bail!("a prefix has at most 32 bits");
    }
    Ok((address.parse().context("read the address")?, length))
}

/// `struct ifinfomsg`: family, padding, type, index, flags, which flags change.
fn link_body(index: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body
}

/// `struct ifaddrmsg` and two attributes with the same address.
fn address_body(index: u32, address: Ipv4Addr, length: u8) -> Vec<u8> {
    let mut body = vec![AF_INET, length, 0, 0];
    body.extend(index.to_ne_bytes());
    for attribute in [IFA_LOCAL, IFA_ADDRESS] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(attribute.to_ne_bytes());
        body.extend(address.octets());
    }
    body
}

fn message(kind: u16, flags: u16, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u32::try_from(16 + body.len()).context("a message too long")?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    Ok(message)
}

fn request(kind: u16, flags: u16, body: &[u8]) -> anyhow::Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .context("open a netlink socket")?;
    let fd = socket.as_raw_fd();
    sendto(
        fd,
        &message(kind, flags, body)?,
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )?;
    let mut answer = [0; 512];
    let length = recv(fd, &mut answer, MsgFlags::empty())?;
    read_answer(answer.get(..length).unwrap_or_default())
}

/// The acknowledgement is an error message whose code is zero, or a negated errno.
fn read_answer(answer: &[u8]) -> anyhow::Result<()> {
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let code = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(std::io::Error::from_raw_os_error(-code).into()),
        _ => bail!("the kernel gave no acknowledgement"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(
            parse_address("10.9.0.1/16").unwrap(),
            (Ipv4Addr::new(10, 9, 0, 1), 16)
        );
        assert_eq!(parse_address("10.9.0.1").unwrap().1, 24);
        assert!(parse_address("10.9.0.1/33").is_err());
        assert!(parse_address("lab").is_err());
    }

    #[test]
    fn lengths_are_those_of_the_kernel() {
        assert_eq!(link_body(1).len(), 16);
        assert_eq!(address_body(1, Ipv4Addr::LOCALHOST, 8).len(), 24);
        assert_eq!(message(RTM_NEWLINK, 0, &link_body(1)).unwrap().len(), 32);
    }

    #[test]
    fn an_answer_is_success_or_an_errno() {
        let mut answer = vec![0_u8; 20];
        answer.splice(4..6, NLMSG_ERROR.to_ne_bytes());
        assert!(read_answer(&answer).is_ok());
        answer.splice(16..20, (-1_i32).to_ne_bytes());
        assert!(
            read_answer(&answer)
                .unwrap_err()
                .to_string()
                .contains("not permitted")
        );
        assert!(read_answer(&[]).is_err());
    }
}
