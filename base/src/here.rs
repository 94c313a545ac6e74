//! Which devices of a ring are those of this process.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::ring::Device;

/// Where a server of this process listens.
#[derive(Clone, Copy, Debug)]
pub struct Here(SocketAddr);

impl Here {
    /// The server that listens at `address`; an unspecified one (`0.0.0.0`) is every address of the machine.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Whether the ring means this server by the device.
    pub fn has(&self, device: &Device) -> bool {
        let Ok(ip) = device.ip.parse::<IpAddr>() else { return false };
        device.port == self.0.port() && (ip == self.0.ip() || (self.0.ip().is_unspecified() && is_this_machines(ip)))
    }
}

/// Only an address of one's own can be bound.
fn is_this_machines(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_every_address_of_the_machine() {
        let device = |ip: &str, port| Device {
            device: "d".into(),
            id: 0,
            ip: ip.into(),
            meta: String::new(),
            port,
            region: 1,
            replication_ip: ip.into(),
            replication_port: port,
            weight: 1.0,
            zone: 1,
        };
        let here = |text: &str| Here::new(text.parse().unwrap());
        assert!(here("127.0.0.9:6200").has(&device("127.0.0.9", 6200)));
        assert!(!here("127.0.0.9:6200").has(&device("127.0.0.8", 6200)));
        assert!(here("0.0.0.0:6200").has(&device("127.0.0.8", 6200)));
        assert!(
            !here("0.0.0.0:6200").has(&device("192.0.2.1", 6200)) && !here("0.0.0.0:6200").has(&device("127.0.0.8", 1))
        );
        assert!(!here("0.0.0.0:6200").has(&device("host.example", 6200)));
    }
}
