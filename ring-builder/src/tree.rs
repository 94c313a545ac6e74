//! The tree of failure domains: cluster, regions, zones, servers, devices.

use std::collections::BTreeMap;

use apus_base::ring::Device;

/// Levels below the root: region, zone, server, device.
pub(crate) const LEVELS: usize = 4;

/// The root's place among the nodes.
pub(crate) const ROOT: usize = 0;

/// The nodes that a device is in, from region to the device itself.
pub(crate) type Path = [usize; LEVELS];

#[derive(Debug)]
pub(crate) struct Node {
    /// How deep: 0 is the cluster, 4 a device.
    pub(crate) level: usize,
    /// The root is its own.
    pub(crate) parent: usize,
    /// In the order of regions, zones, addresses and ids.
    pub(crate) children: Vec<usize>,
    /// The children that hold weighted devices: planning does not see the others.
    pub(crate) weighted_children: Vec<usize>,
    /// Devices of positive weight in this domain.
    pub(crate) weighted_devices: usize,
    /// A device's id.
    pub(crate) device: Option<u32>,
    /// The device's weight, or the sum of them.
    pub(crate) weight: f64,
}

#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// By device id; `None` where there is no device.
    paths: Vec<Option<Path>>,
}

impl Tree {
    pub(crate) fn new<'d>(devices: impl Iterator<Item = &'d Device>) -> Tree {
        let sorted: BTreeMap<_, _> = devices.map(|d| ((d.region, d.zone, d.ip.as_str(), d.id), d)).collect();
        let slots = sorted.values().map(|d| d.id as usize + 1).max().unwrap_or(0);
        let mut tree = Tree { nodes: vec![Node::below(ROOT, 0)], paths: vec![None; slots] };
        let mut before: Option<(&Device, Path)> = None;
        for device in sorted.into_values() {
            let shared = before.map_or(0, |(other, _)| shared_levels(other, device));
            let mut path = before.map_or([ROOT; LEVELS], |(_, path)| path);
            for level in shared..LEVELS {
                let parent = if level == 0 { ROOT } else { path[level - 1] };
                let node = tree.nodes.len();
                path[level] = node;
                tree.nodes[parent].children.push(node);
                tree.nodes.push(Node::below(parent, level + 1));
            }
            tree.add_weight(device, &path);
            tree.paths[device.id as usize] = Some(path);
            before = Some((device, path));
        }
        tree.find_weighted_children();
        tree
    }

    fn add_weight(&mut self, device: &Device, path: &Path) {
        self.nodes[path[LEVELS - 1]].device = Some(device.id);
        for node in path.iter().chain([&ROOT]) {
            self.nodes[*node].weight += device.weight;
            self.nodes[*node].weighted_devices += usize::from(device.weight > 0.0);
        }
    }

    fn find_weighted_children(&mut self) {
        for node in 0..self.nodes.len() {
            let weighted = |child: &usize| self.nodes[*child].weighted_devices > 0;
            self.nodes[node].weighted_children = self.nodes[node].children.iter().copied().filter(weighted).collect();
        }
    }

    pub(crate) fn path(&self, device: u32) -> Option<&Path> {
        self.paths.get(device as usize)?.as_ref()
    }

    /// Nodes so ordered that children come after their parent.
    pub(crate) fn top_down(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        0..self.nodes.len()
    }

    /// The device nodes, in the order of the tree.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.device?)))
    }
}

impl Node {
    fn below(parent: usize, level: usize) -> Node {
        Node {
            level,
            parent,
            children: vec![],
            weighted_children: vec![],
            weighted_devices: 0,
            device: None,
            weight: 0.0,
        }
    }
}

fn shared_levels(a: &Device, b: &Device) -> usize {
    match () {
        () if a.region != b.region => 0,
        () if a.zone != b.zone => 1,
        () if a.ip != b.ip => 2,
        () => 3,
    }
}
