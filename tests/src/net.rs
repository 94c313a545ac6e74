//! A network for the nodes of a cluster: each in a network namespace of its own, on a bridge, so that links can be cut.
//!
//! It needs root, `ip` and `nsenter`. Addresses are drawn at random, as the loopback ones are elsewhere, and everything
//! goes away with the value.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::cluster::random_loopback;

/// A bridge, and a namespace for each node.
pub struct Network {
    name: String,
    subnet: [u8; 2],
    nodes: usize,
}

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// What the system says, where this is not permitted or `ip` is missing.
    pub fn new(nodes: usize) -> Result<Self, String> {
        let [_, a, b, c] = random_loopback().octets();
        let network = Self { name: format!("ap{a:02x}{b:02x}{c:02x}"), subnet: [a, b], nodes };
        let (bridge, gateway) = (&network.name, format!("{}/24", network.address(1)));
        ip(&["link", "add", bridge, "type", "bridge"])?;
        ip(&["address", "add", &gateway, "dev", bridge])?;
        ip(&["link", "set", bridge, "up"])?;
        (0..nodes).try_for_each(|node| network.add(node))?;
        Ok(network)
    }

    fn add(&self, node: usize) -> Result<(), String> {
        let (space, link) = (self.space(node), self.space(node));
        ip(&["netns", "add", &space])?;
        ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
        ip(&["link", "set", &link, "master", &self.name, "up"])?;
        ip(&["-n", &space, "address", "add", &format!("{}/24", self.of(node)), "dev", "eth0"])?;
        ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        ip(&["-n", &space, "link", "set", "lo", "up"])
    }

    /// The namespace of a node, and the name of its link on the bridge.
    fn space(&self, node: usize) -> String {
        format!("{}-{node}", self.name)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.subnet[0], self.subnet[1], last)
    }

    /// The address of a node.
    pub fn of(&self, node: usize) -> Ipv4Addr {
        self.address(u8::try_from(node + 10).expect("few nodes"))
    }

    /// What a command of a node begins with.
    pub fn prefix(&self, node: usize) -> Vec<String> {
        vec!["nsenter".into(), format!("--net=/run/netns/{}", self.space(node))]
    }

    /// Cuts a node off from everybody.
    pub fn cut(&self, node: usize) {
        ip(&["link", "set", &self.space(node), "down"]).expect("a link to cut");
    }

    /// Ends that.
    pub fn heal(&self, node: usize) {
        ip(&["link", "set", &self.space(node), "up"]).expect("a link to heal");
    }

    /// Lets a node send nothing to another one, whose packets still reach it.
    pub fn silence(&self, from: usize, to: usize) {
        let route = format!("{}/32", self.of(to));
        ip(&["-n", &self.space(from), "route", "replace", "blackhole", &route]).expect("a route");
    }

    /// Ends that.
    pub fn unsilence(&self, from: usize, to: usize) {
        let route = format!("{}/32", self.of(to));
        let _ = ip(&["-n", &self.space(from), "route", "delete", "blackhole", &route]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in 0..self.nodes {
            let _ = ip(&["link", "delete", &self.space(node)]);
            let _ = ip(&["netns", "delete", &self.space(node)]);
        }
        let _ = ip(&["link", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments).map(drop)
}

/// Runs a tool of the system, and returns what it said.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(tool).args(arguments).output().map_err(|e| format!("{tool}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{tool} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
