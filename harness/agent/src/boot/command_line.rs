//! What the host says on the kernel's command line.

/// Settings for the agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Serials of the disks that this node has, from `cryolab.disks=root,criu,data`.
    pub(super) disks: Vec<String>,
    /// The node's name, from `cryolab.hostname=`.
    pub(super) hostname: String,
}

impl Options {
    /// Reads a command line; as for the kernel, the last of several equal words counts.
    pub(super) fn parse(line: &str) -> Options {
        let value = |name: &str| line.split_whitespace().rev().find_map(|w| w.strip_prefix(name));
        let mut disks = list(value("cryolab.disks=").unwrap_or_default());
        if !disks.iter().any(|disk| disk == "root") {
            disks.insert(0, "root".to_owned());
        }
        let hostname = value("cryolab.hostname=").unwrap_or("node").to_owned();
        Options { disks, hostname }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("console=ttyS0 quiet", &["root"], "node")]
    #[case("cryolab.disks=root,criu,data panic=-1\n", &["root", "criu", "data"], "node")]
    #[case("cryolab.disks=criu, cryolab.hostname=target", &["root", "criu"], "target")]
    #[case("cryolab.disks=data cryolab.disks=root", &["root"], "node")]
    fn a_command_line_names_disks_and_host(
        #[case] line: &str,
        #[case] disks: &[&str],
        #[case] hostname: &str,
    ) {
        let disks = disks.iter().map(|disk| (*disk).to_owned()).collect();
        assert_eq!(Options::parse(line), Options { disks, hostname: hostname.to_owned() });
    }
}
